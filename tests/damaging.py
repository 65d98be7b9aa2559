"""What a failing disk does to a day's file: pages that LMDB refuses, and pages that kill who comes to them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

PAGE_BYTES = 4096
LEAF = 2
_FLAGS = 10
"""Where a page's kind stands in it."""
_POINTERS = 16
"""And where its nodes are."""
_KEY_BYTES = 6
"""Where a node says how long its key is."""


def days_of(folder: Path) -> list[Path]:
    """Of a store, oldest first."""
    return sorted((folder / "days").glob("2*"))


def wipe(day: Path, holding: bytes) -> None:
    """Zeros in the place of a leaf that holds certain bytes."""
    _change(day, holding, lambda page: bytes(PAGE_BYTES))


def mislabel(day: Path, holding: bytes) -> None:
    """A leaf that holds certain bytes, the last in the file, says that it leads on to other pages: LMDB aborts the
    process that walks on to it, and the kernel kills the one that follows it while copying."""
    _change(day, holding, lambda page: page[:_FLAGS] + b"\x01\0" + page[_FLAGS + 2 :])


def overwrite(data: Path) -> None:
    data.write_bytes(random.Random(1).randbytes(100_000))


def empty(data: Path) -> None:
    data.write_bytes(b"")


def remove(data: Path) -> None:
    data.unlink()


def lengthen(day: Path, holding: bytes) -> None:
    """The first key of a leaf that holds certain bytes says that it is longer than the page: who copies the file does
    not look at keys."""

    def change(page: bytes) -> bytes:
        (at,) = struct.unpack_from("<H", page, _POINTERS)
        return page[: at + _KEY_BYTES] + b"\xff\x7f" + page[at + _KEY_BYTES + 2 :]

    _change(day, holding, change)


def _change(day: Path, holding: bytes, change: Callable[[bytes], bytes]) -> None:
    data = day / "data.mdb"
    content = data.read_bytes()
    pages = range(2 * PAGE_BYTES, len(content), PAGE_BYTES)
    leaves = [at for at in pages if struct.unpack_from("<H", content, at + _FLAGS) == (LEAF,)]
    at = max(at for at in leaves if holding in content[at : at + PAGE_BYTES])
    data.write_bytes(content[:at] + change(content[at : at + PAGE_BYTES]) + content[at + PAGE_BYTES :])
