"""The days of a store, oldest first: `days/<day>.<first number>/data.mdb`, see partition.py.

A partition holds a range of numbers without holes, and the ranges follow each other. Only the newest is written to.
When one begins rolling.py says; also after a clock went back: numbers order them, not days. What is in `days/` under
such a name is part of the store, and nothing else: a new one is made under another name and renamed, one that goes is
renamed away before it is deleted. One that is rewritten gets a name of its own.
"""

from __future__ import annotations

import shutil
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from datetime import date
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import lmdb

from anpr.errors import StoreError
from anpr.store.chain import NO_END, End
from anpr.store.durable import sync_folder
from anpr.store.environment import Environment
from anpr.store.faults import told_as_store_errors
from anpr.store.partition import Name, Newest, Partition
from anpr.store.root import Root

DAYS = "days"
REVISED_WITHIN = 3
"""Partitions, newest first, in which the revision before of a sighting is looked for."""

GONE = ".gone-"
"""Begins the name of a partition that was taken away."""
_EMPTIED = ".emptied-"
"""And then, once its pictures are deleted."""
_NEW = ".new-"
_READY = ".ready-"
"""Begins the name of a rewritten partition that is whole, and is not in its place yet."""
_TICK_SECONDS = 0.1
"""Longer than a file system may take to date a second change of a folder differently."""
_TRIES = 10


