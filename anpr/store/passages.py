"""The store's index for memory: what `anpr.ops.passages` keeps of each sighting, in the order of time.

    passages   stamp → id, plate, probability, speed (32 bytes), traits (MessagePack)

Millions of passages are read in seconds, because no sighting is decoded.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import lmdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.ops.passages import ROW, Traits, compact
from anpr.records import Sighting

BLOCK = 100_000
"""Passages read in one transaction."""

_FIXED = struct.Struct(">QQQIf")
_ON_DISK = np.dtype(
    [
        ("seen", ">u8"),
        ("id_high", ">u8"),
        ("id_low", ">u8"),
        ("plate", ">u8"),
        ("millionths", ">u4"),
        ("speed_kmh", ">f4"),
    ]
)
_SIGN = np.uint64(1 << 63)
_TRAITS = msgspec.msgpack.Decoder(Traits)
_ENCODER = msgspec.msgpack.Encoder()


class Block(NamedTuple):
    """Passages in the order of time."""

    rows: NDArray[Any]
    """(n,) ROW without links and places; `traits` is an index into the next."""
    traits: tuple[Traits, ...]
    last_key: bytes
    """Where the next block goes on; empty: this is the last."""


def encode_passage(sighting: Sighting) -> bytes | None:
    """The index's value for a sighting; None if it cannot be kept in a few numbers."""
    told = compact(sighting)
    if told is None:
        return None
    fixed = _FIXED.pack(told.id_high, told.id_low, told.plate, told.millionths, told.speed_kmh)
    return fixed + _ENCODER.encode(told.traits)


def read_block(txn: lmdb.Transaction[bytes], passages: lmdb._Database, *, first_key: bytes, after: bool) -> Block:
    """Up to BLOCK passages from `first_key` on, or `after` it."""
    buffer = bytearray()
    codes: dict[bytes, int] = {}
    of_rows: list[int] = []
    last_key = b""
    with txn.cursor(passages) as cursor:
        there = cursor.set_range(first_key)
        if there and after and cursor.key() == first_key:
            there = cursor.next()
        if there:
            for key, value in cursor.iternext():
                if len(of_rows) == BLOCK:
                    break
                buffer += key[:8]
                buffer += value[:32]
                of_rows.append(codes.setdefault(value[32:], len(codes)))
                last_key = key
    on_disk = np.frombuffer(buffer, _ON_DISK)
    rows = np.zeros(len(on_disk), ROW)
    for name in ("id_high", "id_low", "plate", "millionths", "speed_kmh"):
        rows[name] = on_disk[name]
    bits = on_disk["seen"].astype(np.uint64)
    rows["seen"] = np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)
    rows["traits"] = of_rows
    return Block(rows, tuple(_TRAITS.decode(code) for code in codes), last_key if len(of_rows) == BLOCK else b"")
