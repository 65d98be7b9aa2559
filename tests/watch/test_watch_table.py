"""Columns of entries, the short way of reading rows, and files that are written and read again."""

import io
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr.plates.forms import SERIES_LETTERS
from anpr.plates.grammar import parse
from anpr.plates.provinces import codes
from anpr.watch import csv_file, rows
from anpr.watch.csv_file import parse_csv
from anpr.watch.entries import Entry, read_entry
from anpr.watch.lists import WatchList, compare, load_list, parse_file
from anpr.watch.table import Entries, Texts
from anpr.watch.writing import write_list

TEXTS = st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=20).map(str.strip)
NUMBERS = st.text("0123456789", min_size=3, max_size=6) | st.text("01", min_size=4, max_size=5)


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """Plates as people write them, right or wrong."""
    code = draw(st.sampled_from(sorted(codes())) | st.text("0123456789", min_size=2, max_size=2))
    letters = draw(st.text(SERIES_LETTERS + "DMLRKTabdđĐ", min_size=1, max_size=2))
    digit = draw(st.sampled_from(["", "", "1", "5", "9", "0"]))
    number = draw(NUMBERS)
    if len(number) == 5 and draw(st.booleans()):
        number = f"{number[:3]}.{number[3:]}"
    first, second = draw(st.sampled_from(["", "-", " "])), draw(st.sampled_from(["", "-", " ", "."]))
    return f"{code}{first}{letters}{digit}{second}{number}"


PATTERNS = st.sampled_from(["30A-12?.45", "20*", "*A-123.4*", "51E1234?"])
SEVERITIES = st.sampled_from(["", "ALERT", "check", "loud"])
MOMENTS = st.sampled_from(["", "2026-03-31", "2026-01-01 08:00", "2026-01-01T08:00:30+07:00", "never"])


@settings(max_examples=200)
@given(st.lists(st.tuples(spellings() | PATTERNS | TEXTS, SEVERITIES, MOMENTS, MOMENTS, TEXTS), min_size=1, max_size=8))
def test_the_short_way_reads_what_the_long_way_reads(written: list[tuple[str, str, str, str, str]]) -> None:
    reader = rows.RowReader()
    names = ("plate", "severity", "valid_from", "valid_until", "reason")
    lines = range(2, len(written) + 2)
    reader.take(lines, dict(zip(names, zip(*written))))
    short = Entries.joined(list(reader._parts))
    long = [read_entry(dict(zip(names, row)), line=line) for line, row in zip(lines, written)]
    assert list(short) == [entry for entry, _ in long if entry is not None]
    assert reader.problems == [problem for _, problems in long for problem in problems]


