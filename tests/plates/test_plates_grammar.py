import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.errors import PlateError
from anpr.plates.automaton import automaton
from anpr.plates.forms import FORMS, LONGEST
from anpr.plates.grammar import explain, parse, readings, require
from anpr.plates.normalise import normalise
from anpr.records import ALPHABET

SHARED = Path(__file__).parents[2].parent / "shared"

FORM_TEXTS = st.sampled_from(FORMS).flatmap(
    lambda form: st.tuples(
        *(
            st.sampled_from(paths).flatmap(lambda path: st.tuples(*map(st.sampled_from, path)).map("".join))
            for _, paths in form.parts
        )
    ).map("".join)
)
"""Texts that some form allows."""


@pytest.mark.parametrize(
    ("text", "kind", "province_code", "series", "number", "display"),
    [
        ("30A12345", "car", "30", "A", "12345", "30A-123.45"),
        ("29A1234", "car", "29", "A", "1234", "29A-1234"),
        ("80A00001", "car", "80", "A", "00001", "80A-000.01"),
        ("29H112345", "motorbike", "29", "H1", "12345", "29-H1 123.45"),
        ("29AA12345", "motorbike", "29", "AA", "12345", "29-AA 123.45"),
        ("29AR12345", "motorbike", "29", "AR", "12345", "29-AR 123.45"),
        ("51FB4779", "motorbike", "51", "FB", "4779", "51-FB 4779"),
        ("29MD112345", "motorbike_electric", "29", "MD1", "12345", "29-MĐ1 123.45"),
        ("29MD12345", "motorbike_electric", "29", "MD", "12345", "29-MĐ 123.45"),
        ("20LA1035", "agricultural", "20", "LA", "1035", "20LA-1035"),
        ("30LD12345", "special", "30", "LD", "12345", "30LD-123.45"),
        ("29TD12345", "special", "29", "TD", "12345", "29TĐ-123.45"),
        ("15R01234", "special", "15", "R", "01234", "15R-012.34"),
        ("15RM01234", "special", "15", "RM", "01234", "15RM-012.34"),
        ("80441NG02", "foreign", "80", "NG", "02", "80-441-NG-02"),
        ("27QT54745", "foreign", "27", "QT", "45", "27-QT-547-45"),
        ("80441NN123", "foreign", "80", "NN", "123", "80-441-NN-123"),
        ("T8023588", "temporary", "80", "T", "23588", "T80-235.88"),
        ("TM1234", "military", None, "TM", "1234", "TM-12-34"),
        ("KA123", "military", None, "KA", "123", "KA-123"),
        ("TM1234RM", "military", None, "TM", "1234", "TM-12-34 RM"),
    ],
)
def test_every_kind(text: str, kind: str, province_code: str | None, series: str, number: str, display: str) -> None:
    first = readings(text)[0]
    assert (first.kind, first.province_code, first.series, first.number, first.display) == (
        kind,
        province_code,
        series,
        number,
        display,
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("13A12345", "province code 13 was never assigned"),
        ("T1312345", "province code 13 was never assigned"),
        ("30O12345", "letter O at position 3 is on no plate, is it the digit 0?"),
        ("30I12345", "is it the digit 1?"),
        ("30W12345", "letter W"),
        ("30A123456789", "12 characters are too many"),
        ("30A1234567", "too many digits"),
        ("30A123", "too few digits"),
        ("30A", "too few"),
        ("30A00000", "0 does not exist"),
        ("12345678", "no series letter"),
        ("ABCDEFGH", "no number"),
        ("30ABC1234", "too many letters"),
        ("3A123456", "is not two digits"),
        ("300A1234", "comes a series letter, not 0"),
        ("30AQ12345", "no series AQ with 5 digits"),
        ("XY1234", "begins neither"),
        ("30a12345", "normalise first"),
        ("", "0 characters are too few"),
    ],
)
def test_impossible_texts_say_why(text: str, reason: str) -> None:
    assert not parse(text)
    assert reason in explain(text)


def test_ambiguous_strings_give_all_readings() -> None:
    assert [reading.kind for reading in readings("20A12345")] == ["car", "motorbike"]
    assert [reading.kind for reading in readings("30LD12345")] == ["special", "motorbike"]
    assert [reading.kind for reading in readings("29MD12345")] == ["motorbike_electric", "motorbike"]


def test_the_vehicle_and_the_colour_order_the_readings() -> None:
    assert readings("20A12345", vehicle="motorbike")[0].display == "20-A1 2345"
    assert readings("54R11147")[0].display == "54R-111.47"
    assert readings("54R11147", vehicle="motorbike")[0].display == "54-R1 1147"
    assert readings("20A12345", vehicle="motorbike", lines=1)[0].kind == "car"
    assert readings("20LA1035", colour="yellow")[0].kind == "agricultural"
    assert readings("20LA1035", colour="white", vehicle="motorbike")[0].kind == "motorbike"
    assert readings("30LD12345", colour="white", lines=2)[0].kind == "special"


def test_80_belongs_to_no_province() -> None:
    assert readings("80A12345")[0].issuer == "C08"
    assert readings("30A12345")[0].issuer == ""


def test_require_takes_any_spelling_and_explains() -> None:
    assert require("30a-123.45")[0].text == "30A12345"
    with pytest.raises(PlateError, match="13 was never assigned"):
        require("13A-123.45")


@given(FORM_TEXTS)
def test_texts_of_the_forms_parse_and_print_back(text: str) -> None:
    found = parse(text)
    assert found
    assert explain(text) == ""
    assert automaton().accepts(text)
    assert all(normalise(reading.display) == text for reading in found)
    assert not re.search("[OIJW]", text)


@given(
    st.one_of(
        st.text(ALPHABET, max_size=LONGEST + 1),
        st.tuples(FORM_TEXTS, st.integers(0, 9), st.sampled_from(ALPHABET)).map(
            lambda change: change[0][: change[1]] + change[2] + change[0][change[1] + 1 :]
        ),
    )
)
def test_the_automaton_accepts_what_parses(text: str) -> None:
    found = parse(text)
    assert {reading.kind for reading in found} == {FORMS[form].kind for form in automaton().accepts(text)}
    assert bool(explain(text)) == (not found)


def test_real_plates_parse() -> None:
    labels = SHARED / "data" / "labels.csv"
    if not labels.exists():
        pytest.skip("shared/data/labels.csv is absent")
    with labels.open(encoding="utf-8") as lines:
        texts = [row["text"] for row in csv.DictReader(lines) if row["readable"] == "yes"]
    parsed = sum(bool(parse(text)) for text in texts)
    assert len(texts) > 1000
    assert parsed / len(texts) >= 0.995
