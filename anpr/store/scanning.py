"""Answering a question from a partition's columns."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from anpr.ops.plate_codes import IF_PLATE, NO, shortest_code
from anpr.plates.forms import LONGEST
from anpr.store.columns import Columns, Odd
from anpr.store.query import Question

_MOST_AT_ONCE = 65_536
_ANY = np.zeros(0, np.uint8)
_NONE = np.zeros(0, np.int64)


def scan(
    columns: Columns,
    question: Question,
    *,
    low: bytes,
    high: bytes,
    numbers: Collection[int] | None = None,
    recent: Sequence[Odd] = (),
) -> Iterator[bytes]:
    """Stamps in `low <= stamp < high` of the passages that answer, falling; hits are not asked.

    With `numbers`, only passages whose event has one of these. `recent` are passages that are not in the columns yet.
    Raises IndexError if the columns are damaged.
    """
    rows = _rows(columns, question, columns.row_of(low), columns.row_of(high), numbers)
    found = (at for chunk in rows for at in _stamps(columns, chunk))
    odd = [
        each.stamp
        for each in (*columns.odd, *recent)
        if low <= each.stamp < high
        and question.fits_plate(each.text)
        and question.fits_look(each.look, each.text)
        and (numbers is None or int.from_bytes(each.stamp[8:], "big") in numbers)
    ]
    return heapq.merge(found, sorted(odd, reverse=True), reverse=True) if odd else found


def _rows(
    columns: Columns, question: Question, first: int, end: int, numbers: Collection[int] | None
) -> Iterator[NDArray[np.int64]]:
    """The rows, falling, some at a time."""
    if first >= end:
        return
    passing, wanted = _looks(columns, question)
    if len(passing) and not passing.any():
        return
    fitting = _ANY
    if question.texts is not None:
        plates = _plates(columns, question.codes)
        if not len(plates):
            return
        if len(plates) == 1 and not len(passing) and numbers is None:
            yield _rows_of_plate(columns, int(plates[0]), first, end)[::-1]  # the usual question, by the shortest way
            return
    elif question.pattern != "*":
        fitting = _fitting(columns, question)
        count = np.count_nonzero(fitting.view(np.bool_))
        if not count:
            return
        many = count * count > question.wanted * (end - first)
        plates = _NONE if many or numbers is not None else np.flatnonzero(fitting.view(np.bool_))
    else:
        plates = _NONE
    if numbers is not None:
        rows = _rows_of_numbers(columns, numbers, first, end)
        if question.texts is not None:
            fitting = np.zeros(len(columns.codes), np.uint8)
            fitting[plates] = 1
        if len(fitting):
            rows = rows[fitting[columns.plate_of[rows]] != 0]
        yield _passing(columns, rows, passing, wanted)[::-1]
    elif len(plates):
        rows = _rows_of_plates(columns, plates, first, end)
        yield _passing(columns, rows, passing, wanted)[::-1]
    else:
        yield from _rows_backwards(columns, fitting, passing, wanted, first, end, question.wanted)


def _plates(columns: Columns, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indexes of those of the plates that are there, rising."""
    places = columns.codes.searchsorted(codes)
    if len(places) == 1:
        return places if places[0] < len(columns.codes) and columns.codes[places[0]] == codes[0] else places[:0]
    inside = places < len(columns.codes)
    places = places[inside]
    exact: NDArray[np.int64] = places[columns.codes[places] == codes[inside]]
    return exact


def _fitting(columns: Columns, question: Question) -> NDArray[np.uint8]:
    """(plates,) 1 for those that fit the pattern, or are few enough edits away from it."""
    from anpr.ops.cpu_passage_columns import mark_fitting

    fitting = np.zeros(len(columns.codes), np.uint8)
    if question.edits:
        fitting[_near(columns, question)] = 1
        return fitting
    for masks in question.masks:
        first, end = columns.codes.searchsorted([masks.first, masks.end]).tolist()
        mark_fitting(columns.codes[first:end], masks.masks, masks.values, fitting[first:end])
    return fitting


