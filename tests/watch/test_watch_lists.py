import codecs
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.config.listing import ListHead
from anpr.errors import WatchListError
from anpr.watch import lists, rows
from anpr.watch.entries import COLUMNS, Entry, Problem
from anpr.watch.lists import WatchList, compare, load_list, read_csv

HEADER = ",".join(COLUMNS)


def problems_of(text: str) -> list[str]:
    return [str(problem) for problem in read_csv(text.encode())[1]]


def plates_of(data: bytes) -> list[str]:
    entries, problems = read_csv(data)
    assert not problems
    return [entry.plate for entry in entries]


def test_a_full_row(tmp_path: Path) -> None:
    path = tmp_path / "stolen.csv"
    path.write_text(
        f'{HEADER}\n30A-123.45,"stolen, 3 March",check,Công an Thái Nguyên,2026-03-03,2026-03-31,12/QĐ\n',
        encoding="utf-8",
    )
    loaded = load_list(path, head=ListHead(purpose="theft", authority="C08"), loaded_seconds=5.0)
    assert (loaded.name, loaded.purpose, loaded.authority, loaded.severity) == ("stolen", "theft", "C08", "ALERT")
    assert loaded.loaded_seconds == 5.0
    (entry,) = loaded.entries
    assert entry == Entry(
        plate="30A12345",
        reason="stolen, 3 March",
        severity="CHECK",
        authority="Công an Thái Nguyên",
        valid_from_seconds=datetime(2026, 3, 2, 17, tzinfo=UTC).timestamp(),
        valid_until_seconds=datetime(2026, 3, 31, 17, tzinfo=UTC).timestamp(),
        reference="12/QĐ",
        line=2,
        kind="car",
    )
    assert load_list(path).loaded_seconds == path.stat().st_mtime
    assert "30A" not in repr(loaded)


def test_validity_is_half_open() -> None:
    entries, _ = read_csv(b"plate,valid_from,valid_until\n30A12345,2026-03-03T08:00+07:00,2026-03-03 09:00\n")
    start = datetime(2026, 3, 3, 1, tzinfo=UTC).timestamp()
    assert [entries[0].valid_at(start + seconds) for seconds in (-1, 0, 3599, 3600)] == [False, True, True, False]


@pytest.mark.parametrize(
    "data",
    [
        b"plate\n30A12345\n29H112345\n",
        b"plate\r\n30A-123.45\r\n29-H1 123.45\r\n",
        b"plate\r30A12345\r29H112345",
        codecs.BOM_UTF8 + "Plate;Reason\n30А12345;x\n29h1 12345;\n\n;\n".encode(),
        b'reason\tplate\n"a ""b"""\t30A12345\n\t29H112345\n',
    ],
)
def test_files_as_people_and_spreadsheets_write_them(data: bytes) -> None:
    assert plates_of(data) == ["30A12345", "29H112345"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty (begin with the header plate,reason"),
        ("30A12345\n", "line 1: the header is missing, the first line is '30A12345'"),
        ("plate,raeson\n", "line 1: raeson: unknown column 'raeson' (did you mean 'reason'?)"),
        ("palte\n", "did you mean 'plate'?"),
        ("reason\n", "the column 'plate' is missing"),
        ("plate,plate\n", "the column 'plate' is there twice"),
        ("plate\n13A12345\n", "line 2: plate: '13A12345' is no Vietnamese plate: province code 13 was never assigned"),
        ("plate\n\n30Á12345\n", "line 3: plate: character 'Á' (U+00C1) at position 3"),
        ("plate\n5.1E+12346\n", "a spreadsheet turned the plate into a number"),
        ("plate\n30A12345,x\n", "line 2: 2 fields where the header has 1"),
        ("plate,severity\n30A12345,high\n", "severity: unknown severity 'high' (one of INFO, CHECK, ALERT, or empty)"),
        ("plate,valid_from\n30A12345,3/3/2026\n", "valid_from: no date: '3/3/2026' (like 2026-03-31"),
        ("plate,valid_from\n30A12345,2026-02-30\n", "no date: '2026-02-30'"),
        ("plate,valid_from\n30A12345,2026-W10-1\n", "no date"),
        ("plate,valid_from,valid_until\n30A12345,2026-03-03,2025-03-03\n", "ends before it begins"),
        ("plate\n30A12345\n30a-123.45\n", "line 3: plate: 30A12345 is already on line 2"),
        ("plate,reason\n30A12345,\x07\n", "reason: control character in '\\x07'"),
        ("plate,reason\n30A12345," + "x" * 501, "501 characters are too many"),
        ("plate,reason\n30A12345," + "x" * 9000, "line 2: 9009 characters are too many"),
        ('plate,reason\n30A12345,the 2" pipe\n', "line 2: stray quote"),
    ],
)
def test_each_problem_has_its_line_and_cure(text: str, message: str) -> None:
    (problem,) = problems_of(text)
    assert message in problem


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (f"{HEADER}\n30A12345".encode("utf-16"), "UTF-16 (save it as CSV UTF-8)"),
        (b"plate\n30A12345\n30\x00A\n", "line 3: the line holds a NUL byte"),
        (b"plate\n30A12345\n\xd0A\n", "line 3: byte 0xd0 is not UTF-8"),
    ],
)
def test_other_encodings_are_refused(data: bytes, message: str) -> None:
    entries, (problem,) = read_csv(data)
    assert not entries
    assert message in str(problem)


