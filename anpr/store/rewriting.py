"""Pseudonyms in the place of plates: a day that is written to no more is written anew, and takes the old one's place.

Nothing is changed within a file: LMDB keeps what was deleted in pages that it has not used again, and readers map them.
So a new file is made, into which no plate is ever written, beside the old one:

    1  .new-<name>.1      all events of the day and their indexes: of each sighting that need not stay as it is, in all
                          its revisions, the plate gives way to its pseudonym, and what else tells the plate is left
                          out: what was read, its alternatives and its lattice, the SHA-256 of its pictures
    2  .ready-<name>.1    it is whole and on disk
    3  one commit: that it takes the place of the old, signed, bound to the purge before; with the hash of a tree over
       all its events without a plate, as they are now
    4  <name>.1           it is the partition; of two with the same first number, the higher version counts
    5  .gone-<name>       the old one; the pictures that nothing names any more are deleted, then the folder

A crash before the third leaves all as it was, and from then on the next start finishes it, if what it reads there is
what was decided: else the old one stays, and it is done anew. But if anything is held
between the third and the fourth, it is forgotten and done anew: whoever held it was told that it is there. A name of
its own keeps searches that have the old file open from leaving columns of it in the new folder.

What stays as it is: what a legal hold covers, and every passage that a hit names, also a withdrawn one: it was told to
somebody, and must be proved as long as hits are kept. Province, kind and colour stay: thousands share them.

The chain of evidence goes on: a link still holds the hash of the row that was signed, and who kept a copy of that can
prove it. That the row is another one now is proved by the tree, whose hash the signed purge holds. The hash of a row
with pictures does not lead back to the plate by trial, for the row held the SHA-256 of pictures that are gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import lmdb
import msgspec

from anpr.errors import StoreError
from anpr.plates.pseudonym import Pseudonyms
from anpr.records import Event, Sighting
from anpr.store.batch import Batch
from anpr.store.choosing import decoded
from anpr.store.deleting import Progress, Slices
from anpr.store.keys import pack_seq, unpack_seq
from anpr.store.naming import rows_in_slices
from anpr.store.partition import Partition, id_key
from anpr.store.rows import encode_row, is_hit
from anpr.store.tree import NO_HASH, Tree, leaf_of

_ROWS_AT_ONCE = 50
"""Events in a slice: they are written and synced."""
_COPIED = ("events", "links", "seals", "superseded")
"""Tables that have as many entries as before."""


@dataclass(slots=True)
class Rewritten:
    """What has become of a partition's events."""

    counts: Counter[str] = field(default_factory=Counter)
    """`sighting`: revisions that have lost their plate now; `kept`: that have not; `damaged`: rows that could not be
    read, are not of hits, and are empty now."""
    tree: Tree = field(default_factory=Tree)
    """Over all that are without a plate."""


def without_plate(sighting: Sighting, pseudonyms: Pseudonyms) -> Sighting:
    """The same passage, of a vehicle whose plate cannot be told any more."""
    text = pseudonyms.of(sighting.text)
    return msgspec.structs.replace(sighting, text=text, raw="", display=text, alternatives=(), lattice=(), evidence=())


Stays = Callable[[Event], bool]


def rewrite(old: Partition, new: Partition, *, stays: Stays, pseudonyms: Pseudonyms) -> Slices[Rewritten]:
    """Write all of `old`, which is written to no more, to `new`, which is empty; without plates where a sighting does
    not stay. Raises StoreError."""
    done = Rewritten()
    for reading, rows in rows_in_slices(old, most=_ROWS_AT_ONCE):
        with new.writing() as txn:
            batch = Batch(new, txn)
            for seq, row in rows:
                if old.chain is not None and new.chain is not None:
                    new.chain.copy_from(old.chain, reading, txn, seq)
                event, is_without = decoded(seq, row), is_rewritten(old, reading, seq)
                if event is None:
                    if not is_hit(row) and not is_without:
                        row, is_without = b"", True  # nobody can tell what it held
                        done.counts["damaged"] += 1
                    batch.write()
                    batch = Batch(new, txn)
                    txn.put(pack_seq(seq), row, append=True, db=new.events)
                elif isinstance(event.record, Sighting) and not is_without:
                    is_without = not stays(event)
                    done.counts["sighting" if is_without else "kept"] += 1
                    if is_without:
                        event = msgspec.structs.replace(event, record=without_plate(event.record, pseudonyms))
                        row = encode_row(event)
                if is_without:
                    _note(new, txn, seq, row, done)
                if event is not None:
                    key = id_key(event.record)
                    batch.add(event, row, key=key, before=new.newest(txn, key))
            batch.write()
        yield Progress("writing without plates")
    yield from _copy_superseded(old, new)
    if lacks := lacking(old, new):
        raise StoreError(f"the copy lacks some {lacks}", place=str(new.path), cure="it is tried again")
    return done


def lacking(old: Partition, new: Partition) -> str:
    """The table of a rewritten partition that has not as many entries as before; empty: none. Raises StoreError."""
    before, after = old.environment.entries(), new.environment.entries()
    return next((name for name in _COPIED if before.get(name.encode()) != after.get(name.encode())), "")


def _note(new: Partition, txn: lmdb.Transaction[bytes], seq: int, row: bytes, done: Rewritten) -> None:
    txn.put(pack_seq(seq), b"", append=True, db=new.table("pseudonyms"))
    done.tree.add(leaf_of(seq, signed_sha256(new, txn, seq), row))


def _copy_superseded(old: Partition, new: Partition) -> Slices[None]:
    if not old.has("superseded"):
        return
    with old.reading() as reading, reading.cursor(old.table("superseded")) as cursor:
        entries = list(cursor.iternext())
    for at in range(0, len(entries), _ROWS_AT_ONCE):
        with new.writing() as txn:
            for key, value in entries[at : at + _ROWS_AT_ONCE]:
                txn.put(key, value, append=True, db=new.table("superseded"))
        yield Progress("writing without plates")


def is_rewritten(partition: Partition, txn: lmdb.Transaction[bytes], seq: int) -> bool:
    """Whether an event of a partition is without its plate."""
    return partition.has("pseudonyms") and txn.get(pack_seq(seq), db=partition.table("pseudonyms")) is not None


def signed_sha256(partition: Partition, txn: lmdb.Transaction[bytes], seq: int) -> bytes:
    """Of an event's row as it was signed; NO_HASH: it was not."""
    link = partition.chain.link(txn, seq) if partition.chain is not None else None
    return NO_HASH if link is None else link.row_sha256


def leaves(partition: Partition, txn: lmdb.Transaction[bytes]) -> Iterator[tuple[int, bytes]]:
    """(number, leaf of the tree) of the events of a partition that are without their plate, in order."""
    if not partition.has("pseudonyms"):
        return
    with txn.cursor(partition.table("pseudonyms")) as cursor:
        for seq in map(unpack_seq, cursor.iternext(values=False)):
            yield seq, leaf_of(seq, signed_sha256(partition, txn, seq), partition.row_at(txn, seq) or b"")
