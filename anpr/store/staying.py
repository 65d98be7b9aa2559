"""Which records outlive their partition, and for how long: hits and gaps by their own retention, and what is held."""

from __future__ import annotations

from collections.abc import Callable

import lmdb

from anpr.records import CoverageGap, Event, Hit, Sighting
from anpr.store.holds import Holds, read_holds
from anpr.store.notes import State
from anpr.store.retention import DAY_SECONDS, Retention
from anpr.store.root import Root


class Staying:
    """By the state of the store when it is made, and the holds of each transaction."""

    def __init__(self, root: Root, state: State, retention: Retention, *, now_seconds: float, first_seq: int) -> None:
        """`first_seq`: of the oldest partition that is there; what is before it was kept."""
        self._root = root
        self._state = state
        self._hits_seconds = retention.hits_days * DAY_SECONDS
        self._now_seconds = now_seconds
        self._first_seq = first_seq

    def choose(self, txn: lmdb.Transaction[bytes]) -> Callable[[Event], bool]:
        """What tells of a record whether it stays, by the holds that a transaction of the root shows."""
        holds = read_holds(txn, self._root.holds)
        return lambda event: self._stays(event, holds)

    def _stays(self, event: Event, holds: Holds) -> bool:
        if len(holds) and holds.cover(event):
            return True
        match event.record:
            case Sighting():
                return False  # but for those that a hit names: whoever purges sees to that
            case Hit() | CoverageGap():
                return not self.is_over(event.seq)

    def is_over(self, seq: int) -> bool:
        """Whether the time of a hit or a gap is over. Those of a partition that is there go with it, or are kept."""
        if seq >= self._first_seq:
            return False
        if seq < self._state.kept_from:
            return True
        age = self._state.age_of(seq)
        return age is not None and age.latest_seconds + self._hits_seconds <= self._now_seconds
