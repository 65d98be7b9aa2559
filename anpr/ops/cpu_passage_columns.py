"""Scanning columns of stored passages, compiled by numba: pure functions over arrays.

A *column set* describes n passages of p different plates, by rising time:

    codes      int64 (p,)       the plates by `anpr.ops.plate_codes`, rising
    starts     uint32 (p + 1,)  the passages of plate k are `by_plate[starts[k]:starts[k + 1]]`
    by_plate   uint32 (n,)      rows, of each plate by rising time
    plate_of   uint32 (n,)      each row's plate
    look_of    uint32 (n,)      each row's look: what it shares with many others

`passing` (uint8 (looks,)) says of each look whether its rows are wanted: NO, YES, or IF_PLATE, where it depends on the
plate: `wanted` (uint8 (p,), not 0: yes). Without looks (0,) all rows are. Columns come from a file that may be damaged:
an index beyond its array raises IndexError.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from anpr.ops.plate_codes import BITS, IF_PLATE, NO, PACKED_RADIX, YES
from anpr.plates.forms import LONGEST

_CHARACTER = (1 << BITS) - 1
_BLOCK = 4096
"""Codes that stay in the fastest cache while one mask after another is laid on them."""


@njit(cache=True, nogil=True)
def mark_fitting(  # type: ignore[no-untyped-def]
    codes, masks, values, found
):
    """Set `found` (uint8 (n,), 0 before) to 1 where `code & masks[k] == values[k]` (int64) for any k."""
    for first in range(0, len(codes), _BLOCK):
        block, into = codes[first : first + _BLOCK], found[first : first + _BLOCK]
        for k in range(len(masks)):
            mask, value = masks[k], values[k]
            for index in range(len(block)):
                into[index] |= np.uint8((block[index] & mask) == value)


@njit(cache=True, nogil=True)
def pack_codes(codes):  # type: ignore[no-untyped-def]
    """int64 (n,): the codes of `anpr.ops.matching_contract` of `codes` (int64 (n,)) of plates, in the same order.

    Of a code that is none, below 37**11.
    """
    packed = np.empty(len(codes), np.int64)
    for index in range(len(codes)):
        code, number = codes[index], np.int64(0)
        for place in range(LONGEST - 1, -1, -1):
            number = number * PACKED_RADIX + ((code >> (BITS * place)) & _CHARACTER)
        packed[index] = number
    return packed


@njit(cache=True, nogil=True)
def rows_of_plates(  # type: ignore[no-untyped-def]
    plates, starts, by_plate, first, end
):
    """int64: the rows of these `plates` (int64) in `first <= row < end`, plate by plate."""
    count = 0
    for plate in plates:
        if starts[plate] > starts[plate + 1] or starts[plate + 1] > len(by_plate):
            raise IndexError("starts")
        count += starts[plate + 1] - starts[plate]
    found = np.empty(count, np.int64)
    count = 0
    for plate in plates:
        for place in range(starts[plate], starts[plate + 1]):
            row = by_plate[place]
            if first <= row < end:
                found[count] = row
                count += 1
    return found[:count]


@njit(cache=True, nogil=True)
def rows_backwards(  # type: ignore[no-untyped-def]
    plate_of, look_of, passing, wanted, fitting, first, end, most
):
    """int64: up to `most` rows in `first <= row < end` that pass and whose plate is `fitting` (uint8 (p,)), falling;
    with `fitting` empty, of any plate."""
    found = np.empty(most, np.int64)
    count = 0
    for row in range(end - 1, first - 1, -1):
        if count == most:
            break
        plate = plate_of[row]
        if len(fitting):
            if plate >= len(fitting):
                raise IndexError("plate")
            if fitting[plate] == 0:
                continue
        if len(passing):
            look = look_of[row]
            if look >= len(passing):
                raise IndexError("look")
            answer = passing[look]
            if answer == IF_PLATE:
                if plate >= len(wanted):
                    raise IndexError("plate")
                answer = YES if wanted[plate] else NO
            if answer == NO:
                continue
        found[count] = row
        count += 1
    return found[:count]


@njit(cache=True, nogil=True)
def rows_with(numbers, wanted, first, end):  # type: ignore[no-untyped-def]
    """int64: the rows in `first <= row < end` whose number (uint32 (n,)) is `wanted` (uint8), rising."""
    found = np.empty(end - first, np.int64)
    count = 0
    for row in range(first, end):
        if numbers[row] < len(wanted) and wanted[numbers[row]]:
            found[count] = row
            count += 1
    return found[:count]
