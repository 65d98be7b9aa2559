"""Files and folders that survive a power cut."""

from __future__ import annotations

import os
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

    It may be gone already, or be a file or a link: then that is deleted. Raises OSError.
    """
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.is_symlink():
            yield from delete_slowly(each)
            continue
        while (size := each.lstat().st_size) > _LET_GO_BYTES and each.is_file():
            os.truncate(each, size - _LET_GO_BYTES)
            yield
        each.unlink()
        yield
    folder.rmdir()
    sync_folder(folder.parent)


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
