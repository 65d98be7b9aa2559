"""Deleting pictures that nothing names any more, and the folders of partitions that were taken away, in slices.

A picture stays if any record of another partition or any kept one names it, or if it was put since the looking began.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from anpr.store.durable import sync_folder
from anpr.store.environment import Environment
from anpr.store.evidence import EvidenceFolder
from anpr.store.faults import told_as_store_errors
from anpr.store.naming import Names, named_in, names, pictures_of, rows_in_slices
from anpr.store.partition import Name, Partition
from anpr.store.partitions import GONE, Partitions
from anpr.store.purges import Purge
from anpr.store.root import MAP_SIZE_BYTES, Root

ROWS_AT_ONCE = 300
"""Events in a slice."""

_PICTURES_AT_ONCE = 100
_LOOKING = "looking for pictures that others name"
T = TypeVar("T")


class Progress(NamedTuple):
    """A slice of work is done."""

    doing: str
    """For a person."""
    purge: Purge | None = None
    """Once it is decided."""


Slices = Generator[Progress, None, T]


@dataclass(slots=True)
class Going:
    """Pictures that some records name, and which of them nothing else does."""

    names: Names
    goes: NDArray[np.bool_]
    looked_to: int
    """Number of the newest event that was looked at."""
    since_ns: int
    """When the looking began, by the file system's clock."""

    def spare(self, others: Names) -> None:
        """These are named elsewhere."""
        at = np.searchsorted(self.names, others)
        inside = at < len(self.names)
        at = at[inside]
        self.goes[at[self.names[at] == others[inside]]] = False

    def of(self, pictures: Iterable[str]) -> list[str]:
        """Those of these that go."""
        listed = list(dict.fromkeys(pictures))
        return [each for each, goes in zip(listed, self.goes[self.at(listed)].tolist()) if goes]

    def at(self, pictures: list[str]) -> NDArray[np.intp]:
        """Their places."""
        return np.searchsorted(self.names, np.array([int(each[:16], 16) for each in pictures], np.uint64))


class Deletion:
    """Of a store that is open for writing."""

    def __init__(self, root: Root, kept: Partition, partitions: Partitions, evidence: EvidenceFolder) -> None:
        self._root = root
        self._kept = kept
        self._partitions = partitions
        self._evidence = evidence

    def going(self, partition: Partition) -> Slices[Going]:
        """The pictures of a partition that nothing else names. Raises StoreError."""
        going = self._begin()
        yield from self._name(going, (yield from _told(named_in(partition))), but=partition)
        return going

    def going_with(self, rows: list[tuple[int, bytes]]) -> Slices[Going]:
        """The pictures of kept rows, each with its number, that nothing else names. Raises StoreError."""
        going = self._begin()
        yield from self._name(going, named(row for _, row in rows), without=frozenset(seq for seq, _ in rows))
        return going

    def measure(self, partition: Partition, going: Going) -> Slices[tuple[int, int]]:
        """How many of a partition's pictures go, and their bytes. Raises StoreError."""
        counted = ~going.goes
        count = size = 0
        for _, rows in rows_in_slices(partition, most=ROWS_AT_ONCE):
            pictures = going.of(picture for _, row in rows for picture in pictures_of(row))
            at = going.at(pictures)
            new = [picture for picture, known in zip(pictures, counted[at].tolist()) if not known]
            counted[at] = True
            lengths = [length for picture in new if (length := self._evidence.bytes_of(picture)) is not None]
            count, size = count + len(lengths), size + sum(lengths)
            yield Progress("counting pictures")
        return count, size

    def delete_pictures(self, partition: Partition, going: Going) -> Slices[None]:
        """Delete those of a partition's pictures that go, durably. Raises StoreError."""
        for _, rows in rows_in_slices(partition, most=_PICTURES_AT_ONCE):
            self._spare_new(going)
            pictures = going.of(picture for _, row in rows for picture in pictures_of(row))
            self._evidence.remove(pictures, put_before_ns=going.since_ns)
            yield Progress("deleting pictures")
        for _ in self._evidence.sync():
            yield Progress("deleting pictures")

    def delete_partition(self, gone: Path, going: Going | None = None) -> Slices[None]:
        """Delete the pictures that only it names, and a folder that was taken away. Raises StoreError."""
        name = Name.parse(gone.name.removeprefix(GONE))
        if name is not None and (gone / "data.mdb").is_file():
            environment = Environment.open(gone, map_size_bytes=MAP_SIZE_BYTES, read_only=True, at_rest=True)
            try:
                partition = Partition(name, environment)
                partition.sealed = True
                if going is None:
                    going = yield from self.going(partition)
                yield from self.delete_pictures(partition, going)
            finally:
                environment.close()
        with told_as_store_errors(gone):
            shutil.rmtree(gone)
            sync_folder(gone.parent)

    def finish(self) -> Slices[None]:
        """Delete what was decided and is still there. Raises StoreError."""
        for gone in self._partitions.gone():
            yield from self.delete_partition(gone)
        with self._root.reading() as txn, txn.cursor(self._root.doomed) as cursor:
            doomed = [key.hex() for key in cursor.iternext(values=False)]
        if not doomed:
            return
        going = self._begin()
        yield from self._name(going, names(doomed))
        self._spare_new(going)
        self._evidence.remove(going.of(doomed), put_before_ns=going.since_ns)
        for _ in self._evidence.sync():
            yield Progress("deleting pictures")
        with self._root.writing() as txn:
            for sha256 in doomed:
                txn.delete(bytes.fromhex(sha256), db=self._root.doomed)

    def _begin(self) -> Going:
        none = names([])
        return Going(none, np.ones(0, np.bool_), self._partitions.last_seq, self._evidence.now_ns())

    def _name(
        self, going: Going, pictures: Names, *, but: Partition | None = None, without: frozenset[int] = frozenset()
    ) -> Slices[None]:
        """Let these go, if neither a partition `but` one nor a kept record `without` some names them."""
        going.names, going.goes = pictures, np.ones(len(pictures), np.bool_)
        for other in self._partitions.all:
            if other is not but:
                going.spare((yield from _told(named_in(other))))
        for _, kept in rows_in_slices(self._kept, most=10 * ROWS_AT_ONCE):
            going.spare(named(row for seq, row in kept if seq not in without))
            yield Progress(_LOOKING)

    def _spare_new(self, going: Going) -> None:
        """A new record may name an old picture, if the camera saw exactly the same again."""
        for partition in self._partitions.after(going.looked_to):
            with partition.reading() as txn:
                rows = list(partition.rows(txn, after_seq=going.looked_to))
            if rows:
                going.spare(named(row for _, row in rows))
                going.looked_to = rows[-1][0]


def named(rows: Iterable[bytes]) -> Names:
    """What rows name."""
    return names([picture for row in rows for picture in pictures_of(row)])


def _told(slices: Generator[None, None, Names]) -> Slices[Names]:
    """The same, telling what is done."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            found: Names = end.value
            return found
        yield Progress(_LOOKING)
