"""Passages for memory, read from all partitions in the order of time; see passages.py for what is on disk.

A passage whose plate gave way to a pseudonym is left out: who remembers plates must not take it for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.ops.passages import ROW, Traits
from anpr.store.partition import Partition
from anpr.store.partitions import View
from anpr.store.passages import FIXED_BYTES, PSEUDONYMS

BLOCK = 100_000
"""Passages read of one partition at once."""

_ON_DISK = np.dtype(
    [
        ("seen", ">u8"),
        ("seq", ">u8"),
        ("id_high", ">u8"),
        ("id_low", ">u8"),
        ("plate", ">u8"),
        ("millionths", ">u4"),
        ("speed_kmh", ">f4"),
    ]
)
_WITH_TRAITS = np.dtype(
    [
        ("seen", "u8"),
        ("seq", "u8"),
        ("id_high", "u8"),
        ("id_low", "u8"),
        ("plate", "u8"),
        ("millionths", "u4"),
        ("speed_kmh", "f4"),
        ("traits", "u4"),
    ]
)
_LAST_KEY = b"\xff" * 16
_SIGN = np.uint64(1 << 63)
_TRAITS = msgspec.msgpack.Decoder(Traits)


class Block(NamedTuple):
    """Passages in the order of time."""

    rows: NDArray[Any]
    """(n,) ROW without links and places; `traits` is an index into the next."""
    traits: tuple[Traits, ...]
    next_key: bytes
    """Where the next block goes on; empty: this is the last."""


def read_block(view: View, first_key: bytes) -> Block:
    """About BLOCK passages of all shelves from a key on. Raises StoreError if a shelf is so old that it has none."""
    sources = sorted(_beginnings(view, first_key), key=itemgetter(0))
    if not sources:
        return Block(np.zeros(0, ROW), (), b"")
    codes: dict[bytes, int] = {}
    chunks: list[NDArray[Any]] = []
    end, more = _LAST_KEY, False
    for key, shelf in sources:
        if key > end:
            more = True
            break
        chunk, last_key, stopped = _chunk(view, shelf, key, end, codes)
        if not chunks or stopped == "full":
            end = last_key
        more = more or bool(stopped)
        chunks.append(chunk)
    on_disk = chunks[0]
    if len(chunks) > 1:
        on_disk = np.concatenate(chunks)
        on_disk = on_disk[np.lexsort((on_disk["seq"], on_disk["seen"]))]
    seen, seq = (np.uint64(int.from_bytes(part, "big")) for part in (end[:8], end[8:]))
    on_disk = on_disk[(on_disk["seen"] < seen) | ((on_disk["seen"] == seen) & (on_disk["seq"] <= seq))]
    return Block(_rows(on_disk), tuple(_TRAITS.decode(code) for code in codes), end + b"\0" if more else b"")


def _beginnings(view: View, first_key: bytes) -> Iterator[tuple[bytes, Partition]]:
    """(its first key from `first_key` on, shelf) of those that have one."""
    for shelf in view.shelves:
        with view.txn(shelf).cursor(shelf.table("passages")) as cursor:
            if cursor.set_range(first_key):
                yield cursor.key(), shelf


def _chunk(
    view: View, shelf: Partition, first_key: bytes, end: bytes, codes: dict[bytes, int]
) -> tuple[NDArray[Any], bytes, Literal["full", "end", ""]]:
    """Up to BLOCK of a shelf's passages from a key up to another, as they are on disk, with a code of their traits;
    the last key; what the reading was stopped by, empty if the shelf has no more."""
    buffer = bytearray()
    of_rows: list[int] = []
    last_key = first_key
    stopped: Literal["full", "end", ""] = ""
    with view.txn(shelf).cursor(shelf.table("passages")) as cursor:
        cursor.set_range(first_key)
        for key, value in cursor.iternext():
            if len(of_rows) == BLOCK or key > end:
                stopped = "end" if key > end else "full"
                break
            buffer += key
            buffer += value[:FIXED_BYTES]
            of_rows.append(codes.setdefault(value[FIXED_BYTES:], len(codes)))
            last_key = key
    chunk = np.zeros(len(of_rows), _WITH_TRAITS)
    stored = np.frombuffer(buffer, _ON_DISK)
    for name in _ON_DISK.names or ():
        chunk[name] = stored[name]
    chunk["traits"] = of_rows
    chunk = chunk[chunk["plate"] < np.uint64(PSEUDONYMS)]
    hidden = view.hidden(shelf)
    if hidden is not None:
        chunk = chunk[[not hidden(seq) for seq in chunk["seq"].tolist()]]
    return chunk, last_key, stopped


def _rows(on_disk: NDArray[Any]) -> NDArray[Any]:
    rows = np.zeros(len(on_disk), ROW)
    for name in ("id_high", "id_low", "plate", "millionths", "speed_kmh", "traits"):
        rows[name] = on_disk[name]
    bits = on_disk["seen"]
    rows["seen"] = np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)
    return rows
