"""Deleting pictures that nothing names any more, and the folders of partitions that were taken away, in slices.

A picture stays if any record of another partition, any kept one, or one that waits to be committed names it, or if it
was put since the looking began.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from anpr.errors import StoreError
from anpr.store.durable import delete_slowly
from anpr.store.environment import Environment
from anpr.store.evidence import EvidenceFolder
from anpr.store.faults import told_as_store_errors
from anpr.store.naming import Names, named_in, names, pictures_of, places, read_names, rows_in_slices
from anpr.store.partition import NO_NAME, Name, Partition
from anpr.store.partitions import GONE, Partitions
from anpr.store.purges import Purge
from anpr.store.root import MAP_SIZE_BYTES, Root
from anpr.store.salvage import DATA, whole_rows

ROWS_AT_ONCE = 300
"""Events in a slice."""

_PICTURES_AT_ONCE = 100
_LISTED_AT_ONCE = 1000
_DOOMED_AT_ONCE = 50_000
_LOOKING, _DELETING = "looking for pictures that others name", "deleting pictures"
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
        self.goes[places(self.names, others)] = False

    def of(self, pictures: Iterable[str]) -> list[str]:
        """Those of these that go."""
        listed = list(dict.fromkeys(pictures))
        prefixes = _prefixes(listed)
        at = places(self.names, prefixes)
        going = np.isin(prefixes, self.names[at[self.goes[at]]])
        return [listed[each] for each in np.flatnonzero(going).tolist()]

    def at(self, pictures: list[str]) -> NDArray[np.intp]:
        """Their places."""
        return np.searchsorted(self.names, _prefixes(pictures))


class Deletion:
    """Of a store that is open for writing."""

    def __init__(self, root: Root, kept: Partition, partitions: Partitions, evidence: EvidenceFolder) -> None:
        self._root = root
        self._kept = kept
        self._partitions = partitions
        self._evidence = evidence
        self.problems: tuple[StoreError, ...] = ()
        """Why what was taken away cannot be deleted, as it was when it was tried last."""

    @property
    def unfinished(self) -> bool:
        """Whether anything is to be deleted yet. Raises StoreError."""
        with self._root.reading() as txn:
            return bool(self._partitions.gone()) or txn.stat(self._root.doomed)["entries"] > 0

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

    def slices_of(self, partition: Partition) -> Iterator[list[bytes]]:
        """A partition's rows, as many at once as pictures are deleted in one slice. Raises StoreError."""
        for _, rows in rows_in_slices(partition, most=_PICTURES_AT_ONCE):
            yield [row for _, row in rows]

    def delete_named(self, rows: Iterable[bytes], going: Going) -> None:
        """Delete the pictures of rows that go; durable after `sync`. Raises StoreError."""
        self._delete((picture for row in rows for picture in pictures_of(row)), going)

    def sync(self) -> Slices[None]:
        """Make what was deleted durable. Raises StoreError."""
        for _ in self._evidence.sync():
            yield Progress(_DELETING)

    def delete_partition(self, gone: Path, going: Going | None = None) -> Slices[None]:
        """Delete the pictures that only it names, and then the folder of a partition that was taken away.

        `going` None: it was taken away in an earlier life. Raises StoreError.
        """
        if not self._partitions.is_emptied(gone):
            if going is not None:
                yield from self._delete_pictures(gone, going)
            elif gone.is_dir():
                yield from self._sweep(gone)
            gone = self._partitions.note_emptied(gone)
        with told_as_store_errors(gone):
            for _ in delete_slowly(gone):
                yield Progress("deleting a day")

    def finish(self) -> Slices[None]:
        """Delete what was decided and is still there; what cannot be is in `problems`. Raises StoreError."""
        problems: list[StoreError] = []
        for gone in self._partitions.gone():
            try:
                yield from self.delete_partition(gone)
            except StoreError as error:
                cure = "look at the disk, or remove it: the pictures that only it names stay in evidence/ then"
                problems.append(StoreError(f"was purged, and is not deleted: {error}", place=str(gone), cure=cure))
        self.problems = tuple(problems)
        yield from self._delete_doomed()

    def _delete_doomed(self) -> Slices[None]:
        while True:
            with self._root.reading() as txn, txn.cursor(self._root.doomed) as cursor:
                doomed = [key.hex() for key in islice(cursor.iternext(values=False), _DOOMED_AT_ONCE)]
            if not doomed:
                return
            going = self._begin()
            yield from self._name(going, names(doomed))
            for at in range(0, len(doomed), _PICTURES_AT_ONCE):
                self._delete(doomed[at : at + _PICTURES_AT_ONCE], going)
                yield Progress(_DELETING)
            yield from self.sync()
            with self._root.writing() as txn:
                for sha256 in doomed:
                    txn.delete(bytes.fromhex(sha256), db=self._root.doomed)

    def _delete_pictures(self, gone: Path, going: Going) -> Slices[None]:
        """Of a partition that was taken away just now."""
        name = Name.parse(gone.name.removeprefix(GONE)) or NO_NAME
        environment = Environment.open(gone, map_size_bytes=MAP_SIZE_BYTES, read_only=True, at_rest=True)
        try:
            partition = Partition(name, environment)
            for rows in self.slices_of(partition):
                self.delete_named(rows, going)
                yield Progress(_DELETING)
        finally:
            environment.close()
        yield from self.sync()

    def _sweep(self, gone: Path) -> Slices[None]:
        """Delete the pictures that only a partition has named which was taken away in an earlier life, by looking at
        all that are there: its file may be damaged, and is not opened here."""
        with told_as_store_errors(gone):
            noted = read_names(gone)
        if noted is None:
            noted = yield from _salvaged(gone)
        going = self._begin()
        yield from self._name(going, noted)
        for pictures in self._evidence.in_slices(most=_LISTED_AT_ONCE):
            self._delete(pictures, going)
            yield Progress(_DELETING)
        yield from self.sync()

    def _delete(self, pictures: Iterable[str], going: Going) -> None:
        self._spare_new(going)
        self._evidence.remove(going.of(pictures), put_before_ns=going.since_ns)

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


def _prefixes(pictures: list[str]) -> Names:
    return np.array([int(each[:16], 16) for each in pictures], np.uint64)


def _salvaged(gone: Path) -> Slices[Names]:
    """What the records in a folder name, if they can all be read. Raises StoreError."""
    parts = [names([])]
    rows = whole_rows(gone) if (gone / DATA).is_file() else iter(())
    while some := [row for _, row in islice(rows, ROWS_AT_ONCE)]:
        parts.append(named(some))
        yield Progress(_LOOKING)
    return np.unique(np.concatenate(parts))


def _told(slices: Generator[None, None, Names]) -> Slices[Names]:
    """The same, telling what is done."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            found: Names = end.value
            return found
        yield Progress(_LOOKING)
