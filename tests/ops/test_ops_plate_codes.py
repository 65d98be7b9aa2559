from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr.ops.cpu_passage_columns import mark_fitting, pack_codes, rows_backwards, rows_of_plates, rows_with
from anpr.ops.plate_codes import IF_PLATE, MOST_PACKED, NO, PSEUDONYMS, YES, decode, encode, from_packed, masks_of
from anpr.plates.forms import LONGEST
from anpr.plates.packed import pack
from anpr.plates.pseudonym import BITS, text_of
from anpr.records import ALPHABET

PLATES = st.text(ALPHABET, max_size=LONGEST)
CLOSE = st.text("01A", max_size=5)
"""So few that patterns fit some of them."""
PATTERNS = st.text("01A?*", min_size=1, max_size=7).map(lambda written: re.sub(r"\*+", "*", written))
NONE = np.zeros(0, np.uint8)


@given(PLATES)
def test_a_code_is_its_plate(text: str) -> None:
    code = encode(text)
    assert code is not None
    assert decode(code) == text
    assert 0 <= code < 1 << 60


@given(st.lists(PLATES, max_size=20))
def test_codes_sort_by_length_and_then_as_their_plates_do(texts: list[str]) -> None:
    assert sorted(texts, key=encode) == sorted(texts, key=lambda text: (len(text), text))


@settings(deadline=None)  # the first call may compile
@given(st.lists(PLATES, max_size=20))
def test_packed_plates_become_codes(texts: list[str]) -> None:
    packed = [pack(text) for text in texts]
    assert all(number is not None and number < MOST_PACKED for number in packed)
    codes = np.array([encode(text) for text in texts], np.int64)
    assert from_packed(np.array(packed, np.uint64)).tolist() == codes.tolist()
    assert pack_codes(codes).tolist() == packed


@settings(deadline=None)
@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=20))
def test_damaged_codes_become_numbers_of_at_most_eleven_characters(codes: list[int]) -> None:
    packed = pack_codes(np.array(codes, np.int64))
    assert np.all((packed >= 0) & (packed < 37**11))


@given(st.lists(st.integers(0, (1 << BITS) - 1), max_size=10), st.lists(PLATES, max_size=10))
def test_pseudonyms_have_codes_above_those_of_all_plates(numbers: list[int], plates: list[str]) -> None:
    pseudonyms = [text_of(number) for number in numbers]
    codes = [encode(text) for text in pseudonyms]
    assert [decode(code) for code in codes if code is not None] == pseudonyms
    assert all(code is not None and PSEUDONYMS <= code < 1 << 61 for code in codes)
    assert all((encode(text) or 0) < PSEUDONYMS for text in plates)


@pytest.mark.parametrize("text", ["~", "~30A12345", "0" * 11, "30A-1", "é", "30a"])
def test_what_is_no_plate_has_no_code(text: str) -> None:
    assert encode(text) is None


@settings(deadline=None)  # the first call may compile
@given(st.sets(CLOSE, max_size=40), PATTERNS)
def test_masks_fit_what_the_pattern_fits(texts: set[str], pattern: str) -> None:
    codes = np.array(sorted(encode(text) or 0 for text in texts), np.int64)
    expression = re.compile(pattern.replace("*", ".*").replace("?", "."))
    found: list[str] = []
    for length in range(LONGEST + 1):
        masks = masks_of(pattern, length)
        if masks is not None:
            first, end = np.searchsorted(codes, [masks.first, masks.end])
            fitting = np.zeros(end - first, np.uint8)
            mark_fitting(codes[first:end], masks.masks, masks.values, fitting)
            found += [decode(code) for code in codes[first:end][fitting == 1].tolist()]
    assert sorted(found) == sorted(text for text in texts if expression.fullmatch(text))


def test_a_whole_block_and_its_rest_are_marked() -> None:
    codes = np.arange(10_000)
    marks = np.zeros(10_000, np.uint8)
    mark_fitting(codes, np.array([7, 63]), np.array([3, 5]), marks)
    assert np.array_equal(marks == 1, (codes % 8 == 3) | (codes % 64 == 5))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=30),
    st.lists(st.sampled_from([NO, YES, IF_PLATE]), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.none() | st.lists(st.booleans(), min_size=5, max_size=5),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(1, 8),
)
def test_rows_backwards_are_those_that_pass(
    rows: list[tuple[int, int]],
    passing: list[int],
    wanted: list[bool],
    fitting: list[bool] | None,
    first: int,
    end: int,
    most: int,
) -> None:
    end = min(end, len(rows))
    plate_of, look_of = np.array(rows, np.uint32).T
    found = rows_backwards(
        np.ascontiguousarray(plate_of),
        np.ascontiguousarray(look_of),
        np.array(passing, np.uint8),
        np.array(wanted, np.uint8),
        NONE if fitting is None else np.array(fitting, np.uint8),
        first,
        end,
        most,
    )
    right = [
        row
        for row, (plate, look) in reversed([*enumerate(rows)])
        if first <= row < end
        and (passing[look] == YES or (passing[look] == IF_PLATE and wanted[plate]))
        and (fitting is None or fitting[plate])
    ]
    assert found.tolist() == right[:most]


def test_rows_of_plates_and_of_numbers() -> None:
    starts, by_plate = np.array([0, 2, 2, 5], np.uint32), np.array([1, 4, 0, 2, 3], np.uint32)
    assert rows_of_plates(np.array([0, 2]), starts, by_plate, 1, 4).tolist() == [1, 2, 3]
    assert rows_of_plates(np.array([1]), starts, by_plate, 0, 5).tolist() == []
    numbers = np.array([5, 9, 2, 7], np.uint32)
    assert rows_with(numbers, np.array([0, 0, 1, 0, 0, 1], np.uint8), 0, 4).tolist() == [0, 2]
    assert rows_with(numbers, np.array([0, 0, 1, 0, 0, 1], np.uint8), 1, 4).tolist() == [2]


def test_an_index_beyond_its_array_is_told() -> None:
    zero, beyond, ones = np.zeros(1, np.uint32), np.array([9], np.uint32), np.ones(1, np.uint8)
    with pytest.raises(IndexError, match="starts"):
        rows_of_plates(np.array([0]), np.array([0, 9], np.uint32), zero, 0, 1)
    with pytest.raises(IndexError, match="plate"):
        rows_backwards(beyond, zero, NONE, NONE, ones, 0, 1, 1)
    with pytest.raises(IndexError, match="plate"):
        rows_backwards(beyond, zero, ones * np.uint8(IF_PLATE), ones, NONE, 0, 1, 1)
    with pytest.raises(IndexError, match="look"):
        rows_backwards(zero, beyond, ones, NONE, NONE, 0, 1, 1)
