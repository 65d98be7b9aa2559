"""What the store holds of the past: nothing that lies ahead of the box's clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anpr.engine.present import Present
from anpr.ops.passages import Traits
from anpr.records import Hit, Sighting
from anpr.store import Query, Store


class StoredPast:
    """Passages and hits of a store as far as they have passed. All raise StoreError."""

    def __init__(self, store: Store, present: Present) -> None:
        self._store = store
        self._present = present

    def newest_seconds(self) -> float | None:
        """When the newest passage was seen; None if there is none."""
        newest = self._store.search(Query(until_seconds=self._until_seconds, limit=1)).sightings
        return newest[0].seen_seconds if newest else None

    def ahead_seconds(self) -> float:
        """How far the newest passage lies ahead of the clock; 0 if none does."""
        newest = self._store.search(Query(limit=1)).sightings
        return self._present.ahead_seconds(newest[0].seen_seconds) if newest else 0.0

    def passages(self, from_seconds: float) -> Iterator[tuple[NDArray[Any], Sequence[Traits]]]:
        """Passages from a time on, in order of time: blocks of `anpr.store.blocks.Block`'s rows and traits."""
        until_seconds = self._present.until_seconds
        for block in self._store.passages(from_seconds=from_seconds):
            count = int(np.searchsorted(block.rows["seen"], until_seconds))
            yield block.rows[:count], block.traits
            if count < len(block.rows):
                return

    def hits(self, from_seconds: float) -> Iterator[Hit]:
        """The newest revisions of hits on passages from a time on, withdrawn ones too, in order of time."""
        until_seconds = self._present.until_seconds
        return takewhile(lambda hit: hit.seen_seconds < until_seconds, self._store.hits_since(from_seconds))

    def sightings(self, from_seconds: float) -> Iterator[Sighting]:
        """Sightings from a time on, newest first, but for withdrawn ones."""
        cursor, until_seconds = "", self._until_seconds
        while True:
            asked = Query(from_seconds=from_seconds, until_seconds=until_seconds, cursor=cursor, limit=1000)
            page = self._store.search(asked)
            yield from page.sightings
            cursor = page.cursor
            if not cursor:
                return

    @property
    def _until_seconds(self) -> float | None:
        until_seconds = self._present.until_seconds
        return None if np.isinf(until_seconds) else until_seconds
