"""Deleting from a store, so that nothing is lost that must stay, and what was deleted is proved.

A partition goes in this order; a crash at any point is harmless, and from the third on the next life finishes it:

    1  what must outlive it is copied, with its proof, to the root's kept records (nobody sees them there as long as the
       partition is there)
    2  the pictures that only it names are found
    3  one commit: that it goes, signed, bound to the purge before
    4  its folder is renamed: it is no partition any more
    5  its pictures are deleted, then the folder

A sighting that a kept hit is on is kept too, and so are the others that the hit names. Each step is a slice of some
milliseconds, so that a hub commits in between. Whatever cannot be taken back is done in a transaction that writes to
the root, after a look at the holds: nobody can hold anything meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.errors import StoreError
from anpr.records import Event, Sighting
from anpr.store.chain import NO_END
from anpr.store.choosing import Choice, Choose, Choosing, decoded, newest_of
from anpr.store.deleting import ROWS_AT_ONCE, Deletion, Going, Progress, Slices, named
from anpr.store.evidence import EvidenceFolder
from anpr.store.keys import pack_seq
from anpr.store.naming import pictures_of, places, rows_in_slices
from anpr.store.partition import Partition, id_key
from anpr.store.partitions import Partitions, View
from anpr.store.purges import Journal, Purge, What, newest_of_partitions, told
from anpr.store.rewriting import is_rewritten
from anpr.store.root import Root
from anpr.store.rows import decode_row, kind_of

_KEPT_AT_ONCE = 100_000


class Removal:
    """Of a store that is open for writing; the store makes it."""

    def __init__(self, root: Root, partitions: Partitions, evidence: EvidenceFolder, journal: Journal) -> None:
        assert root.kept is not None
        self._root = root
        self._kept = root.kept
        self._partitions = partitions
        self._evidence = evidence
        self._choosing = Choosing(root, partitions)
        self._deletion = Deletion(root, root.kept, partitions, evidence)
        self._problems: tuple[StoreError, ...] = ()
        """Why a partition whose purge was decided cannot be taken away."""
        self._journal = journal

    @property
    def unfinished(self) -> bool:
        """Whether something was decided that is not done. Raises StoreError."""
        return self._decided is not None or self._deletion.unfinished

    @property
    def problems(self) -> tuple[StoreError, ...]:
        """Why what was decided cannot be done, as it was when it was tried last."""
        return self._problems + self._deletion.problems

    def finish(self, *, choose: Choose) -> Slices[None]:
        """See Store.finish."""
        partition = self._decided
        problems: tuple[StoreError, ...] = ()
        if partition is not None:
            try:
                yield from self._take_away(partition, choose, b"")
            except StoreError as error:
                problems = (error,)
        self._problems = problems
        yield from self._deletion.finish()

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
        choice, after_seq = self._choosing.begin(choose), 0
        while True:
            found, after_seq = yield from self._not_staying(choice, after_seq)
            if not len(found):
                break
            named = np.zeros(len(found), np.bool_)
            yield from self._choosing.walk_hits(choice, partial(self._mark_kept, found, named))
            dropped = found[~named].tolist()
            for at in range(0, len(dropped), ROWS_AT_ONCE):
                yield from self._drop(dropped[at : at + ROWS_AT_ONCE], choice, reason)
        yield from self._deletion.finish()

    # A partition

    @property
    def _decided(self) -> Partition | None:
        """The partition whose purge was decided, and which is there yet. Raises StoreError."""
        purge, oldest = newest_of_partitions(self._root), next(iter(self._partitions.all), None)
        return oldest if purge is not None and oldest is not None and str(oldest.name) == purge.partition else None

    def _purge(self, partition: Partition, choose: Choose, reason: str) -> Slices[None]:
        yield from self.finish(choose=choose)
        for problem in self._problems:
            raise problem
        if partition not in self._partitions.all:
            return  # it was decided before
        purge: Purge | None = None
        while purge is None:
            yield from self._drop_leftovers(partition)
            choice = self._choosing.begin(choose)
            counts = yield from self._copy(partition, choice)
            going = yield from self._deletion.going(partition)
            pictures, picture_bytes = yield from self._deletion.measure(partition, going)
            with self._choosing.view() as view:
                late = self._choosing.late(view, partition, choice)
                counts["kept"] += self._write_kept(partition, view.txn(partition), late)
                going.spare(named(row for _, row in late))
                entry = self._entry("partition", partition, counts, reason, view, pictures, picture_bytes)
                replaced = partition.replaced(view.txn(partition))
            with self._root.writing() as txn:
                if self._choosing.holds(txn) == choice.holds:
                    for seq in replaced:
                        self._forget(txn, seq)
                    purge = self._journal.add(txn, entry)
        yield Progress("decided", purge)
        gone = yield from self._take_away(partition, choose, choice.holds, going)
        yield from self._deletion.delete_partition(gone, going)
        yield Progress("done", purge)

    def _take_away(
        self, partition: Partition, choose: Choose, holds: bytes, going: Going | None = None
    ) -> Slices[Path]:
        """Rename its folder, once all is kept that is held by now; `holds` by which it was chosen. Where it is now."""
        while True:
            with self._root.writing() as txn:
                if self._choosing.holds(txn) == holds:
                    return self._partitions.take_away(partition)
            choice = self._choosing.begin(choose)
            yield from self._copy(partition, choice, going)
            holds = choice.holds

    def _thin(self, partition: Partition, choose: Choose, reason: str) -> Slices[None]:
        yield from self._deletion.finish()
        purge: Purge | None = None
        while purge is None:
            choice = self._choosing.begin(choose)
            going = yield from self._deletion.going(partition)
            yield from self._spare_staying(partition, choice, going)
            pictures, picture_bytes = yield from self._deletion.measure(partition, going)
            with self._choosing.view() as view:
                going.spare(named(row for _, row in self._choosing.late(view, partition, choice)))
                entry = self._entry("pictures", partition, Counter(), reason, view, pictures, picture_bytes)
            if not pictures:
                return
            with self._root.writing() as txn:
                if self._choosing.holds(txn) == choice.holds:
                    purge = self._journal.add(txn, entry)
        yield Progress("decided", purge)
        for rows in self._deletion.slices_of(partition):
            while not self._delete_unless_held(rows, going, choice):
                choice = self._choosing.begin(choose)
                yield from self._spare_staying(partition, choice, going)
            yield Progress("deleting pictures")
        yield from self._deletion.sync()
        yield Progress("done", purge)

    def _delete_unless_held(self, rows: list[bytes], going: Going, choice: Choice) -> bool:
        """Delete the pictures of rows, unless the holds have changed since it was chosen which go."""
        with self._root.writing() as txn:
            if self._choosing.holds(txn) != choice.holds:
                return False
            self._deletion.delete_named(rows, going)
        return True

    def _spare_staying(self, partition: Partition, choice: Choice, going: Going) -> Slices[None]:
        """Let the pictures stay that records which outlive their partition name."""

        def spare(view: View, ids: set[str]) -> None:
            going.spare(named(row for _, row in self._choosing.sightings_of(view, partition, ids)))

        yield from self._choosing.walk_hits(choice, spare)
        for _, rows in rows_in_slices(partition, most=ROWS_AT_ONCE):
            going.spare(named(row for seq, row in rows if choice.keeps(decoded(seq, row))))
            yield Progress("looking for pictures that must stay")

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

    def _copy(self, partition: Partition, choice: Choice, going: Going | None = None) -> Slices[Counter[str]]:
        """Keep what outlives the partition, and its pictures, if some are `going`; how many of each kind of record it
        has, and how many are kept now and were not before."""
        counts: Counter[str] = Counter()

        def keep(txn: lmdb.Transaction[bytes], kept: list[tuple[Event, bytes]]) -> None:
            counts["kept"] += self._write_kept(partition, txn, kept)
            if going is not None:
                going.spare(named(row for _, row in kept))

        def keep_named(view: View, ids: set[str]) -> None:
            keep(view.txn(partition), self._choosing.sightings_of(view, partition, ids))

        yield from self._choosing.walk_hits(choice, keep_named)
        for txn, rows in rows_in_slices(partition, most=ROWS_AT_ONCE):
            kept: list[tuple[Event, bytes]] = []
            with self._choosing.view() as view:
                hidden = view.hidden(partition)
                for seq, row in rows:
                    event = decoded(seq, row)
                    if event is None:
                        counts["damaged"] += 1
                        continue
                    counts[kind_of(event.record)] += 1
                    newest = partition.newest(txn, id_key(event.record))
                    if newest is None or newest.seq != seq or (hidden is not None and hidden(seq)):
                        continue
                    if choice.keep(event):
                        kept.append((event, row))
            keep(txn, kept)
            yield Progress("keeping what must stay")
        return counts

    def _write_kept(self, partition: Partition, txn: lmdb.Transaction[bytes], kept: list[tuple[Event, bytes]]) -> int:
        """Keep these records, with their proofs; how many were not kept before."""
        if not kept:
            return 0
        new = 0
        with self._root.writing() as writing:
            for event, row in kept:
                if self._kept.row_at(writing, event.seq) is not None:
                    continue
                new += 1
                self._kept.put(writing, event, row, None)
                without = is_rewritten(partition, txn, event.seq)  # what was signed is another row
                proof = partition.chain.proof(txn, event.seq) if partition.chain and not without else None
                if proof is not None:
                    writing.put(pack_seq(event.seq), msgspec.json.encode(proof), db=self._root.proofs)
        return new

    # What was kept

    def _not_staying(self, choice: Choice, after_seq: int) -> Slices[tuple[NDArray[np.uint64], int]]:
        """Numbers of kept records after a number that do not stay by themselves, rising, not all at once; and the last
        number that was looked at."""
        found: list[int] = []
        for _, rows in rows_in_slices(self._kept, most=ROWS_AT_ONCE, after_seq=after_seq):
            with self._choosing.view() as view:
                replaced = view.replaced
            for seq, row in rows:
                event = decoded(seq, row)
                if (
                    event is not None  # what is damaged cannot be taken out of the indexes
                    and self._partitions.of_seq(seq) is None
                    and (seq in replaced or not choice.keep(event))
                ):
                    found.append(seq)
            after_seq = rows[-1][0]
            yield Progress("looking through what was kept")
            if len(found) >= _KEPT_AT_ONCE:
                break
        return np.array(found, np.uint64), after_seq

    def _mark_kept(self, found: NDArray[np.uint64], marked: NDArray[np.bool_], view: View, ids: set[str]) -> None:
        """Mark those numbers that are of these sightings, unless they are replaced."""
        txn, replaced = view.txn(self._kept), view.replaced
        seqs = [seq for seq in newest_of(self._kept, txn, ids) if seq not in replaced]
        marked[places(found, np.array(seqs, np.uint64))] = True

    def _drop(self, seqs: list[int], choice: Choice, reason: str) -> Slices[None]:
        """Drop kept records, if nobody wants them meanwhile."""
        with self._kept.reading() as txn:
            dropped = [(seq, row) for seq in seqs if (row := self._kept.row_at(txn, seq)) is not None]
        going = yield from self._deletion.going_with(dropped)
        with self._choosing.view() as view:
            late, replaced = self._choosing.named_late(view, choice), view.replaced
        counts: Counter[str] = Counter()
        leaving: list[tuple[int, bytes]] = []
        for seq, row in dropped:
            event = decode_row(seq, row)
            if seq not in replaced and isinstance(event.record, Sighting) and event.record.id in late:
                going.spare(named([row]))
                continue
            counts[kind_of(event.record)] += 1
            leaving.append((seq, row))
        if not leaving:
            return
        doomed = going.of(picture for _, row in leaving for picture in pictures_of(row))
        sizes = [size for sha256 in doomed if (size := self._evidence.bytes_of(sha256)) is not None]
        entry = _counted(
            "kept",
            reason,
            counts,
            first_seq=leaving[0][0],
            last_seq=leaving[-1][0],
            pictures=len(sizes),
            picture_bytes=sum(sizes),
        )
        with self._root.writing() as txn:
            if self._choosing.holds(txn) != choice.holds:
                return  # they are looked at again the next time
            for seq, _ in leaving:
                self._forget(txn, seq)
            purge = self._journal.add(txn, entry)
        yield Progress("decided", purge)

    def _forget(self, txn: lmdb.Transaction[bytes], seq: int) -> None:
        """Drop a kept record, and have its pictures looked at."""
        row = self._kept.row_at(txn, seq)
        for sha256 in pictures_of(row) if row is not None else []:
            txn.put(bytes.fromhex(sha256), b"", db=self._root.doomed)
        if row is not None and decoded(seq, row) is not None:
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
        return _counted(
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


def _counted(what: What, reason: str, counts: Counter[str], **facts: Any) -> Purge:
    return Purge(
        what=what,
        reason=reason,
        sightings=counts["sighting"],
        hits=counts["hit"],
        gaps=counts["coverage"],
        kept=counts["kept"],
        damaged=counts["damaged"] or msgspec.UNSET,
        **facts,
    )
