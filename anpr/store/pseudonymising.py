"""Having a day's plates give way to pseudonyms: which, when it is decided, and what is left of it to be done.

See rewriting.py for the order in which it goes. Each step is a slice of some milliseconds, so that a hub commits in
between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lmdb
import msgspec
import structlog

from anpr.errors import StoreError
from anpr.plates.pseudonym import Pseudonyms
from anpr.records import Event, Sighting
from anpr.store.chain import NO_END
from anpr.store.choosing import Choice, Choose, Choosing, decoded, newest_of
from anpr.store.deleting import ROWS_AT_ONCE, Deletion, Going, Progress, Slices, named
from anpr.store.evidence import EvidenceFolder
from anpr.store.naming import rows_in_slices
from anpr.store.partition import Partition, id_key
from anpr.store.partitions import Partitions, View
from anpr.store.purges import Journal, Purge, newest_of_partitions, rewritings, told
from anpr.store.rereading import flaw_of
from anpr.store.rewriting import Rewritten, is_rewritten, rewrite
from anpr.store.root import Root
from anpr.store.rows import is_hit

_DECIDED_BY = b"rewriting_decided_by"
"""The holds by which it was decided last."""


@dataclass(slots=True)
class _Chosen:
    """What of a partition keeps its plate."""

    by: Choice
    ids: set[str] = field(default_factory=set)
    """Of the partition's sightings that stay: each in all its revisions, or one would tell the plate of the other."""

    def stays(self, event: Event | None) -> bool:
        """Whether a record stays as it is."""
        if event is None:
            return False
        return event.record.id in self.ids if isinstance(event.record, Sighting) else True


