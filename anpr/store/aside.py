"""Damaged days set aside, so that a box records again: done only when a person asks for it.

    damaged/<day>.<first number>/   what was in days/ under that name

A day is damaged if its file is no whole LMDB file. What can be read of it is counted by processes of their own: a
damaged file may kill who reads it. It goes in this order, so that no number is ever given twice; cut off anywhere, it
may be asked for again:

    1  who asked, and why, is written to the audit log
    2  which pictures the readable events name is noted, so that they go with the day
    3  one commit: which numbers are lost, and where the chain of evidence goes on; signed, in the journal of purges
    4  after the newest day another begins, with numbers far beyond all that can have been given
    5  the folder is moved
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import lmdb
import msgspec
import numpy as np

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.plates.provinces import vietnam_date
from anpr.store.audit import AuditLog, Request
from anpr.store.backup import DATA
from anpr.store.chain import NO_END, End
from anpr.store.durable import sync_folder
from anpr.store.environment import Environment
from anpr.store.faults import told_as_store_errors
from anpr.store.lock import damage_of, lock_for_writing, used_by_nobody
from anpr.store.naming import names, pictures_of, write_names
from anpr.store.notes import Notes
from anpr.store.outbox import read_positions
from anpr.store.owner import giving_to_owner
from anpr.store.partition import Name, Partition
from anpr.store.partitions import DAYS, GONE, folders_of, make
from anpr.store.purges import Journal, Purge, lost, newest_of_partitions, told
from anpr.store.root import MAP_SIZE_BYTES, Root
from anpr.store.rows import decode_row
from anpr.store.salvage import most_events, readable_rows
from anpr.store.signing import SigningKey

FOLDER = "damaged"

SPARE_NUMBERS = 100_000_000
"""Left out after the last number of a damaged newest day that is known of: more than are given in a day."""
_PICTURES_AT_ONCE = 10_000


class SetAside(NamedTuple):
    """A damaged day, and what is lost with it."""

    day: str
    """Its folder's name."""
    damage: str
    first_seq: int
    last_seq: int
    """Number of its last event that is known of."""
    readable: int
    """Of its events. They are not found any more either, but may be looked for in the folder."""
    unreadable: int
    """At least."""
    undelivered: dict[str, int]
    """How many of its numbers each consumer had not acknowledged."""
    folder: Path
    """Where it is now."""


class _Readable(NamedTuple):
    events: int
    last_seq: int
    """0: none."""
    box: str


class _Stand(NamedTuple):
    """How far numbers and chain of evidence are."""

    seq: int
    end: End


def days_aside(path: Path) -> dict[Name, Path]:
    """The days that are set aside in the store in folder `path`. Raises OSError."""
    folder = path / FOLDER
    listed = folder.iterdir() if folder.is_dir() else ()
    return {name: each for each in listed if (name := Name.parse(each.name)) is not None}


def set_aside(path: Path, *, reason: str, case: str, clock: Clock) -> tuple[SetAside, ...]:
    """Set the damaged days of a store that nobody has open aside, oldest first; none: no day is damaged.

    What root makes there is the owner's. Raises StoreError if the store is in use, or another account's, if the file
    that belongs to no day is damaged, or if it cannot be written.
    """
    with told_as_store_errors(path), ExitStack() as opened:
        if not (path / DATA).is_file():
            raise StoreError("there is no store here", place=str(path), cure="give the folder of a store")
        opened.enter_context(giving_to_owner(path))
        opened.callback(os.close, lock_for_writing(path))
        with used_by_nobody(path):
            damage = _find_damage(path)
        if not damage:
            return ()
        days = ", ".join(str(name) for name in damage)
        AuditLog(path, clock=clock).append(Request("set-aside", reason, case, {"days": days}), rows=0)
        root = Root.open(path, read_only=False)
        opened.callback(root.close)
        return tuple(_Mending(root, damage, clock=clock).mend())


def _find_damage(path: Path) -> dict[Name, str]:
    """What is wrong with the files of the days. Raises StoreError if it is with the root's; OSError."""
    root, *folders = folders_of(path)
    if problem := damage_of(root):
        raise StoreError(f"of no day, and damaged: {problem}", place=str(root / DATA), cure="restore the last backup")
    found = {}
    for folder in folders:
        name, problem = Name.parse(folder.name), damage_of(folder)
        if not problem and name is not None:
            with suppress(StoreError, lmdb.Error), _open(folder) as environment:
                Partition(name, environment)
                continue
            problem = "tables are missing"
        if name is not None:
            found[name] = problem
    return found


def _open(folder: Path) -> closing[Environment]:
    return closing(Environment.open(folder, map_size_bytes=MAP_SIZE_BYTES, read_only=True, at_rest=True))


