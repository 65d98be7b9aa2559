"""The ledger of the fault matrix judges rightly: who was lost, told twice, told wrongly; and rates of growth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.fault_matrix.matrix import FAULTS
from scripts.fault_matrix.soak import slope
from scripts.fault_matrix.tail import Tail
from scripts.fault_matrix.verdict import Passage, Told, judge, last_words, missing_numbers


def passage(text: str, at: float) -> Passage:
    return Passage(text, at, at + 0.8, at - 0.5, at + 1.0)


def told(text: str, at: float, *, id: str = "", state: str = "final", probability: float = 0.99) -> Told:
    return Told(id or f"{text} {at}", "first", state, text, probability, at)


ALWAYS = [(0.0, 1000.0)]


def test_a_passage_that_was_told_is_neither_lost_nor_twice() -> None:
    verdict = judge([passage("30A12345", 10)], [told("30A12345", 10.4)], ALWAYS)
    assert (verdict.expected, verdict.lost, verdict.duplicated, verdict.wrong) == (1, [], [], [])


def test_a_misread_plate_is_lost_and_wrong() -> None:
    verdict = judge([passage("30A12345", 10)], [told("30A12346", 10.4)], ALWAYS)
    assert (verdict.lost, verdict.wrong) == (["30A12345"], ["30A12346"])


def test_an_unsure_misread_is_not_wrong() -> None:
    assert judge([passage("30A12345", 10)], [told("30A12346", 10.4, probability=0.6)], ALWAYS).wrong == []


def test_the_right_plate_at_the_wrong_time_is_lost_and_wrong() -> None:
    verdict = judge([passage("30A12345", 10)], [told("30A12345", 40.0)], ALWAYS)
    assert (verdict.lost, verdict.wrong) == (["30A12345"], ["30A12345"])
    assert judge([passage("30A12345", 10)], [told("30A12345", 40.0)], ALWAYS, at_any_time=True).wrong == []


def test_withdrawn_sightings_do_not_count() -> None:
    both = [told("30A12345", 10.2, id="a"), told("30A12345", 10.4, id="b", state="withdrawn")]
    assert judge([passage("30A12345", 10)], both, ALWAYS).duplicated == []
    assert judge([passage("30A12345", 10)], both[1:], ALWAYS).lost == ["30A12345"]


def test_two_sightings_of_one_passage_are_a_duplicate() -> None:
    both = [told("30A12345", 10.2, id="a"), told("30A12345", 10.4, id="b")]
    assert judge([passage("30A12345", 10)], both, ALWAYS).duplicated == ["30A12345"]


def test_what_a_fault_touched_is_not_held_against_anybody() -> None:
    verdict = judge([passage("30A12345", 10), passage("51F67890", 20)], [told("51F67890", 20.1)], [(0, 10.5), (22, 90)])
    assert (verdict.expected, verdict.in_fault, verdict.in_fault_told, verdict.lost) == (0, 2, 1, [])


def test_what_passes_before_the_first_and_after_the_last_whole_time_is_nobodys() -> None:
    verdict = judge([passage("30A12345", 10), passage("51F67890", 80)], [], [(20, 40), (50, 70)])
    assert (verdict.expected, verdict.in_fault, verdict.lost) == (0, 0, [])


def test_a_glimpse_is_not_expected_but_must_not_be_told_twice() -> None:
    glimpse = Passage("30A12345", 10.0, 10.1, 9.0, 11.0)
    assert judge([glimpse], [], ALWAYS).expected == 0
    twice = [told("30A12345", 10.0, id="a"), told("30A12345", 10.1, id="b")]
    assert judge([glimpse], twice, ALWAYS).duplicated == ["30A12345"]


@given(st.lists(st.integers(0, 40), unique=True, max_size=20), st.sets(st.integers(0, 19)))
def test_every_expected_passage_is_told_or_lost(starts: list[int], heard: set[int]) -> None:
    passages = [passage(f"{number:02}A12345", 5.0 * start) for number, start in enumerate(starts)]
    said = [told(each.text, each.readable_from) for number, each in enumerate(passages) if number in heard]
    verdict = judge(passages, said, ALWAYS)
    assert verdict.expected == len(passages)
    assert set(verdict.lost) == {each.text for each in passages} - {each.text for each in said}
    assert verdict.wrong == verdict.duplicated == []


def test_the_last_revision_counts_in_whatever_order_they_come() -> None:
    def data(revision: int, state: str) -> dict[str, Any]:
        common = {"id": "a", "camera_id": "first", "text": "30A12345", "probability": 1.0, "seen_seconds": 1.0}
        return {**common, "revision": revision, "state": state}

    assert [each.state for each in last_words([data(2, "withdrawn"), data(0, "preview"), data(1, "final")])] == [
        "withdrawn"
    ]


@given(st.sets(st.integers(0, 60), min_size=2))
def test_missing_numbers_complete_the_run(numbers: set[int]) -> None:
    missing = missing_numbers(numbers)
    assert set(missing) | numbers == set(range(min(numbers), max(numbers) + 1))
    assert not set(missing) & numbers


def test_noise_is_not_growth_and_growth_is() -> None:
    hours = [number / 60 for number in range(60)]
    flat = slope(hours, [100 + (number % 2) for number in range(60)])
    rising = slope(hours, [100 + 3 * hour + (number % 2) for number, hour in enumerate(hours)])
    assert not flat.surely_above(1.0)
    assert rising.surely_above(1.0)
    assert rising.per_hour == pytest.approx(3.0, abs=0.5)
    assert not slope([0.0, 1.0], [0.0, 9.0]).surely_above(1.0)


def test_a_tail_gives_whole_lines_only_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "book"
    tail = Tail(path)
    with path.open("a") as file:
        file.write(json.dumps({"event": "a"}) + "\nTraceback\n" + '{"event": ')
        file.flush()
        assert tail.entries() == [{"event": "a"}]
        file.write('"b"}\n')
        file.flush()
        assert tail.entries() == [{"event": "a"}, {"event": "b"}]
    assert tail.other_lines == ["Traceback"]


def test_every_known_fault_has_a_row_that_runs_or_says_why_not() -> None:
    codes = {fault.code for fault in FAULTS}
    asked = {"C": 14, "G": 6, "S": 10, "T": 1, "H": 5}
    assert codes >= {f"{letter}{number}" for letter, most in asked.items() for number in range(1, most + 1)}
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        ways = (fault.run is not None, fault.run_rig is not None, bool(fault.impossible))
        assert sum(ways) == 1, fault.name
        assert not (fault.quick and fault.impossible), fault.name
