"""Writes of this process that fail, for tests of what the store does then."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def is_last_page(number: int, folder: Path) -> bool:
    try:
        leads_to = Path(f"/proc/self/fd/{number}").readlink()
    except FileNotFoundError:
        return False
    return leads_to == folder / "data.mdb" and bool(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_DSYNC)


@contextlib.contextmanager
def last_write_fails(folder: Path) -> Iterator[None]:
    """While the block runs, the last write of each commit to the folder's file meets a full device."""
    kept: dict[int, int] = {}
    full = os.open("/dev/full", os.O_WRONLY)
    for number in [number for number in range(1024) if is_last_page(number, folder)]:
        kept[number] = os.dup(number)
        os.dup2(full, number)
    os.close(full)
    assert kept
    try:
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
