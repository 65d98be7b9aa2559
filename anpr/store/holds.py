"""Legal holds: what must not be purged, whatever its age, until somebody releases it.

    holds    id → MessagePack of a Hold

A hold names one record, or passages by plate and time, also those that are still to come. Who held and released what,
and why, stands in the audit log. Another process than the box's may hold while the box runs: it is one small commit,
and a purge looks for new holds in the commit that decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import lmdb
import msgspec

from anpr.errors import StoreError
from anpr.records import Event, Hit, Sighting
from anpr.store.keys import checked_name
from anpr.store.query import matcher, plate_pattern


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What is held, by whom, and why."""

    id: str
    """`H1`, `H2`, …"""
    at: str
    """When it was made: UTC, ISO 8601."""
    user: str
    reason: str
    case: str
    record: str = ""
    """Id of a sighting or a hit; empty: `plate` says what is held."""
    plate: str = ""
    """A plate or a pattern, as for a search, normalised."""
    from_seconds: float | None = None
    """Passages at or after this wall time."""
    until_seconds: float | None = None
    """Passages before it."""

    def __post_init__(self) -> None:
        if bool(self.record) == bool(self.plate):
            raise StoreError("a hold names one record or one plate", cure="give an ID, or --plate")

    @classmethod
    def of_plate(cls, plate: str, **facts: object) -> Hold:
        """With the plate as the engine writes it. Raises PlateError."""
        return msgspec.convert({"plate": plate_pattern(plate), **facts}, cls)


class Holds:
    """The holds of one moment, ready to be asked about many records."""

    def __init__(self, holds: Sequence[Hold]) -> None:
        self.holds = tuple(holds)
        self._records = frozenset(hold.record for hold in holds if hold.record)
        self._plates = tuple((matcher(hold.plate), hold) for hold in holds if hold.plate)

    def __len__(self) -> int:
        return len(self.holds)

    def __repr__(self) -> str:
        return f"Holds({len(self.holds)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Holds) and self.holds == other.holds

    __hash__ = None  # type: ignore[assignment]  # it is compared, never a key

    @property
    def digest(self) -> str:
        """Another one for other holds."""
        return hashlib.sha256(msgspec.msgpack.encode(self.holds)).hexdigest()[:16]

    def cover(self, event: Event) -> bool:
        """Whether a record must stay: it is named, or it is of a plate and time that are held.

        A hit that stays keeps also the sighting that it is on: whoever purges sees to that.
        """
        record = event.record
        if not isinstance(record, Sighting | Hit):
            return False
        if record.id in self._records or (isinstance(record, Hit) and record.sighting_id in self._records):
            return True
        return any(self._covers(matches, hold, record) for matches, hold in self._plates)

    def _covers(self, matches: Callable[[str], bool], hold: Hold, record: Sighting | Hit) -> bool:
        early = hold.from_seconds is not None and record.seen_seconds < hold.from_seconds
        late = hold.until_seconds is not None and record.seen_seconds >= hold.until_seconds
        if early or late:
            return False
        listed = isinstance(record, Hit) and bool(record.listed) and matches(record.listed)
        return matches(record.text) or listed


def read_holds(txn: lmdb.Transaction[bytes], table: lmdb._Database) -> Holds:
    """All holds. Raises msgspec.MsgspecError if one is damaged."""
    return Holds(sorted(_rows(txn, table), key=lambda hold: int(hold.id[1:])))


def put_hold(txn: lmdb.Transaction[bytes], table: lmdb._Database, hold: Hold) -> None:
    """Part of the commit that makes it."""
    txn.put(checked_name(hold.id), msgspec.msgpack.encode(hold), db=table)


def drop_hold(txn: lmdb.Transaction[bytes], table: lmdb._Database, hold_id: str) -> Hold:
    """Part of the commit that releases it; what it was. Raises StoreError if there is no such hold."""
    value = txn.pop(checked_name(hold_id), db=table)
    if value is None:
        raise StoreError(f"there is no hold {hold_id!r}", cure="see anpr store holds")
    return msgspec.msgpack.decode(value, type=Hold)


def _rows(txn: lmdb.Transaction[bytes], table: lmdb._Database) -> Iterator[Hold]:
    with txn.cursor(table) as cursor:
        for _, value in cursor.iternext():
            yield msgspec.msgpack.decode(value, type=Hold)