class Partitions:
    """Of an open store."""

    def __init__(self, root: Root, *, read_only: bool, map_size_bytes: int) -> None:
        """Raises StoreError."""
        self.path = root.path / DAYS
        self.kept = root.kept
        self.all: tuple[Partition, ...] = ()
        """Oldest first."""
        self._first_seqs: list[int] = []
        self._read_only = read_only
        self._watched = read_only and root.old is None
        self._map_size_bytes = map_size_bytes
        self._seen: tuple[int, int] | None = None
        self._settled_seconds = 0.0
        if root.old is not None:
            self._take((root.old,))
            return
        if not read_only:
            with told_as_store_errors(self.path):
                if not self.path.is_dir():
                    self.path.mkdir(mode=0o770)
                    sync_folder(root.path)
                for half in self.path.glob(f"{_NEW}*"):
                    shutil.rmtree(half, ignore_errors=True)
            self._scan()
        with told_as_store_errors(self.path):
            self.refresh()

    def __repr__(self) -> str:
        return f"Partitions({len(self.all)} in {str(self.path)!r})"

    def close(self) -> None:
        """Close their files. Closing twice does no harm."""
        for partition in self.all:
            partition.environment.close()

    @property
    def newest(self) -> Partition | None:
        """The one that is written to; None if nothing was ever stored."""
        return self.all[-1] if self.all else None

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0 if there is none. Raises StoreError."""
        newest = self.newest
        if newest is None:
            return 0
        with newest.reading() as txn:
            return newest.last_seq(txn)

    def of_seq(self, seq: int) -> Partition | None:
        """The partition in whose range a number lies; None if it is older than all."""
        at = bisect_right(self._first_seqs, seq)
        return self.all[at - 1] if at else None

    def after(self, seq: int) -> tuple[Partition, ...]:
        """The partitions that may hold events after a number, oldest first."""
        return self.all[max(0, bisect_right(self._first_seqs, seq + 1) - 1) :]

    def view(self) -> View:
        """All of it at this moment, for reading. Raises StoreError, lmdb.Error, OSError."""
        self.refresh()
        return View(self)

    def refresh(self) -> None:
        """Look whether another process has begun a partition or taken one away. Raises StoreError, OSError."""
        if not self._watched:
            return
        facts, now = self.path.stat(), time.monotonic()
        seen = (facts.st_mtime_ns, facts.st_nlink)
        if seen != self._seen:
            self._seen, self._settled_seconds = seen, now + _TICK_SECONDS
        elif self._settled_seconds == 0.0:
            return
        if now >= self._settled_seconds:
            self._settled_seconds = 0.0  # had it changed again since it was first seen so, it would be dated later
        self._scan()

    def hold_still(self) -> None:
        """Look no more what another process does: what is open stays open, also what that takes away."""
        self._watched = False

    def begin(self, day: date, first_seq: int, *, chain: End) -> Partition:
        """Begin a new partition; it is on disk when this returns. An empty newest one becomes it, whatever its day.

        Raises StoreError; then it can be tried again.
        """
        name = Name(day, first_seq)
        target, half = self.path / str(name), self.path / f"{_NEW}{name}"
        if self.newest is not None and self.newest.first_seq == first_seq:
            self.newest.environment.close()
            self._take(self.all[:-1])
        if self.newest is not None:
            # Whatever fails from here on, the new folder may be on disk: its numbers are given nowhere else.
            self.newest.sealed = True
        with told_as_store_errors(self.path):
            empty = next((each for each in self._folders() if _first_seq(each) == first_seq), None)
            if empty is None:
                shutil.rmtree(half, ignore_errors=True)
                make(half, name, chain=chain, map_size_bytes=self._map_size_bytes).environment.close()
                half.rename(target)
            elif empty != target:
                empty.rename(target)
            sync_folder(self.path)
        self._take((*self.all, self._open(name, newest=True)))
        return self.all[-1]

    def reopen_newest(self) -> None:
        """Open the file of the newest partition anew, if it is stuck (see environment.py). Raises StoreError."""
        stuck = self.newest
        if stuck is None or not stuck.environment.stuck:
            return
        stuck.environment.close()
        with told_as_store_errors(stuck.path):
            opened = self._open(stuck.name, newest=True)
        opened.sealed = stuck.sealed
        self._take((*self.all[:-1], opened))

    def take_away(self, partition: Partition) -> Path:
        """Rename a partition's folder, so that it is none any more, durably; where it is now. Raises StoreError."""
        gone = self.path / f"{GONE}{partition.name}"
        with told_as_store_errors(self.path):
            partition.path.rename(gone)
            partition.environment.close()
            self._take(tuple(each for each in self.all if each is not partition))
            sync_folder(self.path)  # if this fails, it is gone all the same
        return gone

    def let_go(self, folder: Path) -> None:
        """Have the folder of a day that is set aside deleted like one that was taken away. Raises StoreError."""
        with told_as_store_errors(self.path):
            folder.rename(self.path / f"{GONE}{folder.name}")
            sync_folder(self.path)
            sync_folder(folder.parent)

    def gone(self) -> tuple[Path, ...]:
        """Folders of partitions that were taken away and are not deleted yet. Raises StoreError."""
        with told_as_store_errors(self.path):
            return tuple(sorted((*self.path.glob(f"{_EMPTIED}*"), *self.path.glob(f"{GONE}*"))))

    def is_emptied(self, gone: Path) -> bool:
        """Whether the pictures of one of them are deleted already."""
        return gone.name.startswith(_EMPTIED)

    def note_emptied(self, gone: Path) -> Path:
        """Note durably that its pictures are deleted; where it is now. Raises StoreError."""
        emptied = self.path / f"{_EMPTIED}{gone.name.removeprefix(GONE)}"
        with told_as_store_errors(self.path):
            gone.rename(emptied)
            sync_folder(self.path)
        return emptied

    # Rewriting

    def begin_rewriting(self, partition: Partition) -> Partition:
        """An empty partition, open for writing, that may take the place of one that is written to no more.

        Raises StoreError.
        """
        name = partition.name._replace(version=partition.name.version + 1)
        half, begins = self.path / f"{_NEW}{name}", partition.chain.begins if partition.chain else NO_END
        with told_as_store_errors(self.path):
            shutil.rmtree(half, ignore_errors=True)
            if shutil.disk_usage(self.path).free < (needed := 2 * partition.disk_bytes):
                cure = f"free {(needed >> 20) + 1} MiB"
                raise StoreError("the disk has no room to write a day anew", place=str(partition.path), cure=cure)
            make(half, name, chain=begins, map_size_bytes=self._map_size_bytes).environment.close()
            return Partition(name, Environment.open(half, map_size_bytes=self._map_size_bytes))

    def note_rewritten(self, rewritten: Partition) -> Path:
        """Close one that is whole, and note that durably; where it is now. Raises StoreError."""
        ready = self.path / f"{_READY}{rewritten.name}"
        rewritten.environment.close()
        with told_as_store_errors(self.path):
            sync_folder(rewritten.path)
            rewritten.path.rename(ready)
            sync_folder(self.path)
        return ready

    def forget_rewriting(self, rewritten: Partition) -> None:
        """Close one that is not to be, and delete it."""
        rewritten.environment.close()
        shutil.rmtree(rewritten.path, ignore_errors=True)

    def replace(self, partition: Partition, ready: Path) -> Path:
        """Put a rewritten partition in its place, durably; where the old one is now. Raises StoreError."""
        with told_as_store_errors(self.path):
            target = ready.rename(self.path / ready.name.removeprefix(_READY))
            sync_folder(self.path)
            name = Name.parse(target.name)
            assert name is not None
            opened = self._open(name, newest=False)
            gone = partition.path.rename(self.path / f"{GONE}{partition.name}")
            partition.environment.close()
            self._take(tuple(opened if each is partition else each for each in self.all))
            sync_folder(self.path)
        return gone

    @property
    def are_unsettled(self) -> bool:
        """Whether a crash has left something for `finish_replacing`. Raises StoreError."""
        folders = self._folders()
        days = sum(Name.parse(each.name) is not None for each in folders)
        return days != len(self._names()) or any(each.name.startswith(_READY) for each in folders)

    def is_there(self, name: str) -> bool:
        """Whether a rewritten partition of this name is in its place, or will be with the next start."""
        return (self.path / name).is_dir() or (self.path / f"{_READY}{name}").is_dir()

    def unsettled(self, name: Name) -> tuple[Path, Path] | None:
        """Folders of the old and of the rewritten partition of this name, which waits, or is in its place already
        beside the old; None: neither. Raises StoreError."""
        old = self.path / str(name._replace(version=name.version - 1))
        with told_as_store_errors(self.path):
            for new in (self.path / f"{_READY}{name}", self.path / str(name)):
                if old.is_dir() and new.is_dir():
                    return old, new
        return None

    def finish_replacing(self, decided: Collection[str], flawed: Collection[str] = ()) -> None:
        """After a crash: put rewritten partitions of these names in their places, but for `flawed` ones, delete others.

        Raises StoreError.
        """
        with told_as_store_errors(self.path):
            for name in flawed:
                if (self.path / name).is_dir():
                    (self.path / name).rename(self.path / f"{_READY}{name}")
            for ready in self.path.glob(f"{_READY}*"):
                if (name := ready.name.removeprefix(_READY)) in decided and name not in flawed:
                    ready.rename(self.path / name)
                else:
                    shutil.rmtree(ready)
            sync_folder(self.path)
            present = {str(name) for name in self._names()}
            for folder in self._folders():
                if Name.parse(folder.name) is not None and folder.name not in present:
                    folder.rename(self.path / f"{GONE}{folder.name}")
            self._scan()
            sync_folder(self.path)

    def _scan(self) -> None:
        for _ in range(_TRIES):
            there = self._folders()
            try:
                found = self._look()
            except StoreError:
                if all(path.is_dir() for path in there):
                    raise
                continue  # one was taken away while we looked
            left = [each for each in self.all if each not in found]
            self._take(found)
            for partition in left:
                partition.environment.close()
            return
        raise StoreError("partitions come and go", place=str(self.path), cure="try again")

    def _folders(self) -> list[Path]:
        with told_as_store_errors(self.path):
            return list(self.path.iterdir())

    def _look(self) -> tuple[Partition, ...]:
        known = {each.name: each for each in self.all}
        names = self._names()
        return tuple(known.get(name) or self._open(name, newest=name is names[-1]) for name in names)

    def _names(self) -> list[Name]:
        """Of the partitions that are there, oldest first; of one that is being replaced, the new."""
        names = filter(None, (Name.parse(each.name) for each in self._folders()))
        return list({name.first_seq: name for name in sorted(names, key=itemgetter(1, 2))}.values())

    def _open(self, name: Name, *, newest: bool) -> Partition:
        environment = Environment.open(
            self.path / str(name),
            map_size_bytes=self._map_size_bytes,
            read_only=self._read_only or not newest,
            at_rest=not newest,
        )
        try:
            return Partition(name, environment)
        except BaseException:
            environment.close()
            raise

    def _take(self, partitions: tuple[Partition, ...]) -> None:
        self.all = partitions
        self._first_seqs = [each.first_seq for each in partitions]
        for partition in partitions[:-1]:
            partition.sealed = True


