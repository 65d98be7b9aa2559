import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.errors import PlateError
from anpr.plates.patterns import Pattern, count_by_kinds, is_pattern, parse_pattern
from anpr.plates.provinces import codes


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("30A-12?.45", "30A12?45"),
        (" *a-123.4* ", "*A1234*"),
        ("20*", "20*"),
        ("20A*", "20A*"),
        ("３０Ａ－１＊", "30A1*"),
        ("30Đ-1?.*", "30D1?*"),
        ("29-H1 *?**?45", "29H1??*45"),
        ("*-NG-*", "*NG*"),
        ("3?A*", "3?A*"),
    ],
)
def test_every_spelling_has_one_form(written: str, text: str) -> None:
    assert is_pattern(written)
    assert parse_pattern(written).text == text
    assert parse_pattern(text).text == text


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("*", "too wide, only 0 of its characters are fixed"),
        ("?3*", "too wide, only 1 of its"),
        ("30A-123.45", "no wildcard"),
        ("", "no wildcard"),
        ("30O*", "the letter O is on none"),
        ("21?A12345678", "no Vietnamese plate fits"),
        ("*12345678*", "no Vietnamese plate fits"),
        ("30é*", "position 3"),
        ("30A1?2?3?4?5*", "13 characters are too many for a pattern"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(written: str, problem: str) -> None:
    with pytest.raises(PlateError) as caught:
        parse_pattern(written)
    assert problem in str(caught.value)
    assert caught.value.cure


def test_a_question_mark_is_one_character_and_a_star_any_number() -> None:
    pattern = parse_pattern("30A-12?.45")
    assert pattern.matches("30A12345")
    assert not pattern.matches("30A1245")
    assert not pattern.matches("30A123345")
    anywhere = parse_pattern("*A1234*")
    assert all(map(anywhere.matches, ("30A1234", "30A12345", "30A12340")))
    assert not anywhere.matches("30A01234")
    assert not is_pattern("30A-123.45")


PARTS = st.text("0AB?*", min_size=1, max_size=6)


@given(PARTS, st.text("0AB", max_size=6))
def test_matching_is_that_of_its_definition(text: str, plate: str) -> None:
    def fits(pattern: str, rest: str) -> bool:
        if not pattern:
            return not rest
        if pattern[0] == "*":
            return fits(pattern[1:], rest) or (bool(rest) and fits(pattern, rest[1:]))
        return bool(rest) and pattern[0] in ("?", rest[0]) and fits(pattern[1:], rest[1:])

    assert Pattern(text).matches(plate) == fits(text, plate)


def count_fitting(pattern: Pattern) -> int:
    return sum(count_by_kinds(pattern).values())


def test_the_plates_that_fit_are_counted_by_the_kinds_that_share_them() -> None:
    assert count_by_kinds(Pattern("30A1234?")) == {frozenset({"car", "motorbike"}): 10}
    assert count_by_kinds(Pattern("30A01?34")) == {frozenset({"car"}): 10}
    of_each = dict.fromkeys(("car", "motorbike", "special"), 0)
    for kinds, plates in count_by_kinds(Pattern("30A*")).items():
        for kind in kinds & of_each.keys():
            of_each[kind] += plates
    assert of_each["car"] == 99_999 + 9_999
    assert of_each["motorbike"] > 9 * 99_999


def test_the_plates_that_fit_are_counted_once_each() -> None:
    assert count_fitting(Pattern("30A12?45")) == 10
    assert count_fitting(Pattern("??A12345")) == len(codes())
    assert count_fitting(Pattern("30A*")) == count_fitting(Pattern("30A**"))
    military = [f"TM{number:0{digits}d}" for digits in (3, 4) for number in range(1, 10**digits)]
    military += [text + suffix for text in military if len(text) == 6 for suffix in ("RM", "BM")]
    for text in ("TM*", "TM*5*", "TM*5*5*", "TM??5*M"):
        assert count_fitting(Pattern(text)) == sum(map(Pattern(text).matches, military))
