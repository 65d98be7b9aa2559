"""The box's memory: what belongs to no day in one LMDB file (root.py), the events in one for each day (partition.py).

    data.mdb                       the root
    days/<day>.<first number>/     a partition: the events that were committed on a day, and the indexes over them
    evidence/ab/cdef….jpg          pictures, see evidence.py
    audit/                         see audit.py

Commits are synchronous: what `append` returned survives a power cut. One process writes; any may read. A read
transaction lives for one call, so that readers never make a file grow.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.metrics import Counters, Histogram
from anpr.plates.provinces import vietnam_date
from anpr.plates.pseudonym import Pseudonyms
from anpr.records import CoverageGap, Event, Hit, Record, Sighting
from anpr.store import merge
from anpr.store.audit import AuditLog
from anpr.store.audit_purge import cut_audit
from anpr.store.batch import Batch
from anpr.store.blocks import Block, read_block
from anpr.store.chain import NO_END, Link, Proof
from anpr.store.choosing import Choose
from anpr.store.crash import look_after_crash
from anpr.store.deleting import Progress
from anpr.store.environment import Environment
from anpr.store.evidence import EvidenceFolder
from anpr.store.faults import told_as_store_errors
from anpr.store.finder import Finder
from anpr.store.keys import checked_name, name_key, pack_seconds, pack_seq, unpack_seq
from anpr.store.lock import lock_for_writing
from anpr.store.migration import migrate
from anpr.store.outbox import Outbox
from anpr.store.partition import Partition, id_key
from anpr.store.partitions import REVISED_WITHIN, Partitions, View
from anpr.store.pseudonymising import Pseudonymising
from anpr.store.purges import Journal, Purge, newest_of_partitions, purges
from anpr.store.query import Page, Query
from anpr.store.removal import Removal
from anpr.store.rolling import Rolling
from anpr.store.root import MAP_SIZE_BYTES, Root
from anpr.store.rows import decode_row, encode_row, gap_of
from anpr.store.signing import SigningKey

_AT_ONCE = 10_000
"""Records read in one transaction that walks through many."""


class StoreFacts(NamedTuple):
    """How full a store is."""

    map_used_share: float
    """Of the address space a file may use, 0 to 1: the fullest of those that grow."""
    readers: int
    """Slots taken in the table of readers, those of killed readers too."""


class Store:
    """An open store. Make one with `Store.open`, use it in a `with` block or `close` it."""

    def __init__(
        self, root: Root, partitions: Partitions, *, box: str, clock: Clock, lock: int | None, migrated_from: int | None
    ) -> None:
        self.path = root.path
        self.box = box
        self.root = root
        self.partitions = partitions
        self.epoch = root.epoch
        self.migrated_from = migrated_from
        """The schema that it was written in before it was opened now; None: the present one."""
        self.evidence = EvidenceFolder(self.path / "evidence")
        self.audit = AuditLog(self.path, clock=clock)
        self.counters = Counters()
        self.commit_seconds = Histogram()
        """How long the commits took."""
        self._clock = clock
        self._rolling = Rolling(clock)
        self._finder = Finder()
        self._lock = lock
        self._key: SigningKey | None = None
        if lock is not None:
            self._prepare()

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

        `box` names this machine in the events that are written. Opened for writing, a store of an older schema is made
        new, after a copy of it was put into `before-schema-5`. A deletion that was cut off is left to `finish`. Raises
        StoreError if another process writes to it, if a newer anpr has written it, or if it is damaged (crash.py).
        """
        path = Path(path)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", box):
            raise StoreError(f"{box!r} is no name for a box", cure="use 1 to 64 of A-Z a-z 0-9 _ -")
        with told_as_store_errors(path), contextlib.ExitStack() as undo:
            lock: int | None = None
            migrated_from: int | None = None
            if read_only:
                if not (path / "data.mdb").is_file():
                    raise StoreError("there is no store here", place=str(path), cure="give the folder of a store")
            else:
                path.mkdir(mode=0o770, parents=True, exist_ok=True)
                lock = lock_for_writing(path)
                undo.callback(os.close, lock)
                look_after_crash(path, clock=clock)
                migrated_from = migrate(path, map_size_bytes=map_size_bytes)
            root = Root.open(path, read_only=read_only, map_size_bytes=map_size_bytes)
            undo.callback(root.close)
            partitions = Partitions(root, read_only=read_only, map_size_bytes=map_size_bytes)
            undo.callback(partitions.close)
            store = cls(root, partitions, box=box, clock=clock, lock=lock, migrated_from=migrated_from)
            undo.pop_all()
        return store

    def _prepare(self) -> None:
        key = self._key = SigningKey.open(self.path)
        with self._view() as view:
            if key.made and any(part.chain and part.chain.end(view.txn(part)) != NO_END for part in view.partitions):
                self.counters.add("evidence_keys_replaced")
        self.outbox = Outbox(self.root, self.partitions)
        self.evidence.prepare()
        self.audit.prepare()
        self._journal = Journal(self.root, key, self.box, self._clock)
        self._removal = Removal(self.root, self.partitions, self.evidence, self._journal)
        self._hiding = Pseudonymising(self.root, self.partitions, self.evidence, self._journal)
        self._hiding.finish(of_earlier_life=True)
        self.epoch = self.root.begin_epoch()

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
        self.partitions.close()
        self.root.close()
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
        `counters`. Sightings are known again in the newest three partitions and the kept, hits and gaps in all: the id
        of a sighting must never be used again. Pictures must be in `evidence` before. Raises StoreError.
        """
        committed_seconds = round(self._clock.wall_seconds(), 3)
        events: list[Event] = []
        skipped = Counters()
        records: tuple[Record, ...] = (*sightings, *hits, *gaps)
        if not records:
            return ()
        began = time.perf_counter()
        key = self._key_for_writing()
        partition = self._partition_for(committed_seconds)
        ids = [id_key(record) for record in records]
        with partition.writing() as txn, View(self.partitions, txn) as view:
            seq = partition.last_seq(txn)
            stored = view.find_all(ids[: len(sightings)], most=REVISED_WITHIN)
            if hits or gaps:
                stored |= view.find_all(ids[len(sightings) :])
            batch = Batch(partition, txn)
            for id_of, record in zip(ids, records, strict=True):
                added, before = batch.newest.get(id_of), stored.get(id_of)
                newest = added.record.revision if added else before.newest.revision if before else None
                if newest is not None and record.revision <= newest:
                    skipped.add("records_skipped", reason="duplicate" if record.revision == newest else "stale")
                    continue
                seq += 1
                event = Event(
                    box=self.box, epoch=self.epoch, seq=seq, committed_seconds=committed_seconds, record=record
                )
                row = encode_row(event)
                if before is None or added or before.shelf is partition:
                    batch.add(event, row, key=id_of, before=before.newest if before else None)
                else:
                    batch.add(event, row, key=id_of)
                    txn.put(pack_seq(before.newest.seq), pack_seq(seq), db=partition.table("superseded"))
                events.append(event)
            batch.write(signed_by=key)
        self.commit_seconds.add(time.perf_counter() - began)
        self.counters.merge(skipped.counts)
        self.counters.add("records_committed", len(events))
        return tuple(events)

    def roll(self) -> bool:
        """Begin today's partition if the newest's day is over and it holds anything, so that it may be purged in time;
        whether one was begun. Raises StoreError."""
        newest = self.partitions.newest
        if newest is None or self.last_seq < newest.first_seq:
            return False
        return self._partition_for(self._clock.wall_seconds()) is not newest

    def mark_alive(self) -> None:
        """Note durably that the box lives now, so that its next life knows since when nobody watched.

        Readers that were killed are forgotten, too. Raises StoreError.
        """
        with told_as_store_errors(self.path):
            for environment in self._growing:
                environment.forget_dead_readers()
        self.root.mark_alive(self._clock.wall_seconds())

    def purge(self, partition: Partition, *, choose: Choose, reason: str) -> Iterator[Progress]:
        """Delete the oldest partition, with the pictures that nothing else names, a slice at each step.

        `choose` is given a transaction of the root, which shows the holds, and gives what is asked of a record: whether
        it stays. It is asked of the newest revisions of the partition's records, and of all hits: a sighting stays also
        if such a hit names it. If the holds change meanwhile, it is chosen anew. See removal.py for what happens in
        which order; it may be left off at any step and begun again. Raises StoreError if the partition is not the
        oldest, or is the newest.
        """
        self._key_for_writing()
        return self._removal.purge(partition, choose=choose, reason=reason)

    def thin(self, partition: Partition, *, choose: Choose, reason: str) -> Iterator[Progress]:
        """Delete the pictures of a partition that only records name which do not stay; the records stay. As `purge`,
        but of any partition that is not written to any more."""
        self._key_for_writing()
        return self._removal.thin(partition, choose=choose, reason=reason)

    def pseudonymise(
        self, partition: Partition, *, choose: Choose, reason: str, pseudonyms: Pseudonyms
    ) -> Iterator[Progress]:
        """Have pseudonyms take the place of the plates of a partition's sightings that do not stay, and delete their
        pictures. As `thin`; see rewriting.py."""
        self._key_for_writing()
        return self._hiding.pseudonymise(partition, choose=choose, reason=reason, pseudonyms=pseudonyms)

    def purge_kept(self, *, choose: Choose, reason: str) -> Iterator[Progress]:
        """Delete those records that had been kept and need not stay any more, with their pictures. As `purge`."""
        self._key_for_writing()
        return self._removal.purge_kept(choose=choose, reason=reason)

    @property
    def unfinished(self) -> bool:
        """Whether a deletion was decided that is not done: see `finish`. Raises StoreError."""
        return self._removal.unfinished

    @property
    def purge_problems(self) -> tuple[StoreError, ...]:
        """Why what was decided cannot be deleted, as it was when it was tried last."""
        return self._removal.problems

    def finish(self, *, choose: Choose) -> Iterator[Progress]:
        """Do what was decided in an earlier life and is not done yet, a slice at each step; as `purge`.

        What cannot be done is told in `purge_problems`, and keeps nothing else from being done. Raises StoreError.
        """
        self._key_for_writing()
        return self._removal.finish(choose=choose)

    def cut_audit(self, last_number: int, *, reason: str) -> Purge | None:
        """Take away the lines of the audit log up to a number, but for the newest. Raises StoreError."""
        self._key_for_writing()
        return cut_audit(self.audit, last_number, reason=reason, journal=self._journal)

    def _key_for_writing(self) -> SigningKey:
        if self._key is None:
            raise StoreError("the store is open read-only", place=str(self.path), cure="open it for writing")
        return self._key

    def _partition_for(self, committed_seconds: float) -> Partition:
        """The newest partition, begun now if its day is over."""
        self.partitions.reopen_newest()
        day, newest = vietnam_date(committed_seconds), self.partitions.newest
        if newest is not None and not newest.sealed and not self._rolling.is_over(newest.day, day):
            return newest
        if newest is None:
            gone = newest_of_partitions(self.root)
            first_seq, chain = (gone.last_seq + 1, gone.end) if gone else (1, NO_END)
        else:
            with newest.reading() as txn:
                first_seq = newest.last_seq(txn) + 1
                chain = newest.chain.end(txn) if newest.chain else NO_END
        begun = self.partitions.begin(day, first_seq, chain=chain)
        self._rolling.note()
        return begun

    # Reading

    @property
    def alive_seconds(self) -> float | None:
        """Wall time of the last `mark_alive`; None if there was none."""
        return self.root.alive_seconds

    @property
    def facts(self) -> StoreFacts:
        """How full it is."""
        growing = self._growing
        with told_as_store_errors(self.path):
            return StoreFacts(max(each.used_share for each in growing), max(each.readers for each in growing))

    @property
    def stuck(self) -> bool:
        """Whether nothing more can be done with the root until the store is opened anew."""
        return self.root.environment.stuck

    @property
    def _growing(self) -> list[Environment]:
        """The files that are written to."""
        newest = self.partitions.newest
        return [self.root.environment] if newest is None else [self.root.environment, newest.environment]

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0 if there is none."""
        with self._view() as view:
            return view.partitions[-1].last_seq(view.txn(view.partitions[-1])) if view.partitions else 0

    def events(self, *, after_seq: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Up to `limit` committed events after number `after_seq`, in order: the outbox."""
        found: list[Event] = []
        with self._view() as view:
            for partition in self.partitions.after(after_seq):
                rows = partition.rows(view.txn(partition), after_seq=after_seq)
                found += (decode_row(seq, row) for seq, row in islice(rows, limit - len(found)))
                if len(found) == limit:
                    break
        return tuple(found)

    def sighting(self, sighting_id: str) -> Sighting | None:
        """The newest revision of a sighting, withdrawn ones too."""
        with self._view() as view:
            found = view.find(b"sighting\0" + checked_name(sighting_id))
            return found.shelf.sighting_at(view.txn(found.shelf), found.newest.seq) if found else None

    def hits_of(self, sighting_id: str) -> tuple[Hit, ...]:
        """The newest revisions of the hits on a sighting, withdrawn ones too, by id."""
        found: dict[str, Hit] = {}
        prefix = name_key(sighting_id)
        with self._view() as view:
            for shelf in view.shelves:
                with view.txn(shelf).cursor(shelf.hits) as cursor:
                    there = cursor.set_range(prefix)
                    while there and cursor.key().startswith(prefix):
                        seq, hidden = unpack_seq(cursor.value()), view.hidden(shelf)
                        if hidden is None or not hidden(seq):
                            hit = shelf.hit_at(view.txn(shelf), seq)
                            found[hit.id] = hit
                        there = cursor.next()
        return tuple(hit for _, hit in sorted(found.items(), key=lambda each: each[0].encode()))

    def passages(self, *, from_seconds: float) -> Iterator[Block]:
        """All passages from a wall time on, a block at a time, in order."""
        next_key = pack_seconds(from_seconds)
        while next_key:
            with self._view() as view:
                block = read_block(view, next_key)
            yield block
            next_key = block.next_key

    def hits_since(self, from_seconds: float) -> Iterator[Hit]:
        """The newest revisions of hits on passages from a wall time on, withdrawn ones too, in order of time."""
        next_key = pack_seconds(from_seconds)
        while next_key:
            with self._view() as view:
                entries = list(islice(merge.onwards(view, "hit_times", next_key), _AT_ONCE))
                found = [each.shelf.hit_at(view.txn(each.shelf), each.seq) for each in entries]
            yield from found
            next_key = entries[-1].key + b"\0" if len(entries) == _AT_ONCE else b""

    def search(self, query: Query) -> Page:
        """A page of sightings that answer `query`, newest first. Raises PlateError for a wrong pattern, StoreError."""
        with self._view() as view:
            return self._finder.page(view, query)

    def make_columns(self) -> bool:
        """Make the columns of a partition that is written no more and has none, for searches; whether there was one.

        Takes seconds for millions of passages. Raises StoreError.
        """
        with self._view() as view:
            return self._finder.make_columns(view) is not None

    def gaps(
        self, *, from_seconds: float = -math.inf, until_seconds: float = math.inf, camera_id: str = "", limit: int = 50
    ) -> tuple[CoverageGap, ...]:
        """The newest revisions of up to `limit` gaps that reach into a time, by falling beginning.

        An open gap (`preview`) reaches as far as the camera's next one, or until now.
        """
        found: list[CoverageGap] = []
        end = b"\xff" * 8 if math.isinf(until_seconds) else pack_seconds(until_seconds)
        with self._view() as view:
            for entry in merge.backwards(view, "gaps", end):
                if len(found) == limit:
                    break
                gap = gap_of(entry.shelf.event_at(view.txn(entry.shelf), entry.seq))
                reaches = gap.state != "final" or gap.until_seconds > from_seconds
                if reaches and camera_id in ("", gap.camera_id):
                    found.append(gap)
        return tuple(found)

    def evidence_of(self, record_id: str) -> tuple[bytes, Proof]:
        """The newest row of a sighting or a hit with pictures, as it was signed, and the proof. Raises StoreError."""
        name = checked_name(record_id)
        with self._view() as view:
            found = view.find(b"sighting\0" + name) or view.find(b"hit\0" + name)
            if found is None:
                raise StoreError(f"no sighting or hit is called {record_id!r}", place=str(self.path), cure="search it")
            proof = self._proof(view, found.shelf, found.newest.seq)
            row = found.shelf.row_at(view.txn(found.shelf), found.newest.seq)
        if proof is None or row is None:
            raise StoreError(
                f"{record_id!r} has no pictures, or was stored before records were signed",
                place=str(self.path),
                cure="give the id of a record with pictures",
            )
        return row, proof

    def _proof(self, view: View, shelf: Partition, seq: int) -> Proof | None:
        if shelf is self.root.kept:
            return self.root.proof(view.txn(shelf), seq)
        return shelf.chain.proof(view.txn(shelf), seq) if shelf.chain else None

    def links(self, *, after_seq: int, limit: int, of: Partition | None = None) -> list[tuple[int, Link, bytes, bytes]]:
        """(number of the event, link, seal or nothing, the event's row) of up to `limit` links, of one partition or
        all, in order."""
        found: list[tuple[int, Link, bytes, bytes]] = []
        with self._view() as view:
            for partition in self.partitions.after(after_seq) if of is None else (of,):
                if partition.chain is None:
                    continue
                txn = view.txn(partition)
                links = islice(partition.chain.links(txn, after_seq=after_seq), limit - len(found))
                found += ((seq, link, seal, partition.row_at(txn, seq) or b"") for seq, link, seal in links)
        return found

    def not_indexed(self, events: Sequence[Event]) -> list[int]:
        """Numbers of those of these events that a search would not find, though it should. Raises StoreError."""
        with self._view() as view:
            shelves = [(event, self.partitions.of_seq(event.seq)) for event in events]
            return [event.seq for event, shelf in shelves if shelf is None or not shelf.finds(view.txn(shelf), event)]

    def purges(self) -> list[Purge]:
        """What was deleted when, oldest first. Raises StoreError."""
        return list(purges(self.root))

    @contextlib.contextmanager
    def _view(self) -> Iterator[View]:
        with told_as_store_errors(self.path, reading=True), self.partitions.view() as view:
            yield view
