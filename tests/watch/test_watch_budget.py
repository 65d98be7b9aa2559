from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray

from anpr.ops.cpu_matching import encode_plates
from anpr.ops.matching_contract import SLOTS, load
from anpr.plates.grammar import parse
from anpr.plates.patterns import Pattern
from anpr.records import ALPHABET, EMPTY
from anpr.watch.budget import (
    CARS,
    LEAST_THRESHOLD,
    MOST_THRESHOLD,
    accepted_for,
    expected_false_hits,
    fitting_per_day,
    thresholds_of,
)
from anpr.watch.entries import Entry
from anpr.watch.index import Costs, Thresholds, as_rows
from anpr.watch.lists import WatchList
from anpr.watch.matcher import Matcher
from anpr.watch.preview import preview

COSTS = Costs()
OPS = load()


def as_texts(*plates: str) -> NDArray[np.bytes_]:
    return np.array([plate.encode() for plate in plates], "S12")


def plates_beside(plate: str) -> set[str]:
    """Every plate one edit away, by the grammar."""
    texts = {plate[:place] + other + plate[place + 1 :] for place in range(len(plate)) for other in ALPHABET}
    texts |= {plate[:place] + plate[place + 1 :] for place in range(len(plate))}
    texts |= {plate[:place] + other + plate[place:] for place in range(len(plate) + 1) for other in ALPHABET}
    return {text for text in texts - {plate} if parse(text)}


def score_of_certain_reads(reads: list[str], plate: str) -> list[float]:
    lattices = np.zeros((len(reads), SLOTS, EMPTY + 1), np.float32)
    for lattice, read in zip(lattices, reads, strict=True):
        lattice[len(read) :, EMPTY] = 1.0
        lattice[range(len(read)), [ALPHABET.index(character) for character in read]] = 1.0
    codes = encode_plates(as_rows(as_texts(*reads)))
    ratios = OPS.weigh_lattices(lattices, codes, COSTS.probabilities())
    listed = np.repeat(encode_plates(as_rows(as_texts(plate))), len(reads))
    bases, numbers = np.ones(len(reads), np.float32), np.arange(len(reads), dtype=np.int32)
    return OPS.score_pairs(ratios, bases, numbers, listed, missing=COSTS.missing, extra=COSTS.extra).tolist()


@pytest.mark.parametrize("plate", ["30A12345", "29H112345", "30A1234", "80441NG02", "TM1123", "30LD11223"])
def test_the_accepted_plates_are_those_whose_certain_reads_match(plate: str) -> None:
    beside = sorted(plates_beside(plate))
    scores = score_of_certain_reads(beside, plate)
    for threshold in (0.0015, 0.004, 0.01):
        expected = {text: score for text, score in zip(beside, scores, strict=True) if score >= threshold}
        found = {near.plate: near.probability for near in accepted_for(plate, threshold=threshold, costs=COSTS)}
        assert found == pytest.approx(expected)
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_expectation_is_the_documented_sum() -> None:
    plate, threshold = "30A12345", 0.004
    confusions = COSTS.probabilities()
    expected = 0.0
    for other in plates_beside(plate):
        if len(other) == len(plate):
            (place,) = (place for place in range(len(plate)) if other[place] != plate[place])
            own, its = ALPHABET.index(plate[place]), ALPHABET.index(other[place])
            accepted, mistaken = confusions[its, own], confusions[own, its]
        elif len(other) < len(plate):
            accepted, mistaken = COSTS.missing, COSTS.confusions.added
        else:
            accepted, mistaken = COSTS.extra, COSTS.confusions.left_out
        expected += 1.0 if accepted >= threshold else min(1.0, mistaken / threshold)
    (found,) = expected_false_hits(
        as_texts(plate), thresholds=Thresholds(threshold, 0.5), vehicles_per_day=15_000.0, costs=COSTS
    )
    assert found == pytest.approx(expected * 15_000.0 / CARS, rel=1e-4)


def random_list(count: int) -> NDArray[np.bytes_]:
    rng = np.random.default_rng(count)
    return as_texts(
        *(
            f"30{letter}{number:05d}"
            for letter, number in zip(
                rng.choice(list("ABCDEFGHKLM"), count), rng.integers(1, 100_000, count), strict=True
            )
        )
    )