def _first_seq(folder: Path) -> int | None:
    name = Name.parse(folder.name)
    return None if name is None else name.first_seq


def folders_of(path: Path) -> tuple[Path, ...]:
    """The folders with a file of events: the store itself, then its partitions, oldest first. Raises OSError."""
    days = path / DAYS
    listed = days.iterdir() if days.is_dir() else ()
    named = [(name.first_seq, each) for each in listed if (name := Name.parse(each.name)) is not None]
    return (path, *(folder for _, folder in sorted(named)))


class Place(NamedTuple):
    """Where a record's newest revision is."""

    shelf: Partition
    newest: Newest


class View:
    """A store's shelves at one moment: its partitions and what is kept of those that are gone.

    The newest partition's transaction begins first, the others when they are asked for: they do not change.
    """

    def __init__(self, partitions: Partitions, writing: lmdb.Transaction[bytes] | None = None) -> None:
        """`writing` is the newest partition's own transaction, if it is being written to."""
        self._partitions = partitions
        self._kept = partitions.kept
        self.partitions = partitions.all
        """Oldest first."""
        self._transactions: dict[Partition, lmdb.Transaction[bytes]] = {}
        self._own = writing
        self._replaced: frozenset[int] | None = None
        if writing is not None:
            self._transactions[self.partitions[-1]] = writing
        elif self.partitions:
            self.txn(self.partitions[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for txn in self._transactions.values():
            if txn is not self._own:
                txn.abort()

    @property
    def shelves(self) -> tuple[Partition, ...]:
        """Newest partition first, the kept last."""
        return (*reversed(self.partitions), self._kept) if self._kept is not None else self.partitions[::-1]

    def txn(self, shelf: Partition) -> lmdb.Transaction[bytes]:
        """The shelf's transaction. Raises lmdb.Error."""
        txn = self._transactions.get(shelf)
        if txn is None:
            txn = self._transactions[shelf] = shelf.environment.begin()
        return txn

    def find(self, key: bytes, *, most: int | None = None) -> Place | None:
        """Where the newest revision of a record lies, by its `id_key`; looks at the newest `most` partitions and the
        kept only."""
        return self.find_all((key,), most=most).get(key)

    def find_all(self, keys: Sequence[bytes], *, most: int | None = None) -> dict[bytes, Place]:
        """`find` of several: of those that are there."""
        shelves = self.shelves
        if most is not None:
            kept = () if self._kept is None or self._kept.environment.stuck else (self._kept,)
            shelves = (*self.partitions[: -most - 1 : -1], *kept)
        found: dict[bytes, Place] = {}
        missing = keys
        for shelf in shelves:
            for key, newest in shelf.newest_of(self.txn(shelf), missing).items():
                if not (shelf is self._kept and self._is_hidden_kept(newest.seq)):
                    found[key] = Place(shelf, newest)
            if found:
                missing = [key for key in keys if key not in found]
            if not missing:
                break
        return found

    def hidden(self, shelf: Partition) -> Callable[[int], bool] | None:
        """Tells whether an event of this shelf is not to be found there: another partition has a newer revision, or
        still has the event that is being copied to the kept. None: all of the shelf's events may be found."""
        if shelf is self._kept:
            return self._is_hidden_kept
        replaced = self.replaced
        return replaced.__contains__ if replaced and shelf is not self.partitions[-1] else None

    def _is_hidden_kept(self, seq: int) -> bool:
        return seq in self.replaced or self._partitions.of_seq(seq) is not None

    @property
    def replaced(self) -> frozenset[int]:
        """Numbers of all events that a newer revision in another partition has replaced."""
        if self._replaced is None:
            each = [shelf.replaced(self.txn(shelf)) for shelf in self.partitions]
            self._replaced = frozenset().union(*filter(None, each))
        return self._replaced


def make(folder: Path, name: Name, *, chain: End, map_size_bytes: int, durable: bool = True) -> Partition:
    """Make a new partition in a new folder, open for writing. Raises StoreError, OSError.

    If `durable`, it is on disk; else nothing that is written to it is, until it is synced.
    """
    folder.mkdir(mode=0o770)
    environment = Environment.open(folder, map_size_bytes=map_size_bytes, durable=False)
    try:
        partition = Partition(name, environment, create=True, begins=chain)
        if durable:
            environment.handle.sync(True)
            sync_folder(folder)
    except BaseException:
        environment.close()
        raise
    return partition