class _Mending:
    """Of one store."""

    def __init__(self, root: Root, damage: Mapping[Name, str], *, clock: Clock) -> None:
        if root.old is not None:
            raise StoreError("was written by an old anpr", place=str(root.path), cure="restore a backup")
        self._root = root
        self._damage = damage
        self._clock = clock
        self._days = root.path / DAYS
        self._key = SigningKey.open(root.path)
        self._ages = Notes(root).read()[1].ages
        self._positions = read_positions(root)
        self._lost = lost(root)

    def mend(self) -> Iterator[SetAside]:
        """Through all days in order."""
        gone = newest_of_partitions(self._root)
        stand = _Stand(gone.last_seq, gone.end) if gone is not None else _Stand(0, NO_END)
        present = [name for folder in folders_of(self._root.path)[1:] if (name := Name.parse(folder.name)) is not None]
        if gone is not None and present and str(present[0]) == gone.partition and present[0] in self._damage:
            name = present.pop(0)  # its purge was decided: it is only to be deleted
            (self._days / str(name)).rename(self._days / f"{GONE}{name}")
            sync_folder(self._days)
        runs = [(damaged, list(run)) for damaged, run in groupby(present, self._damage.__contains__)]
        for at, (damaged, run) in enumerate(runs):
            if not damaged:
                stand = self._stand_after(run[-1], stand)
            else:
                following = runs[at + 1][1][0] if at + 1 < len(runs) else None
                while stand.seq + 1 != run[0].first_seq and (entry := self._lost.get(stand.seq)) is not None:
                    stand = _Stand(entry.last_seq, entry.end)
                yield from self._set_aside(run, stand, following)

    def _stand_after(self, name: Name, before: _Stand) -> _Stand:
        with _open(self._days / str(name)) as environment:
            partition = Partition(name, environment)
            with partition.reading() as txn:
                end = partition.chain.end(txn) if partition.chain else before.end
                return _Stand(partition.last_seq(txn), end)

    def _set_aside(self, run: list[Name], before: _Stand, following: Name | None) -> Iterator[SetAside]:
        """Damaged days that follow each other; `following`: the whole one after them."""
        read = {name: _read(self._days / str(name), name) for name in run}
        ends = [name.first_seq - 1 for name in (*run[1:], *([following] if following else []))]
        known = [*ends, self._known_last(run[-1], read[run[-1]])][: len(run)]
        entry = self._lost.get(run[0].first_seq - 1)
        if following is not None:
            with _open(self._days / str(following)) as environment:
                chain = Partition(following, environment).chain
                stand = _Stand(following.first_seq - 1, chain.begins if chain else before.end)
        elif entry is not None:
            stand = _Stand(entry.last_seq, entry.end)  # it was asked for before, and cut off
        else:
            most = sum(most_events(self._days / str(name)) for name in run)
            last_seq = max(known[-1], run[0].first_seq + most) + SPARE_NUMBERS
            number = before.end.number + last_seq - run[0].first_seq + 1  # of the chain, too, none is given twice
            stand = _Stand(last_seq, End(number, before.end.head))
        if entry is None or (entry.last_seq, entry.end) != stand:
            self._note(run, read, before, stand)
        if following is None:
            self._begin(stand)
        for name, last_seq in zip(run, known, strict=True):
            yield SetAside(
                day=str(name),
                damage=self._damage[name],
                first_seq=name.first_seq,
                last_seq=last_seq,
                readable=read[name].events,
                unreadable=max(0, last_seq - name.first_seq + 1 - read[name].events),
                undelivered={
                    consumer: last_seq - max(name.first_seq - 1, min(position))
                    for consumer, position in self._positions.items()
                    if last_seq > max(name.first_seq - 1, min(position))
                },
                folder=self._move(name),
            )

    def _known_last(self, name: Name, read: _Readable) -> int:
        """The last number of the newest day that anybody knows of."""
        age = self._ages.get(name.first_seq)
        noted = age.last_seq if age is not None else 0
        return max(name.first_seq - 1, noted, read.last_seq, *(max(each) for each in self._positions.values()))

    def _note(self, run: list[Name], read: Mapping[Name, _Readable], before: _Stand, stand: _Stand) -> None:
        """Say in the journal what is lost."""
        entry = Purge(
            what="lost",
            reason="damaged",
            partition=", ".join(map(str, run)),
            first_seq=run[0].first_seq,
            last_seq=stand.seq,
            chain_begin=told(before.end),
            chain_end=told(stand.end),
        )
        box = next((each.box for each in read.values() if each.box), "")
        with self._root.writing() as txn:
            Journal(self._root, self._key, box, self._clock).add(txn, entry)

    def _begin(self, stand: _Stand) -> None:
        """Make the day whose numbers go on after what is lost."""
        name = Name(vietnam_date(self._clock.wall_seconds()), stand.seq + 1)
        half = self._days / f".new-{name}"
        make(half, name, chain=stand.end, map_size_bytes=MAP_SIZE_BYTES).environment.close()
        half.rename(self._days / str(name))
        sync_folder(self._days)

    def _move(self, name: Name) -> Path:
        aside = self._root.path / FOLDER
        if not aside.is_dir():
            aside.mkdir(mode=0o770)
            sync_folder(aside.parent)
        moved = (self._days / str(name)).rename(aside / str(name))
        sync_folder(aside)
        sync_folder(self._days)
        return moved


def _read(folder: Path, name: Name) -> _Readable:
    """What can be read of a damaged day; the pictures that it names are noted in the folder, too."""
    events, last_seq, box = 0, 0, ""
    parts, pictures = [names([])], list[str]()
    for seq, row in readable_rows(folder, name.first_seq):
        try:
            event = decode_row(seq, row)
        except (msgspec.MsgspecError, KeyError, ValueError):
            continue
        events, last_seq, box = events + 1, seq, event.box
        pictures += pictures_of(row)
        if len(pictures) >= _PICTURES_AT_ONCE:
            parts.append(names(pictures))
            pictures.clear()
    with suppress(OSError):  # its disk may be failing: then its pictures stay
        write_names(folder, np.unique(np.concatenate([*parts, names(pictures)])))
    return _Readable(events, last_seq, box)
