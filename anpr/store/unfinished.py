"""A folder that is made beside its place, and what is left of one when its maker was killed.

    .NAME.NUMBER/unfinished   locked (flock(2)) by the process of this number as long as it makes NAME there

A process loses its locks when it ends, however it ends, also one on another machine that shares the disk: what is
unfinished and locked by nobody will never be finished.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anpr.store.durable import half_of

_MARK = "unfinished"
_SAYS = b"A backup by anpr. If no process has locked this file, it will never be finished.\n"


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """A new folder, which gets its name when the block ends; if it raises, the folder is deleted.

    Its name is not yet durable then. Raises OSError, before it is made or renamed.
    """
    half = half_of(path, os.getpid())
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o750)
    try:
        mark = half / f".{_MARK}"
        with mark.open("xb") as locked:
            locked.write(_SAYS)
            locked.flush()
            with suppress(OSError):  # where there are no locks, nobody can tell, and it is left to a person
                fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mark = mark.rename(half / _MARK)
            yield half
            mark.unlink()
            half.rename(path)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def remove_left(folder: Path) -> Iterator[Path]:
    """Delete what processes that are gone have begun to make in a folder; each that is deleted."""
    for mark in folder.glob(f".*.*/{_MARK}"):
        half = mark.parent
        if half.is_symlink() or not half.suffix[1:].isdigit():
            continue
        with suppress(OSError), mark.open("r+b") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if locked.read() == _SAYS:
                shutil.rmtree(half)
                yield half
