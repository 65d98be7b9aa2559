"""What stands in a plate's place: always the same under one key, another under another, and never a plate."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.errors import PlateError
from anpr.plates.normalise import normalise
from anpr.plates.pseudonym import BITS, Pseudonyms, is_pseudonym, number_of, text_of

PLATES = st.text("0123456789ABCDEFGHKLMNPRSTUVXYZ", min_size=1, max_size=12)
KEY = Pseudonyms(bytes(range(32)))


@given(PLATES, PLATES, st.binary(min_size=32, max_size=32))
def test_a_plate_has_one_pseudonym_under_one_key(plate: str, other: str, key: bytes) -> None:
    found = Pseudonyms(key).of(plate)
    assert found == Pseudonyms(key).of(plate)
    assert (found == Pseudonyms(key).of(other)) == (plate == other)
    assert (found == KEY.of(plate)) == (key == bytes(range(32)))
    assert is_pseudonym(found)
    assert re.fullmatch("~[0-9A-HJKMNP-TV-Z]{12}", found)
    assert plate not in found or len(plate) < 4


@given(PLATES)
def test_a_plate_is_no_pseudonym_and_a_pseudonym_is_no_plate(plate: str) -> None:
    assert not is_pseudonym(plate)
    with pytest.raises(PlateError, match="is never on a plate"):
        normalise(KEY.of(plate))


@given(st.integers(0, (1 << BITS) - 1))
def test_a_number_is_given_back(number: int) -> None:
    assert number_of(text_of(number)) == number


@pytest.mark.parametrize(
    "text", ["", "~", "~7ZK4M0Q2RT9", "~7ZK4M0Q2RT9CC", "~7ZK4M0Q2RT9U", "~7zk4m0q2rt9c", "7ZK4M0Q2RT9CA"]
)
def test_what_is_not_of_the_form_is_no_pseudonym(text: str) -> None:
    assert number_of(text) is None


def test_no_plate_has_no_pseudonym() -> None:
    assert KEY.of("") == ""


def test_the_pseudonym_of_a_plate_never_changes() -> None:
    """What is stored is looked for by it."""
    assert KEY.of("30A12345") == "~EC671PRHQA0K"
    assert KEY.fingerprint == "b078f6c4315a5ccd"


def test_a_key_is_not_shown() -> None:
    assert repr(KEY) == f"Pseudonyms({KEY.fingerprint})"
    assert bytes(range(32)).hex()[:16] not in KEY.fingerprint
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short")
