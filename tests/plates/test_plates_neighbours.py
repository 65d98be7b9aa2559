from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from anpr.errors import PlateError
from anpr.plates.confusions import shipped
from anpr.plates.neighbours import LOOK_ALIKE_PROBABILITY, count_edits, one_look_alike, one_off
from anpr.plates.provinces import codes, codes_of
from anpr.records import ALPHABET

PLATES = st.text(ALPHABET, min_size=1, max_size=10)


@given(PLATES, st.integers(0, 10), st.sampled_from(ALPHABET), st.integers(0, 2))
def test_one_mistake_and_only_one(text: str, place: int, character: str, replaced: int) -> None:
    changed = text[:place] + character + text[place + replaced :]
    assert (changed in one_off(text)) == (Levenshtein.distance(text, changed) <= 1)


@given(PLATES)
def test_all_with_one_mistake_are_there_once(text: str) -> None:
    found = one_off(text)
    assert text in found
    assert "" not in found
    assert all(Levenshtein.distance(text, each) <= 1 for each in found)
    assert {text + "7", "7" + text, text[1:] or text} <= found


@given(st.one_of(PLATES, st.text("01A", min_size=1)), st.one_of(PLATES, st.text("01A", min_size=1)))
def test_edits_are_counted_as_rapidfuzz_does(one: str, other: str) -> None:
    assert count_edits(one, other) == Levenshtein.distance(one, other)


@given(PLATES)
def test_look_alikes_are_among_those_with_one_mistake(text: str) -> None:
    found = one_look_alike(text)
    assert text in found
    assert found <= one_off(text)
    assert all(len(each) == len(text) for each in found)


def test_look_alikes_are_what_the_reader_confuses_either_way() -> None:
    alike = one_look_alike("8")
    assert {"B", "3"} <= alike
    assert not {"1", "7", "A"} & alike
    most = -math.log(LOOK_ALIKE_PROBABILITY)
    right = {each for each in ALPHABET if min(shipped().cost("8", each), shipped().cost(each, "8")) <= most}
    assert alike == right


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("30", {"30"}),
        ("Bắc Giang", {"98"}),
        ("bac giang", {"98"}),
        ("Bắc Ninh", {"98", "99"}),
        ("ĐÀ NẴNG", {"43", "92"}),
        ("bà rịa vũng tàu", {"72"}),
        ("80", {"80"}),
    ],
)
def test_a_province_by_any_name(place: str, found: set[str]) -> None:
    assert codes_of(place) == found


def test_every_name_leads_to_its_code() -> None:
    for entry in codes().values():
        for name in filter(None, (entry.before, entry.after)):
            assert entry.code in codes_of(name)


@pytest.mark.parametrize(
    ("place", "cure"), [("Hà Nôi Cũ", "did you mean Hà Nội"), ("", "a province's name"), ("13", "")]
)
def test_what_is_no_province_is_told(place: str, cure: str) -> None:
    with pytest.raises(PlateError, match=f"is no province.*{cure}"):
        codes_of(place)
