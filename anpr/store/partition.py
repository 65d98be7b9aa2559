"""One day of the box's memory: a log of events and the indexes over it, in one LMDB file.

    events      seq → (kind, box, epoch, committed, record)   every revision of every sighting, hit and gap
    ids         kind id → seq, revision                       newest revision within the partition, as in all below
    hits        sighting id, hit id → seq
    plates, times, cameras                                    see search.py; not of withdrawn sightings
    gaps        from, coverage gap id → seq
    passages                                                  see passages.py; not of withdrawn sightings
    hit_times   seen, hit id → seq
    hit_log     seq → nothing                                 which events are hits: a lane of the outbox
    links, seals                                              see chain.py; of records with pictures
    superseded  seq in an older partition → seq here          what a newer revision here has replaced there
    begin       chain                                         where the chain of evidence ended when the partition began
    pseudonyms  seq → nothing                                 sightings without their plate, see rewriting.py

What outlives its partition is kept in tables of the same names, with `kept_` before them, in the store's root.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import NamedTuple

import lmdb

from anpr.errors import StoreError
from anpr.records import CoverageGap, Event, Hit, Record, Sighting
from anpr.store.batch import Batch
from anpr.store.chain import NO_END, Chain, End
from anpr.store.environment import Environment
from anpr.store.keys import camera_key, checked_name, name_key, pack_seconds, pack_seq, stamp, unpack_seq
from anpr.store.passages import encode_passage
from anpr.store.rows import FoundBy, decode_row, hit_of, sighting_of
from anpr.store.search import Indexes

_FROM_THE_FIRST = ("events", "ids", "hits", "plates", "times", "cameras")
_OF_KEPT = ("gaps", "passages", "hit_times")
_LATER = (*_OF_KEPT, "hit_log", "links", "seals", "superseded", "begin", "pseudonyms")
"""Not in the files of every old schema."""
_CHAIN = b"chain"
_OF_KIND: dict[type[Record], bytes] = {Sighting: b"sighting\0", Hit: b"hit\0", CoverageGap: b"coverage\0"}


class Name(NamedTuple):
    """What a partition's folder says."""

    day: date
    """Of its commits, in Viet Nam's time."""
    first_seq: int
    """The number that its first event has, or will have."""
    version: int = 0
    """How often it was rewritten; of two with the same first number, the higher one counts."""

    def __str__(self) -> str:
        return f"{self.day.isoformat()}.{self.first_seq:020d}" + (f".{self.version}" if self.version else "")

    @classmethod
    def parse(cls, folder: str) -> Name | None:
        """None if the folder is no partition's."""
        day, *numbers = folder.split(".")
        try:
            name = cls(date.fromisoformat(day), *map(int, numbers))
        except (ValueError, TypeError):
            return None
        return name if str(name) == folder else None


NO_NAME = Name(date.min, 0)
"""Of tables that are no partition of their own."""


class Newest(NamedTuple):
    """Where the newest revision of a record lies."""

    seq: int
    revision: int


