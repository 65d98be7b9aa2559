"""What the keeper must know after a restart: in the table `keeper` of a store's root.

lived       wall time by the time that the box has lived through, see trust.py
state       ages of the partitions, what is thinned out or pseudonymised, what of the kept was looked through
confirmed   wall time at which a person has said that the clock is right; another process may write it
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection

import lmdb
import msgspec

from anpr.store.due import Shelf
from anpr.store.root import Root
from anpr.store.store import Store
from anpr.store.trust import Age

_LIVED, _STATE, _CONFIRMED = b"lived", b"state", b"confirmed"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Noted when it changes."""

    ages: dict[int, Age] = {}
    """By the first number of a partition, also of those that are gone."""
    thinned: dict[int, str] = {}
    """Partitions without the pictures of their passages, and by which holds."""
    pseudonymised: dict[int, str] = {}
    """Partitions whose plates gave way to pseudonyms, and by which holds."""
    copy: Age | None = None
    """Of the copy that was made of a store in an older schema; None: there is none."""
    audit: tuple[Age, ...] = ()
    """How old the lines of the audit log are, up to a number; rising."""
    kept_looked: str = ""
    """By what the kept records were looked through last."""
    kept_from: int = 0
    """Kept records before this number go, for there are more than their quota."""

    def age_of(self, seq: int) -> Age | None:
        """Of the partition that holds, or held, an event."""
        firsts = sorted(self.ages)
        at = bisect_right(firsts, seq)
        return self.ages[firsts[at - 1]] if at else None

    def shelf(self, first_seq: int, last_seq: int, holds: str) -> Shelf:
        """What is known of a partition, by the holds of now."""
        thinned, pseudonymised = (done.get(first_seq) == holds for done in (self.thinned, self.pseudonymised))
        return Shelf(first_seq, last_seq, self.ages.get(first_seq), thinned, pseudonymised)

    def shortened(self, present: Collection[int], over_seconds: float) -> State:
        """Without what nobody asks for any more: of the partitions that are gone, those that were written before
        `over_seconds` are told as one."""
        over = sorted(
            first_seq
            for first_seq, age in self.ages.items()
            if first_seq not in present and age.latest_seconds <= over_seconds
        )
        ages = {first_seq: age for first_seq, age in self.ages.items() if first_seq not in over[1:]}
        if over:
            ages[over[0]] = max((self.ages[first_seq] for first_seq in over), key=lambda age: age.latest_seconds)
        thinned = {first_seq: by for first_seq, by in self.thinned.items() if first_seq in present}
        pseudonymised = {first_seq: by for first_seq, by in self.pseudonymised.items() if first_seq in present}
        return msgspec.structs.replace(self, ages=ages, thinned=thinned, pseudonymised=pseudonymised)


class Notes:
    """Of an open store; those of one that is read only may be none at all."""

    def __init__(self, root: Root, *, read_only: bool = False) -> None:
        self._root = root
        self._table = root.environment.table("keeper", create=not read_only)

    def read(self) -> tuple[float, State]:
        """The time lived through (0: none yet) and the state. Raises StoreError."""
        if self._table is None:
            return 0.0, State()
        with self._root.reading() as txn:
            lived, state = txn.get(_LIVED, b"0", db=self._table), txn.get(_STATE, db=self._table)
            return float(lived), State() if state is None else msgspec.msgpack.decode(state, type=State)

    def write(self, lived_seconds: float, state: State | None) -> None:
        """Note it durably; `state` None leaves that as it is. Raises StoreError."""
        with self._root.writing() as txn:
            txn.put(_LIVED, b"%.3f" % lived_seconds, db=self._required)
            if state is not None:
                txn.put(_STATE, msgspec.msgpack.encode(state), db=self._required)

    def confirmed_seconds(self) -> float | None:
        """When a person confirmed the clock, if nobody has taken note of it yet. Raises StoreError."""
        if self._table is None:
            return None
        with self._root.reading() as txn:
            value = txn.get(_CONFIRMED, db=self._table)
        return None if value is None else float(value)

    def confirm(self, wall_seconds: float | None) -> None:
        """Note that a person says that the clock is right at this time; None: note was taken. Raises StoreError."""
        with self._root.writing() as txn:
            if wall_seconds is None:
                txn.delete(_CONFIRMED, db=self._required)
            else:
                txn.put(_CONFIRMED, b"%.3f" % wall_seconds, db=self._required)

    @property
    def _required(self) -> lmdb._Database:
        assert self._table is not None, "open for writing"
        return self._table


def newest_time(store: Store) -> float:
    """The newest wall time that a store knows; 0: none. Raises StoreError."""
    newest = store.events(after_seq=store.last_seq - 1, limit=1)
    return max(store.alive_seconds or 0.0, *(event.committed_seconds for event in newest), 0.0)