class Pseudonymising:
    """Of a store that is open for writing; the store makes it."""

    def __init__(self, root: Root, partitions: Partitions, evidence: EvidenceFolder, journal: Journal) -> None:
        assert root.kept is not None
        self._root = root
        self._partitions = partitions
        self._choosing = Choosing(root, partitions)
        self._deletion = Deletion(root, root.kept, partitions, evidence)
        self._journal = journal

    def finish(self, *, of_earlier_life: bool = False) -> None:
        """Have what was decided take its place; forget what was not, or by other holds than there are. What is
        `of_earlier_life` is read through first: if it is not what was decided, it is forgotten, too. Raises
        StoreError."""
        if not self._partitions.are_unsettled:
            return
        gone = newest_of_partitions(self._root)
        after_seq = gone.last_seq if gone is not None else 0
        decided = {purge.partition: purge for purge in rewritings(self._root).values() if purge.first_seq > after_seq}
        flaws = {name: flaw_of(self._partitions, purge) for name, purge in decided.items() if of_earlier_life}
        flawed = [name for name, flaw in flaws.items() if flaw]
        for name in flawed:
            structlog.get_logger().error("rewritten_day_refused", day=name, problem=flaws[name])
        with self._root.writing() as txn:
            if txn.pop(_DECIDED_BY, db=self._root.meta) != self._choosing.holds(txn):
                decided.clear()  # what was held since is still there
            self._partitions.finish_replacing(decided, flawed)

    def pseudonymise(
        self, partition: Partition, *, choose: Choose, reason: str, pseudonyms: Pseudonyms
    ) -> Iterator[Progress]:
        """See Store.pseudonymise."""
        if not partition.sealed or partition not in self._partitions.all:
            raise StoreError(f"{partition.name} is still written to", place=str(partition.path), cure="wait for a day")
        return self._pseudonymise(partition, choose, reason, pseudonyms)

    def _pseudonymise(self, old: Partition, choose: Choose, reason: str, pseudonyms: Pseudonyms) -> Slices[None]:
        purge: Purge | None = None
        gone: Path | None = None
        while purge is None or gone is None:
            self.finish()
            if old not in self._partitions.all:
                return  # it was decided before
            chosen = yield from self._choose(old, choose)
            if chosen is None:
                return  # nothing has a plate that need not
            new = self._partitions.begin_rewriting(old)
            try:
                done = yield from rewrite(old, new, stays=chosen.stays, pseudonyms=pseudonyms)
                if not (done.counts["sighting"] or done.counts["damaged"] or self._is_promised(old)):
                    self._partitions.forget_rewriting(new)
                    return
                going = yield from self._going(old, chosen)
                pictures, picture_bytes = yield from self._deletion.measure(old, going)
                entry = self._entry(old, new, done, reason, pseudonyms)
                entry = msgspec.structs.replace(entry, pictures=pictures, picture_bytes=picture_bytes)
                ready = self._partitions.note_rewritten(new)
            except BaseException:
                self._partitions.forget_rewriting(new)
                raise
            purge = self._decide(old, chosen, entry)
            gone = self._replace(old, ready, chosen) if purge is not None else None
        yield Progress("decided", purge)
        yield from self._deletion.delete_partition(gone, going)
        yield Progress("done", purge)

    def _choose(self, old: Partition, choose: Choose) -> Slices[_Chosen | None]:
        """What keeps its plate, by the holds of now; None if nothing else has one."""
        chosen = _Chosen(self._choosing.begin(choose))

        def take(view: View, ids: set[str]) -> None:
            chosen.ids |= _known(old, view.txn(old), ids)

        yield from self._choosing.walk_hits(chosen.by, take)
        anything = False
        for txn, rows in rows_in_slices(old, most=ROWS_AT_ONCE):
            with self._choosing.view() as view:
                for seq, row in rows:
                    event = decoded(seq, row)
                    chosen.ids |= _known(old, txn, chosen.by.named(event))
                    if is_rewritten(old, txn, seq):
                        continue
                    if event is None:
                        anything = anything or not is_hit(row)
                    elif isinstance(event.record, Sighting):
                        if self._is_held(view, old, chosen.by, event):
                            chosen.ids.add(event.record.id)
                        anything = anything or event.record.id not in chosen.ids
            yield Progress("looking for what must stay")
        return chosen if anything or self._is_promised(old) else None

    def _is_promised(self, old: Partition) -> bool:
        """Whether the journal tells of a version that was forgotten, because something was held after all."""
        purge = rewritings(self._root).get(old.first_seq)
        return purge is not None and purge.partition != str(old.name)

    def _is_held(self, view: View, old: Partition, choice: Choice, event: Event) -> bool:
        """Whether a sighting stays by itself, in this revision or the newest that there is elsewhere."""
        if choice.keep(event):
            return True
        hidden = view.hidden(old)
        place = view.find(id_key(event.record)) if hidden is not None and hidden(event.seq) else None
        if place is None:
            return False
        row = place.shelf.row_at(view.txn(place.shelf), place.newest.seq)
        return row is not None and choice.keeps(decoded(place.newest.seq, row))

    def _going(self, old: Partition, chosen: _Chosen) -> Slices[Going]:
        """The pictures that nothing names once the partition is rewritten."""
        going = yield from self._deletion.going(old)
        for _, rows in rows_in_slices(old, most=ROWS_AT_ONCE):
            going.spare(named(row for seq, row in rows if is_hit(row) or chosen.stays(decoded(seq, row))))
            yield Progress("looking for pictures that must stay")
        return going

    def _decide(self, old: Partition, chosen: _Chosen, entry: Purge) -> Purge | None:
        """Commit that it goes; None if something is held, or a hit names something, since it was chosen."""
        with self._choosing.view() as view:
            late = self._choosing.named_late(view, chosen.by)
            if _known(old, view.txn(old), late) - chosen.ids:
                return None
        with self._root.writing() as txn:
            if self._choosing.holds(txn) != chosen.by.holds:
                return None
            txn.put(_DECIDED_BY, chosen.by.holds, db=self._root.meta)
            return self._journal.add(txn, entry)

    def _replace(self, old: Partition, ready: Path, chosen: _Chosen) -> Path | None:
        """Put it in its place; where the old one is now, None if something is held since it was decided."""
        with self._root.writing() as txn:
            if self._choosing.holds(txn) != chosen.by.holds:
                return None
            return self._partitions.replace(old, ready)

    def _entry(self, old: Partition, new: Partition, done: Rewritten, reason: str, pseudonyms: Pseudonyms) -> Purge:
        with old.reading() as txn:
            last_seq, end = old.last_seq(txn), old.chain.end(txn) if old.chain else NO_END
        return Purge(
            what="plates",
            reason=reason,
            partition=str(new.name),
            first_seq=old.first_seq,
            last_seq=last_seq,
            sightings=done.counts["sighting"],
            kept=done.counts["kept"],
            damaged=done.counts["damaged"] or msgspec.UNSET,
            chain_begin=told(old.chain.begins if old.chain else NO_END),
            chain_end=told(end),
            rewritten=(done.tree.size, done.tree.root.hex()),
            pseudonym_key=pseudonyms.fingerprint,
        )


def _known(partition: Partition, txn: lmdb.Transaction[bytes], ids: Iterable[str]) -> set[str]:
    """Those of these sightings that a partition has."""
    return {each for each in ids if any(newest_of(partition, txn, (each,)))}
