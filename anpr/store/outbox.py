"""The log of events as an outbox: read in two lanes, and how far each consumer is.

    hit_log    seq → nothing                  which events are hits
    consumers  name → [hits, rest]            numbers up to which a consumer has acknowledged each lane
    meta       hits_logged                    number up to which hit_log is whole

The bus works from it. Hits are a lane of their own, so that they need not wait behind all that was seen meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import lmdb
import msgspec

from anpr.errors import StoreError
from anpr.records import Event, Hit
from anpr.store.keys import checked_name, pack_seq, unpack_seq
from anpr.store.rows import decode_row, is_hit

_HITS_LOGGED = b"hits_logged"
_LOGGED_AT_ONCE = 10_000


class Outbox:
    """Of a store that is open for writing; the store makes it."""

    def __init__(
        self,
        environment: lmdb.Environment,
        *,
        meta: lmdb._Database,
        events: lmdb._Database,
        begin: Callable[[bool], AbstractContextManager[lmdb.Transaction[bytes]]],
    ) -> None:
        """`begin(write)` gives a transaction whose errors are told as StoreError."""
        self._meta = meta
        self._events = events
        self._begin = begin
        self._hit_log = environment.open_db(b"hit_log")
        self._consumers = environment.open_db(b"consumers")
        self._log_old_hits()

    def note(self, txn: lmdb.Transaction[bytes], events: Sequence[Event], last_seq: int) -> None:
        """Part of the commit that writes `events`."""
        for event in events:
            if isinstance(event.record, Hit):
                txn.put(pack_seq(event.seq), b"", db=self._hit_log)
        txn.put(_HITS_LOGGED, b"%d" % last_seq, db=self._meta)

    @property
    def first_seq(self) -> int:
        """Number of the oldest event that is kept; if there is none, that of the next."""
        with self._begin(False) as txn:
            return self._first_seq(txn)

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0 if there is none."""
        with self._begin(False) as txn:
            return int(txn.get(b"last_seq", b"0", db=self._meta))

    def read(self, lane: Literal["hits", "rest"], *, after_seq: int, limit: int) -> tuple[Event, ...]:
        """Up to `limit` events of a lane after a number, in order. Raises StoreError."""
        with self._begin(False) as txn:
            found = self._hits(txn, after_seq) if lane == "hits" else self._rest(txn, after_seq)
            return tuple(event for event, _ in zip(found, range(limit)))

    def event_at(self, seq: int) -> Event | None:
        """One event. Raises StoreError."""
        with self._begin(False) as txn:
            value = txn.get(pack_seq(seq), db=self._events)
            return None if value is None else decode_row(seq, value)

    def positions(self) -> dict[str, tuple[int, int]]:
        """What each consumer has acknowledged: numbers of the `hits` and the `rest` lane. Raises StoreError."""
        with self._begin(False) as txn, txn.cursor(self._consumers) as cursor:
            return {
                key.decode(): msgspec.msgpack.decode(value, type=tuple[int, int]) for key, value in cursor.iternext()
            }

    def save_positions(self, positions: Mapping[str, tuple[int, int]]) -> None:
        """Keep it, durably. Raises StoreError."""
        with self._begin(True) as txn:
            for name, position in positions.items():
                txn.put(checked_name(name), msgspec.msgpack.encode(position), db=self._consumers)

    def _first_seq(self, txn: lmdb.Transaction[bytes]) -> int:
        with txn.cursor(self._events) as cursor:
            if cursor.first():
                return unpack_seq(cursor.key())
        return int(txn.get(b"last_seq", b"0", db=self._meta)) + 1

    def _hits(self, txn: lmdb.Transaction[bytes], after_seq: int) -> Iterator[Event]:
        with txn.cursor(self._hit_log) as cursor:
            there = cursor.set_range(pack_seq(max(after_seq + 1, self._first_seq(txn))))
            while there:
                value = txn.get(cursor.key(), db=self._events)
                if value is None:
                    raise StoreError(f"hit {unpack_seq(cursor.key())} is missing from the log", cure="restore a backup")
                yield decode_row(unpack_seq(cursor.key()), value)
                there = cursor.next()

    def _rest(self, txn: lmdb.Transaction[bytes], after_seq: int) -> Iterator[Event]:
        with txn.cursor(self._events) as cursor:
            there = cursor.set_range(pack_seq(after_seq + 1))
            while there:
                value = cursor.value()
                if not is_hit(value):
                    yield decode_row(unpack_seq(cursor.key()), value)
                there = cursor.next()

    def _log_old_hits(self) -> None:
        """Note the hits of events that were written before there was a `hit_log`, or by an anpr without one."""
        with self._begin(False) as txn:
            logged = int(txn.get(_HITS_LOGGED, b"0", db=self._meta))
            last_seq = int(txn.get(b"last_seq", b"0", db=self._meta))
        while logged < last_seq:
            until = min(last_seq, logged + _LOGGED_AT_ONCE)
            with self._begin(True) as txn, txn.cursor(self._events) as cursor:
                there = cursor.set_range(pack_seq(logged + 1))
                while there and unpack_seq(cursor.key()) <= until:
                    if is_hit(cursor.value()):
                        txn.put(cursor.key(), b"", db=self._hit_log)
                    there = cursor.next()
                txn.put(_HITS_LOGGED, b"%d" % until, db=self._meta)
            logged = until
