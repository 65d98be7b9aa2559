"""Files and folders that survive a power cut."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_LET_GO_BYTES = 64 << 20


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make what was written to a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def delete_slowly(folder: Path) -> Iterator[None]:
    """Delete a folder, durably, in slices: to let go of gigabytes at once would take a file system long.

    A file that another process has open is never cut shorter, or the kernel would end who has it mapped (SIGBUS): its
    room comes back when that process closes it. It may be gone already, or be a file or a link: then that is deleted.
    Raises OSError.
    """
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.is_symlink():
            yield from delete_slowly(each)
            continue
        while (size := each.lstat().st_size) > _LET_GO_BYTES and each.is_file() and _is_used_by_nobody(each):
            os.truncate(each, size - _LET_GO_BYTES)
            yield
        each.unlink()
        yield
    folder.rmdir()
    sync_folder(folder.parent)


def _is_used_by_nobody(path: Path) -> bool:
    """Whether no process has a file open or mapped. The kernel knows, and gives a lease only then (fcntl(2)); on a file
    system without leases nobody can tell, and it is False. Raises OSError if it cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # of who opens it in this moment; SIGIO would end us
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def half_of(path: Path, process: int) -> Path:
    """Where the process of this number makes what will be at `path`; whoever ends it may delete that."""
    return path.parent / f".{path.name}.{process}"


def write_file(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """A new file, durable but for its name. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
