"""Last good copies of files that people hand in: with them a box starts whose files are bad or gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from anpr.errors import StoreError
from anpr.store.durable import sync_folder

_PIECE_BYTES = 1 << 20


def is_copy_of(file: Path, copy: Path) -> bool:
    """Whether the copy is that of the present file, by its time and size."""
    try:
        now, kept = file.stat(), copy.stat()
    except OSError:
        return False
    return (now.st_mtime_ns, now.st_size) == (kept.st_mtime_ns, kept.st_size)


def keep_copy(file: Path, copy: Path, is_it: Callable[[os.stat_result], bool]) -> bool:
    """Copy a file, durably, with its times, unless the copy is that already, byte for byte; False if the file is no
    longer that which `is_it` says, or changes meanwhile.

    Raises StoreError.
    """
    fresh = copy.with_name(f".{copy.name}.new")
    try:
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        with file.open("rb") as source:
            status = os.fstat(source.fileno())
            if not is_it(status):
                return False
            if _is_same(source, copy):
                return True
            source.seek(0)
            with fresh.open("wb") as target:
                os.fchmod(target.fileno(), 0o600)
                shutil.copyfileobj(source, target, _PIECE_BYTES)
                target.flush()
                os.utime(target.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
                os.fsync(target.fileno())
            after = os.fstat(source.fileno())
            if (after.st_mtime_ns, after.st_size) != (status.st_mtime_ns, status.st_size):
                fresh.unlink()
                return False
        fresh.replace(copy)
        sync_folder(copy.parent)
    except OSError as error:
        cure = "check the folder's rights and space"
        raise StoreError(f"cannot be written: {error.strerror}", place=str(copy), cure=cure) from error
    return True


def _is_same(source: BinaryIO, copy: Path) -> bool:
    """Whether the copy is this file with its time. A time and a size do not tell: files are written twice within what a
    file system takes for one moment, or with the time of another file; and disks rot."""
    try:
        with copy.open("rb") as kept:
            now, before = os.fstat(source.fileno()), os.fstat(kept.fileno())
            if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
                return False
            while (piece := source.read(_PIECE_BYTES)) == kept.read(_PIECE_BYTES):
                if not piece:
                    return True
    except OSError:
        pass  # what is to be said of it, copying it will tell
    return False


def forget_copies(folder: Path, but: set[str]) -> None:
    """Remove all copies in a folder but those of these names. Raises StoreError."""
    try:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in but:
                path.unlink()
    except OSError as error:
        raise StoreError(f"cannot be removed: {error.strerror}", place=str(folder)) from error
