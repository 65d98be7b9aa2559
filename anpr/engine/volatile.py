"""Hits of passages that cannot be stored: told at once, marked as not on disk.

A disk that dies at night must not keep a stolen car from the officer. What waits for the store is matched against the
lists all the same, and each hit is told on the live feed as a `VolatileHit`, once. When the store takes the passage its
hits are told again, with numbers. Rules are not asked: what they say depends on a history that must be on disk.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from anpr.bus import Bus, Publisher
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Hit


class VolatileHits:
    """Use from the hub's thread."""

    def __init__(self, publisher: Bus | Publisher | None, counters: Counters) -> None:
        self._publisher = publisher
        self._counters = counters
        self._told: set[tuple[str, int]] = set()
        """Ids and revisions."""
        self._log = structlog.get_logger()

    def tell(self, hits: Iterable[Hit]) -> None:
        """Tell those that have not been told; a withdrawal can wait."""
        for hit in hits:
            key = (hit.id, hit.revision)
            if self._publisher is None or hit.state == "withdrawn" or key in self._told:
                continue
            self._told.add(key)
            try:
                self._publisher.publish_volatile(hit)
            except BusError as error:
                self._counters.add("events_unpublished")
                self._log.error("publish_failed", seq=None, problem=str(error))

    def forget(self) -> None:
        """The store takes what it is given again."""
        self._told.clear()
