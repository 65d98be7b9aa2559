"""A copy of a store while it is in use, and a store made small again while it is not."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import lmdb
import lmdb.verify
import msgspec

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.durable import sync_file, sync_folder, write_file
from anpr.store.environment import Environment
from anpr.store.faults import told_as_store_errors
from anpr.store.lock import damage_of, lock_for_writing, used_by_nobody
from anpr.store.partition import Partition
from anpr.store.partitions import DAYS, folders_of
from anpr.store.purges import Purge, purges
from anpr.store.root import MAP_SIZE_BYTES
from anpr.store.signing import PUBLIC
from anpr.store.store import Store
from anpr.store.unfinished import making

MANIFEST = "manifest.json"
DATA = "data.mdb"

_READ_AT_ONCE = 1 << 20
_TRIES = 20


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    path: str
    """Within the backup."""
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds."""

    made: str
    """UTC, ISO 8601."""
    last_seq: int
    """Number of the newest event."""
    pictures_altered: tuple[str, ...]
    """Pictures whose bytes were not those of their name when they were copied."""
    files: tuple[Entry, ...]


class Compacted(NamedTuple):
    """What a compaction won."""

    before_bytes: int
    after_bytes: int


def back_up(
    path: Path, into: Path, *, clock: Clock, note: Callable[[int | None], object] = lambda events: None
) -> Manifest:
    """Copy a store, which may be in use, into a new folder; all of it is on disk when this returns.

    Events first, then pictures: a picture is always older than the record that names it, so none is missing. The key
    that signs evidence stays where it is. `note` is told None before anything is copied, and how many events there are
    before the copy gets its name; if it raises, there is none. All pages of the copy are looked at: a damaged one may
    have been copied as it was. Raises StoreError; what is unfinished is taken away.
    """
    with told_as_store_errors(into):
        if into.exists() or into.is_symlink():
            raise StoreError("is there already", place=str(into), cure="give a folder that does not exist yet")
        if into.resolve().is_relative_to(path.resolve()):
            raise StoreError("lies within the store", place=str(into), cure="give a folder elsewhere, on another disk")
    with Store.open(path, clock=clock, read_only=True) as store:
        note(None)
        with told_as_store_errors(into), making(into) as half:
            files = _copy_audit(store, half)  # first: lines that go from now on, the journal of purges names
            copy_events(store, half)
            _refuse_damage(half, path)
            manifest = _copy_files(store, half, files, clock=clock)
            note(_count_events(half))
        with told_as_store_errors(into):
            sync_folder(into.parent)
    return manifest


def check_manifest(folder: Path) -> tuple[str, ...]:
    """What of a backup is not as it was when it was made; nothing if the folder is no backup. Raises StoreError."""
    if not (folder / MANIFEST).is_file():
        return ()
    problems: list[str] = []
    with told_as_store_errors(folder):
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        for entry in manifest.files:
            try:
                size, sha256 = _hash(folder / entry.path)
            except FileNotFoundError:
                problems.append(f"{folder / entry.path}: is missing from the backup")
            else:
                if (size, sha256) != (entry.bytes, entry.sha256):
                    problems.append(f"{folder / entry.path}: is not what was backed up")
    return tuple(problems)


def compact(path: Path, *, clock: Clock) -> Compacted:
    """Write the store's files of events anew without the pages that nothing uses, and put them in place of the old.

    An old file stays until its new one is whole and on disk. Raises StoreError, with that file as it was, if any
    process has the store open, if a file is damaged, or if the disk has no room for both.
    """
    with told_as_store_errors(path):
        if not (path / DATA).is_file():
            raise StoreError("there is no store here", place=str(path), cure="give the folder of a store")
        lock = lock_for_writing(path)
        half = path / "compacted"
        before = after = 0
        try:
            with used_by_nobody(path):
                folders = folders_of(path)
            for folder in folders:
                done = _compact(folder, half, users=path)
                before, after = before + done.before_bytes, after + done.after_bytes
            with Store.open(path, clock=clock, read_only=True):
                return Compacted(before, after)
        finally:
            shutil.rmtree(half, ignore_errors=True)
            os.close(lock)


def _compact(folder: Path, half: Path, *, users: Path) -> Compacted:
    """One file; `users` is the folder that every user of the store has open. Raises StoreError, OSError, lmdb.Error."""
    before = (folder / DATA).stat()
    if shutil.disk_usage(folder).free < before.st_size:
        raise StoreError(
            "the disk has no room for a second copy",
            place=str(folder),
            cure=f"free {(before.st_size >> 20) + 1} MiB while it is made",
        )
    findings = lmdb.verify.verify(str(folder))  # type: ignore[no-untyped-call]
    if findings:
        raise StoreError(f"the store is damaged: {findings[0]}", place=str(folder), cure="restore a backup")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    with closing(Environment.open(folder, map_size_bytes=MAP_SIZE_BYTES, read_only=True)) as environment:
        environment.copy(half)
        entries = environment.entries()
    with closing(Environment.open(half, map_size_bytes=MAP_SIZE_BYTES, read_only=True)) as copied:
        if copied.entries() != entries:
            raise StoreError("the copy is not whole", place=str(half), cure="try again")
    for name in (DATA, "lock.mdb"):
        owned = (folder / name).stat()
        os.chown(half / name, owned.st_uid, owned.st_gid)
        (half / name).chmod(owned.st_mode & 0o777)
    sync_file(half / DATA)
    with used_by_nobody(users):
        (half / DATA).replace(folder / DATA)
        (half / "lock.mdb").replace(folder / "lock.mdb")  # the old one counts the old file's transactions
        sync_folder(folder)
    return Compacted(before.st_size, (folder / DATA).stat().st_size)


