"""Whether the files of a store are whole, also while a box writes to some of them; and which is damaged, once a reader
has come to harm.

LMDB has no part in it, see lock.py, nor is anything mapped: so who looks outlives what he finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.column_file import FILE as COLUMNS
from anpr.store.column_file import find_damage
from anpr.store.faults import is_damage, told_as_store_errors
from anpr.store.lock import damage_of, is_being_written
from anpr.store.partitions import DAYS, folders_of
from anpr.store.salvage import DATA

MOST_SECONDS = 120.0
"""Of a look for what a reader has met, while a person waits."""


def look_through(path: Path) -> Iterator[tuple[Path, str | None]]:
    """(folder, what is wrong with its file of events) of the store itself, then of its days, newest first.

    Empty: it is whole. None: a box writes to it, and nothing can be said; that is so of the store's own and the newest
    day's only. Raises StoreError.
    """
    with told_as_store_errors(path):
        root, *days = folders_of(path)
        for folder in (root, *reversed(days)):
            written = folder in (root, *days[-1:])
            if written and is_being_written(path):
                yield folder, None
                continue
            before = _state(folder)
            damage = damage_of(folder)
            gone = not folder.is_dir()  # a box has purged it, or written it anew
            if written and (gone or is_being_written(path) or before != _state(folder)):
                yield folder, None  # a box has begun to write: what was read meanwhile says nothing
            elif not gone:
                yield folder, damage


def _state(folder: Path) -> tuple[int, int]:
    try:
        facts = (folder / DATA).stat()
    except FileNotFoundError:
        return 0, 0
    return facts.st_ino, facts.st_mtime_ns


def cure_of(folder: Path, path: Path) -> str:
    """What cures the damaged file in a folder of the store in folder `path`."""
    return "restore the last backup" if folder == path else "restore it from a backup, or anpr store set-aside"


@contextmanager
def naming_damage(path: Path, *, clock: Clock) -> Iterator[None]:
    """Have a StoreError of damage that a reader of the store in folder `path` meets name the damaged file."""
    try:
        yield
    except StoreError as error:
        if is_damage(error) and _is_of_events(Path(error.place), path):
            named = explain_damage(path, clock=clock, problem=error.problem)
            if named is not None:
                raise named from error
        raise


def _is_of_events(place: Path, path: Path) -> bool:
    """Whether an error about `place` may be about a file of events: no other file of the store is named by it."""
    folder = place.parent if place.name == DATA else place
    days = path / DAYS
    return folder in (path, days) or folder.parent == days or not place.is_relative_to(path)


def explain_damage(path: Path, *, clock: Clock, died: str = "", problem: str = "") -> StoreError | None:
    """What a reader of the store in folder `path` has met, and what cures it; `died` is the signal that it died of, or
    `problem` what it could tell itself.

    None: it could, and no damaged file was found, so nobody knows better. Raises StoreError.
    """
    met = f"kills who reads it ({died})" if died else f"cannot be read ({problem})"
    until_seconds, written = clock.monotonic_seconds() + MOST_SECONDS, list[Path]()
    cure = "ask anpr store check"
    late = StoreError(f"a file {met}, and not all could be looked at yet", place=str(path), cure=cure) if died else None
    for folder, damage in look_through(path):
        if damage:
            cure = f"anpr store check tells what else is damaged; {cure_of(folder, path)}"
            return StoreError(f"is damaged, and {met}: {damage}", place=str(folder / DATA), cure=cure)
        if damage is None:
            written.append(folder)
        if clock.monotonic_seconds() > until_seconds:
            return late
    if not died:
        return None
    with told_as_store_errors(path):
        for columns in (folder / COLUMNS for folder in folders_of(path)):
            if damage := find_damage(columns):
                return StoreError(f"{damage}, and {met}", place=str(columns), cure="remove the file: it is made anew")
            if clock.monotonic_seconds() > until_seconds:
                return late
    if written:
        return StoreError(
            f"this day, which a box writes, or {DATA} of no day {met}; all others are whole",
            place=str(written[-1]),
            cure="stop the box, and ask anpr store check",
        )
    cure = "look at the disk and the memory, and try again"
    return StoreError(f"reading it ended with {died}, but all files are whole", place=str(path), cure=cure)
