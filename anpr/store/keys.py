"""How records are ordered on disk: byte strings that sort as the values they hold.

A *stamp* is 16 bytes: the time of the passage, then the event's sequence number. Stamps sort as `(seconds, seq)`, so
every index that ends in a stamp is in order of time, and a stamp says where a page of results ended.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache

from anpr.errors import StoreError

STAMP_BYTES = 16
FIRST_STAMP = b""
LAST_STAMP = b"\xff" * STAMP_BYTES
MAX_NAME_BYTES = 200
"""Two names and their zero bytes stay below LMDB's 511 bytes per key."""

_DOUBLE = struct.Struct(">d")
_STAMP = struct.Struct(">dQ")
_U64 = struct.Struct(">Q")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def pack_seconds(seconds: float) -> bytes:
    """8 bytes that sort as the number does (IEEE 754 totally ordered: flip the sign bit, or all bits if negative)."""
    if not math.isfinite(seconds):
        raise StoreError(f"a time of {seconds} cannot be stored", cure="give finite seconds since 1970")
    bits = int.from_bytes(_DOUBLE.pack(seconds + 0.0), "big")
    return _U64.pack(bits ^ (_ALL if bits & _SIGN else _SIGN))


pack_seq: Callable[[int], bytes] = _U64.pack
"""8 bytes that sort as the sequence number does."""


def unpack_seq(key: bytes) -> int:
    """The sequence number of `pack_seq`."""
    seq: int = _U64.unpack(key)[0]
    return seq


def stamp(seconds: float, seq: int) -> bytes:
    """16 bytes that sort as `(seconds, seq)`: `pack_seconds` and `pack_seq`. Raises StoreError."""
    if 0.0 <= seconds < math.inf:
        return _STAMP.pack(-(seconds + 0.0), seq)  # negating flips the sign bit and nothing else
    return pack_seconds(seconds) + pack_seq(seq)


def seq_of(a_stamp: bytes) -> int:
    """The sequence number in a stamp."""
    return unpack_seq(a_stamp[8:])


def checked_name(name: str) -> bytes:
    """`name` as bytes that fit a key. Raises StoreError."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        encoded = name.encode(errors="backslashreplace")
    if 0 in encoded or len(encoded) > MAX_NAME_BYTES:
        raise StoreError(f"{name[:80]!r} cannot be a key", cure=f"at most {MAX_NAME_BYTES} bytes and no zero byte")
    return encoded


def name_key(name: str) -> bytes:
    """`name` as the first part of a key; the zero byte ends it, so that no name is the start of another."""
    return checked_name(name) + b"\0"


@lru_cache(maxsize=1024)
def camera_key(camera_id: str) -> bytes:
    """`name_key` of a camera: there are few."""
    return name_key(camera_id)
