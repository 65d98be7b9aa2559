"""What one commit writes into a partition: gathered by table, then put sorted, each table in one go.

A cursor of LMDB stays on its page while the keys rise, and Python is left once a table instead of once an entry. Rows
go first: LMDB then fills with them, which are never written again, the holes that earlier commits have left, and the
pages of the indexes, which the next commits replace, come to lie beside each other. The disk gets fewer and longer
writes. The tables come out as if the events had been logged one by one.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING

import lmdb

from anpr.records import Event, Hit
from anpr.store.environment import put_all
from anpr.store.keys import pack_seq
from anpr.store.rows import decode_found_by

if TYPE_CHECKING:
    from anpr.store.partition import Newest, Partition

_PLACE = struct.Struct(">QQ")


class Batch:
    """Of one transaction. Events are added in the order of their numbers; nothing is written before `write`."""

    def __init__(self, partition: Partition, txn: lmdb.Transaction[bytes]) -> None:
        self._partition = partition
        self._txn = txn
        self._newest: dict[bytes, Event] = {}
        self._rows: list[tuple[bytes, bytes]] = []
        self._hits: list[tuple[bytes, bytes]] = []
        self._ids: dict[bytes, bytes] = {}
        self._entries: defaultdict[lmdb._Database, dict[bytes, bytes]] = defaultdict(dict)
        self._outdated: list[tuple[lmdb._Database, bytes]] = []

    def newest(self, key: bytes) -> Event | None:
        """The newest revision of a record among the events added, by its `id_key`."""
        return self._newest.get(key)

    def add(self, event: Event, row: bytes, *, key: bytes, before: Newest | None = None) -> None:
        """Log an event and index it, in place of the revision before: one that was added, else `before`, stored here.

        `row` is `encode_row` of it, or what was stored as such; `key` its `id_key`. Raises StoreError for what cannot
        be a key.
        """
        partition, record, seq = self._partition, event.record, pack_seq(event.seq)
        earlier = self._newest.get(key)
        if earlier is not None:
            for table, index_key in partition.index_keys(earlier.record, earlier.seq):
                self._entries[table].pop(index_key, None)
        elif before is not None:
            found_by = decode_found_by(partition.stored_row(self._txn, before.seq))
            self._outdated += partition.index_keys(found_by, before.seq)
        partition.index(record, event.seq, self._entries)
        self._newest[key] = event
        self._rows.append((seq, row))
        self._ids[key] = _PLACE.pack(event.seq, record.revision)
        if isinstance(record, Hit) and partition.in_order:
            self._hits.append((seq, b""))

    def write(self) -> None:
        """Put all that was added. Raises lmdb.Error, StoreError."""
        partition, txn = self._partition, self._txn
        if partition.in_order:
            put_all(txn, partition.events, self._rows, append=True)
        else:
            put_all(txn, partition.events, sorted(self._rows))
        for table, key in self._outdated:
            if key not in self._entries[table]:
                txn.delete(key, db=table)
        for table, entries in (*self._entries.items(), (partition.ids, self._ids)):
            put_all(txn, table, sorted(entries.items()))
        if self._hits:
            put_all(txn, partition.table("hit_log"), self._hits, append=True)
