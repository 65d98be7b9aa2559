"""A partition's passages as columns: what is scanned where no index leads to the answer.

Derived from the indexes (gathering.py), kept in a file where that may be (column_file.py), and never the truth: what
they say is compared with the record before it is given out. `anpr.ops.cpu_passage_columns` says what the arrays are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anpr.ops.plate_codes import encode
from anpr.store.keys import FIRST_STAMP, LAST_STAMP
from anpr.store.query import Look, Mark


class Odd(NamedTuple):
    """A passage whose plate has no code, because it is too long or has strange characters."""

    stamp: bytes
    text: str
    look: Look


@dataclass(frozen=True, eq=False)
class Columns:
    """Passages of a partition by rising time, and its hits."""

    first_seq: int
    last_seq: int
    """Newest event that is in them."""
    seen: NDArray[np.uint64]
    """(n,) times as they are packed in a stamp."""
    seqs: NDArray[np.uint32]
    """(n,) numbers of the events, less `first_seq`."""
    plate_of: NDArray[np.uint32]
    look_of: NDArray[np.uint32]
    by_plate: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    codes: NDArray[np.int64]
    looks: tuple[Look, ...]
    odd: tuple[Odd, ...]
    """By rising time; not in the arrays."""
    hit_seqs: NDArray[np.uint64]
    """(h,) numbers of the hits that are not withdrawn."""
    hit_marks: NDArray[np.uint32]
    """(h,) indexes into `marks`."""
    hit_sightings: NDArray[np.uint64]
    """(h,) numbers of the sightings they are on, as far as they were known."""
    marks: tuple[Mark, ...]
    lost: tuple[tuple[int, int, str], ...]
    """(number, mark, id of the sighting) of hits whose sightings were not known."""

    def __len__(self) -> int:
        return len(self.seen)

    def __repr__(self) -> str:
        return f"Columns({len(self):,} passages, {len(self.codes):,} plates, {len(self.hit_seqs):,} hits)"

    @cached_property
    def span(self) -> tuple[bytes, bytes] | None:
        """Stamps of the oldest and the youngest passage."""
        ends = [self._first, self._last] if len(self) else []
        stamps = sorted([*ends, *(each.stamp for each in self.odd)])
        return (stamps[0], stamps[-1]) if stamps else None

    @cached_property
    def _first(self) -> bytes:
        return self.stamp_of(0) if len(self) else LAST_STAMP

    @cached_property
    def _last(self) -> bytes:
        return self.stamp_of(len(self) - 1) if len(self) else FIRST_STAMP

    def row_of(self, at: bytes) -> int:
        """The first row whose stamp is not below `at`; a stamp may lack its number."""
        if at <= self._first:
            return 0
        if at > self._last:
            return len(self)
        seen = np.uint64(int.from_bytes(at[:8], "big"))
        first = int(np.searchsorted(self.seen, seen))
        seq = int.from_bytes(at[8:].ljust(8, b"\0"), "big") - self.first_seq
        if seq <= 0:
            return first
        end = int(np.searchsorted(self.seen, seen, side="right"))
        return first + int(np.searchsorted(self.seqs[first:end], seq))

    def stamp_of(self, row: int) -> bytes:
        """The stamp of a row."""
        return int(self.seen[row]).to_bytes(8, "big") + (self.first_seq + int(self.seqs[row])).to_bytes(8, "big")

    @cached_property
    def look_fields(self) -> dict[str, tuple[dict[str, int], NDArray[np.int64]]]:
        """For each field of a look: its values, numbered, and the number that each look has."""
        fields: dict[str, tuple[dict[str, int], NDArray[np.int64]]] = {}
        for place, name in enumerate(Look._fields):
            numbers: dict[str, int] = {}
            of_looks = [numbers.setdefault(look[place], len(numbers)) for look in self.looks]
            fields[name] = numbers, np.array(of_looks, np.int64)
        return fields


def extend(columns: Columns, passages: Sequence[Odd], *, last_seq: int) -> Columns:
    """The same with passages that came later, up to an event; without hits."""
    known = {look: number for number, look in enumerate(columns.looks)}
    more = [(each, code) for each in passages if (code := encode(each.text)) is not None]
    odd = [each for each in passages if encode(each.text) is None]
    late = np.frombuffer(b"".join(each.stamp for each, _ in more), ">u8").reshape(-1, 2).astype(np.uint64)
    stamps = np.stack([columns.seen, columns.seqs.astype(np.uint64) + np.uint64(columns.first_seq)], axis=1)
    looks = np.array([known.setdefault(each.look, len(known)) for each, _ in more], np.uint32)
    return arrange(
        np.concatenate([stamps, late]),
        np.concatenate([columns.codes[columns.plate_of], np.array([code for _, code in more], np.int64)]),
        np.concatenate([columns.look_of, looks]),
        known=tuple(known),
        odd=tuple(sorted([*columns.odd, *odd])),
        first_seq=columns.first_seq,
        last_seq=last_seq,
    )


def arrange(
    stamps: NDArray[np.uint64],
    codes: NDArray[np.int64],
    looks: NDArray[np.uint32],
    *,
    known: tuple[Look, ...],
    odd: tuple[Odd, ...],
    first_seq: int,
    last_seq: int,
) -> Columns:
    """Columns of passages by their stamps ((n, 2): time and number), without hits."""
    earlier, later = stamps[:-1], stamps[1:]
    if np.any((later[:, 0] < earlier[:, 0]) | ((later[:, 0] == earlier[:, 0]) & (later[:, 1] < earlier[:, 1]))):
        order = np.lexsort((stamps[:, 1], stamps[:, 0]))
        stamps, codes, looks = stamps[order], codes[order], looks[order]
    different, plate_of = np.unique(codes, return_inverse=True)
    starts = np.zeros(len(different) + 1, np.uint32)
    np.cumsum(np.bincount(plate_of, minlength=len(different)), out=starts[1:])
    none = np.zeros(0, np.uint64)
    return Columns(
        first_seq=first_seq,
        last_seq=last_seq,
        seen=np.ascontiguousarray(stamps[:, 0]),
        seqs=(stamps[:, 1] - np.uint64(first_seq)).astype(np.uint32),
        plate_of=plate_of.astype(np.uint32),
        look_of=looks,
        by_plate=np.argsort(plate_of, kind="stable").astype(np.uint32),
        starts=starts,
        codes=different,
        looks=known,
        odd=odd,
        hit_seqs=none,
        hit_marks=none.astype(np.uint32),
        hit_sightings=none,
        marks=(),
        lost=(),
    )
