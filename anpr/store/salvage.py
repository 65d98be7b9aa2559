"""The rows of a partition's file that nobody trusts, read by another process: a damaged one may kill who reads it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from anpr.errors import StoreError

DATA = "data.mdb"

_LEAST_EVENT_BYTES = 64
_MOST_CHILDREN = 64
_UNREADABLE = 3
_READER = f"""
import lmdb, os, sys
try:
    environment = lmdb.open(sys.argv[1], readonly=True, lock=False, max_dbs=64, map_size=1 << 40)
    events = environment.open_db(b"events", create=False)
except (lmdb.Error, OSError):
    sys.exit({_UNREADABLE})
with environment.begin(db=events) as txn, txn.cursor() as cursor:
    if cursor.set_range(int(sys.argv[2]).to_bytes(8, "big")):
        for key, row in cursor:
            os.write(1, len(row).to_bytes(4, "big") + key + row)
"""


def most_events(folder: Path) -> int:
    """More than the file in a folder can hold. Raises OSError."""
    data = folder / DATA
    return data.stat().st_size // _LEAST_EVENT_BYTES if data.is_file() else 0


def whole_rows(folder: Path) -> Iterator[tuple[int, bytes]]:
    """(number, row) of all events. Raises StoreError at the end if it was not the end of the file."""
    child = _Child(folder, 0)
    yield from child.rows()
    if child.exit_code != 0:
        raise StoreError("the file is damaged", place=str(folder / DATA), cure="keep it for inspection, or remove it")


def readable_rows(folder: Path, first_seq: int) -> Iterator[tuple[int, bytes]]:
    """(number, row) of the events that can be read; what cannot is leapt over, further each time. Raises OSError."""
    end_seq, leap = first_seq + most_events(folder), 1
    for _ in range(_MOST_CHILDREN):
        child = _Child(folder, first_seq)
        for seq, row in child.rows():
            yield seq, row
            first_seq, leap = seq + 1, 1
        if child.exit_code in (0, _UNREADABLE) or first_seq + leap > end_seq:
            return
        first_seq, leap = first_seq + leap, 16 * leap


class _Child:
    """Reads from a number on, as far as it comes."""

    def __init__(self, folder: Path, first_seq: int) -> None:
        self.exit_code: int | None = None
        """Once `rows` has ended; 0: it came to the end."""
        self._command = [sys.executable, "-P", "-c", _READER, str(folder), str(first_seq)]
        self._next_seq = first_seq

    def rows(self) -> Iterator[tuple[int, bytes]]:
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            for seq, row in _sent(process.stdout):
                if seq < self._next_seq:
                    break  # it goes round in circles, until nobody listens
                yield seq, row
                self._next_seq = seq + 1
        self.exit_code = process.returncode


def _sent(pipe: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    while len(head := pipe.read(12)) == 12:
        row = pipe.read(length := int.from_bytes(head[:4], "big"))
        if len(row) == length:
            yield int.from_bytes(head[4:], "big"), row
