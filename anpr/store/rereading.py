"""A day that an earlier life has written anew, read through before it takes the old one's place for good."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import lmdb

from anpr.errors import StoreError
from anpr.store.chain import link_head
from anpr.store.environment import Environment
from anpr.store.lock import damage_of
from anpr.store.partition import Name, Partition
from anpr.store.partitions import Partitions
from anpr.store.purges import Purge, is_genuine, told
from anpr.store.rewriting import lacking, leaves
from anpr.store.root import MAP_SIZE_BYTES
from anpr.store.tree import Tree


def flaw_of(partitions: Partitions, purge: Purge) -> str:
    """Why the day that a purge has decided may not take the old one's place; empty: it may, or has done so before."""
    name = Name.parse(purge.partition)
    places = partitions.unsettled(name) if name is not None else None
    if name is None or places is None:
        return ""
    old, new = places
    try:
        if not is_genuine(purge):
            return f"the signature of purge {purge.number} does not hold"
        if damage := damage_of(new):
            return damage
        with _opened(partitions, new, name) as rewritten:
            with _opened(partitions, old, name) as whole:
                if lacks := lacking(whole, rewritten):
                    return f"it lacks some {lacks}"
            return _flaw_in(rewritten, purge)
    except (StoreError, lmdb.Error, ValueError) as error:
        return str(error)


@contextmanager
def _opened(partitions: Partitions, folder: Path, name: Name) -> Iterator[Partition]:
    known = next((each for each in partitions.all if each.path == folder), None)
    if known is not None:
        yield known
        return
    with closing(Environment.open(folder, map_size_bytes=MAP_SIZE_BYTES, read_only=True, at_rest=True)) as environment:
        yield Partition(name, environment)


def _flaw_in(rewritten: Partition, purge: Purge) -> str:
    """Its rows by the purge's tree, or by the chain of evidence."""
    tree, without_plate = Tree(), set[int]()
    with rewritten.reading() as txn:
        for seq, leaf in leaves(rewritten, txn):
            tree.add(leaf)
            without_plate.add(seq)
        if purge.rewritten != (tree.size, tree.root.hex()):
            return "events without a plate are not as they were written"
        if rewritten.last_seq(txn) != purge.last_seq:
            return f"it does not end with event {purge.last_seq}"
        if rewritten.chain is None:
            return ""
        end = rewritten.chain.begins
        if told(end) != purge.chain_begin:
            return "it does not follow the chain before it"
        for seq, link, _ in rewritten.chain.links(txn, after_seq=0):
            end = end._replace(number=end.number + 1, head=link_head(end.head, end.number + 1, seq, link.row_sha256))
            if (link.number, link.head) != end:
                return f"the chain is broken at event {seq}"
            row = rewritten.row_at(txn, seq) or b""
            if seq not in without_plate and hashlib.sha256(row).digest() != link.row_sha256:
                return f"event {seq} is not the one that was signed"
    return "" if told(end) == purge.chain_end else "the chain does not end as it was"
