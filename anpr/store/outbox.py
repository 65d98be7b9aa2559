"""The log of events as an outbox: read in two lanes, and how far each consumer is.

    consumers  name → [hits, rest]   numbers up to which a consumer has acknowledged each lane (in the root)

The bus works from it. Hits are a lane of their own, so that they need not wait behind all that was seen meanwhile. It
reaches back to the oldest partition that is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Literal

import lmdb
import msgspec

from anpr.errors import StoreError
from anpr.records import Event
from anpr.store.faults import told_as_store_errors
from anpr.store.keys import checked_name
from anpr.store.partition import Partition
from anpr.store.partitions import Partitions
from anpr.store.root import Root
from anpr.store.rows import decode_row, is_hit


class Outbox:
    """Of a store that is open for writing; the store makes it."""

    def __init__(self, root: Root, partitions: Partitions) -> None:
        self._root = root
        self._partitions = partitions

    @property
    def first_seq(self) -> int:
        """Number of the oldest event that is kept; if there is none, that of the next."""
        return self._partitions.all[0].first_seq if self._partitions.all else 1

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0 if there is none."""
        return self._partitions.last_seq

    def read(self, lane: Literal["hits", "rest"], *, after_seq: int, limit: int) -> tuple[Event, ...]:
        """Up to `limit` events of a lane after a number, in order. Raises StoreError."""
        found: list[Event] = []
        lane_of = _hits if lane == "hits" else _rest
        for partition in self._partitions.after(after_seq):
            with partition.reading() as txn:
                found += islice(lane_of(partition, txn, after_seq), limit - len(found))
            if len(found) == limit:
                break
        return tuple(found)

    def event_at(self, seq: int) -> Event | None:
        """One event; None if it is not kept. Raises StoreError."""
        partition = self._partitions.of_seq(seq)
        if partition is None:
            return None
        with partition.reading() as txn:
            row = partition.row_at(txn, seq)
            return None if row is None else decode_row(seq, row)

    def bytes_after(self, seq: int) -> int:
        """On disk, of the partitions that hold events after a number. Raises StoreError."""
        if self.last_seq <= seq:
            return 0
        with told_as_store_errors(self._root.path):
            return sum(partition.disk_bytes for partition in self._partitions.after(seq))

    def acknowledged_seq(self, consumers: Collection[str]) -> int:
        """Up to here all of these consumers have had everything; the newest number if there are none."""
        positions = self.positions() if consumers else {}
        had = (min(positions.get(name, (0, 0))) for name in consumers)
        return min(had, default=self.last_seq)

    def positions(self) -> dict[str, tuple[int, int]]:
        """What each consumer has acknowledged: numbers of the `hits` and the `rest` lane. Raises StoreError."""
        return read_positions(self._root)

    def save_positions(self, positions: Mapping[str, tuple[int, int]]) -> None:
        """Keep it, durably. Raises StoreError."""
        with self._root.writing() as txn:
            for name, position in positions.items():
                txn.put(checked_name(name), msgspec.msgpack.encode(position), db=self._root.consumers)


def read_positions(root: Root) -> dict[str, tuple[int, int]]:
    """What each consumer has acknowledged: numbers of the `hits` and the `rest` lane. Raises StoreError."""
    with root.reading() as txn, txn.cursor(root.consumers) as cursor:
        return {key.decode(): msgspec.msgpack.decode(value, type=tuple[int, int]) for key, value in cursor.iternext()}


def _hits(partition: Partition, txn: lmdb.Transaction[bytes], after_seq: int) -> Iterator[Event]:
    for seq in partition.hits_after(txn, after_seq):
        row = partition.row_at(txn, seq)
        if row is None:
            raise StoreError(f"hit {seq} is missing from the log", cure="restore a backup")
        yield decode_row(seq, row)


def _rest(partition: Partition, txn: lmdb.Transaction[bytes], after_seq: int) -> Iterator[Event]:
    for seq, row in partition.rows(txn, after_seq=after_seq):
        if not is_hit(row):
            yield decode_row(seq, row)