class Partition:
    """The tables of one file. `Partitions` and `Root` make them."""

    def __init__(
        self, name: Name, environment: Environment, *, prefix: str = "", create: bool = False, begins: End | None = None
    ) -> None:
        """`create` makes the tables; `begins` is where the chain of evidence ended before, None: as noted.

        Raises lmdb.Error, StoreError if it is no store of ours.
        """
        self.name = name
        self.environment = environment
        self.sealed = False
        """Whether a newer partition exists: then nothing is ever written to this one."""
        names = (*_FROM_THE_FIRST, *(_OF_KEPT if prefix else _LATER))
        tables = {each: environment.table(f"{prefix}{each}", create=create) for each in names}
        missing = [each for each in _FROM_THE_FIRST if tables[each] is None]
        if missing:
            raise StoreError("this is no store of anpr", place=str(self.path), cure="give the folder of a store")
        self._tables = {each: table for each, table in tables.items() if table is not None}
        self.events, self.ids, self.hits = (self._tables[each] for each in _FROM_THE_FIRST[:3])
        self.indexes = Indexes(*(self._tables[each] for each in _FROM_THE_FIRST[3:]))
        self._passages = self._tables.get("passages")
        self.in_order = not prefix
        """Whether its numbers are a range: not those of the kept."""
        self._span: tuple[bytes, bytes] | None = None
        self._replaced: frozenset[int] = frozenset()
        self._all_replaced = False
        self.chain = self._open_chain(begins)

    def __repr__(self) -> str:
        return f"Partition({self.name})"

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.environment.path

    @property
    def day(self) -> date:
        """Of its commits, in Viet Nam's time."""
        return self.name.day

    @property
    def first_seq(self) -> int:
        """The number that its first event has, or will have."""
        return self.name.first_seq

    @property
    def disk_bytes(self) -> int:
        """Of the disk. Raises OSError."""
        return (self.path / "data.mdb").stat().st_blocks * 512

    def table(self, name: str) -> lmdb._Database:
        """One of the tables. Raises StoreError if the file was written before there was such a table."""
        try:
            return self._tables[name]
        except KeyError:
            raise StoreError(
                "was written by an old anpr", place=str(self.path), cure="start this one's anpr run on it once"
            ) from None

    def has(self, name: str) -> bool:
        """Whether there is such a table."""
        return name in self._tables

    def reading(self) -> AbstractContextManager[lmdb.Transaction[bytes]]:
        """A transaction that reads. Raises StoreError."""
        return self.environment.reading()

    def writing(self) -> AbstractContextManager[lmdb.Transaction[bytes]]:
        """A transaction that is on disk when the block ends, or undone if it raises. Raises StoreError."""
        return self.environment.writing()

    # Writing

    def put(
        self, txn: lmdb.Transaction[bytes], event: Event, row: bytes, before: Newest | None, *, key: bytes | None = None
    ) -> None:
        """Log an event and index it, in place of the revision before if that is in this partition.

        `row` is `encode_row` of it, or what was stored as such; `key` its `id_key`. Raises StoreError for what cannot
        be a key.
        """
        batch = Batch(self, txn)
        batch.add(event, row, key=key or id_key(event.record), before=before)
        batch.write()

    def drop(self, txn: lmdb.Transaction[bytes], seq: int) -> None:
        """Take an event and its index entries away."""
        event, packed = self.event_at(txn, seq), pack_seq(seq)
        entries = (*self.index_entries(event), (self.ids, id_key(event.record), packed))
        for table, key, value in entries:
            if (txn.get(key, db=table) or b"").startswith(value):  # it may be that of a newer revision
                txn.delete(key, db=table)
        txn.delete(packed, db=self.events)

    def index(self, events: Iterable[Event]) -> list[tuple[lmdb._Database, list[tuple[bytes, bytes]]]]:
        """By table, the entries by which the records of events are found, but for their ids; the tables come last that
        grow in many places. Raises StoreError."""
        times: list[tuple[bytes, bytes]] = []
        cameras: list[tuple[bytes, bytes]] = []
        plates: list[tuple[bytes, bytes]] = []
        passages: list[tuple[bytes, bytes]] = []
        others: defaultdict[lmdb._Database, list[tuple[bytes, bytes]]] = defaultdict(list)
        for event in events:
            record, seq = event.record, event.seq
            if not isinstance(record, Sighting):
                for table, key in self.index_keys(record, seq):
                    others[table].append((key, pack_seq(seq)))
            elif record.state != "withdrawn":
                at, by_camera = stamp(record.seen_seconds, seq), camera_key(record.camera_id)
                by_plate = name_key(record.text)
                text = by_plate[:-1]
                times.append((at, by_camera + text))
                cameras.append((by_camera + at, text))
                if text:
                    plates.append((by_plate + at, by_camera[:-1]))
                passage = encode_passage(record)
                if passage is not None:
                    passages.append((at, passage))
        tables = [(self.indexes.times, times), (self.indexes.cameras, cameras), (self.indexes.plates, plates)]
        if self._passages is not None:
            tables.insert(0, (self._passages, passages))
        return [(table, entries) for table, entries in (*tables, *others.items()) if entries]

    def index_entries(self, event: Event) -> list[tuple[lmdb._Database, bytes, bytes]]:
        """(table, key, value) of all that `index` gives. Raises StoreError."""
        return [(table, key, value) for table, entries in self.index((event,)) for key, value in entries]

    def index_keys(self, record: FoundBy | Record, seq: int) -> list[tuple[lmdb._Database, bytes]]:
        """Tables and keys of `index_entries`, and maybe of some that were never put. Raises StoreError."""
        if isinstance(record, Hit):
            name = checked_name(record.id)
            return [
                (self.hits, name_key(record.sighting_id) + name),
                (self.table("hit_times"), pack_seconds(record.seen_seconds) + name),
            ]
        if isinstance(record, CoverageGap):
            return [(self.table("gaps"), pack_seconds(record.from_seconds) + checked_name(record.id))]
        if record.state == "withdrawn":
            return []
        at = stamp(record.seen_seconds, seq)
        keys = [(self.indexes.times, at), (self.indexes.cameras, camera_key(record.camera_id) + at)]
        if record.text:
            keys.append((self.indexes.plates, name_key(record.text) + at))
        if self._passages is not None:
            keys.append((self._passages, at))
        return keys

    # Reading

    def last_seq(self, txn: lmdb.Transaction[bytes]) -> int:
        """Number of its newest event; if there is none, the one before its first."""
        with txn.cursor(self.events) as cursor:
            return unpack_seq(cursor.key()) if cursor.last() else self.first_seq - 1

    def span(self, txn: lmdb.Transaction[bytes]) -> tuple[bytes, bytes] | None:
        """Stamps of its oldest and its youngest passage; None if it has none. A passage may lie on another day."""
        if self._span is not None:
            return self._span
        with txn.cursor(self.indexes.times) as cursor:
            if not cursor.first():
                return None
            first = cursor.key()
            cursor.last()
            span = (first, cursor.key())
        if self.sealed:
            self._span = span
        return span

    def replaced(self, txn: lmdb.Transaction[bytes]) -> frozenset[int]:
        """Numbers of events of older partitions that a newer revision here has replaced; they only become more."""
        if self.has("superseded") and not self._all_replaced:
            table = self.table("superseded")
            if txn.stat(table)["entries"] != len(self._replaced):
                with txn.cursor(table) as cursor:
                    self._replaced = frozenset(map(unpack_seq, cursor.iternext(values=False)))
            self._all_replaced = self.sealed
        return self._replaced

    def newest_of(self, txn: lmdb.Transaction[bytes], keys: Sequence[bytes]) -> dict[bytes, Newest]:
        """Where the newest revisions of records lie, by their `id_key`: of those that are here."""
        if len(keys) == 1:
            newest = self.newest(txn, keys[0])
            return {} if newest is None else {keys[0]: newest}
        with txn.cursor(self.ids) as cursor:
            return {key: Newest(unpack_seq(value[:8]), unpack_seq(value[8:])) for key, value in cursor.getmulti(keys)}

    def newest(self, txn: lmdb.Transaction[bytes], key: bytes) -> Newest | None:
        """Where the newest revision of a record lies, by its `id_key`; None if it is not here."""
        value = txn.get(key, db=self.ids)
        return None if value is None else Newest(unpack_seq(value[:8]), unpack_seq(value[8:]))

    def rows(self, txn: lmdb.Transaction[bytes], *, after_seq: int) -> Iterator[tuple[int, bytes]]:
        """(number, row) of the events after a number, in order."""
        with txn.cursor(self.events) as cursor:
            if cursor.set_range(pack_seq(after_seq + 1)):
                for key, row in cursor.iternext():
                    yield unpack_seq(key), row

    def hits_after(self, txn: lmdb.Transaction[bytes], after_seq: int) -> Iterator[int]:
        """Numbers of the events after a number that are hits, in order."""
        with txn.cursor(self.table("hit_log")) as cursor:
            if cursor.set_range(pack_seq(after_seq + 1)):
                yield from map(unpack_seq, cursor.iternext(values=False))

    def row_at(self, txn: lmdb.Transaction[bytes], seq: int) -> bytes | None:
        """An event's row; None if there is none of that number."""
        return txn.get(pack_seq(seq), db=self.events)

    def stored_row(self, txn: lmdb.Transaction[bytes], seq: int) -> bytes:
        """`row_at`. Raises StoreError if it is not there."""
        row = self.row_at(txn, seq)
        if row is None:
            raise StoreError(f"event {seq} is missing from the log", place=str(self.path), cure="restore a backup")
        return row

    def event_at(self, txn: lmdb.Transaction[bytes], seq: int) -> Event:
        """An event. Raises StoreError if it is not there."""
        return decode_row(seq, self.stored_row(txn, seq))

    def sighting_at(self, txn: lmdb.Transaction[bytes], seq: int) -> Sighting:
        """An event's sighting. Raises StoreError if it is not there, or something else."""
        return sighting_of(self.event_at(txn, seq))

    def hit_at(self, txn: lmdb.Transaction[bytes], seq: int) -> Hit:
        """An event's hit. Raises StoreError if it is not there, or something else."""
        return hit_of(self.event_at(txn, seq))

    def finds(self, txn: lmdb.Transaction[bytes], event: Event) -> bool:
        """Whether searches of this partition, which logged the event, would find it if they should."""
        newest = self.newest(txn, id_key(event.record))
        if newest is None or newest.seq < event.seq:
            return False
        entries = self.index_entries(event) if newest.seq == event.seq else []
        return all(txn.get(key, db=table) == value for table, key, value in entries)

    def _open_chain(self, begins: End | None) -> Chain | None:
        if not (self.has("links") and self.has("seals")):
            return None
        if begins is None and self.has("begin"):
            with self.environment.begin() as txn:
                noted = txn.get(_CHAIN, db=self.table("begin"))
            begins = End.unpack(noted) if noted else NO_END
        elif begins is not None:
            with self.environment.handle.begin(write=True) as txn:
                txn.put(_CHAIN, begins.pack(), db=self.table("begin"))
        return Chain(self.table("links"), self.table("seals"), begins=begins or NO_END)


def id_key(record: Record) -> bytes:
    """The key of a record in `ids`. Raises StoreError for an id that cannot be one."""
    return _OF_KIND[type(record)] + checked_name(record.id)