def test_the_threshold_keeps_the_list_within_its_budget() -> None:
    texts = random_list(60)
    before = inf
    for budget in (0.3, 1.0, 5.0, 20.0):
        thresholds = thresholds_of(texts, false_hits_per_day=budget, vehicles_per_day=15_000.0, costs=COSTS)
        expected = expected_false_hits(texts, thresholds=thresholds, vehicles_per_day=15_000.0, costs=COSTS).sum()
        assert expected <= budget
        assert thresholds.expected_per_day == pytest.approx(expected, rel=1e-6)
        assert LEAST_THRESHOLD <= thresholds.plates < before
        before = thresholds.plates
        lower = Thresholds(thresholds.plates * 0.8, thresholds.patterns)
        more = expected_false_hits(texts, thresholds=lower, vehicles_per_day=15_000.0, costs=COSTS).sum()
        assert more > budget or thresholds.plates == LEAST_THRESHOLD


def test_a_long_list_is_estimated_from_some_of_its_entries() -> None:
    texts = random_list(20_000)
    thresholds = thresholds_of(texts, false_hits_per_day=300.0, vehicles_per_day=15_000.0, costs=COSTS)
    expected = expected_false_hits(texts, thresholds=thresholds, vehicles_per_day=15_000.0, costs=COSTS).sum()
    assert 250.0 < expected < 310.0
    assert thresholds.expected_per_day == pytest.approx(expected, rel=0.05)


def test_what_no_threshold_can_keep_has_the_highest() -> None:
    texts = random_list(20_000)
    highest = thresholds_of(texts, false_hits_per_day=1.0, vehicles_per_day=15_000.0, costs=COSTS)
    assert highest.plates == MOST_THRESHOLD
    assert highest.expected_per_day is not None
    assert highest.expected_per_day > 1.0, "and it is told"
    none = thresholds_of(texts, false_hits_per_day=0.0, vehicles_per_day=15_000.0, costs=COSTS)
    assert (none.plates, none.patterns, none.expected_per_day) == (inf, inf, None)


def test_lists_over_their_budget_are_known() -> None:
    entries = [Entry(plate.decode()) for plate in random_list(20_000).tolist()]
    lists = (
        WatchList("large", "1", entries, false_hits_per_day=1.0),
        WatchList("patient", "1", entries, false_hits_per_day=1000.0),
        WatchList("exact", "1", entries, false_hits_per_day=0.0),
        WatchList("small", "1", entries[:10], false_hits_per_day=1.0),
    )
    over = Matcher(lists, vehicles_per_day=15_000.0).over_budget
    assert set(over) == {"large"}
    assert over["large"] > 1.0


def test_patterns_and_plates_have_thresholds_of_their_own() -> None:
    narrow, wide = as_texts("30A12345", "30A1?345"), as_texts("30A12345", "20*")
    of_narrow, of_wide = (
        thresholds_of(texts, false_hits_per_day=1.0, vehicles_per_day=15_000.0, costs=COSTS) for texts in (narrow, wide)
    )
    assert of_narrow.plates == of_wide.plates < 0.01
    assert of_narrow.patterns < 0.1
    assert of_wide.patterns == MOST_THRESHOLD


def test_how_many_fit_is_told_where_the_place_does_not_decide_it() -> None:
    # Ten cars, of which those that are motorbikes' texts too are nine times rarer there.
    assert fitting_per_day("30A1?345", 15_000.0) == pytest.approx(10 * 15_000.0 / CARS)
    # 99,999 cars of a series; 3.2 million motorbikes in series that begin with its letter, of 61 million.
    series = fitting_per_day("20A*", 15_000.0)
    assert series is not None
    assert 99_999 * 15_000.0 / CARS < series < 0.1 * 15_000.0
    assert fitting_per_day("20*", 15_000.0) is None, "a province may be nearly all of the traffic, or nearly none"
    assert fitting_per_day("*11*", 15_000.0) is None


