"""Lists from JSON files and workbooks; `scripts.bad_lists` has those that are wrong as a whole."""

import io
import json
import os
import time
import tracemalloc
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.config.listing import ListHead
from anpr.config.times import parse_moment
from anpr.errors import WatchListError
from anpr.watch import rows
from anpr.watch.json_file import parse_json
from anpr.watch.lists import load_list
from anpr.watch.rows import Parsed
from anpr.watch.xlsx_file import parse_xlsx

FULL = {
    "purpose": "theft",
    "days": ["fri"],
    "false_hits_per_day": 0.5,
    "entries": [
        {"plate": "30A-123.45", "reason": "stolen", "severity": "check", "reference": 12},
        {"plate": "51D-*", "valid_until": "2026-06-30", "authority": None},
    ],
}


def problems(parsed: Parsed) -> list[str]:
    return [str(problem) for problem in parsed.problems]


def test_a_full_json_list(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    path.write_text(json.dumps(FULL, indent=1))
    loaded = load_list(path)
    assert (loaded.name, loaded.purpose, loaded.false_hits_per_day) == ("night", "theft", 0.5)
    assert loaded.limits.days == {4}
    first, second = loaded.entries
    assert (first.plate, first.severity, first.reference) == ("30A12345", "CHECK", "12")
    assert (second.plate, second.valid_until_seconds) == ("51D*", parse_moment("2026-07-01"))
    over = load_list(path, head=ListHead(purpose="other", severity="INFO"))
    assert (over.purpose, over.severity, over.limits.days) == ("other", "INFO", {4})


def test_problems_of_json_have_their_lines() -> None:
    text = '[\n  {"plate": "30A12345"},\n  {"plate": "13A12345",\n   "severity": "loud"},\n  {"reason": "x"},\n  7\n]'
    parsed = parse_json(text.encode())
    assert [entry.plate for entry in parsed.entries] == ["30A12345"]
    assert [problem.split(": ")[:2] for problem in problems(parsed)] == [
        ["line 3, entry 2", "plate"],
        ["line 3, entry 2 (13A12345)", "severity"],
        ["line 5, entry 3", "plate"],
        ["line 6, entry 4", 'an entry should be an object ({"plate"'],
    ]
    assert (parsed.rows, parsed.bad_rows) == (4, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"entries": 5}', "line 1: entries: should be an array"),
        ('{"entries": [], "entries": []}', "'entries' is there twice"),
        ('{"purpose": "x",\n "purpose": "y", "entries": []}', "line 2: purpose: 'purpose' is there twice"),
        ("{5: 6}", "a name in quotes should stand here"),
        ('{"entries" []}', ": should stand here"),
        ('"plates"', "no list"),
        ("[{}", "the file ends too early"),
        ("[{}}", "] should stand here"),
        ('["\xff"]', "byte 0xff is not UTF-8"),
        (" \n", "the file is empty"),
    ],
)
def test_json_that_is_no_list(text: str, told: str) -> None:
    parsed = parse_json(text.encode("latin-1"))
    assert not parsed.usable
    assert told in problems(parsed)[0]


def test_too_many_json_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_ENTRIES", 1)
    assert "too many" in problems(parse_json(b'[{"plate": "30A12345"}, {"plate": "30A12346"}]'))[0]


def test_a_head_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('{"purpose": "x",\n "severity": "loud",\n "colour": 1,\n "entries": []}')
    with pytest.raises(WatchListError) as caught:
        load_list(path)
    assert [problem.removeprefix(f"{path}: ")[:16] for problem in caught.value.problems] == [
        "line 2: severity",
        "line 3: colour: ",
    ]


@given(st.text(max_size=100) | st.from_regex(r'[\[{}\]",: \nplate0-9ex]*', fullmatch=True))
def test_any_text_gives_a_json_list_or_problems(text: str) -> None:
    parsed = parse_json(text.encode("utf-8", "surrogatepass"))
    assert parsed.usable or parsed.problems


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5))
def test_any_value_of_a_plate_is_read_or_told(value: object) -> None:
    parsed = parse_json(json.dumps([{"plate": value}]).encode())
    assert len(parsed.entries) == 1 or parsed.problems


def workbook(*lines: list[object]) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    for line in lines:
        book.active.append(line)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def test_a_full_workbook(tmp_path: Path) -> None:
    path = tmp_path / "stolen.xlsx"
    path.write_bytes(
        workbook(
            [],
            ["Plate", "reason", "valid_from", "valid_until", "reference", None],
            ["30A-123.45", " taken ", date(2026, 3, 1), datetime(2026, 3, 31, 18), 12],
            [None, None],
            ["51D-*"],
        )
    )
    first, second = load_list(path).entries
    assert (first.plate, first.reason, first.reference, first.line) == ("30A12345", "taken", "12", 3)
    assert (first.valid_from_seconds, first.valid_until_seconds) == (
        parse_moment("2026-03-01"),
        parse_moment("2026-03-31 18:00"),
    )
    assert (second.plate, second.line) == ("51D*", 5)


def test_problems_of_a_workbook_have_their_rows_and_columns() -> None:
    parsed = parse_xlsx(
        workbook(
            ["plate", "reason"], [512345, ""], ["30A-123.45", "=A1"], ["30A-123.46", "x", "y"], ["30A-123.47", 1.5]
        )
    )
    assert [problem.partition(" (")[0].split(": ") for problem in problems(parsed)] == [
        [
            "line 2",
            "plate",
            "the spreadsheet turned the plate into the number 512345",
        ],
        ["line 3", "reason", "the cell holds a formula"],
        ["line 4", "a cell outside the columns of the header"],
    ]
    assert [entry.reason for entry in parsed.entries] == ["1.5"]


