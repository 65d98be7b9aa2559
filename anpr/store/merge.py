"""What all partitions say together, in order of time.

Partitions follow each other in numbers, not in time: a passage may come late, and the clock may go back.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

import lmdb

from anpr.store.keys import unpack_seq
from anpr.store.partition import Partition
from anpr.store.partitions import View


class Entry(NamedTuple):
    """Of an index whose values are numbers of events."""

    key: bytes
    seq: int
    shelf: Partition
    """That has the event."""


def onwards(view: View, table: str, first_key: bytes) -> Iterator[Entry]:
    """What all shelves have in an index from a key on, in order, without what was replaced elsewhere.

    Raises StoreError if one is so old that it has no such index.
    """
    return _merged(view, list(view.shelves), table, first_key, backwards=False)


def backwards(view: View, table: str, end: bytes) -> Iterator[Entry]:
    """What those shelves that have such an index have in it before a key, falling, without what was replaced."""
    return _merged(view, [shelf for shelf in view.shelves if shelf.has(table)], table, end, backwards=True)


def _merged(view: View, shelves: list[Partition], table: str, key: bytes, *, backwards: bool) -> Iterator[Entry]:
    each = [_entries(view, shelf, shelf.table(table), key, backwards=backwards) for shelf in shelves]
    return heapq.merge(*each, key=itemgetter(0, 1), reverse=backwards)


def _entries(view: View, shelf: Partition, index: lmdb._Database, key: bytes, *, backwards: bool) -> Iterator[Entry]:
    hidden = view.hidden(shelf)
    with view.txn(shelf).cursor(index) as cursor:
        if backwards:
            there = cursor.prev() if cursor.set_range(key) else cursor.last()
            items = cursor.iterprev() if there else iter(())
        else:
            items = cursor.iternext() if cursor.set_range(key) else iter(())
        for at, value in items:
            seq = unpack_seq(value)
            if hidden is None or not hidden(seq):
                yield Entry(at, seq, shelf)
