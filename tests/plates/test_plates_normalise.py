import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.errors import PlateError
from anpr.plates.normalise import MAX_INPUT, normalise
from anpr.records import ALPHABET


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("30A-123.45", "30A12345"),
        ("30a 123.45\n", "30A12345"),
        ("３０Ａ１２３４５", "30A12345"),
        ("３０Ａ－１２３．４５", "30A12345"),
        ("30А-123.45", "30A12345"),  # Cyrillic
        ("29Н1-123.45", "29H112345"),  # Cyrillic
        ("51Ε 12345", "51E12345"),  # Greek
        ("29-MĐ1 123.45", "29MD112345"),
        ("29-MÐ1 123.45", "29MD112345"),
        ("29-MƉ1 123.45", "29MD112345"),
        ("29-mđ1 123.45", "29MD112345"),
        ("\ufeff30A\u200b123\u00a045\u2028", "30A12345"),
        ("30A–123·45", "30A12345"),
    ],
)
def test_spellings_of_one_plate(given_text: str, expected: str) -> None:
    assert normalise(given_text) == expected


@pytest.mark.parametrize(
    ("text", "position", "cure"),
    [
        ("30Á12345", 3, "did you mean A?"),
        ("30A1234٣", 8, "did you mean 3?"),
        ("30ß12345", 3, "did you mean S?"),
        ("30A*", 4, "wildcards"),
        ("5.1E+12346", 5, "spreadsheet"),
        ("30A\x0012345", 4, "0-9, A-Z"),
        ("30A\u030112345", 4, "accent"),
        ("30😀", 3, "0-9, A-Z"),
    ],
)
def test_refusals_name_the_place_and_the_cure(text: str, position: int, cure: str) -> None:
    with pytest.raises(PlateError, match=f"position {position} of") as caught:
        normalise(text)
    assert cure in caught.value.cure


@pytest.mark.parametrize("text", ["", " .-\n"])
def test_nothing_is_no_plate(text: str) -> None:
    with pytest.raises(PlateError, match="empty"):
        normalise(text)


def test_long_input_is_refused_at_once() -> None:
    with pytest.raises(PlateError, match="too many"):
        normalise("1" * (MAX_INPUT + 1))


@given(st.text(max_size=MAX_INPUT))
def test_gives_the_alphabet_or_an_error_and_is_idempotent(text: str) -> None:
    try:
        plate = normalise(text)
    except PlateError:
        return
    assert set(plate) <= set(ALPHABET)
    assert normalise(plate) == plate