def test_a_stray_quote_spoils_one_line_only() -> None:
    rows = [f"30A{number:05}," for number in range(1, 1001)]
    rows[4] += '"open'
    (problem,) = problems_of("plate,reason\n" + "\n".join(rows))
    assert problem.startswith("line 6: broken quoting")


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("plate,severity,valid_until\n13A1,loud,never\n30A12345,,\n30O12345,,\n", encoding="utf-8")
    with pytest.raises(
        WatchListError, match="4 problems, 2 of 3 rows are bad, more than 1 %, first: line 2: plate"
    ) as caught:
        load_list(path)
    assert [problem.removeprefix(f"{path}: ").split(":")[:2] for problem in caught.value.problems] == [
        ["line 2", " plate"],
        ["line 2", " severity"],
        ["line 2", " valid_until"],
        ["line 4", " plate"],
    ]


def test_problems_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_PROBLEMS", 10)
    problems = problems_of("plate\n" + "x\n" * 30)
    assert len(problems) == 11
    assert problems[-1].startswith("and 20 more problems")


def test_a_plate_may_be_listed_for_times_apart() -> None:
    apart = b"plate,valid_from,valid_until\n30A12345,,2026-01-31\n30A12345,2026-02-01,\n"
    assert plates_of(apart) == ["30A12345", "30A12345"]


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate\n30A12345\n30A12346\n")
    monkeypatch.setattr(rows, "MAX_ENTRIES", 1)
    with pytest.raises(WatchListError, match="2 rows are too many"):
        load_list(path)
    monkeypatch.setitem(lists.MAX_BYTES, ".csv", 10)
    with pytest.raises(WatchListError, match="24 bytes are too many"):
        load_list(path)
    with pytest.raises(WatchListError, match="No such file"):
        load_list(tmp_path / "absent.csv")


def test_the_version_is_of_the_content() -> None:
    first, _ = read_csv(b"plate,reason\n30A12345,a\n30A12346,b\n")
    same, _ = read_csv(codecs.BOM_UTF8 + b"reason;plate\r\nb;30a12346\r\n\r\na;30a12345\r\n")
    other, _ = read_csv(b"plate,reason\n30A12345,a\n30A12346,c\n")
    assert first.version() == same.version() != other.version()


def test_compare_tells_the_difference() -> None:
    def make(text: bytes) -> WatchList:
        return WatchList("x", "", read_csv(text)[0])

    old = make(b"plate,reason\n30A12345,a\n30A12346,b\n30A12347,c\n")
    difference = compare(old, make(b"plate,reason\n30A12345,a\n30A12347,d\n30A12348,\n30A12349,\n"))
    assert (difference.added, difference.removed, difference.changed) == (
        ("30A12348", "30A12349"),
        ("30A12346",),
        ("30A12347",),
    )
    assert str(difference) == "+2 −1 ~1"


@given(st.binary(max_size=200), st.sampled_from([b"", b"plate,reason\n", codecs.BOM_UTF8 + b"plate\n"]))
def test_any_bytes_give_entries_or_problems(data: bytes, head: bytes) -> None:
    entries, problems = read_csv(head + data)
    assert all(problem.what for problem in problems)
    assert all(entry.plate for entry in entries)


@given(st.text(max_size=200))
def test_any_text_gives_entries_or_problems(text: str) -> None:
    entries, problems = read_csv(("plate,reason,valid_from\n" + text).encode("utf-8", "surrogatepass"))
    assert all(problem.what for problem in problems)
    assert all(entry.plate for entry in entries)


def test_many_bad_rows_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_PROBLEMS", 10)
    reader = rows.RowReader()
    reader.take(range(100), {"plate": ["x"] * 100})
    assert (len(reader.problems), reader.finish().bad_rows) == (10, 100)


def test_a_text_of_two_kinds_is_written_once_for_both() -> None:
    (problem,) = problems_of("plate\n29-H1 2345\n29H-123.45\n")
    assert problem == (
        "line 3: plate: 29H12345 is already on line 2 (write it once as 29H12345, for vehicles of both kinds)"
    )
    assert read_csv(b"plate\n29H12345\n")[0][0].kind is None


def test_problems_cannot_steer_a_terminal() -> None:
    told = str(Problem(1, "\x1b[2J", "", "what\x07", "cure\u202e"))
    assert told == "line 1: \\x1b[2J: what\\x07 (cure\\u202e)"


def test_a_site_file_may_not_leave_a_list_without_any_time(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    path.write_text('{"valid_until": "2026-03-31", "entries": [{"plate": "30A12345"}]}')
    assert load_list(path, head=ListHead(valid_from="2026-03-31")).limits.hold_at(1_774_954_800.0)
    with pytest.raises(WatchListError, match="leave no time at which the list holds"):
        load_list(path, head=ListHead(valid_from="2026-04-01"))


def test_a_log_names_no_plate_and_keeps_the_cure() -> None:
    _, (problem,) = read_csv(b"plate\n13A-123.45\n")
    assert problem.masked.startswith("line 2: plate: *** is no Vietnamese plate: province code 13 was never assigned (")
    assert "13A" not in problem.masked
    _, (problem,) = read_csv(b"plate\n1\n")
    assert "*** is no Vietnamese plate: 1 characters are too few" in problem.masked
    assert problem.masked.endswith("a plate has at least 5 (like 30A*** or 29-***)")
    of_entry = Problem(1, "valid_until", "soon", "no date: 'soon'", "like 2026-03-31", entry=3, plate="30A-123.45")
    assert str(of_entry) == "line 1, entry 3 (30A-123.45): valid_until: no date: 'soon' (like 2026-03-31)"
    assert of_entry.masked == "line 1, entry 3 (30A***): valid_until: no date: *** (like 2026-03-31)"