def test_senseless_figures_are_refused() -> None:
    for budget, vehicles in ((-1.0, 1.0), (float("nan"), 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="at least 0"):
            thresholds_of(as_texts(), false_hits_per_day=budget, vehicles_per_day=vehicles, costs=COSTS)


def test_a_preview_tells_the_worst_entries_first() -> None:
    watch_list = WatchList("x", "v", (Entry("30A12345"), Entry("90H27268"), Entry("30A*")), false_hits_per_day=5.0)
    shown = preview(watch_list, vehicles_per_day=15_000.0)
    assert shown.budget_per_day == 5.0
    entries = list(shown.entries())
    assert next(each.entry.plate for each in entries) == "30A*"
    assert entries[0].fitting_per_day == fitting_per_day("30A*", 15_000.0)
    assert entries[0].accepts == ()
    by_plate = {each.entry.plate: each for each in entries}
    near = accepted_for("90H27268", threshold=shown.thresholds.plates, costs=COSTS)
    assert by_plate["90H27268"].accepts == near != ()
    assert shown.false_hits_per_day == pytest.approx(sum(each.false_hits_per_day for each in entries))
    assert preview(watch_list, vehicles_per_day=15_000.0, budget_per_day=0.0).thresholds.plates == inf


@pytest.mark.parametrize(
    ("pattern", "most"),
    [("20*", 190.0), ("20A*", 100.0), ("30A12*", 0.6), ("30A1?345", 0.01), ("29H1*", 5.0), ("*A1234*", 1.5)],
)
def test_what_fits_a_pattern_is_no_false_hit(pattern: str, most: float) -> None:
    """Of 15,000 vehicles, all of which may be of that province: those of others that are taken for it."""
    (found,) = expected_false_hits(
        as_texts(pattern), thresholds=Thresholds(0.5, 0.5), vehicles_per_day=15_000.0, costs=COSTS
    )
    assert 0.5 * most < found <= most


PASSAGES = 100_000
"""Simulated, over which a bound of a day is spread."""


def drawn(rng: np.random.Generator, codes: list[str], count: int) -> NDArray[np.bytes_]:
    """Cars of some provinces, any series and number."""
    letters = rng.choice(list("ABCDEFGHKLMNPSTUVXYZ"), count)
    numbers = rng.integers(1, 100_000, count)
    drawn_codes = rng.choice(codes, count)
    return as_texts(*(f"{code}{letter}{number:05d}" for code, letter, number in zip(drawn_codes, letters, numbers)))


def misread(rng: np.random.Generator, plates: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """What a reader settles on that errs as often as the table says, and is certain: no threshold prevents that."""
    shown = plates.astype("S8").view(np.uint8).reshape(-1, 8)
    indexes = np.array([ALPHABET.find(chr(byte)) for byte in range(128)])[shown]
    chances = COSTS.probabilities().T.astype(float)  # per true character what is read
    classes = np.array([character.isdigit() for character in ALPHABET])
    chances[classes[:, None] != classes] = 0.0
    limits = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    read = np.stack([(rng.random(len(its))[:, None] > limits[its]).sum(axis=1) for its in indexes.T], axis=1)
    return np.frombuffer(ALPHABET.encode(), np.uint8)[read].copy().view("S8").ravel()


@pytest.mark.parametrize(
    ("pattern", "codes"),
    [
        ("20*", [f"{code}" for code in range(11, 100) if code not in (13, 42, 44, 45, 46, 87, 91, 96)]),
        ("20*", ["20", "29", "30", "98", "99"]),
        ("20*", ["70"]),
        ("20A*", ["20", "29", "30"]),
        ("*11*", ["20", "29", "30"]),
    ],
)
def test_no_traffic_brings_more_false_hits_than_expected(pattern: str, codes: list[str]) -> None:
    rng = np.random.default_rng(1)
    plates = drawn(rng, codes, PASSAGES)
    read = misread(rng, plates)
    fits = Pattern(pattern).matches
    false = sum(fits(its.decode()) and not fits(plate.decode()) for plate, its in zip(plates.tolist(), read.tolist()))
    thresholds = Thresholds(1.0, 1.0)
    (bound,) = expected_false_hits(as_texts(pattern), thresholds=thresholds, vehicles_per_day=PASSAGES, costs=COSTS)
    assert 0 < false <= bound + 4.0 * bound**0.5
    if codes == ["70"]:
        assert false > 0.8 * bound, "the worst that can drive there"
