"""Passages as rows of one array, chained by plate and by place in the order of time; compiled by numba.

An open-addressing table leads from a plate to its newest row, `newest_in` from a place and a slice of time to its own.
A row that is given up goes to a list of free ones. Memory is allocated once, and touched only as it fills.

Rows are ordered by `(seen, id_high, id_low)`: passages of one moment have an order, too, and the order in which they
arrived leaves no trace but in `arrived_next`, by which the oldest are given up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.passages import ROW

NONE = -1
MOST_PLACES = 65_535
SLICE_SECONDS = 60.0
"""At a busy place some ten rows."""
UNREAD = np.uint64(1 << 63)
"""Plus the place: the plate of rows without one, which are so a chain for each place."""
_TAKEN_OUT = 65_535
"""Place of a row that is in no chain any more, and waits for its turn to be freed."""
FREE, FRESH, OLDEST, NEWEST, LIVE, PLATES = range(6)
"""Places in `book` (int64): first free row, first row never used, the ends of the list by arrival, and two counts."""

Rows = NDArray[Any]
Table = NDArray[np.int32]
Slices = NDArray[np.int32]
Book = NDArray[np.int64]


def make_rows(most: int) -> tuple[Rows, Table, Book]:
    """Empty (rows, table, book) for `most` passages.

    The table holds row + 1, so that fresh pages, which are zero, are empty slots and cost nothing until they are used.
    """
    table_length = 1 << (most + most // 2).bit_length()
    book = np.zeros(6, np.int64)
    book[[FREE, OLDEST, NEWEST]] = NONE
    return np.zeros(most, ROW), np.zeros(table_length, np.int32), book


def make_slices(places: int, keep_seconds: float) -> Slices:
    """Empty `newest_in`, (places, slices): each place's newest row in each slice, around which time goes in a ring."""
    return np.full((places, int(keep_seconds // SLICE_SECONDS) + 3), NONE, np.int32)


@njit(cache=True, nogil=True)
def _slot(plate: np.uint64, mask: np.uint64) -> np.uint64:
    mixed = (plate ^ (plate >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(29))) & mask


@njit(cache=True, nogil=True)
def _find(rows: Rows, table: Table, plate: np.uint64) -> np.uint64:
    """The plate's slot in the table, or the empty one in which it would stand."""
    mask = np.uint64(len(table) - 1)
    slot = _slot(plate, mask)
    while table[slot] != 0 and rows[table[slot] - 1].plate != plate:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True)
def _erase(rows: Rows, table: Table, slot: np.uint64) -> None:
    """Empty a slot, and move back those behind it that would no longer be found."""
    mask = np.uint64(len(table) - 1)
    one = np.uint64(1)
    hole, at = slot, (slot + one) & mask
    while table[at] != 0:
        home = _slot(rows[table[at] - 1].plate, mask)
        if ((at - home) & mask) >= ((at - hole) & mask):
            table[hole] = table[at]
            hole = at
        at = (at + one) & mask
    table[hole] = 0


@njit(cache=True, nogil=True)
def _before(rows: Rows, row: int, seen: float, id_high: np.uint64, id_low: np.uint64) -> bool:
    """Whether a row stands before the given place in the order."""
    if rows[row].seen != seen:
        return bool(rows[row].seen < seen)
    if rows[row].id_high != id_high:
        return bool(rows[row].id_high < id_high)
    return bool(rows[row].id_low < id_low)


@njit(cache=True, nogil=True)
def _link(rows: Rows, table: Table, newest_in: Slices, book: Book, row: int) -> None:
    """Put a row into the chains of its plate and its slice, where it belongs by time."""
    seen, id_high, id_low = rows[row].seen, rows[row].id_high, rows[row].id_low
    slot = _find(rows, table, rows[row].plate)
    younger, at = NONE, table[slot] - 1
    if at == NONE and rows[row].plate < UNREAD:
        book[PLATES] += 1
    while at != NONE and not _before(rows, at, seen, id_high, id_low):
        younger, at = at, rows[at].older
    rows[row].older, rows[row].younger = at, younger
    if at != NONE:
        rows[at].younger = row
    if younger != NONE:
        rows[younger].older = row
    else:
        table[slot] = row + 1

    place, number = rows[row].place, int(seen // SLICE_SECONDS)
    around = number % newest_in.shape[1]
    younger, at = NONE, newest_in[place, around]
    if at != NONE and int(rows[at].seen // SLICE_SECONDS) != number:
        if rows[at].seen > seen:  # so late that its slice is given up
            rows[row].older_here = rows[row].younger_here = NONE
            return
        at = NONE
    while at != NONE and not _before(rows, at, seen, id_high, id_low):
        younger, at = at, rows[at].older_here
    rows[row].older_here, rows[row].younger_here = at, younger
    if at != NONE:
        rows[at].younger_here = row
    if younger != NONE:
        rows[younger].older_here = row
    else:
        newest_in[place, around] = row


@njit(cache=True, nogil=True)
def _unlink(rows: Rows, table: Table, newest_in: Slices, book: Book, row: int) -> None:
    """Take a row out of its chains."""
    older, younger = rows[row].older, rows[row].younger
    if older != NONE:
        rows[older].younger = younger
    if younger != NONE:
        rows[younger].older = older
    else:
        slot = _find(rows, table, rows[row].plate)
        if older != NONE:
            table[slot] = older + 1
        else:
            _erase(rows, table, slot)
            if rows[row].plate < UNREAD:
                book[PLATES] -= 1
    older, younger = rows[row].older_here, rows[row].younger_here
    if older != NONE:
        rows[older].younger_here = younger
    if younger != NONE:
        rows[younger].older_here = older
    else:
        place, around = rows[row].place, int(rows[row].seen // SLICE_SECONDS) % newest_in.shape[1]
        if newest_in[place, around] == row:
            newest_in[place, around] = older


@njit(cache=True, nogil=True)
def _give_up_oldest(rows: Rows, table: Table, newest_in: Slices, book: Book) -> int:
    """Free the row that arrived first; 1 if it was live, 0 if it had been taken out."""
    row = book[OLDEST]
    live = rows[row].place != _TAKEN_OUT
    if live:
        _unlink(rows, table, newest_in, book, row)
        book[LIVE] -= 1
    book[OLDEST] = rows[row].arrived_next
    if book[OLDEST] == NONE:
        book[NEWEST] = NONE
    rows[row].arrived_next = book[FREE]
    book[FREE] = row
    return int(live)


@njit(cache=True, nogil=True)
def append(
    rows: Rows,
    table: Table,
    newest_in: Slices,
    book: Book,
    seen: float,
    plate: int,
    id_high: int,
    id_low: int,
    millionths: int,
    speed_kmh: float,
    place: int,
    traits: int,
    keep_from: float,
) -> int:
    """Take in a passage; `plate` 0 is none; the halves of its id may be signed. Up to two rows seen before `keep_from`
    are given up first, and one more if all are taken.

    Returns its row; -1 - row if a live row within the time was given up for it because all are taken.
    """
    for _ in range(2):
        row = book[OLDEST]
        if row == NONE or (rows[row].seen >= keep_from and rows[row].place != _TAKEN_OUT):
            break
        _give_up_oldest(rows, table, newest_in, book)
    lost = 0
    if book[FREE] == NONE and book[FRESH] == len(rows):
        lost = _give_up_oldest(rows, table, newest_in, book)
    if book[FREE] != NONE:
        row = book[FREE]
        book[FREE] = rows[row].arrived_next
    else:
        row = book[FRESH]
        book[FRESH] += 1
    rows[row].seen, rows[row].plate = seen, np.uint64(plate) if plate else UNREAD + np.uint64(place)
    rows[row].id_high, rows[row].id_low = np.uint64(id_high), np.uint64(id_low)
    rows[row].millionths, rows[row].speed_kmh = millionths, speed_kmh
    rows[row].place, rows[row].traits = place, traits
    rows[row].arrived_next = NONE
    if book[NEWEST] != NONE:
        rows[book[NEWEST]].arrived_next = row
    else:
        book[OLDEST] = row
    book[NEWEST] = row
    book[LIVE] += 1
    _link(rows, table, newest_in, book, row)
    return int(-1 - row if lost else row)


@njit(cache=True, nogil=True)
def append_many(rows: Rows, table: Table, newest_in: Slices, book: Book, more: Rows, keep_from: float) -> int:
    """`append` each of `more` (ROW), whose links are not looked at; returns how many rows were given up for them."""
    lost = 0
    for each in more:
        row = append(
            rows,
            table,
            newest_in,
            book,
            each.seen,
            each.plate,
            each.id_high,
            each.id_low,
            each.millionths,
            each.speed_kmh,
            each.place,
            each.traits,
            keep_from,
        )
        lost += row < 0
    return lost


@njit(cache=True, nogil=True)
def take_out(
    rows: Rows,
    table: Table,
    newest_in: Slices,
    book: Book,
    plate: np.uint64,
    seen: float,
    id_high: np.uint64,
    id_low: np.uint64,
) -> bool:
    """Take out the passage of that plate and id, seen then; False if it is not here."""
    at = row_of(rows, table, plate, seen, id_high, id_low)
    if at == NONE:
        return False
    _unlink(rows, table, newest_in, book, at)
    rows[at].place = _TAKEN_OUT
    book[LIVE] -= 1
    return True


@njit(cache=True, nogil=True)
def row_of(rows: Rows, table: Table, plate: np.uint64, seen: float, id_high: np.uint64, id_low: np.uint64) -> int:
    """The row of the passage of that plate and id, seen then or later; NONE if it is not here."""
    at = table[_find(rows, table, plate)] - 1
    while at != NONE and rows[at].seen >= seen:
        if rows[at].id_high == id_high and rows[at].id_low == id_low:
            return int(at)
        at = rows[at].older
    return NONE


@njit(cache=True, nogil=True)
def of_plate(
    rows: Rows,
    table: Table,
    plate: np.uint64,
    since: float,
    until: float,
    wanted: NDArray[np.bool_],
    found: Table,
) -> int:
    """Write into `found` the plate's rows seen from `since` to `until`, both included, whose traits are `wanted`, as
    many as it holds, newest first; returns how many there are."""
    count = 0
    at = table[_find(rows, table, plate)] - 1
    while at != NONE and rows[at].seen >= since:
        if rows[at].seen <= until and wanted[rows[at].traits]:
            if count < len(found):
                found[count] = at
            count += 1
        at = rows[at].older
    return count


@njit(cache=True, nogil=True)
def at_place(rows: Rows, newest_in: Slices, place: int, since: float, until: float, found: Table) -> int:
    """The same of the rows of a place, with a plate or without."""
    slices = newest_in.shape[1]
    number = int(until // SLICE_SECONDS)
    first = max(int(since // SLICE_SECONDS), number - slices + 1)
    count = 0
    while number >= first:
        at = newest_in[place, number % slices]
        if at != NONE and int(rows[at].seen // SLICE_SECONDS) == number:
            while at != NONE and rows[at].seen >= since:
                if rows[at].seen <= until:
                    if count < len(found):
                        found[count] = at
                    count += 1
                at = rows[at].older_here
        number -= 1
    return count


_MOST_LEADING = 64


@njit(cache=True, nogil=True)
def glance(
    rows: Rows, row: int, since: float, ways_km: NDArray[np.float64], short: NDArray[np.bool_]
) -> tuple[int, float, float, float]:
    """What the rows of a row's plate before it, seen from `since` on, come to: their number, when the first and the
    last were seen, and the speed of the fastest way here from another place. `ways_km` leads here from each place, NaN
    where that is not known: then the speed is infinite. The number is -1 if it hangs on the order of two rows of one
    moment, of which one has a `short` id, by traits, and one has not."""
    seen, place = rows[row].seen, rows[row].place
    count, first, last, peak_kmh = 0, np.inf, -np.inf, 0.0
    if _meets_other_ids(rows, row, short):
        return -1, first, last, np.inf
    at = rows[row].older
    while at != NONE and rows[at].seen >= since:
        first, last = rows[at].seen, max(last, rows[at].seen)
        count += 1
        if rows[at].place != place:
            km = ways_km[rows[at].place]
            if np.isnan(km) or (km > 0.0 and seen <= first):
                peak_kmh = np.inf
            elif km > 0.0:
                peak_kmh = max(peak_kmh, km * 3600.0 / (seen - first))
        at = rows[at].older
    return count, first, last, peak_kmh


@njit(cache=True, nogil=True)
def _meets_other_ids(rows: Rows, row: int, short: NDArray[np.bool_]) -> bool:
    """Whether a row's plate was seen in the same moment with an id of the other kind: those two have another order here
    than by their text."""
    seen, own_short = rows[row].seen, short[rows[row].traits]
    at = rows[row].younger
    while at != NONE and rows[at].seen == seen:
        if short[rows[at].traits] != own_short:
            return True
        at = rows[at].younger
    at = rows[row].older
    while at != NONE and rows[at].seen == seen:
        if short[rows[at].traits] != own_short:
            return True
        at = rows[at].older
    return False


@njit(cache=True, nogil=True)
def share_leaders(
    rows: Rows,
    table: Table,
    newest_in: Slices,
    row: int,
    since: float,
    reach: float,
    least: int,
    wanted: int,
    short: NDArray[np.bool_],
) -> bool:
    """Whether at least `least` other plates passed up to `reach` seconds before a row's plate did: where and when the
    row was seen, and the same plates where that plate passed `wanted` other places last before it, from `since` on.
    True where more pass than are told apart, and where it hangs on the order of two ids as in `glance`.

    Of the leaders, what they passed is looked at, not who passed every place: they have just been judged, and their
    rows are near.
    """
    if _meets_other_ids(rows, row, short):
        return True
    plate, place = rows[row].plate, rows[row].place
    places, times = np.empty(_MOST_LEADING, np.int64), np.empty(_MOST_LEADING, np.float64)
    count, at = 0, rows[row].older
    while at != NONE and rows[at].seen >= since and count < _MOST_LEADING:
        if rows[at].place != place and not _among(rows[at].place, places, count):
            places[count], times[count] = rows[at].place, rows[at].seen
            count += 1
        at = rows[at].older
    if count < wanted:
        return False
    leaders = np.empty(_MOST_LEADING, np.uint64)
    leading = _leaders(rows, newest_in, plate, place, rows[row].seen, reach, leaders)
    if leading < least:
        return False
    if leading == _MOST_LEADING or count == _MOST_LEADING:
        return True
    together, led_by = np.zeros(count, np.int64), np.full(count, NONE, np.int64)
    for leader in range(leading):
        at = table[_find(rows, table, leaders[leader])] - 1
        while at != NONE and rows[at].seen >= since - reach:
            for index in range(count):
                if rows[at].place == places[index] and times[index] - reach <= rows[at].seen <= times[index]:
                    together[index] += led_by[index] != leader
                    led_by[index] = leader
            at = rows[at].older
    return bool(np.sum(together >= least) >= wanted)


@njit(cache=True, nogil=True)
def _leaders(
    rows: Rows, newest_in: Slices, plate: np.uint64, place: int, seen: float, reach: float, leaders: NDArray[np.uint64]
) -> int:
    """Write down the other plates that passed a place up to `reach` seconds before `seen`, each once; how many."""
    slices = newest_in.shape[1]
    number, count = int(seen // SLICE_SECONDS), 0
    first = max(int((seen - reach) // SLICE_SECONDS), number - slices + 1)
    while number >= first and count < len(leaders):
        at = newest_in[place, number % slices]
        if at != NONE and int(rows[at].seen // SLICE_SECONDS) == number:
            while at != NONE and rows[at].seen >= seen - reach and count < len(leaders):
                other = rows[at].plate
                if rows[at].seen <= seen and other != plate and other < UNREAD and not _among(other, leaders, count):
                    leaders[count] = other
                    count += 1
                at = rows[at].older_here
        number -= 1
    return count


@njit(cache=True, nogil=True)
def _among(value, values, count):  # type: ignore[no-untyped-def]
    at = 0
    while at < count and values[at] != value:
        at += 1
    return at < count