def _near(columns: Columns, question: Question) -> NDArray[np.int64]:
    """Indexes of the plates that are few enough edits away, rising."""
    from anpr.ops.cpu_matching import match_brute
    from anpr.ops.cpu_passage_columns import pack_codes

    shortest, longest = question.lengths[0], min(question.lengths[-1], LONGEST)
    first, end = columns.codes.searchsorted([shortest_code(shortest), shortest_code(longest + 1)]).tolist()
    positions, _ = match_brute(pack_codes(columns.codes[first:end]), question.packed, most_edits=question.edits)
    near: NDArray[np.int64] = first + positions
    return near


def _looks(columns: Columns, question: Question) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`passing` and `wanted` as `anpr.ops.cpu_passage_columns` has them."""
    if not question.asks_looks:
        return _ANY, _ANY
    passing = question.verdicts(columns.look_fields)
    if not (passing == IF_PLATE).any():
        return passing, _ANY
    wanted = np.zeros(len(columns.codes), np.uint8)
    first, end = (np.searchsorted(columns.codes, edges).tolist() for edges in question.province_ranges)
    for begin, stop in zip(first, end):
        wanted[begin:stop] = 1
    return passing, wanted


def _passing(
    columns: Columns, rows: NDArray[np.int64], passing: NDArray[np.uint8], wanted: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Those of the rows that pass."""
    if not len(passing):
        return rows
    answers: NDArray[np.uint8] = passing[columns.look_of[rows]]
    if len(wanted):
        answers[(answers == IF_PLATE) & (wanted[columns.plate_of[rows]] == 0)] = NO
    passed: NDArray[np.int64] = rows[answers != NO]
    return passed


def _rows_of_numbers(columns: Columns, numbers: Collection[int], first: int, end: int) -> NDArray[np.int64]:
    from anpr.ops.cpu_passage_columns import rows_with

    offsets = np.fromiter(numbers, np.int64, len(numbers)) - columns.first_seq
    marks = np.zeros(int(offsets.max(initial=0)) + 1, np.uint8)
    marks[offsets] = 1
    found: NDArray[np.int64] = rows_with(columns.seqs, marks, first, end)
    return found


def _rows_of_plate(columns: Columns, plate: int, first: int, end: int) -> NDArray[np.int64]:
    """The rows of one plate, rising."""
    begin, stop = int(columns.starts[plate]), int(columns.starts[plate + 1])
    rows: NDArray[np.int64] = columns.by_plate[begin:stop].astype(np.int64)
    return rows if first == 0 and end == len(columns) else rows[(rows >= first) & (rows < end)]


def _rows_of_plates(columns: Columns, plates: NDArray[np.int64], first: int, end: int) -> NDArray[np.int64]:
    """The rows of some plates, rising."""
    from anpr.ops.cpu_passage_columns import rows_of_plates

    rows: NDArray[np.int64] = rows_of_plates(plates, columns.starts, columns.by_plate, first, end)
    rows.sort()
    return rows


def _rows_backwards(
    columns: Columns,
    fitting: NDArray[np.uint8],
    passing: NDArray[np.uint8],
    wanted: NDArray[np.uint8],
    first: int,
    end: int,
    most: int,
) -> Iterator[NDArray[np.int64]]:
    from anpr.ops.cpu_passage_columns import rows_backwards

    while True:
        rows: NDArray[np.int64] = rows_backwards(
            columns.plate_of, columns.look_of, passing, wanted, fitting, first, end, most
        )
        yield rows
        if len(rows) < most:
            return
        end, most = int(rows[-1]), min(4 * most, _MOST_AT_ONCE)


def _stamps(columns: Columns, rows: NDArray[np.int64]) -> Iterator[bytes]:
    both = np.empty((len(rows), 2), ">u8")
    both[:, 0] = columns.seen[rows]
    both[:, 1] = columns.seqs[rows] + np.uint64(columns.first_seq)
    packed = both.tobytes()
    for place in range(0, len(packed), 16):
        yield packed[place : place + 16]
