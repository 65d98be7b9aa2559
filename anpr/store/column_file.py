"""Columns in a file beside the partition they were made of, mapped into memory by whoever searches.

Written for partitions that are written to no more, by any program that may. One that is missing, cut off, or of another
state of the partition is made anew; damage within its arrays is found by `find_damage`, and gives no wrong answer.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.store.columns import Columns, Odd
from anpr.store.durable import half_of
from anpr.store.faults import TOO_MANY_OPEN
from anpr.store.query import Look, Mark

FILE = "columns"
"""Its name."""

_MAGIC = b"anpr columns 1\n"
_ALIGN = 64
_ARRAYS = {
    "seen": np.uint64,
    "seqs": np.uint32,
    "plate_of": np.uint32,
    "look_of": np.uint32,
    "by_plate": np.uint32,
    "starts": np.uint32,
    "codes": np.int64,
    "hit_seqs": np.uint64,
    "hit_marks": np.uint32,
    "hit_sightings": np.uint64,
}


class _Header(msgspec.Struct, frozen=True, array_like=True):
    state: tuple[int, ...]
    """Of the partition that the file was made of."""
    first_seq: int
    last_seq: int
    lengths: tuple[int, ...]
    checksums: tuple[int, ...]
    """CRC-32 of each array."""
    looks: tuple[Look, ...]
    marks: tuple[Mark, ...]
    odd: tuple[Odd, ...]
    lost: tuple[tuple[int, int, str], ...]


_DECODER = msgspec.msgpack.Decoder(_Header)


def write(columns: Columns, path: Path, *, state: tuple[int, ...]) -> None:
    """Put columns into a file for the partition as it is in `state`; whole, or not at all. Raises OSError."""
    arrays = [np.ascontiguousarray(getattr(columns, name)) for name in _ARRAYS]
    header = msgspec.msgpack.encode(
        _Header(
            state=state,
            first_seq=columns.first_seq,
            last_seq=columns.last_seq,
            lengths=tuple(len(array) for array in arrays),
            checksums=tuple(zlib.crc32(array.data) for array in arrays),
            looks=columns.looks,
            marks=columns.marks,
            odd=columns.odd,
            lost=columns.lost,
        )
    )
    begin = _MAGIC + len(header).to_bytes(8, "big") + zlib.crc32(header).to_bytes(4, "big") + header
    half = half_of(path, os.getpid())
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(begin)
            for array in arrays:
                file.write(bytes(-file.tell() % _ALIGN))
                file.write(array.data)
            file.flush()
            os.fsync(descriptor)
        half.rename(path)
    finally:
        half.unlink(missing_ok=True)


def read(path: Path, *, state: tuple[int, ...] | None) -> Columns | None:
    """The columns in a file, mapped, not read; None if there are none of this state, or they are not whole.

    The arrays are believed: `find_damage` reads them. Raises OSError if too many files are open.
    """
    found = _open(path)
    if found is None:
        return None
    header, arrays = found
    if state is not None and header.state != state:
        return None
    return Columns(
        first_seq=header.first_seq,
        last_seq=header.last_seq,
        looks=header.looks,
        marks=header.marks,
        odd=header.odd,
        lost=header.lost,
        **arrays,
    )


def find_damage(path: Path) -> str:
    """What is wrong with a file of columns; empty if nothing is, or there is none.

    It is read, not mapped: where the disk cannot be read, the kernel kills who has mapped it. Raises OSError if too
    many files are open.
    """
    try:
        found = _parse(memoryview(path.read_bytes()))
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno in TOO_MANY_OPEN:
            raise
        return f"cannot be read: {error.strerror}"
    if found is None:
        return "is no whole file of columns"
    header, arrays = found
    damaged = [name for (name, array), crc in zip(arrays.items(), header.checksums) if zlib.crc32(array.data) != crc]
    return f"is damaged: {', '.join(damaged)}" if damaged else ""


def _open(path: Path) -> tuple[_Header, dict[str, NDArray[Any]]] | None:
    try:
        with path.open("rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in TOO_MANY_OPEN:
            raise
        return None
    return _parse(whole)


def _parse(whole: memoryview) -> tuple[_Header, dict[str, NDArray[Any]]] | None:
    with contextlib.suppress(ValueError, msgspec.MsgspecError):
        at = len(_MAGIC) + 12
        length, checksum = (int.from_bytes(whole[a:b], "big") for a, b in ((at - 12, at - 4), (at - 4, at)))
        packed = whole[at : at + length]
        if whole[: len(_MAGIC)] != _MAGIC or zlib.crc32(packed) != checksum:
            return None
        header = _DECODER.decode(packed)
        at += length
        arrays: dict[str, NDArray[Any]] = {}
        for (name, kind), count in zip(_ARRAYS.items(), header.lengths, strict=True):
            at += -at % _ALIGN
            arrays[name] = np.frombuffer(whole, kind, count, at)
            at += arrays[name].nbytes
        if at == len(whole):
            return header, arrays
    return None
