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
    """Delete a folder of files, durably, in slices: to let go of gigabytes at once would take a file system long."""
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        while (size := file.stat().st_size) > _LET_GO_BYTES:
            os.truncate(file, size - _LET_GO_BYTES)
            yield
        file.unlink()
        yield
    if folder.is_dir():
        folder.rmdir()
        sync_folder(folder.parent)


def write_file(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """A new file, durable but for its name. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
