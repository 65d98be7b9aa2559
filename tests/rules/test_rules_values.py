"""What a register's values mean, however a clerk or a program writes them; and what nobody can know is not guessed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_sites import write_site

from anpr import assets
from anpr.clock import ManualClock
from anpr.config import load_site
from anpr.config.times import parse_moment
from anpr.errors import ConfigError
from anpr.rules.language import Lookup
from anpr.rules.load import load_rules
from anpr.rules.opening import flaws_of
from anpr.rules.registers import parse_register
from anpr.rules.values import MOMENT, NUMBER, TEXT, Asked, form_of, said_of

COLOUR, CLASS, KIND, YES_NO = (
    form_of(Lookup.model_validate({"from": "r", "field": field, "is": [word]}))
    for field, word in (("colour", "white"), ("vehicle_class", "car"), ("kind", "car"), ("transport", "no"))
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("12", 12.0),
        ("12.5", 12.5),
        ("12,5", 12.5),
        (" -0,250 ", -0.25),
        ("1234,567", 1234.567),
        ("1.234.567", 1_234_567.0),
        ("1.234,5", 1234.5),
        (12.5, 12.5),
        (7, 7.0),
        # Thousands or decimals, an exponent of a spreadsheet, a unit, no number: refused.
        ("12.500", None),
        ("12,500", None),
        ("1.2E+1", None),
        ("12 t", None),
        ("12,5,1", None),
        ("nan", None),
        ("1_000", None),
        ("mười", None),
        (True, None),
    ],
)
def test_numbers(written: str | float | bool, meant: float | None) -> None:
    assert NUMBER.read(written) == meant


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_a_number_is_the_same_in_both_languages(value: object) -> None:
    assert NUMBER.read(str(value).replace(".", ",")) == NUMBER.read(str(value)) == float(str(value))


@given(st.dates(min_value=date(1000, 1, 1)))
def test_the_day_stands_before_the_month(day: date) -> None:
    meant = parse_moment(day, end_of_day=True)
    for mark in "/-.":
        assert MOMENT.read(f"{day.day}{mark}{day.month}{mark}{day.year}") == meant
        assert MOMENT.read(f"{day.day:02}{mark}{day.month:02}{mark}{day.year}") == meant
    assert MOMENT.read(day.isoformat()) == meant


def test_moments() -> None:
    assert MOMENT.read("31/03/2026 18:00") == parse_moment("2026-03-31T18:00")
    for written in ("01/13/2026", "31/02/2026", "1/2/26", "1/2-2026", "46023", "soon", 46023, True):
        assert MOMENT.read(written) is None


@pytest.mark.parametrize(
    ("form", "written", "meant"),
    [
        (COLOUR, "vàng", "yellow"),
        (COLOUR, "Nền vàng", "yellow"),
        (COLOUR, "nền màu Trắng", "white"),
        (COLOUR, "biển đỏ", "red"),
        (COLOUR, "XANH", "blue"),
        (COLOUR, "do", "red"),
        (COLOUR, "Yellow", "yellow"),
        (COLOUR, "va\u0300ng", "yellow"),
        (COLOUR, "vắng", None),
        (COLOUR, "đo", None),
        (COLOUR, "xanh lá", None),
        (COLOUR, "unknown", None),
        (CLASS, "xe tải", "truck"),
        (CLASS, "Xe ô tô tải", "truck"),
        (CLASS, "Tải", "truck"),
        (CLASS, "xe tai", "truck"),
        (CLASS, "xe tải van", "van"),
        (CLASS, "sơ-mi rơ-moóc", "trailer"),
        (CLASS, "ô tô con", "car"),
        (CLASS, "truck", "truck"),
        (CLASS, "ô tô", None),
        (CLASS, "bán tải", None),
        (KIND, "ô tô", "car"),
        (KIND, "motorbike_electric", "motorbike_electric"),
        (KIND, "mô tô điện", "motorbike_electric"),
        (YES_NO, "Không", "no"),
        (YES_NO, "CÓ", "yes"),
        (YES_NO, "khong", "no"),
        (YES_NO, False, "no"),
        (YES_NO, "no", "no"),
        (YES_NO, "x", None),
        (YES_NO, "1", None),
        (TEXT, " Wanted  BY all", "wanted by all"),
    ],
)
def test_words(form: object, written: str | bool, meant: str | None) -> None:
    assert form.read(written) == meant  # type: ignore[attr-defined]


def predicate(field: str, **test: object) -> Lookup:
    return Lookup.model_validate({"from": "r", "field": field, **test})


def test_what_a_field_is_follows_from_what_it_is_compared_with() -> None:
    for field, test, expected in (
        ("x", {"over": 1}, NUMBER),
        ("x", {"is": [1, 2]}, NUMBER),
        ("x", {"older_than": "0s"}, MOMENT),
        ("x", {"differs_from": "vehicle_class"}, CLASS),
        ("x", {"is": ["yellow", "blue"]}, COLOUR),
        ("x", {"is": ["truck"]}, CLASS),
        ("x", {"is_not": ["no"]}, YES_NO),
        ("x", {"is": [True]}, YES_NO),
        ("kind", {"is": ["car"]}, KIND),
        ("colour", {"is": ["vàng"]}, COLOUR),
        ("x", {"is": ["vàng"]}, TEXT),
        ("x", {"is": ["other"]}, TEXT),
        ("x", {"is": ["ok", "no"]}, TEXT),
        ("colour", {"is": ["green"]}, TEXT),
    ):
        assert form_of(predicate(field, **test)) is expected, (field, test)


def test_a_value_must_answer_every_rule() -> None:
    number = Asked().and_by(predicate("x", over=1))
    assert number.problem("12,5") == ""
    assert (
        number.problem("none") == "'none' is not a number (like 12,5 or 12.5: no unit, and no mark between thousands)"
    )
    named = number.and_by(predicate("x", **{"is": ["None", "any"]}))
    assert named.problem("none") == "", "a rule names it"
    assert "'some' is not a number" in named.problem("some")
    words = Asked().and_by(predicate("x", **{"is": ["no"]}))
    assert "'taxi' is not yes or no (one of yes (có), no (không)" in words.problem("taxi")
    assert words.and_by(predicate("x", **{"is": ["bus line"]})).problem("taxi") == "", "another rule takes any text"


def test_a_message_says_it_in_both_languages() -> None:
    for value, attribute, form, vi, en in (
        ("Vàng", "colour", None, "vàng", "yellow"),
        ("xe tải", "x", CLASS, "xe tải", "truck"),
        ("truck", "owner", None, "truck", "truck"),
        ("1/2/2026", "x", None, "01/02/2026", "2026-02-01"),
        ("2026-02-01", "x", None, "01/02/2026", "2026-02-01"),
        ("12,5", "x", NUMBER, "12,5", "12.5"),
        ("1.234.567", "x", NUMBER, "1234567", "1234567"),
        ("12,5", "x", None, "12,5", "12,5"),
        (12.5, "x", None, "12,5", "12.5"),
        (True, "x", None, "có", "yes"),
        ("khong", "x", YES_NO, "không", "no"),
    ):
        assert said_of(value, attribute, form) == (vi, en)


HEADER = "plate,inspection_until,transport,fine_notice,vehicle_class,colour,gross_tonnes\n"
VIETNAMESE = '29A-123.45,01/01/2026,Không,15/01/2026,xe tải,vàng,"12,5"\n'
SHIPPED = assets.folder("configs") / "rules"


def test_the_shipped_rules_understand_a_vietnamese_register(tmp_path: Path) -> None:
    asked = load_rules([SHIPPED]).asked["registry"]
    records, left_out = parse_register((HEADER + VIETNAMESE).encode(), tmp_path / "r.csv", asked)
    assert left_out.rows == 0
    meant = {name: form.read(value) for name, value in records["29A12345"].items() for form in asked[name].forms}
    assert meant == {
        "inspection_until": parse_moment("2026-01-02"),
        "transport": "no",
        "fine_notice": parse_moment("2026-01-16"),
        "vehicle_class": "truck",
        "colour": "yellow",
        "gross_tonnes": 12.5,
    }


def test_a_value_that_no_rule_can_be_asked_of_spoils_its_row(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    good = "".join(VIETNAMESE.replace("123.45", f"{number:05}") for number in range(1, 201))
    bad = "30A-123.45,13/13/2026,có,,xe tải,tím,12.500\n"
    asked = load_rules([SHIPPED]).asked["registry"]
    records, left_out = parse_register((HEADER + good + bad).encode(), path, asked)
    assert (len(records), left_out.rows) == (200, 1)
    assert [problem.split(" (")[0] for problem in left_out.problems] == [
        f"{path}:202: inspection_until '13/13/2026' is not a date",
        f"{path}:202: colour 'tím' is not a colour of plates",
        f"{path}:202: gross_tonnes '12.500' is not a number",
    ]
    assert "yellow (vàng)" in left_out.problems[1]
    with pytest.raises(ConfigError, match="1 of 1 rows are bad"):
        parse_register((HEADER + bad).encode(), path, asked)
    assert len(parse_register((HEADER + bad).encode(), path)[0]) == 1, "no rule asks"


def test_a_site_is_told_of_values_that_its_rules_cannot_be_asked_of(tmp_path: Path) -> None:
    register = tmp_path / "r.csv"
    rules = f'\n[rules]\nfolder = "{SHIPPED}"\n[[rules.lookups]]\nname = "registry"\nfile = "{register}"\n'
    site = write_site(tmp_path, rules)
    register.write_text(HEADER + VIETNAMESE, encoding="utf-8")
    flaws = flaws_of(load_site(site, environment=None), clock=ManualClock())
    assert (flaws.problems, flaws.left_out) == ((), ())
    register.write_text(HEADER + VIETNAMESE.replace("01/01/2026", "soon"), encoding="utf-8")
    flaws = flaws_of(load_site(site, environment=None), clock=ManualClock())
    assert flaws.problems[0].startswith(f"{register}:2: inspection_until 'soon' is not a date (day/month/year like")


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    with pytest.raises(ConfigError) as caught:
        parse_register(b"plate,colour,status,colour\n29A-123.45,white,ok,yellow\n", path)
    assert caught.value.problems == (f"{path}:1: the column 'colour' is there twice, as columns 2 and 4 (remove one)",)
