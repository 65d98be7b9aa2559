"""Declarations: bad input is refused with its place, a push is durable, and the newest one counts."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from anpr.config.times import parse_moment
from anpr.errors import DeclarationError
from anpr.privacy import masked
from anpr.rules.declaration import COLUMNS, Declaration, parse_csv, read_declaration
from anpr.rules.declarations import Declarations, Shelf
from anpr.rules.sheet import LeftOut

GOOD = "plate,type,declared\n98C-012.34,khaibao,2026-05-20T09:00\n"


PLACE = "declarations.csv"


def read(data: str | bytes) -> tuple[Sequence[Declaration], LeftOut]:
    return parse_csv(data if isinstance(data, bytes) else data.encode(), Path(PLACE))


def problems_of(data: str | bytes) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        read(data)
    return [problem.removeprefix(PLACE) for problem in caught.value.problems]


def test_a_whole_row() -> None:
    text = (
        "plate;type;declared;valid_until;origin;route;persons;test;reference\n"
        '98c 012.34;luongxanh;2026-05-20 09:00;2026-07-30;Bắc Giang;"Hà Nội; Lạng Sơn";2;2026-05-19T08:00+07:00;QR-7\n'
    )
    (declaration,) = read("\ufeff" + text)[0]
    assert (declaration.plate, declaration.type, declaration.origin) == ("98C01234", "luongxanh", "Bắc Giang")
    assert (declaration.route, declaration.persons, declaration.reference) == (("Hà Nội", "Lạng Sơn"), 2, "QR-7")
    assert declaration.valid_until_seconds is not None
    assert declaration.valid_at(declaration.valid_until_seconds - 1.0)
    assert not declaration.valid_at(declaration.valid_until_seconds)
    assert not declaration.valid_at(declaration.declared_seconds - 1.0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            "",
            [
                ":1: the column 'plate' is missing (add it)",
                ":1: the column 'type' is missing (add it)",
                ":1: the column 'declared' is missing (add it)",
            ],
        ),
        (
            "plate,typ,declared\n",
            [":1: unknown column 'typ' (did you mean 'type'?)", ":1: the column 'type' is missing (add it)"],
        ),
        ("plate,type,declared,type\n", [":1: the column 'type' is there twice (remove one)"]),
        (GOOD + "51E12345,khaibao,2026-05-20\n", []),
        (
            GOOD + "5.1E+12,khaibao,2026-05-20\n",
            [
                ":3: plate character '+' (U+002B) at position 5 of '5.1E+12' is never on a plate "
                "(a spreadsheet turned the plate into a number: format the column as text)"
            ],
        ),
        (
            GOOD + "98C-012.34,khaibao,yesterday\n",
            [":3: declared 'yesterday' is no date (like 2026-03-31 or 2026-03-31T18:00+07:00)"],
        ),
        (GOOD + "98C-012.34,,2026-05-20\n", [":3: type is missing (give it)"]),
        (GOOD + "98C-012.34,a b,2026-05-20\n", [":3: type cannot be 'a b' (letters, digits, - and _)"]),
        (GOOD + "98C-012.34,khaibao\n", [":3: 2 fields where the header has 3 (put texts in quotes)"]),
        (
            GOOD + '"98C-012.34,khaibao,2026-05-20\n',
            [":3: broken quoting: unexpected end of data (close the quote on the same line)"],
        ),
        (GOOD.encode("utf-16"), [": the file is UTF-16 or damaged (save it as CSV UTF-8)"]),
        (GOOD.encode() + b"98C-012.34,\xff,2026-05-20\n", [":3: byte 0xff is not UTF-8 (save it as CSV UTF-8)"]),
        (GOOD.encode() + b"\0", [": the file is UTF-16 or damaged (save it as CSV UTF-8)"]),
        (
            "plate,type,declared,origin,persons,valid_from,valid_until\n"
            "98C-012.34,khaibao,2026-05-20,Bac Giang,0,2026-05-21,2026-05-20\n"
            "X,khaibao,2026-05-20,,two,,\n",
            [
                ":2: valid_until is not after valid_from (swap them?)",
                ":2: origin 'Bac Giang' is no province (write its name with its accents)",
                ":2: persons '0' is no number of persons (1 to 200)",
                ":3: plate 'X' is no Vietnamese plate: 1 characters are too few, a plate has at least 5 "
                "(like 30A-123.45 or 29-H1 123.45)",
                ":3: persons 'two' is no number of persons (1 to 200)",
            ],
        ),
    ],
)
def test_bad_files(data: str | bytes, expected: list[str]) -> None:
    if expected:
        assert problems_of(data) == expected
    else:
        assert len(read(data)[0]) == 2


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x0c"])
def test_what_is_a_new_line_elsewhere_makes_no_row(mark: str) -> None:
    row = f"98C-012.34,khaibao,2026-05-20T09:00,x{mark}51F-678.90\n"
    (problem,) = problems_of("plate,type,declared,reference\n" + row)
    assert problem.startswith(":2: reference")


def good_rows(count: int) -> str:
    return "".join(f"98C-{number:03}.34,khaibao,2026-05-20T09:00\n" for number in range(count))


def test_up_to_one_row_in_a_hundred_is_left_out_and_told() -> None:
    bad = "X,,2026-05-20\n"
    rows, left_out = read("plate,type,declared\n" + good_rows(60) + bad + "\n ,, \n" + good_rows(39))
    assert (len(rows), left_out.rows, len(left_out.problems)) == (99, 1, 2)
    assert left_out.problems[0] == f"{PLACE}:62: type is missing (give it)"
    with pytest.raises(DeclarationError, match="2 of 101 rows are bad") as caught:
        read("plate,type,declared\n" + good_rows(99) + bad + bad)
    assert len(caught.value.problems) == 4
    assert masked(str(caught.value)) == f"{PLACE}: 2 of 101 rows are bad"


def test_a_stray_quote_spoils_its_own_row_alone() -> None:
    stray = '"98C-012.34,khaibao,2026-05-20\n'
    rows, left_out = read("plate,type,declared\n" + good_rows(60) + stray + good_rows(60))
    assert (len(rows), left_out.rows) == (120, 1)
    assert left_out.problems[0].startswith(f"{PLACE}:62: broken quoting")


def test_many_problems_are_told_in_part() -> None:
    told = problems_of(GOOD + "X,khaibao,2026-05-20\n" * 150)
    assert len(told) == 101
    assert told[-1] == ": 50 more problems"


def test_the_same_row_twice_is_one_declaration() -> None:
    rows, _ = read(GOOD + GOOD.splitlines()[1])
    declarations = Declarations()
    declarations.replace_filed(Shelf.of(rows))
    assert (len(rows), len(declarations)) == (2, 1)


def test_the_newest_that_was_known(tmp_path: Path) -> None:
    declarations = Declarations()
    for hour in (9, 7, 8):
        declarations.push({"plate": "98C-012.34", "type": f"t{hour}", "declared": f"2026-05-20T0{hour}:00+00:00"})
    nine = declarations.newest("98C01234", None, 2e9)
    assert nine is not None
    assert nine.type == "t9"
    eight = declarations.newest("98C01234", None, nine.declared_seconds - 1.0)
    assert eight is not None
    assert eight.type == "t8"
    assert declarations.newest("98C01234", frozenset({"t7"}), 2e9) is not None
    assert declarations.newest("98C01234", frozenset({"x"}), 2e9) is None
    assert declarations.newest("29A12345", None, 2e9) is None


def test_an_id_takes_the_place_of_the_earlier_one() -> None:
    declarations = Declarations()
    declarations.push({"id": "a", "plate": "98C-012.34", "type": "x", "declared": "2026-05-20"})
    declarations.push({"id": "a", "plate": "29A-123.45", "type": "x", "declared": "2026-05-21"})
    assert len(declarations) == 1
    assert declarations.newest("98C01234", None, 2e9) is None
    assert declarations.newest("29A12345", None, 2e9) is not None


def declaration_of(number: int, plate: int, kind: int, hour: int) -> Declaration:
    fields = {"id": str(number), "plate": f"98C-000.{plate}0", "type": f"t{kind}", "declared": f"2026-05-20T0{hour}:00"}
    return read_declaration(fields, place="here")


DECLARATIONS = st.lists(
    st.builds(declaration_of, st.integers(0, 6), st.integers(1, 3), st.integers(0, 1), st.integers(0, 5)), max_size=8
)


@settings(max_examples=200)
@given(DECLARATIONS, DECLARATIONS, DECLARATIONS, DECLARATIONS, st.integers(0, 6), st.sampled_from([None, "t0"]))
def test_a_changed_file_is_as_good_as_a_restart(
    old: list[Declaration],
    pushed: list[Declaration],
    new: list[Declaration],
    later: list[Declaration],
    hour: int,
    kind: str | None,
) -> None:
    """What stood in the old file is gone; what was pushed stays, and goes before a row of the file with its id."""
    changed = Declarations()
    changed.replace_filed(Shelf.of(old))
    for each in pushed:
        changed.add(each)
    changed.replace_filed(Shelf.of(new))
    for each in later:
        changed.add(each)
    by_id = {each.id: each for each in (*new, *pushed, *later)}
    assert len(changed) == len(by_id)
    known_seconds = parse_moment(f"2026-05-20T0{hour}:00")
    for plate in {each.plate for each in (*old, *by_id.values())}:
        fitting = [
            each
            for each in by_id.values()
            if each.plate == plate and each.declared_seconds <= known_seconds and kind in (None, each.type)
        ]
        expected = max(fitting, key=lambda each: (each.declared_seconds, each.id), default=None)
        assert changed.newest(plate, None if kind is None else frozenset({kind}), known_seconds) == expected
        assert plate in changed or expected is None


def test_what_was_pushed_is_there_in_the_next_life(tmp_path: Path) -> None:
    journal = tmp_path / "declarations.jsonl"
    first = Declarations()
    first.open_journal(journal)
    pushed = first.push(
        {"plate": "98C-012.34", "type": "x", "declared": "2026-05-20", "persons": 2, "route": ["Hà Nội"]}
    )
    with journal.open("ab") as file:
        file.write(b'{"plate": "29A-12')  # a power cut
    second = Declarations()
    second.open_journal(journal)
    assert second.newest("98C01234", None, 2e9) == pushed
    assert (len(second), second.counters.total("declarations_cut_off")) == (1, 1)
    second.push({"plate": "29A-123.45", "type": "x", "declared": "2026-05-20"})
    third = Declarations()
    third.open_journal(journal)
    assert len(third) == 2


def test_old_declarations_are_forgotten_at_the_next_start(tmp_path: Path) -> None:
    journal = tmp_path / "declarations.jsonl"
    first = Declarations()
    first.open_journal(journal)
    first.push({"plate": "98C-012.34", "type": "over", "declared": "2026-01-01"})
    first.push({"plate": "98C-012.34", "type": "holds", "declared": "2026-01-01", "valid_until": "2026-12-31"})
    first.push({"plate": "98C-012.34", "type": "new", "declared": "2026-05-20"})
    march = parse_moment("2026-03-01")
    for _ in range(2):
        later = Declarations()
        later.open_journal(journal, forget_before_seconds=march)
        assert len(later) == 2
        assert later.newest("98C01234", frozenset({"over"}), 2e9) is None
    assert len(journal.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"plate": "X"}', "7"])
def test_damaged_lines_are_told_of_and_put_aside_and_the_others_hold(tmp_path: Path, line: str) -> None:
    journal = tmp_path / "declarations.jsonl"
    first = Declarations()
    first.open_journal(journal)
    first.push({"plate": "98C-012.34", "type": "x", "declared": "2026-05-20"})
    with journal.open("a") as file:
        file.write(f"{line}\n")
    first.push({"plate": "29A-123.45", "type": "x", "declared": "2026-05-20"})
    second = Declarations()
    with capture_logs() as logs:
        second.open_journal(journal)
    assert (len(second), second.counters.total("declarations_damaged")) == (2, 1)
    assert [(each["event"], each["count"], each["lines"]) for each in logs] == [("declarations_damaged", 1, [2])]
    assert journal.with_suffix(".damaged").read_text() == f"{line}\n"
    third = Declarations()
    third.open_journal(journal)
    assert (len(third), third.counters.counts) == (2, {})


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes: a write that would is cut short, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fails", ["write", "sync"])
def test_a_push_that_fails_halfway_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    journal = tmp_path / "declarations.jsonl"
    declarations = Declarations()
    declarations.open_journal(journal)
    declarations.push({"plate": "98C-012.34", "type": "x", "declared": "2026-05-20"})
    before = journal.read_bytes()
    with monkeypatch.context() as patch, full_at(len(before) + 10) if fails == "write" else nullcontext():
        if fails == "sync":
            patch.setattr(os, "fsync", mock.Mock(side_effect=OSError(5, "broken")))
        with pytest.raises(DeclarationError, match="cannot be kept"):
            declarations.push({"plate": "29A-123.45", "type": "x", "declared": "2026-05-20"})
    assert journal.read_bytes() == before
    assert len(declarations) == 1
    declarations.push({"plate": "29A-123.46", "type": "x", "declared": "2026-05-20"})
    again = Declarations()
    again.open_journal(journal)
    assert (len(again), again.counters.counts) == (2, {})


def test_a_bad_push_changes_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "declarations.jsonl"
    declarations = Declarations()
    declarations.open_journal(journal)
    with pytest.raises(DeclarationError) as caught:
        declarations.push({"plate": "X", "type": "x", "declared": "soon", "colour": "red"})
    assert len(caught.value.problems) == 3
    assert (len(declarations), journal.exists()) == (0, False)
    assert declarations.counters.total("declarations_refused") == 1


def test_a_push_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    declarations = Declarations()
    journal = tmp_path / "folder" / "declarations.jsonl"
    journal.parent.mkdir()
    declarations.open_journal(journal)
    journal.parent.rmdir()
    with pytest.raises(DeclarationError, match="cannot be kept"):
        declarations.push({"plate": "98C-012.34", "type": "x", "declared": "2026-05-20"})
    assert len(declarations) == 0


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=20), max_size=6))
def test_any_row_is_taken_or_refused_with_a_reason(fields: dict[str, str]) -> None:
    problems: tuple[str, ...] = ()
    try:
        plate = read_declaration(fields, place="here").plate
    except DeclarationError as error:
        plate, problems = "", error.problems
    assert plate or problems
    assert all(problem.startswith("here: ") for problem in problems)


@settings(max_examples=100)
@given(st.binary(max_size=120))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    problems: tuple[str, ...] = ()
    rows: Sequence[Declaration]
    try:
        rows, _ = read(data)
    except DeclarationError as error:
        rows, problems = (), error.problems
    assert (len(rows), bool(problems)) == (0, True)
