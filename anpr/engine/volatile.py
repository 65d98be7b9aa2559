"""Hits of passages that cannot be stored: told at once, marked as not on disk.

A disk that dies at night must not keep a stolen car from the officer. What waits for the store is matched against the
lists all the same, and each hit is told on the live feed as a `VolatileHit`, once, and taken back if the next revision
no longer has it. When the store takes the passage its hits are told again, with numbers. Rules are not asked: what they
say depends on a history that must be on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from anpr.bus import Bus, Publisher
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Hit, Sighting
from anpr.watch.hits import withdraw_hit


class VolatileHits:
    """Use from the hub's thread."""

    def __init__(self, publisher: Bus | Publisher | None, counters: Counters) -> None:
        self._publisher = publisher
        self._counters = counters
        self._told: dict[str, dict[str, Hit]] = {}
        """The newest revision of each, by the ids of sighting and hit."""
        self._log = structlog.get_logger()

    def tell_of(self, sighting: Sighting, hits: Sequence[Hit]) -> None:
        """Tell what the lists say of a sighting, and take back what was told of an earlier revision and is not said
        of this one."""
        now = {hit.id for hit in hits}
        gone = [
            withdraw_hit(hit, revision=sighting.revision)
            for hit in self._told.get(sighting.id, {}).values()
            if not hit.rule and hit.id not in now and hit.state != "withdrawn" and hit.revision < sighting.revision
        ]
        self.tell((*hits, *gone))

    def tell(self, hits: Iterable[Hit]) -> None:
        """Tell those that have not been told, in this revision or a later one."""
        if self._publisher is None:
            return
        for hit in hits:
            told = self._told.setdefault(hit.sighting_id, {})
            if hit.id in told and told[hit.id].revision >= hit.revision:
                continue
            told[hit.id] = hit
            try:
                self._publisher.publish_volatile(hit)
            except BusError as error:
                self._counters.add("events_unpublished")
                self._log.error("publish_failed", seq=None, problem=str(error))

    def standing(self, sighting: Sighting) -> list[Hit]:
        """What lists were told to say of this revision or an earlier one, and was not taken back."""
        told = self._told.get(sighting.id, {}).values()
        return [h for h in told if not h.rule and h.state != "withdrawn" and h.revision <= sighting.revision]

    def forget(self) -> None:
        """The store has taken all that was told."""
        self._told.clear()
