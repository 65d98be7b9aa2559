"""Making a partition's columns of its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import lmdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.ops.passages import Traits
from anpr.ops.plate_codes import MOST_PACKED, encode, from_packed
from anpr.ops.plate_codes import PSEUDONYMS as PSEUDONYM_CODES
from anpr.store.columns import Columns, Odd, arrange
from anpr.store.passages import FIXED_BYTES, PSEUDONYMS
from anpr.store.query import Look, Mark
from anpr.store.rows import decode_row, hit_of, sighting_of

_PLATE = slice(16, 24)
"""Of a value of the table `passages`: the third number of 8 bytes."""
_ODD = np.iinfo(np.int64).max
"""In place of the code of a plate that has none; larger than any code."""
_TRAITS = msgspec.msgpack.Decoder(Traits)


class Source(NamedTuple):
    """What columns are made of: one moment of a partition."""

    txn: lmdb.Transaction[bytes]
    events: lmdb._Database
    times: lmdb._Database
    passages: lmdb._Database | None
    """None: the partition was written before there was such a table."""
    hits: lmdb._Database
    first_seq: int
    last_seq: int
    find_sighting: Callable[[str], int]
    """Number of the newest revision of a sighting; 0: it is not known, or may be revised where it is."""


def gather(source: Source) -> Columns:
    """The columns of a partition; takes about a second for a million passages. Raises StoreError, MsgspecError."""
    keys, plates, traits, traits_of = _read_passages(source)
    known: dict[Look, int] = {}
    look_of_traits = [known.setdefault(Look.of(each), len(known)) for each in traits]
    stamps = np.frombuffer(keys, ">u8").reshape(-1, 2).astype(np.uint64)
    codes, looks = _codes_of(plates), np.array(look_of_traits, np.uint32)[traits_of]
    odd: list[Odd] = []
    kept = np.flatnonzero(codes != _ODD)
    if len(kept) < len(codes) or source.txn.stat(source.times)["entries"] != len(codes):
        present = {bytes(keys[16 * row : 16 * row + 16]) for row in kept.tolist()}
        more: list[tuple[int, int, int, int]] = []
        for passage in _strange(source, present):
            code = encode(passage.text)
            if code is None:
                odd.append(passage)
            else:
                seen, seq = (int.from_bytes(part, "big") for part in (passage.stamp[:8], passage.stamp[8:]))
                more.append((seen, seq, code, known.setdefault(passage.look, len(known))))
        stamps = np.concatenate([stamps[kept], np.array([row[:2] for row in more], np.uint64).reshape(-1, 2)])
        codes = np.concatenate([codes[kept], np.array([row[2] for row in more], np.int64)])
        looks = np.concatenate([looks[kept], np.array([row[3] for row in more], np.uint32)])
    columns = arrange(
        stamps,
        codes,
        looks,
        known=tuple(known),
        odd=tuple(odd),
        first_seq=source.first_seq,
        last_seq=source.last_seq,
    )
    return replace(columns, **_read_hits(source))


def _read_passages(source: Source) -> tuple[bytearray, NDArray[np.uint64], list[Traits], NDArray[np.int64]]:
    """Keys, plates, and traits of the table `passages`."""
    keys, plates = bytearray(), bytearray()
    numbers: dict[bytes, int] = {}
    of_rows: list[int] = []
    if source.passages is not None:
        with source.txn.cursor(source.passages) as cursor:
            for key, value in cursor:
                keys += key
                plates += value[_PLATE]
                of_rows.append(numbers.setdefault(value[FIXED_BYTES:], len(numbers)))
    traits = [_TRAITS.decode(each) for each in numbers]
    return keys, np.frombuffer(plates, ">u8").astype(np.uint64), traits, np.array(of_rows, np.int64)


def _codes_of(plates: NDArray[np.uint64]) -> NDArray[np.int64]:
    different, where = np.unique(plates, return_inverse=True)
    codes = from_packed(different)
    codes[different >= np.uint64(MOST_PACKED)] = _ODD
    hidden = different >= np.uint64(PSEUDONYMS)
    codes[hidden] = (different[hidden] - np.uint64(PSEUDONYMS)).astype(np.int64) + PSEUDONYM_CODES
    return codes[where]


def _strange(source: Source, present: set[bytes]) -> Iterator[Odd]:
    """The passages that `passages` does not hold in a form with a code, by rising time."""
    with source.txn.cursor(source.times) as cursor:
        for at in cursor.iternext(values=False):
            if at not in present:
                row = source.txn.get(at[8:], db=source.events)
                sighting = sighting_of(decode_row(int.from_bytes(at[8:], "big"), row or b""))
                yield Odd(at, sighting.text, Look.of(sighting))


def _read_hits(source: Source) -> dict[str, Any]:
    """The columns of hits."""
    marks: dict[Mark, int] = {}
    rows: list[tuple[int, int, int]] = []
    lost: list[tuple[int, int, str]] = []
    with source.txn.cursor(source.hits) as cursor:
        for number in cursor.iternext(keys=False):
            seq = int.from_bytes(number, "big")
            hit = hit_of(decode_row(seq, source.txn.get(number, db=source.events) or b""))
            if hit.state == "withdrawn":
                continue
            mark = marks.setdefault(Mark.of(hit), len(marks))
            if sighting_seq := source.find_sighting(hit.sighting_id):
                rows.append((seq, mark, sighting_seq))
            else:
                lost.append((seq, mark, hit.sighting_id))
    hits = np.array(rows, np.uint64).reshape(-1, 3)
    return {
        "hit_seqs": hits[:, 0].copy(),
        "hit_marks": hits[:, 1].astype(np.uint32),
        "hit_sightings": hits[:, 2].copy(),
        "marks": tuple(marks),
        "lost": tuple(lost),
    }
