"""Passages that an earlier run of the box left open: it was ended before it could settle them."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from anpr.clock import Clock
from anpr.records import Sighting
from anpr.store import Query, Store

LONGEST_PASSAGE_SECONDS = 3600.0
"""How far from the last that it told a run may have left a passage open: a jam holds vehicles in view."""
LAST_EVENTS = 256
"""Among so many the passage that was stored last is looked for."""


def left_open(store: Store, clock: Clock) -> Iterator[Sighting]:
    """Previews that nothing has followed yet. Raises StoreError."""
    looked_until_seconds = -inf
    for last_seconds in sorted(_last_seconds(store, clock)):
        from_seconds = max(looked_until_seconds, last_seconds - LONGEST_PASSAGE_SECONDS)
        looked_until_seconds = last_seconds + LONGEST_PASSAGE_SECONDS
        cursor = ""
        while True:
            page = store.search(Query(from_seconds=from_seconds, until_seconds=looked_until_seconds, cursor=cursor))
            yield from (sighting for sighting in page.sightings if sighting.state == "preview")
            cursor = page.cursor
            if not cursor:
                break


def _last_seconds(store: Store, clock: Clock) -> set[float]:
    """When the last passage of the earlier run may have been seen, whatever its clock showed: the newest of all, the
    newest by the present clock, and the one that was stored last."""
    asked = Query(limit=1), Query(until_seconds=clock.wall_seconds(), limit=1)
    newest = {sighting.seen_seconds for query in asked for sighting in store.search(query).sightings}
    events = store.events(after_seq=max(0, store.last_seq - LAST_EVENTS), limit=LAST_EVENTS)
    stored = [event.record.seen_seconds for event in events if isinstance(event.record, Sighting)]
    return newest.union(stored[-1:])