KNOWN = spellings().filter(lambda each: read_entry({"plate": each}, line=0)[0] is not None)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Entries as a file may hold them."""
    plate, _ = read_entry({"plate": draw(KNOWN | PATTERNS)}, line=0)
    assert plate is not None
    begin = draw(st.none() | st.integers(0, 2_000_000_000).map(float))
    lasts = draw(st.none() | st.integers(1, 10**8).map(float))
    return Entry(
        plate=plate.plate,
        kind=plate.kind,
        reason=draw(TEXTS),
        severity=draw(st.sampled_from([None, "INFO", "CHECK", "ALERT"])),
        authority=draw(TEXTS),
        valid_from_seconds=begin,
        valid_until_seconds=None if lasts is None else (begin or 0.0) + lasts,
        reference=draw(TEXTS),
    )


ENTRIES = st.lists(entries(), max_size=5, unique_by=lambda entry: entry.plate)


@given(ENTRIES)
def test_columns_give_back_their_entries(listed: list[Entry]) -> None:
    table = Entries.of(listed)
    assert list(table) == listed
    assert table[1:3] == listed[1:3]
    assert [int(row) for row in table.patterns] == [row for row, entry in enumerate(listed) if entry.is_pattern]
    with pytest.raises(IndexError):
        table[len(listed)]


@given(ENTRIES, st.randoms())
def test_the_version_is_of_the_content_in_any_order(listed: list[Entry], random: Random) -> None:
    shuffled = random.sample(listed, len(listed))
    assert Entries.of(listed).version() == Entries.of(shuffled).version()
    if listed:
        fewer = Entries.of(listed[1:])
        assert fewer.version() != Entries.of(listed).version()


def test_texts_are_not_run_together() -> None:
    first = Entries.of([Entry("30A12345", reason="ab", authority="c")])
    second = Entries.of([Entry("30A12345", reason="a", authority="bc")])
    assert first.version() != second.version()


@given(ENTRIES, st.sampled_from([".csv", ".json"]))
def test_a_list_that_is_written_reads_back_as_the_same(listed: list[Entry], suffix: str) -> None:
    table = Entries.of(listed)
    parsed = parse_file(io.BytesIO(b"".join(write_list(table, {"purpose": "theft"}, suffix=suffix))), suffix)
    assert parsed.problems == ()
    assert parsed.entries.version() == table.version()
    assert dict(parsed.head) == ({"purpose": "theft"} if suffix == ".json" else {})


@given(ENTRIES, ENTRIES)
def test_the_difference_is_that_of_the_plates(before: list[Entry], after: list[Entry]) -> None:
    old, new = {entry.plate: entry for entry in before}, {entry.plate: entry for entry in after}
    difference = compare(WatchList("x", "", before), WatchList("x", "", after))
    assert set(difference.added) == new.keys() - old.keys()
    assert set(difference.removed) == old.keys() - new.keys()
    assert set(difference.changed) == {plate for plate in old.keys() & new.keys() if old[plate] != new[plate]}
    assert difference.kept == len(old.keys() & new.keys())


def test_a_plate_listed_twice_is_compared_with_both_its_times() -> None:
    def make(*times: tuple[float, float]) -> WatchList:
        return WatchList("x", "", [Entry("30A12345", valid_from_seconds=a, valid_until_seconds=b) for a, b in times])

    assert compare(make((0, 1), (2, 3)), make((2, 3), (0, 1))).changed == ()
    assert compare(make((0, 1), (2, 3)), make((2, 3), (0, 2))).changed == ("30A12345",)
    assert compare(make((0, 1), (2, 3)), make((2, 3))).changed == ("30A12345",)


@given(st.lists(TEXTS, max_size=20), st.randoms())
def test_texts_can_be_taken_and_joined(texts: list[str], random: Random) -> None:
    column = Texts.of(texts)
    assert list(column) == texts
    chosen = [random.randrange(len(texts)) for _ in texts]
    assert list(column.take(np.array(chosen, np.intp))) == [texts[row] for row in chosen]
    assert list(Texts.joined([column, Texts.of(()), column])) == texts * 2


def test_a_file_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(end: str) -> io.BytesIO:
        lines = ["plate,reason", *(f"30A-{number:03}.11,lý do {number}" for number in range(300)), "x,", ""]
        return io.BytesIO(end.join(lines).encode())

    whole = [parse_csv(make(end)) for end in ("\n", "\r\n", "\r")]
    monkeypatch.setattr(csv_file, "_BLOCK_BYTES", 37)
    pieces = [parse_csv(make(end)) for end in ("\n", "\r\n", "\r")]
    for parsed in (*whole, *pieces):
        assert list(parsed.entries) == list(whole[0].entries)
        assert [problem.line for problem in parsed.problems] == [302]
        assert (parsed.rows, parsed.bad_rows) == (301, 1)


def test_one_bad_row_in_a_hundred_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate\nnonsense\n" + "\n".join(f"30A{number:05}" for number in range(1, 100)))
    loaded = load_list(path)
    assert (len(loaded.entries), loaded.bad_rows) == (99, 1)
    assert loaded.problems[0].line == 2
    path.write_text("plate\nnonsense\nnonsense\n" + "\n".join(f"30A{number:05}" for number in range(1, 101)))
    with pytest.raises(ValueError, match="2 of 102 rows are bad"):
        load_list(path)
    assert len(load_list(path, force=True).entries) == 100


def test_plates_and_patterns_stand_in_one_column() -> None:
    watch_list = WatchList("x", "", (Entry("30A12345"), Entry("20*"), Entry("30A12?45")))
    assert watch_list.plates.tolist() == [b"30A12345", b"20*", b"30A12?45"]
    assert watch_list.patterns.tolist() == [1, 2]
    assert all(parse(plate.decode()) for plate in watch_list.plates[:1])
