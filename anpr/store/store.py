"""The box's memory: an LMDB environment with a log of events and the indexes over it.

    events    seq → (kind, box, epoch, committed, record)     every revision of every sighting and hit: also the outbox
    ids       kind id → seq, revision                         the newest revision
    hits      sighting id, hit id → seq
    plates, times, cameras                                    see search.py; newest revision, if not withdrawn
    gaps      from, coverage gap id → seq                     newest revision
    passages                                                  see passages.py; newest revision, if not withdrawn
    hit_times seen, hit id → seq                              newest revision
    hit_log, consumers                                        see outbox.py
    links, seals                                              see chain.py; of records with pictures
    meta      schema, epoch, last_seq, alive, hits_logged

Commits are synchronous (sync and metasync on, no writemap): what `append` returned survives a power cut. One process
writes; any may read. A read transaction lives for one call, so that readers never make the file grow.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import lmdb

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.metrics import Counters, Histogram
from anpr.records import CoverageGap, Event, Hit, Record, Sighting
from anpr.store.audit import AuditLog
from anpr.store.chain import Chain, Link, Proof
from anpr.store.evidence import EvidenceFolder
from anpr.store.faults import told_as_store_errors
from anpr.store.keys import checked_name, name_key, pack_seconds, pack_seq, seq_of, stamp, unpack_seq
from anpr.store.lock import check_length, lock_for_writing
from anpr.store.outbox import Outbox
from anpr.store.passages import Block, encode_passage, read_block
from anpr.store.rows import decode_row, encode_row, gap_of, hit_of, kind_of, sighting_of
from anpr.store.search import Indexes, Page, Query, find_stamps
from anpr.store.signing import SigningKey

SCHEMA_VERSION = 4
"""2 added coverage gaps, 3 `passages` and `hit_times`, 4 the chain of evidence; an older store is read, and made new
when opened for writing."""
MAP_SIZE_BYTES = 64 << 30
"""Address space, not disk: the file grows as it is filled."""

_MAX_READERS = 512
_INDEXED_AT_ONCE = 10_000
"""Records read or written in one transaction that walks through many."""


class _Newest(NamedTuple):
    """Where the newest revision of a record lies."""

    seq: int
    revision: int


class StoreFacts(NamedTuple):
    """How full a store is."""

    map_used_share: float
    """Of the address space it may use, 0 to 1."""
    readers: int
    """Slots taken in the table of readers, those of killed readers too."""


class Store:
    """An open store. Make one with `Store.open`, use it in a `with` block or `close` it."""

    def __init__(self, path: Path, environment: lmdb.Environment, *, box: str, clock: Clock, lock: int | None) -> None:
        self.path = path
        self.box = box
        self.epoch = 0
        self.evidence = EvidenceFolder(path / "evidence")
        self.audit = AuditLog(path, clock=clock)
        self.counters = Counters()
        self.commit_seconds = Histogram()
        """How long the commits took."""
        self._environment = environment
        self._clock = clock
        self._lock = lock

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        clock: Clock,
        box: str = "box",
        read_only: bool = False,
        map_size_bytes: int = MAP_SIZE_BYTES,
    ) -> Self:
        """Open the store in folder `path`; for writing, make it if it is not there and begin a new epoch.

        `box` names this machine in the events that are written. Raises StoreError if another process has the store
        open for writing, if it was written by a newer anpr, or if it is damaged.
        """
        path = Path(path)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", box):
            raise StoreError(f"{box!r} is no name for a box", cure="use 1 to 64 of A-Z a-z 0-9 _ -")
        with told_as_store_errors(path), contextlib.ExitStack() as undo:
            lock: int | None = None
            if read_only:
                if not (path / "data.mdb").is_file():
                    raise StoreError("there is no store here", place=str(path), cure="give the folder of a store")
            else:
                path.mkdir(mode=0o770, parents=True, exist_ok=True)
                lock = lock_for_writing(path)
                undo.callback(os.close, lock)
            environment = lmdb.open(
                str(path),
                map_size=map_size_bytes,
                max_dbs=32,
                max_readers=_MAX_READERS,
                readonly=read_only,
                mode=0o660,
                readahead=False,
            )
            undo.callback(environment.close)
            check_length(path, environment)
            store = cls(path, environment, box=box, clock=clock, lock=lock)
            store._prepare(read_only=read_only)
            undo.pop_all()
        return store

    def _prepare(self, *, read_only: bool) -> None:
        environment = self._environment
        environment.reader_check()
        self._meta = environment.open_db(b"meta", create=not read_only)
        with environment.begin() as txn:
            schema = int(txn.get(b"schema", b"0", db=self._meta))
            self.epoch = int(txn.get(b"epoch", b"0", db=self._meta))
        if schema > SCHEMA_VERSION:
            raise StoreError(
                f"the store was written by a newer anpr (schema {schema}, this one knows {SCHEMA_VERSION})",
                place=str(self.path),
                cure="use that version, or a backup from before",
            )
        databases = [
            environment.open_db(name, create=not read_only)
            for name in (b"events", b"ids", b"hits", b"plates", b"times", b"cameras")
        ]
        self._events, self._ids, self._hits = databases[:3]
        self._indexes = Indexes(*databases[3:])
        self._gaps = None if read_only and schema < 2 else environment.open_db(b"gaps", create=not read_only)
        by_time = not read_only or schema >= 3
        self._hit_times = environment.open_db(b"hit_times", create=not read_only) if by_time else None
        self._passages = environment.open_db(b"passages", create=not read_only) if by_time else None
        self.chain = Chain(environment, key=None) if read_only and schema >= 4 else None
        if not read_only:
            if 0 < schema < 3:
                self._index_by_time()
            self.epoch += 1
            with environment.begin(write=True) as txn:
                txn.put(b"schema", b"%d" % SCHEMA_VERSION, db=self._meta)
                txn.put(b"epoch", b"%d" % self.epoch, db=self._meta)
            key = SigningKey.open(self.path)
            self.chain = Chain(environment, key=key)
            with environment.begin() as txn:
                if key.made and any(self.chain.links(txn, after_seq=0)):
                    self.counters.add("evidence_keys_replaced")
            self.outbox = Outbox(environment, meta=self._meta, events=self._events, begin=self._transaction)
            self.evidence.prepare()
            self.audit.prepare()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, box={self.box!r}, epoch={self.epoch})"

    def close(self) -> None:
        """Close the files and give up the writer's lock. Closing twice does no harm."""
        self._environment.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # Writing

    def append(
        self, sightings: Sequence[Sighting], hits: Sequence[Hit] = (), gaps: Sequence[CoverageGap] = ()
    ) -> tuple[Event, ...]:
        """Commit a group in one durable transaction: all of it or, if this raises, nothing.

        Returns one event per record taken, sightings first, then hits, then gaps, numbered densely. A revision not
        above the stored one was taken before (`duplicate`) or is outdated (`stale`): it is left out and counted in
        `counters`. Pictures must be in `evidence` before. Raises StoreError.
        """
        committed_seconds = round(self._clock.wall_seconds(), 3)
        events: list[Event] = []
        chained: list[tuple[int, bytes]] = []
        skipped = Counters()
        records: tuple[Record, ...] = (*sightings, *hits, *gaps)
        if not records:
            return ()
        began = time.perf_counter()
        with told_as_store_errors(self.path), self._environment.begin(write=True) as txn:
            seq = int(txn.get(b"last_seq", b"0", db=self._meta))
            for record in records:
                before = self._newest(txn, record)
                if before is not None and record.revision <= before.revision:
                    reason = "duplicate" if record.revision == before.revision else "stale"
                    skipped.add("records_skipped", reason=reason)
                    continue
                seq += 1
                event = Event(
                    box=self.box, epoch=self.epoch, seq=seq, committed_seconds=committed_seconds, record=record
                )
                match record:
                    case Sighting():
                        self._index(txn, record, seq, before)
                    case Hit():
                        txn.put(name_key(record.sighting_id) + checked_name(record.id), pack_seq(seq), db=self._hits)
                        if before is not None:
                            txn.delete(_hit_time(hit_of(self._event_at(txn, before.seq))), db=self._hit_times)
                        txn.put(_hit_time(record), pack_seq(seq), db=self._hit_times)
                    case CoverageGap():
                        key = pack_seconds(record.from_seconds) + checked_name(record.id)
                        txn.put(key, pack_seq(seq), db=self._gaps)
                row = encode_row(event)
                txn.put(pack_seq(seq), row, append=True, db=self._events)
                if not isinstance(record, CoverageGap) and record.evidence:
                    chained.append((seq, row))
                txn.put(_id_key(record), pack_seq(seq) + pack_seq(record.revision), db=self._ids)
                events.append(event)
            txn.put(b"last_seq", b"%d" % seq, db=self._meta)
            self.outbox.note(txn, events, seq)
            if self.chain is not None:
                self.chain.note(txn, chained)
        self.commit_seconds.add(time.perf_counter() - began)
        self.counters.merge(skipped.counts)
        self.counters.add("records_committed", len(events))
        return tuple(events)

    def _newest(self, txn: lmdb.Transaction[bytes], record: Record) -> _Newest | None:
        value = txn.get(_id_key(record), db=self._ids)
        return None if value is None else _Newest(unpack_seq(value[:8]), unpack_seq(value[8:]))

    def _index(self, txn: lmdb.Transaction[bytes], sighting: Sighting, seq: int, before: _Newest | None) -> None:
        """Put the sighting into the search indexes, in place of its revision before."""
        if before is not None:
            for key, _, database in self._index_entries(self._sighting_at(txn, before.seq), before.seq):
                txn.delete(key, db=database)
        if sighting.state != "withdrawn":
            for key, value, database in self._index_entries(sighting, seq):
                txn.put(key, value, db=database)

    def _index_entries(self, sighting: Sighting, seq: int) -> Iterator[tuple[bytes, bytes, lmdb._Database]]:
        at = stamp(sighting.seen_seconds, seq)
        text, camera = sighting.text.encode(), sighting.camera_id.encode()
        if text:
            yield name_key(sighting.text) + at, camera, self._indexes.plates
        yield at, camera + b"\0" + text, self._indexes.times
        yield name_key(sighting.camera_id) + at, text, self._indexes.cameras
        passage = encode_passage(sighting)
        if passage is not None and self._passages is not None:
            yield at, passage, self._passages

    def _index_by_time(self) -> None:
        """Fill `passages` and `hit_times`, which the store was written without, from the log of events."""
        after_seq = 0
        while events := self.events(after_seq=after_seq, limit=_INDEXED_AT_ONCE):
            with self._environment.begin(write=True) as txn:
                for event in events:
                    record = event.record
                    newest = self._newest(txn, record)
                    if newest is None or newest.seq != event.seq:
                        continue
                    if isinstance(record, Hit):
                        txn.put(_hit_time(record), pack_seq(event.seq), db=self._hit_times)
                    elif isinstance(record, Sighting) and record.state != "withdrawn":
                        passage = encode_passage(record)
                        if passage is not None:
                            txn.put(stamp(record.seen_seconds, event.seq), passage, db=self._passages)
            after_seq = events[-1].seq

    def mark_alive(self) -> None:
        """Note durably that the box lives now, so that its next life knows since when nobody watched."""
        wall_seconds = self._clock.wall_seconds()
        with told_as_store_errors(self.path), self._environment.begin(write=True) as txn:
            txn.put(b"alive", b"%.3f" % wall_seconds, db=self._meta)

    # Reading

    @property
    def alive_seconds(self) -> float | None:
        """Wall time of the last `mark_alive`; None if there was none."""
        with self._reading() as txn:
            value = txn.get(b"alive", db=self._meta)
        return None if value is None else float(value)

    @property
    def facts(self) -> StoreFacts:
        """How full it is."""
        with told_as_store_errors(self.path):
            info, page_bytes = self._environment.info(), self._environment.stat()["psize"]
        return StoreFacts((info["last_pgno"] + 1) * page_bytes / info["map_size"], info["num_readers"])

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0 if there is none."""
        with self._reading() as txn:
            return int(txn.get(b"last_seq", b"0", db=self._meta))

    def events(self, *, after_seq: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Up to `limit` committed events after number `after_seq`, in order: the outbox."""
        found: list[Event] = []
        with self._reading() as txn, txn.cursor(self._events) as cursor:
            there = cursor.set_range(pack_seq(after_seq + 1))
            while there and len(found) < limit:
                found.append(decode_row(unpack_seq(cursor.key()), cursor.value()))
                there = cursor.next()
        return tuple(found)

    def sighting(self, sighting_id: str) -> Sighting | None:
        """The newest revision of a sighting, withdrawn ones too."""
        with self._reading() as txn:
            value = txn.get(b"sighting\0" + checked_name(sighting_id), db=self._ids)
            return None if value is None else self._sighting_at(txn, unpack_seq(value[:8]))

    def hits_of(self, sighting_id: str) -> tuple[Hit, ...]:
        """The newest revisions of the hits on a sighting, withdrawn ones too, by id."""
        found: list[Hit] = []
        prefix = name_key(sighting_id)
        with self._reading() as txn, txn.cursor(self._hits) as cursor:
            there = cursor.set_range(prefix)
            while there and cursor.key().startswith(prefix):
                found.append(hit_of(self._event_at(txn, unpack_seq(cursor.value()))))
                there = cursor.next()
        return tuple(found)

    def passages(self, *, from_seconds: float) -> Iterator[Block]:
        """All passages from a wall time on, a block at a time, in order."""
        first_key, after = pack_seconds(from_seconds), False
        while True:
            with self._reading() as txn:
                block = read_block(txn, _by_time(self._passages, self.path), first_key=first_key, after=after)
            yield block
            first_key, after = block.last_key, True
            if not first_key:
                return

    def hits_since(self, from_seconds: float) -> Iterator[Hit]:
        """The newest revisions of hits on passages from a wall time on, withdrawn ones too, in order of time."""
        first_key = pack_seconds(from_seconds)
        while True:
            found: list[Hit] = []
            with self._reading() as txn, txn.cursor(_by_time(self._hit_times, self.path)) as cursor:
                there = cursor.set_range(first_key)
                while there and len(found) < _INDEXED_AT_ONCE:
                    found.append(hit_of(self._event_at(txn, unpack_seq(cursor.value()))))
                    first_key = cursor.key() + b"\0"
                    there = cursor.next()
            yield from found
            if len(found) < _INDEXED_AT_ONCE:
                return

    def search(self, query: Query) -> Page:
        """A page of sightings that answer `query`, newest first. Raises PlateError for a wrong pattern, StoreError."""
        with self._reading() as txn:
            stamps = find_stamps(txn, self._indexes, query)
            page = stamps[: query.limit]
            sightings = tuple(self._sighting_at(txn, seq_of(at)) for at in page)
        return Page(sightings, page[-1].hex() if len(stamps) > query.limit else "")

    def gaps(
        self, *, from_seconds: float = -math.inf, until_seconds: float = math.inf, camera_id: str = "", limit: int = 50
    ) -> tuple[CoverageGap, ...]:
        """The newest revisions of up to `limit` gaps that reach into a time, by falling beginning.

        An open gap (`preview`) reaches as far as the camera's next one, or until now.
        """
        found: list[CoverageGap] = []
        if self._gaps is None:
            return ()
        with self._reading() as txn, txn.cursor(self._gaps) as cursor:
            end = b"\xff" * 8 if math.isinf(until_seconds) else pack_seconds(until_seconds)
            there = cursor.prev() if cursor.set_range(end) else cursor.last()
            while there and len(found) < limit:
                gap = gap_of(self._event_at(txn, unpack_seq(cursor.value())))
                reaches = gap.state != "final" or gap.until_seconds > from_seconds
                if reaches and camera_id in ("", gap.camera_id):
                    found.append(gap)
                there = cursor.prev()
        return tuple(found)

    def evidence_of(self, record_id: str) -> tuple[bytes, Proof]:
        """The newest row of a sighting or a hit with pictures, as it was signed, and the proof. Raises StoreError."""
        name = checked_name(record_id)
        with self._reading() as txn:
            value = txn.get(b"sighting\0" + name, db=self._ids) or txn.get(b"hit\0" + name, db=self._ids)
            if value is None:
                raise StoreError(f"no sighting or hit is called {record_id!r}", place=str(self.path), cure="search it")
            proof = self.chain.proof(txn, unpack_seq(value[:8])) if self.chain is not None else None
            row = txn.get(value[:8], db=self._events)
        if proof is None or row is None:
            raise StoreError(
                f"{record_id!r} has no pictures, or was stored before records were signed",
                place=str(self.path),
                cure="give the id of a record with pictures",
            )
        return row, proof

    def links(self, *, after_seq: int, limit: int) -> list[tuple[int, Link, bytes, bytes]]:
        """(number of the event, link, seal or nothing, the event's row) of up to `limit` links, in order."""
        if self.chain is None:
            return []
        with self._reading() as txn:
            links = islice(self.chain.links(txn, after_seq=after_seq), limit)
            return [(seq, link, seal, txn.get(pack_seq(seq), b"", db=self._events)) for seq, link, seal in links]

    def not_indexed(self, events: Sequence[Event]) -> list[int]:
        """Numbers of those of these events that a search would not find, though it should. Raises StoreError."""
        lacking: list[int] = []
        with self._reading() as txn:
            for event in events:
                record, newest = event.record, self._newest(txn, event.record)
                found = newest is not None and newest.seq >= event.seq
                if (
                    newest is not None
                    and newest.seq == event.seq
                    and isinstance(record, Sighting)
                    and record.state != "withdrawn"
                ):
                    entries = self._index_entries(record, event.seq)
                    found = all(txn.get(key, db=database) == value for key, value, database in entries)
                if not found:
                    lacking.append(event.seq)
        return lacking

    def copy(self, into: Path) -> None:
        """Copy the events and indexes as they are now into a folder, without pages that nothing uses.

        Writing goes on meanwhile; the copy is not yet synced. Raises StoreError.
        """
        with told_as_store_errors(into):
            self._environment.copy(str(into), compact=True)

    @contextlib.contextmanager
    def _transaction(self, write: bool) -> Iterator[lmdb.Transaction[bytes]]:
        with told_as_store_errors(self.path):
            with self._environment.begin(write=True) if write else self._begin_read() as txn:
                yield txn

    @contextlib.contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        with told_as_store_errors(self.path), self._begin_read() as txn:
            yield txn

    def _begin_read(self) -> AbstractContextManager[lmdb.Transaction[bytes]]:
        try:
            return self._environment.begin()
        except lmdb.ReadersFullError:
            self._environment.reader_check()  # readers that were killed keep their slots until somebody looks
            return self._environment.begin()

    def _event_at(self, txn: lmdb.Transaction[bytes], seq: int) -> Event:
        value = txn.get(pack_seq(seq), db=self._events)
        if value is None:
            raise StoreError(f"event {seq} is missing from the log", place=str(self.path), cure="restore a backup")
        return decode_row(seq, value)

    def _sighting_at(self, txn: lmdb.Transaction[bytes], seq: int) -> Sighting:
        return sighting_of(self._event_at(txn, seq))


def _by_time(index: lmdb._Database | None, path: Path) -> lmdb._Database:
    if index is None:
        raise StoreError("was written by an old anpr", place=str(path), cure="start this one's anpr run on it once")
    return index


def _hit_time(hit: Hit) -> bytes:
    return pack_seconds(hit.seen_seconds) + checked_name(hit.id)


def _id_key(record: Record) -> bytes:
    return kind_of(record).encode() + b"\0" + checked_name(record.id)
