"""Which pictures the records of a partition name, so that none is deleted that another still needs.

    days/…/pictures   SHA-256 of the rest; the first 8 bytes of each picture's SHA-256, little-endian, rising

It is made when it is first asked for, of a partition that does not change any more. Two pictures with the same first 8
bytes are taken for one: then one is kept that could have been deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import lmdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.store.durable import half_of, sync_folder, write_file
from anpr.store.partition import Partition

FILE = "pictures"
"""Its name."""
_ROWS_AT_ONCE = 1000


class _Picture(msgspec.Struct):
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Naming(msgspec.Struct):
    evidence: tuple[_Picture, ...] = ()


class _Row(msgspec.Struct, array_like=True):
    kind: str
    box: str
    epoch: int
    committed_seconds: float
    record: _Naming


Names = NDArray[np.uint64]
"""Rising, each once."""

_DECODER = msgspec.msgpack.Decoder(_Row)


def pictures_of(row: bytes) -> list[str]:
    """The SHA-256 of each picture that a record's row names; a damaged row names none."""
    try:
        return [picture.sha256 for picture in _DECODER.decode(row).record.evidence]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []


def names(pictures: Sequence[str]) -> Names:
    """The first 8 bytes of each."""
    return np.unique(np.array([int(sha256[:16], 16) for sha256 in pictures], np.uint64))


def places(names: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where in rising numbers those of others lie that are among them."""
    at = np.searchsorted(names, others)
    inside = at < len(names)
    at = at[inside]
    found: NDArray[np.intp] = at[names[at] == others[inside]]
    return found


def rows_in_slices(
    shelf: Partition, *, most: int, after_seq: int = 0
) -> Iterator[tuple[lmdb.Transaction[bytes], list[tuple[int, bytes]]]]:
    """(transaction, (number, row) of up to `most` events), until there are no more. Raises StoreError."""
    while True:
        with shelf.reading() as txn:
            found = list(islice(shelf.rows(txn, after_seq=after_seq), most))
            if not found:
                return
            yield txn, found
        after_seq = found[-1][0]


def named_in(partition: Partition) -> Generator[None, None, Names]:
    """What a partition's records name, in slices. Raises StoreError, OSError."""
    noted = read_names(partition.path) if partition.sealed else None
    if noted is not None:
        return noted
    parts: list[Names] = []
    for _, rows in rows_in_slices(partition, most=_ROWS_AT_ONCE):
        parts.append(names([picture for _, row in rows for picture in pictures_of(row)]))
        yield
    found = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)
    if partition.sealed:
        with contextlib.suppress(OSError):  # the disk may be full: then it is made again the next time
            write_names(partition.path, found)
    return found


def read_names(folder: Path) -> Names | None:
    """What the records of the partition in a folder name, if that was noted; None: it was not, or is damaged.

    Raises OSError.
    """
    try:
        content = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    return np.frombuffer(content, "<u8", offset=32).astype(np.uint64, copy=False)


def write_names(folder: Path, found: Names) -> None:
    """Note what the records of the partition in a folder name. Raises OSError."""
    content = found.astype("<u8", copy=False).tobytes()
    half = half_of(folder / FILE, os.getpid())
    half.unlink(missing_ok=True)
    try:
        write_file(half, hashlib.sha256(content).digest() + content, mode=0o660)
        half.replace(folder / FILE)
    finally:
        half.unlink(missing_ok=True)
    sync_folder(folder)
