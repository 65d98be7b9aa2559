"""Group commit: many records share one fsync, and none waits longer than a blink."""

from __future__ import annotations

from collections.abc import Sequence

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.records import CoverageGap, Event, Hit, Sighting
from anpr.store.store import Store

MAX_WAIT_SECONDS = 0.005
"""For others to share a commit. No longer, as a busy store groups by itself: more comes while it writes."""


class GroupCommit:
    """Collects records for a store and commits them when the group is full or old enough.

    It runs no thread: the hub's loop waits at most `due_in_seconds` for its next message, then calls `flush_if_due`.
    Only what came back as an Event may be acknowledged. If a commit fails, the group is kept and tried again.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        max_records: int = 64,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        max_pending: int = 4096,
    ) -> None:
        self._store = store
        self._clock = clock
        self._max_records = max_records
        self._max_wait_seconds = max_wait_seconds
        self._max_pending = max_pending
        self._sightings: list[Sighting] = []
        self._hits: list[Hit] = []
        self._gaps: list[CoverageGap] = []
        self._due_seconds = 0.0
        store.evidence.awaited = self.pictures

    @property
    def pending(self) -> int:
        """Records taken but not yet committed."""
        return len(self._sightings) + len(self._hits) + len(self._gaps)

    @property
    def hits(self) -> Sequence[Hit]:
        """Those taken but not yet committed."""
        return tuple(self._hits)

    @property
    def due_in_seconds(self) -> float | None:
        """How long the group may still wait; None if it is empty."""
        return max(0.0, self._due_seconds - self._clock.monotonic_seconds()) if self.pending else None

    def add(self, sighting: Sighting, hits: tuple[Hit, ...] = ()) -> None:
        """Take a sighting and the hits on it; they will be committed together.

        Raises StoreError, taking nothing, if commits have failed so long that `max_pending` records wait.
        """
        self.make_room()
        self._sightings.append(sighting)
        self._hits.extend(hits)

    def add_gap(self, gap: CoverageGap) -> None:
        """Take a coverage gap. Raises StoreError as `add` does."""
        self.make_room()
        self._gaps.append(gap)

    def add_hits(self, hits: Sequence[Hit]) -> None:
        """Take hits on sightings that were committed before. Raises StoreError as `add` does."""
        self.make_room()
        self._hits.extend(hits)

    def make_room(self) -> None:
        """Raises StoreError if nothing can be taken."""
        if self.pending >= self._max_pending:
            raise StoreError(f"{self.pending} records wait to be committed", cure="see why the store cannot be written")
        if not self.pending:
            self._due_seconds = self._clock.monotonic_seconds() + self._max_wait_seconds

    def flush_if_due(self) -> tuple[Event, ...]:
        """Commit if the group is full or has waited long enough. Raises StoreError."""
        if self.pending >= self._max_records or self.due_in_seconds == 0.0:
            return self.flush()
        return ()

    def flush(self) -> tuple[Event, ...]:
        """Commit what is pending, and return it as the events it has become. Raises StoreError, keeping the group."""
        events = self._store.append(self._sightings, self._hits, self._gaps)
        self._sightings.clear()
        self._hits.clear()
        self._gaps.clear()
        return events

    def pictures(self) -> set[str]:
        """Those that the pending records name, by their SHA-256."""
        records: tuple[Sighting | Hit, ...] = (*self._sightings, *self._hits)
        return {picture.sha256 for record in records for picture in record.evidence}