def _copy_audit(store: Store, half: Path) -> list[Entry]:
    """The audit log, and the public key. Raises OSError, StoreError."""
    files: list[Entry] = []
    with store.audit.at_rest():
        for kept in (store.audit.file, store.audit.path / "head.json", store.path / PUBLIC):
            if kept.is_file():
                target = half / kept.relative_to(store.path)
                target.parent.mkdir(mode=0o750, exist_ok=True)
                files.append(_copy(kept, target, half))
    return files


def copy_events(store: Store, half: Path) -> None:
    """The events and indexes as they are now, without pages that nothing uses; writing goes on meanwhile. Not yet
    synced. Raises StoreError, OSError."""
    for _ in range(_TRIES):
        decided, partitions = _stand(store)  # all are open: none is lost if it is purged while others are copied
        store.root.environment.copy(half)
        if (decided, partitions) == _stand(store):
            break
        (half / DATA).unlink()  # its journal may tell otherwise of a day than that is copied
    else:
        raise StoreError("days come and go", place=str(store.path), cure="try again")
    if store.root.old is not None:
        return
    (half / DAYS).mkdir(mode=0o770)
    for partition in partitions:
        target = half / DAYS / str(partition.name)
        target.mkdir(mode=0o770)
        partition.environment.copy(target)


def _stand(store: Store) -> tuple[Purge | None, tuple[Partition, ...]]:
    """What was decided last of a whole day, and the days."""
    decided = (
        purge
        for purge in purges(store.root, newest_first=True, but_damaged=True)
        if purge.what in ("partition", "plates")
    )
    with told_as_store_errors(store.path, reading=True), store.partitions.view() as view:
        return next(decided, None), view.partitions


def _refuse_damage(half: Path, path: Path) -> None:
    """Look at the files of events in a copy of the store in folder `path`, which nobody writes, unlike the originals.

    Raises StoreError, of damage, that names the original; OSError.
    """
    for folder in folders_of(half):
        if damage := damage_of(folder):
            raise StoreError(
                f"its copy is damaged, and was removed: {damage}",
                place=str(path / folder.relative_to(half) / DATA),
                cure="if a box writes this day, stop it and ask anpr store check; if not, look at the disk of the copy",
            ) from lmdb.CorruptedError(damage)


def _copy_files(store: Store, half: Path, files: list[Entry], *, clock: Clock) -> Manifest:
    """The pictures, and the list of all, of which `files` are there. Raises OSError, StoreError."""
    for folder in folders_of(half):
        sync_file(folder / DATA)
        sync_folder(folder)
        files.append(Entry(str((folder / DATA).relative_to(half)), *_hash(folder / DATA)))
    altered: list[str] = []
    for folder in sorted(store.evidence.path.glob("??")):
        target = half / "evidence" / folder.name
        target.mkdir(mode=0o750, parents=True)
        for picture in sorted(folder.glob("*.jpg")):
            try:
                entry = _copy(picture, target / picture.name, half)
            except FileNotFoundError:
                continue  # purged meanwhile
            files.append(entry)
            if folder.name + picture.stem != entry.sha256:
                altered.append(entry.path)
        sync_folder(target)
    with Store.open(half, clock=clock, read_only=True) as copied:
        last_seq = copied.last_seq
    for folder in folders_of(half):
        (folder / "lock.mdb").unlink(missing_ok=True)
    made = datetime.fromtimestamp(clock.wall_seconds(), UTC).isoformat(timespec="seconds")
    manifest = Manifest(made=made, last_seq=last_seq, pictures_altered=tuple(altered), files=tuple(files))
    write_file(half / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    for folder in (half / DAYS, half / "evidence", half / "audit", half):
        if folder.is_dir():
            sync_folder(folder)
    return manifest


def _count_events(folder: Path) -> int:
    """Of a store at rest. Raises StoreError, OSError."""
    events = 0
    for each in folders_of(folder):
        with closing(
            Environment.open(each, map_size_bytes=MAP_SIZE_BYTES, read_only=True, at_rest=True)
        ) as environment:
            entries = environment.entries()
            events += entries.get(b"events", 0) + entries.get(b"kept_events", 0)
    return events


def _copy(source: Path, target: Path, root: Path) -> Entry:
    with source.open("rb") as content, target.open("xb") as file:
        shutil.copyfileobj(content, file, _READ_AT_ONCE)
        file.flush()
        os.fsync(file.fileno())
    return Entry(str(target.relative_to(root)), *_hash(target))


def _hash(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
