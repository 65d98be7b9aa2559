"""Who may open a store's files, and whether they are whole."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import lmdb.verify

from anpr.errors import StoreError
from anpr.store.faults import TOO_MANY_OPEN

_TRIES = 3
_BLINK_SECONDS = 0.01


def is_being_written(path: Path) -> bool:
    """Whether a process has the store open for writing. Raises OSError."""
    try:
        descriptor = os.open(path / "writer.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def used_by_nobody(path: Path) -> Iterator[None]:
    """While the block runs, no other process can open the store. Raises StoreError if one has it open, OSError.

    LMDB holds a shared lock on the first byte of `lock.mdb` as long as it is open. Must not be asked by a process that
    has the store open itself: closing a descriptor gives up its own lock.
    """
    if not (path / "lock.mdb").exists():
        yield
        return
    descriptor = os.open(path / "lock.mdb", os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except BlockingIOError as error:
            raise StoreError(
                "another process reads the store", place=str(path), cure="wait for searches, exports and backups"
            ) from error
        yield
    finally:
        os.close(descriptor)


def lock_for_writing(path: Path) -> int:
    """A descriptor that holds the folder's writer lock until it is closed, also by the death of the process."""
    descriptor = os.open(path / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BLINK_SECONDS)  # it may be `is_being_written` that looks
        else:
            return descriptor
    os.close(descriptor)
    raise StoreError(
        "the store is open for writing in another process",
        place=str(path),
        cure="stop the other anpr, or open it read-only",
    )


def damage_of(folder: Path) -> str:
    """What is wrong with the file in a folder, which nobody writes; empty: nothing.

    All pages are looked at, some 100 MB a second, and LMDB has no part in it: it would abort the process, or the kernel
    would kill it, at some damaged pages. Raises OSError if too many files are open.
    """
    try:
        findings = lmdb.verify.verify(str(folder))  # type: ignore[no-untyped-call]
    except (lmdb.verify.VerifyError, OSError) as error:
        if isinstance(error, OSError) and error.errno in TOO_MANY_OPEN:
            raise
        return str(error)
    return str(findings[0]) if findings else ""


def check_length(path: Path, environment: lmdb.Environment) -> None:
    """Refuse a cut-off file: touching a page beyond its end would kill the process (SIGBUS).

    A sound file may lack freed pages at its end, so a short one is judged by py-lmdb's own verifier.
    """
    data = path / "data.mdb"
    expected_bytes = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if data.stat().st_size >= expected_bytes:
        return
    if damage := damage_of(path):
        raise StoreError(
            f"the store is cut off at {data.stat().st_size} of {expected_bytes} bytes ({damage})",
            place=str(data),
            cure="keep the file for inspection and restore the last backup, or see anpr store set-aside",
        )
