"""What one commit writes into a partition: gathered by table, then put sorted, each table in one go.

A cursor of LMDB stays on its page while the keys rise, and Python is left once a table instead of once an entry. Rows
go first, then what grows at its end: LMDB fills with them, which are never written again, the holes that earlier
commits have left, and the pages of the other indexes, which the next commits replace, come to lie beside each other.
The disk gets fewer and longer writes. The tables come out as if the events had been logged one by one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import lmdb

from anpr.records import Event, Hit, Sighting
from anpr.store.environment import put_all
from anpr.store.keys import pack_seq
from anpr.store.rows import decode_found_by

if TYPE_CHECKING:
    from anpr.store.partition import Newest, Partition
    from anpr.store.signing import SigningKey

_PLACE = struct.Struct(">QQ")


class Batch:
    """Of one transaction. Events are added in the order of their numbers; nothing is written before `write`."""

    def __init__(self, partition: Partition, txn: lmdb.Transaction[bytes]) -> None:
        self._partition = partition
        self._txn = txn
        self.newest: dict[bytes, Event] = {}
        """The newest revision of each record added, by its `id_key`."""
        self._rows: list[tuple[bytes, bytes]] = []
        self._hits: list[tuple[bytes, bytes]] = []
        self._with_pictures: list[tuple[int, bytes]] = []
        self._outdated: list[tuple[lmdb._Database, bytes]] = []

    def add(self, event: Event, row: bytes, *, key: bytes, before: Newest | None = None) -> None:
        """Log an event and index it, in place of the revision before: one that was added, else `before`, stored here.

        `row` is `encode_row` of it, or what was stored as such; `key` its `id_key`. Raises StoreError for what cannot
        be a key.
        """
        record, seq = event.record, event.seq
        if before is not None and key not in self.newest:
            found_by = decode_found_by(self._partition.stored_row(self._txn, before.seq))
            self._outdated += self._partition.index_keys(found_by, before.seq)
        self.newest[key] = event
        self._rows.append((pack_seq(seq), row))
        if isinstance(record, Sighting):
            pictures = record.evidence
        elif isinstance(record, Hit):
            pictures = record.evidence
            self._hits.append((pack_seq(seq), b""))
        else:
            pictures = ()
        if pictures:
            self._with_pictures.append((seq, row))

    def write(self, *, signed_by: SigningKey | None = None) -> None:
        """Put all that was added; with a key, what has pictures is made part of the chain of evidence.

        Raises lmdb.Error, StoreError, also for what cannot be a key.
        """
        partition, txn = self._partition, self._txn
        if partition.in_order:
            put_all(txn, partition.events, self._rows, append=True)
        else:
            put_all(txn, partition.events, sorted(self._rows))
        if self._hits and partition.in_order:
            put_all(txn, partition.table("hit_log"), self._hits, append=True)
        if signed_by is not None and partition.chain is not None:
            partition.chain.note(txn, self._with_pictures, signed_by)
        for table, outdated in self._outdated:
            txn.delete(outdated, db=table)
        places = [(record, _PLACE.pack(event.seq, event.record.revision)) for record, event in self.newest.items()]
        put_all(txn, partition.ids, sorted(places))
        for table, entries in partition.index(self.newest.values()):
            put_all(txn, table, sorted(entries))