def test_an_empty_workbook() -> None:
    assert "the file is empty" in problems(parse_xlsx(workbook()))[0]


@given(st.binary(max_size=200))
def test_any_bytes_are_no_workbook(data: bytes) -> None:
    assert not parse_xlsx(data).usable


@given(st.integers(0, 4000), st.integers(0, 255))
def test_a_damaged_workbook_is_read_or_refused(place: int, value: int) -> None:
    data = bytearray(workbook(["plate"], ["30A-123.45"]))
    data[place % len(data)] = value
    parsed = parse_xlsx(bytes(data))
    assert parsed.usable or parsed.problems


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("plate\n30A12345\n")
    with pytest.raises(WatchListError, match=r"one of \.csv, \.json, \.xlsx"):
        load_list(tmp_path / "list.txt")


def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    begun = time.monotonic()
    with pytest.raises(WatchListError, match="is no file"):
        load_list(tmp_path / "list.csv")
    assert time.monotonic() - begun < 5.0


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate\n30A12345\n")
    real, calls = os.fstat, []

    def fstat(descriptor: int) -> os.stat_result:
        calls.append(descriptor)
        if len(calls) > 1:
            with path.open("a") as file:
                file.write("30A12346\n")
        return real(descriptor)

    monkeypatch.setattr("anpr.watch.lists.os.fstat", fstat)
    with pytest.raises(WatchListError, match="changed while it was read"):
        load_list(path)


def test_bad_rows_on_one_line_are_all_counted(tmp_path: Path) -> None:
    """As a program writes a file without line ends."""
    path = tmp_path / "list.json"
    good = [{"plate": f"30A{number:05}"} for number in range(1, 151)]
    path.write_text(json.dumps(good + [{"plate": "nonsense"}] * 50))
    parsed = parse_json(path.read_bytes())
    assert (parsed.rows, parsed.bad_rows, len(parsed.entries)) == (200, 50, 150)
    with pytest.raises(WatchListError, match="50 of 200 rows are bad"):
        load_list(path)


@pytest.mark.parametrize("value", ["[" + "[],\n" * 200_000 + "[]]", '{"plate": "' + "x" * 200_000 + '"}'])
@pytest.mark.parametrize("text", ["[{value}]", '{{"note": {value}, "entries": []}}'])
def test_a_huge_json_value_is_not_built(text: str, value: str) -> None:
    tracemalloc.start()
    parsed = parse_json(text.format(value=value).encode())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert problems(parsed)[0].startswith("line 1")
    assert "a value of more than 131072 characters" in problems(parsed)[0]
    assert most < 8 << 20


@given(st.integers(1, 300), st.sampled_from(["5", "1.5e3", '"', "\\u0041"]))
def test_an_entry_may_end_anywhere(length: int, last: str) -> None:
    """Also where a piece of the text ends that is looked at first."""
    reference = json.dumps("x" * length)[:-1] + '"' if last == '"' else f'"{"x" * length}{last}"'
    entry = f'{{"plate": "30A12345", "reason": "{"y" * 490}", "authority": "{"z" * 490}", "reference": {reference}}}'
    (read,) = parse_json(f"[{' ' * (1_000 - length)}{entry}]".encode()).entries
    assert read.reference == json.loads(reference)


def test_no_plate_of_a_workbook_is_passed_over() -> None:
    """One that stands far down on another sheet, or far to the right."""
    from openpyxl import Workbook

    for place, told in (("L2", "line 2: a cell outside the columns"), ("B900", "2 sheets have something in them")):
        book = Workbook()
        book.active.append(["plate"])
        book.active.append(["30A-123.45"])
        sheet = book.active if place == "L2" else book.create_sheet("more")
        sheet[place] = "51D-123.45"
        data = io.BytesIO()
        book.save(data)
        assert told in problems(parse_xlsx(data.getvalue()))[0]


def test_what_stands_twice_in_json_is_told_by_its_entries() -> None:
    text = (
        '[{"plate": "30A12345"},\n{"plate": "30A-123.45", "valid_from": "2026-01-01"}, {"plate": "30A12346", "x": ""}]'
    )
    parsed = parse_json(text.encode())
    assert problems(parsed)[0].startswith("line 2, entry 2: plate: 30A12345 is already entry 1 (")
    assert problems(parsed)[1].startswith("line 2, entry 3 (30A12346): x: unknown column")
    assert [entry.line for entry in parsed.entries] == [1]


def test_json_that_breaks_between_two_entries_is_told_where() -> None:
    told = problems(parse_json(b'[{"plate": "30A12345"}, {"plate": "30A12346"} {"plate": "30A12347"}]'))
    assert told == ["line 1, entry 2: not JSON: ] should stand here (check that the file is whole)"]


@pytest.mark.parametrize("entries_after", [0, 5_000])
def test_broken_json_is_told_where_it_breaks(entries_after: int) -> None:
    after = ',\n{"plate": "30A12345"}' * entries_after
    parsed = parse_json(f'[{{"plate": "30A12345"}},\n{{"plate":\n"30A12346" "reason": ""}}{after}]'.encode())
    assert problems(parsed)[0].startswith("line 3, entry 2: not JSON: Expecting ',' delimiter")
