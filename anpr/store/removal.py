"""Deleting from a store, so that nothing is lost that must stay, and what was deleted is proved.

A partition goes in this order; a crash at any point is harmless, and from the third on the next start finishes it:

    1  what must outlive it is copied, with its proof, to the root's kept records (nobody sees them there as long as the
       partition is there)
    2  the pictures that only it names are found
    3  one commit: that it goes, signed, bound to the purge before
    4  its folder is renamed: it is no partition any more
    5  its pictures are deleted, then the folder

A sighting that a kept hit is on is kept too, and so are the others that the hit names. Each step is a slice of some
milliseconds, so that a hub commits in between.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import lmdb
import msgspec

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.records import Event, Hit, Sighting
from anpr.store import merge
from anpr.store.chain import NO_END
from anpr.store.deleting import ROWS_AT_ONCE, Deletion, Going, Progress, Slices, named
from anpr.store.evidence import EvidenceFolder
from anpr.store.faults import told_as_store_errors
from anpr.store.keys import checked_name, pack_seq
from anpr.store.naming import pictures_of, rows_in_slices
from anpr.store.partition import Partition, id_key
from anpr.store.partitions import Partitions, View
from anpr.store.purges import FIRST_PREVIOUS, Purge, What, add, newest_of_partitions, told
from anpr.store.root import Root
from anpr.store.rows import decode_row, kind_of
from anpr.store.signing import SigningKey

Choose = Callable[["lmdb.Transaction[bytes]"], Callable[[Event], bool]]
"""Gives, by the holds that a transaction of the root shows, whether a record stays."""

_HITS_AT_ONCE = 1000
_NO_PURGE = Purge(
    number=0,
    what="partition",
    at="",
    box="",
    reason="",
    first_seq=0,
    last_seq=0,
    sightings=0,
    hits=0,
    gaps=0,
    kept=0,
    pictures=0,
    picture_bytes=0,
    previous=FIRST_PREVIOUS,
)


@dataclass(slots=True)
class _Choice:
    """What is to stay."""

    keep: Callable[[Event], bool]
    holds: bytes
    """By which it was chosen."""
    looked_to: int
    """Number of the newest event whose hits were looked at."""
    wanted: set[str] = field(default_factory=set)
    """Ids of the sightings that kept hits name."""

    def note(self, event: Event | None) -> None:
        """Want what a hit names, if it is kept."""
        if event is not None and isinstance(event.record, Hit) and self.keep(event):
            self.wanted.update((event.record.sighting_id, *event.record.sighting_ids))

    def stays(self, event: Event | None) -> bool:
        """Whether a record outlives its partition; a damaged one does not."""
        if event is None:
            return False
        return (isinstance(event.record, Sighting) and event.record.id in self.wanted) or self.keep(event)


class Removal:
    """Of a store that is open for writing; the store makes it."""

    def __init__(
        self,
        root: Root,
        partitions: Partitions,
        evidence: EvidenceFolder,
        key: SigningKey,
        *,
        box: str,
        clock: Clock,
    ) -> None:
        assert root.kept is not None
        self._root = root
        self._kept = root.kept
        self._partitions = partitions
        self._evidence = evidence
        self._deletion = Deletion(root, root.kept, partitions, evidence)
        self._key = key
        self._box = box
        self._clock = clock

    def finish(self) -> None:
        """Finish what was decided in an earlier life. Raises StoreError."""
        purge, oldest = newest_of_partitions(self._root), next(iter(self._partitions.all), None)
        if purge is not None and oldest is not None and str(oldest.name) == purge.partition:
            self._partitions.take_away(oldest)
        for _ in self._deletion.finish():
            pass

    def purge(self, partition: Partition, *, choose: Choose, reason: str) -> Iterator[Progress]:
        """See Store.purge."""
        if len(self._partitions.all) < 2 or partition is not self._partitions.all[0]:
            raise StoreError(
                f"{partition.name} is not the oldest partition, or the only one",
                place=str(partition.path),
                cure="purge the oldest first, and only when there is a newer one",
            )
        return self._purge(partition, choose, reason)

    def thin(self, partition: Partition, *, choose: Choose, reason: str) -> Iterator[Progress]:
        """See Store.thin."""
        if not partition.sealed or partition not in self._partitions.all:
            raise StoreError(f"{partition.name} is still written to", place=str(partition.path), cure="wait for a day")
        return self._thin(partition, choose, reason)

    def purge_kept(self, *, choose: Choose, reason: str) -> Iterator[Progress]:
        """See Store.purge_kept."""
        choice = yield from self._choice(choose)
        dropped: list[tuple[int, bytes]] = []
        for _, rows in rows_in_slices(self._kept, most=ROWS_AT_ONCE):
            with self._view() as view:
                replaced = view.replaced
                for seq, row in rows:
                    event = _decoded(seq, row)
                    if (
                        event is not None  # what is damaged cannot be taken out of the indexes
                        and self._partitions.of_seq(seq) is None
                        and (seq in replaced or not choice.stays(event))
                    ):
                        dropped.append((seq, row))
            yield Progress("looking through what was kept")
        for at in range(0, len(dropped), ROWS_AT_ONCE):
            yield from self._drop(dropped[at : at + ROWS_AT_ONCE], choice, reason)
        yield from self._deletion.finish()

    # A partition

    def _purge(self, partition: Partition, choose: Choose, reason: str) -> Iterator[Progress]:
        yield from self._deletion.finish()
        purge = newest_of_partitions(self._root)
        if purge is not None and purge.partition != str(partition.name):
            purge = None  # else it was decided, and its folder could not be renamed
        going: Going | None = None
        while purge is None:
            yield from self._drop_leftovers(partition)
            choice = yield from self._choice(choose)
            counts = yield from self._copy(partition, choice)
            going = yield from self._deletion.going(partition)
            pictures, picture_bytes = yield from self._deletion.measure(partition, going)
            with self._view() as view:
                late = self._late(view, partition, choice)
                self._write_kept(partition, view.txn(partition), late)
                going.spare(named(row for _, row in late))
                counts["kept"] += len(late)
                entry = self._entry("partition", partition, counts, reason, view, pictures, picture_bytes)
                replaced = partition.replaced(view.txn(partition))
            with self._root.writing() as txn:
                if self._holds(txn) == choice.holds:
                    for seq in replaced:
                        self._forget(txn, seq)
                    purge = add(txn, self._root, entry, self._key)
        yield Progress("decided", purge)
        yield from self._deletion.delete_partition(self._partitions.take_away(partition), going)
        yield Progress("done", purge)

    def _thin(self, partition: Partition, choose: Choose, reason: str) -> Iterator[Progress]:
        yield from self._deletion.finish()
        purge: Purge | None = None
        while purge is None:
            choice = yield from self._choice(choose)
            going = yield from self._deletion.going(partition)
            yield from self._spare_staying(partition, choice, going)
            pictures, picture_bytes = yield from self._deletion.measure(partition, going)
            with self._view() as view:
                going.spare(named(row for _, row in self._late(view, partition, choice)))
                entry = self._entry("pictures", partition, Counter(), reason, view, pictures, picture_bytes)
            if not pictures:
                return
            with self._root.writing() as txn:
                if self._holds(txn) == choice.holds:
                    purge = add(txn, self._root, entry, self._key)
        yield Progress("decided", purge)
        deleting = self._deletion.delete_pictures(partition, going)
        while True:
            while not self._holds_are(choice.holds):  # made since: whoever made it was told that it is held
                choice = yield from self._choice(choose)
                yield from self._spare_staying(partition, choice, going)
            progress = next(deleting, None)
            if progress is None:
                break
            yield progress
        yield Progress("done", purge)

    def _spare_staying(self, partition: Partition, choice: _Choice, going: Going) -> Slices[None]:
        """Let the pictures stay that records which outlive their partition name."""
        for _, rows in rows_in_slices(partition, most=ROWS_AT_ONCE):
            going.spare(named(row for seq, row in rows if choice.stays(_decoded(seq, row))))
            yield Progress("looking for pictures that must stay")

    def _choice(self, choose: Choose) -> Slices[_Choice]:
        """What is to stay, by the holds of now, and the sightings that kept hits name."""
        with self._root.reading() as txn:
            choice = _Choice(choose(txn), self._holds(txn), self._partitions.last_seq)
        next_key = b"\0"
        while next_key:
            with self._view() as view:
                entries = list(islice(merge.onwards(view, "hit_times", next_key), _HITS_AT_ONCE))
                for entry in entries:
                    choice.note(_event_at(entry.shelf, view.txn(entry.shelf), entry.seq))
            next_key = entries[-1].key + b"\0" if len(entries) == _HITS_AT_ONCE else b""
            yield Progress("looking through the hits")
        return choice

    def _drop_leftovers(self, partition: Partition) -> Slices[None]:
        """Of an earlier try that did not come to its end."""
        with partition.reading() as txn:
            last_seq = partition.last_seq(txn)
        for _, rows in rows_in_slices(self._kept, after_seq=partition.first_seq - 1, most=ROWS_AT_ONCE):
            with self._root.writing() as txn:
                for seq, _ in rows:
                    if seq <= last_seq:
                        self._kept.drop(txn, seq)
                        txn.delete(pack_seq(seq), db=self._root.proofs)
            yield Progress("beginning anew")

    def _copy(self, partition: Partition, choice: _Choice) -> Slices[Counter[str]]:
        """Keep what outlives the partition; how many of each kind of record it has, and how many are kept."""
        counts: Counter[str] = Counter()
        for txn, rows in rows_in_slices(partition, most=ROWS_AT_ONCE):
            kept: list[tuple[Event, bytes]] = []
            with self._view() as view:
                hidden = view.hidden(partition)
                for seq, row in rows:
                    event = _decoded(seq, row)
                    if event is None:
                        counts["damaged"] += 1
                        continue
                    counts[kind_of(event.record)] += 1
                    newest = partition.newest(txn, id_key(event.record))
                    if newest is None or newest.seq != seq or (hidden is not None and hidden(seq)):
                        continue
                    if choice.stays(event):
                        kept.append((event, row))
            self._write_kept(partition, txn, kept)
            counts["kept"] += len(kept)
            yield Progress("keeping what must stay")
        return counts

    def _late(self, view: View, partition: Partition, choice: _Choice) -> list[tuple[Event, bytes]]:
        """The partition's sightings that are named by kept hits which came while the rest was chosen."""
        before = choice.wanted.copy()
        for newer in self._partitions.after(choice.looked_to):
            for seq in newer.hits_after(view.txn(newer), choice.looked_to):
                choice.note(_event_at(newer, view.txn(newer), seq))
        hidden, txn = view.hidden(partition), view.txn(partition)
        found: list[tuple[Event, bytes]] = []
        for sighting_id in choice.wanted - before:
            newest = partition.newest(txn, b"sighting\0" + checked_name(sighting_id))
            row = partition.row_at(txn, newest.seq) if newest else None
            if newest and row and not (hidden and hidden(newest.seq)):
                event = _decoded(newest.seq, row)
                if event is not None:
                    found.append((event, row))
        return found

    def _write_kept(self, partition: Partition, txn: lmdb.Transaction[bytes], kept: list[tuple[Event, bytes]]) -> None:
        if not kept:
            return
        with self._root.writing() as writing:
            for event, row in kept:
                self._kept.put(writing, event, row, None)
                proof = partition.chain.proof(txn, event.seq) if partition.chain else None
                if proof is not None:
                    writing.put(pack_seq(event.seq), msgspec.json.encode(proof), db=self._root.proofs)

    # What was kept

    def _drop(self, dropped: list[tuple[int, bytes]], choice: _Choice, reason: str) -> Slices[None]:
        """Drop kept records, if nobody wants them meanwhile."""
        going = yield from self._deletion.going_with(dropped)
        with self._view() as view:
            for newer in self._partitions.after(choice.looked_to):
                for seq in newer.hits_after(view.txn(newer), choice.looked_to):
                    choice.note(_event_at(newer, view.txn(newer), seq))
            replaced = view.replaced
        counts: Counter[str] = Counter()
        leaving: list[tuple[int, bytes]] = []
        for seq, row in dropped:
            event = decode_row(seq, row)
            if seq not in replaced and choice.stays(event):
                going.spare(named([row]))
                continue
            counts[kind_of(event.record)] += 1
            leaving.append((seq, row))
        if not leaving:
            return
        doomed = going.of(picture for _, row in leaving for picture in pictures_of(row))
        sizes = [size for sha256 in doomed if (size := self._evidence.bytes_of(sha256)) is not None]
        entry = self._filled(
            "kept",
            reason,
            counts,
            first_seq=leaving[0][0],
            last_seq=leaving[-1][0],
            pictures=len(sizes),
            picture_bytes=sum(sizes),
        )
        with self._root.writing() as txn:
            if self._holds(txn) != choice.holds:
                return  # they are looked at again the next time
            for seq, _ in leaving:
                self._forget(txn, seq)
            purge = add(txn, self._root, entry, self._key)
        yield Progress("decided", purge)

    def _forget(self, txn: lmdb.Transaction[bytes], seq: int) -> None:
        """Drop a kept record, and have its pictures looked at."""
        row = self._kept.row_at(txn, seq)
        for sha256 in pictures_of(row) if row is not None else []:
            txn.put(bytes.fromhex(sha256), b"", db=self._root.doomed)
        if row is not None and _decoded(seq, row) is not None:
            self._kept.drop(txn, seq)
            txn.delete(pack_seq(seq), db=self._root.proofs)

    # Small things

    def _entry(
        self,
        what: What,
        partition: Partition,
        counts: Counter[str],
        reason: str,
        view: View,
        pictures: int,
        picture_bytes: int,
    ) -> Purge:
        txn = view.txn(partition)
        return self._filled(
            what,
            reason,
            counts,
            partition=str(partition.name),
            first_seq=partition.first_seq,
            last_seq=partition.last_seq(txn),
            pictures=pictures,
            picture_bytes=picture_bytes,
            bytes=partition.disk_bytes if what == "partition" else 0,
            chain_begin=told(partition.chain.begins if partition.chain else NO_END),
            chain_end=told(partition.chain.end(txn) if partition.chain else NO_END),
        )

    def _filled(self, what: What, reason: str, counts: Counter[str], **facts: Any) -> Purge:
        at = datetime.fromtimestamp(self._clock.wall_seconds(), UTC).isoformat(timespec="milliseconds")
        return msgspec.structs.replace(
            _NO_PURGE,
            what=what,
            at=at,
            box=self._box,
            reason=reason,
            sightings=counts["sighting"],
            hits=counts["hit"],
            gaps=counts["coverage"],
            kept=counts["kept"],
            damaged=counts["damaged"] or msgspec.UNSET,
            **facts,
        )

    def _holds_are(self, digest: bytes) -> bool:
        with self._root.reading() as txn:
            return self._holds(txn) == digest

    def _holds(self, txn: lmdb.Transaction[bytes]) -> bytes:
        """Changes with the holds."""
        digest = hashlib.sha256()
        with txn.cursor(self._root.holds) as cursor:
            for key, value in cursor.iternext():
                digest.update(hashlib.sha256(key).digest() + hashlib.sha256(value).digest())
        return digest.digest()

    @contextlib.contextmanager
    def _view(self) -> Iterator[View]:
        with told_as_store_errors(self._root.path), self._partitions.view() as view:
            yield view


def _decoded(seq: int, row: bytes) -> Event | None:
    """None: the row is damaged; it must not stop the others from going."""
    try:
        return decode_row(seq, row)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _event_at(shelf: Partition, txn: lmdb.Transaction[bytes], seq: int) -> Event | None:
    """None: its row is damaged, or missing."""
    row = shelf.row_at(txn, seq)
    return _decoded(seq, row) if row is not None else None
