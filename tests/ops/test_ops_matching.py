"""The score of a plate, and the scan by edits, against slow implementations of their definitions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anpr.errors import DeviceError
from anpr.ops.cpu_matching import decode, encode
from anpr.ops.matching_contract import SLOTS, load
from anpr.plates.forms import LONGEST
from anpr.records import ALPHABET, EMPTY

OPS = load()
TEXTS = st.text("0128BD", min_size=2, max_size=LONGEST)
CLOSE = st.text("01", min_size=1, max_size=5)
"""So few that there are many with the same beginning."""
CONFUSIONS = np.exp(-np.random.default_rng(3).uniform(0.5, 8.0, (EMPTY, EMPTY))).astype(np.float32)


def as_rows(*texts: str) -> NDArray[np.uint8]:
    return np.array([text.encode() for text in texts], "S12").view(np.uint8).reshape(len(texts), 12)


@st.composite
def lattices(draw: st.DrawFn) -> NDArray[np.float32]:
    """Slots sure of one character, in doubt between some, or empty; some sum to less than 1."""
    lattice = np.zeros((SLOTS, EMPTY + 1), np.float32)
    columns = st.sampled_from([ALPHABET.index(character) for character in "0128BD"] + [EMPTY])
    for slot in range(SLOTS):
        likely = draw(st.dictionaries(columns, st.floats(0.0625, 1.0, width=32), max_size=3))
        for column, weight in likely.items():
            lattice[slot, column] = weight / max(1.0, sum(likely.values()))
        if not likely:
            lattice[slot, EMPTY] = 1.0
    return lattice


def weigh_slowly(lattice: NDArray[np.float32], reference: str) -> NDArray[np.float64]:
    ratios = np.zeros((SLOTS, EMPTY + 1))
    for slot in range(SLOTS):
        weights = [
            *(
                max(
                    float(lattice[slot, read]) * (1.0 if read == true else float(CONFUSIONS[read, true]))
                    for read in range(EMPTY)
                )
                for true in range(EMPTY)
            ),
            float(lattice[slot, EMPTY]),
        ]
        own = ALPHABET.index(reference[slot]) if slot < len(reference) else EMPTY
        for column, weight in enumerate(weights):
            ratios[slot, column] = min(1.0, weight / weights[own]) if weights[own] > 0 else float(weight > 0)
        ratios[slot, own] = 1.0
    return ratios


def score_slowly(ratios: NDArray[Any], base: float, plate: str, missing: float, extra: float) -> float:
    def laid(slots: list[int], characters: str, end: int) -> float:
        if any(slot >= SLOTS for slot in slots) or end > SLOTS:
            return 0.0
        product = 1.0
        for slot, character in zip(slots, characters, strict=True):
            product *= ratios[slot, ALPHABET.index(character)]
        return product * float(np.prod(ratios[end:, EMPTY]))

    size = len(plate)
    best = laid(list(range(size)), plate, size)
    for place in range(size):
        best = max(best, missing * laid(list(range(size - 1)), plate[:place] + plate[place + 1 :], size - 1))
    for skipped in range(size + 1):
        slots = [slot for slot in range(size + 1) if slot != skipped]
        best = max(best, extra * laid(slots, plate, size + 1))
    return base * best


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_codes_stand_for_texts(texts: list[str]) -> None:
    codes = OPS.encode_plates(as_rows(*texts))
    assert [decode(code) for code in codes.tolist()] == texts
    assert len(set(codes.tolist())) == len(set(texts))
    assert all(0 < code < 2**53 for code in codes.tolist())


def test_what_is_no_plate_has_the_code_0() -> None:
    assert OPS.encode_plates(as_rows("", "30A1?345", "30a12345", "0123456789A", "30A\x0012")).tolist() == [0] * 5
    assert encode("Đ") == encode("") == 0


@settings(deadline=None)
@given(lattices(), TEXTS, st.lists(TEXTS, min_size=1, max_size=8))
def test_the_score_is_that_of_its_definition(lattice: NDArray[np.float32], reference: str, plates: list[str]) -> None:
    ratios = OPS.weigh_lattices(lattice[None], np.array([encode(reference)]), CONFUSIONS)
    slow = weigh_slowly(lattice, reference)
    np.testing.assert_allclose(ratios[0], slow, rtol=1e-5, atol=1e-30)
    nearly = [reference, reference[1:] or "0", (reference + "0")[:LONGEST]]
    listed = [*plates, *(text for text in nearly if len(text) > 1)]
    codes = OPS.encode_plates(as_rows(*listed))
    scores = OPS.score_pairs(
        ratios, np.array([0.9], np.float32), np.zeros(len(codes), np.int32), codes, missing=0.02, extra=0.03
    )
    for plate, score in zip(listed, scores.tolist(), strict=True):
        assert score == pytest.approx(score_slowly(slow, 0.9, plate, 0.02, 0.03), rel=1e-4, abs=1e-30)


def test_a_pair_is_scored_with_its_own_read() -> None:
    lattice = np.zeros((2, SLOTS, EMPTY + 1), np.float32)
    lattice[:, :, EMPTY] = 1.0
    references = OPS.encode_plates(as_rows("30A12345", "29B00001"))
    ratios = OPS.weigh_lattices(lattice, references, CONFUSIONS)
    pairs = np.array([0, 1, 0, 1], np.int32)
    plates = references[[0, 1, 1, 0]]
    scores = OPS.score_pairs(ratios, np.array([0.5, 0.25], np.float32), pairs, plates, missing=0.0, extra=0.0)
    assert scores.tolist()[:2] == [0.5, 0.25]
    assert max(scores.tolist()[2:]) < 1e-3


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="lattices must be"):
        OPS.weigh_lattices(np.zeros((1, 3, 37), np.float32), np.array([5]), CONFUSIONS)
    with pytest.raises(ValueError, match="needs a reference"):
        OPS.weigh_lattices(np.zeros((1, SLOTS, 37), np.float32), np.array([0]), CONFUSIONS)
    with pytest.raises(ValueError, match="must be a plate's code"):
        OPS.match_brute(np.array([5]), 0, most_edits=1)
    with pytest.raises(ValueError, match="most_edits"):
        OPS.match_brute(np.array([5]), 5, most_edits=99)
    with pytest.raises(DeviceError, match="'tpu'"):
        load("tpu")  # type: ignore[arg-type]


def count_edits_slowly(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for place, character in enumerate(one, 1):
        previous, row = row, [place]
        for at, its in enumerate(other, 1):
            row.append(min(previous[at] + 1, row[-1] + 1, previous[at - 1] + (character != its)))
    return row[-1]


@settings(deadline=None)
@given(st.lists(TEXTS | CLOSE, max_size=40), TEXTS | CLOSE, st.integers(0, 4), st.booleans())
def test_the_scan_finds_all_within_the_edits(plates: list[str], query: str, most: int, rising: bool) -> None:
    if rising:
        plates.sort(key=encode)
    codes = np.append(OPS.encode_plates(as_rows(*plates)), 0)
    positions, edits = OPS.match_brute(codes, encode(query), most_edits=most)
    distances = [count_edits_slowly(plate, query) for plate in plates]
    assert dict(zip(positions.tolist(), edits.tolist(), strict=True)) == {
        position: distance for position, distance in enumerate(distances) if distance <= most
    }


@pytest.mark.parametrize("query", ["30F12345", "3", "29LD012345", "ZZZZ", "99999"])
@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_plates_passed_over_in_rising_order_are_none_of_those_wanted(query: str, most: int) -> None:
    """As many as there are in a province and series, whose neighbours are passed over a thousand at a time."""
    plates = np.arange(encode("30F00000"), encode("30F00000") + 3 * 37**4, 7)
    mixed = np.random.default_rng(5).permutation(len(plates))
    positions, edits = OPS.match_brute(plates, encode(query), most_edits=most)
    alone = [OPS.match_brute(plates[[at]], encode(query), most_edits=most) for at in mixed[:2000].tolist()]
    found = dict(zip(positions.tolist(), edits.tolist(), strict=True))
    for at, (its, away) in zip(mixed[:2000].tolist(), alone, strict=True):
        assert (at in found) == bool(len(its))
        assert found.get(at, 0) == (away[0] if len(away) else 0)
