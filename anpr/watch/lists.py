"""A watch-list, and its import from a CSV file.

Each physical line is one row: a stray quote spoils its own line and cannot swallow those after it.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import re
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from anpr.errors import WatchListError
from anpr.records import Severity
from anpr.watch.entries import COLUMNS, Entry, Problem, read_entry

MAX_BYTES = 256 * 2**20
MAX_LINE = 8_192
"""Characters."""
MAX_ENTRIES = 2_000_000
MAX_PROBLEMS = 1_000
"""Problems told one by one; the rest is counted."""


@dataclass(frozen=True, slots=True)
class WatchList:
    """Plates that somebody looks for."""

    name: str
    version: str
    """Hash of the entries: the same content has the same version, whatever the file's order, line ends or encoding."""
    entries: tuple[Entry, ...]
    purpose: str = ""
    authority: str = ""
    """Who answers for the list; an entry may name its own."""
    severity: Severity = "ALERT"
    loaded_seconds: float = 0.0
    """Wall time of the content."""

    def __repr__(self) -> str:
        return f"WatchList({self.name} {self.version}, {len(self.entries)} entries)"


@dataclass(frozen=True, slots=True)
class Difference:
    """What an update of a list changes, in plates."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        return f"+{len(self.added)} −{len(self.removed)} ~{len(self.changed)}"


def load_csv(
    path: Path,
    *,
    name: str | None = None,
    purpose: str = "",
    authority: str = "",
    severity: Severity = "ALERT",
    loaded_seconds: float | None = None,
) -> WatchList:
    """The watch-list of a CSV file with a header (`anpr.watch.entries.COLUMNS`).

    `name` is the file's stem and `loaded_seconds` its modification time unless given. Raises WatchListError with every
    problem of the file.
    """
    data, modified_seconds = read_file(path)
    return parse_csv(
        data,
        place=str(path),
        name=name or path.stem,
        purpose=purpose,
        authority=authority,
        severity=severity,
        loaded_seconds=modified_seconds if loaded_seconds is None else loaded_seconds,
    )


def parse_csv(
    data: bytes,
    *,
    place: str,
    name: str,
    purpose: str = "",
    authority: str = "",
    severity: Severity = "ALERT",
    loaded_seconds: float,
) -> WatchList:
    """The watch-list of a CSV file's bytes. Raises WatchListError with every problem of it, at `place`."""
    entries, problems = read_csv(data)
    if problems:
        raise WatchListError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''}, first: {problems[0]}",
            place=place,
            problems=tuple(f"{place}: {problem}" for problem in problems),
        )
    version = content_version(entries)
    return WatchList(name, version, entries, purpose, authority, severity, loaded_seconds)


def read_file(path: Path) -> tuple[bytes, float]:
    """The bytes of a watch-list file and its modification time. Raises WatchListError if it is absent or too large."""
    try:
        stat = path.stat()
        if stat.st_size > MAX_BYTES:
            what = f"{stat.st_size} bytes are too many for a watch-list"
            raise WatchListError(what, place=str(path), cure=f"at most {MAX_BYTES}")
        return path.read_bytes(), stat.st_mtime
    except OSError as error:
        raise WatchListError(f"cannot be read: {error.strerror}", place=str(path), cure="check the path") from error


def read_csv(data: bytes) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    """The entries of a CSV file's bytes, and everything that is wrong with it; use the entries only if nothing is."""
    try:
        text = _decode(data)
        (number, header), *rows = _lines(text)
        delimiter = _delimiter(header)
        columns = _columns(header, number, delimiter)
        if len(rows) > MAX_ENTRIES:
            raise _Refused(Problem(0, "", "", f"{len(rows)} rows are too many", f"at most {MAX_ENTRIES}"))
    except _Refused as refused:
        return (), refused.problems
    entries: list[Entry] = []
    problems: list[Problem] = []
    by_plate: dict[str, list[Entry]] = {}
    for number, row in rows:
        try:
            entry, wrong = read_entry(_fields(row, number, columns, delimiter), line=number)
        except _Refused as refused:
            entry, wrong = None, refused.problems
        problems.extend(wrong)
        if entry is None:
            continue
        twins = by_plate.setdefault(entry.plate, [])
        twin = next((twin for twin in twins if twin.overlaps(entry)), None)
        if twin is not None:
            what = f"{entry.plate} is already on line {twin.line}"
            problems.append(Problem(number, "plate", entry.plate, what, "keep one, or part their times"))
        twins.append(entry)
        entries.append(entry)
    if len(problems) > MAX_PROBLEMS:
        more = len(problems) - MAX_PROBLEMS
        problems[MAX_PROBLEMS:] = [Problem(0, "", "", f"and {more} more problems", "correct those above first")]
    return tuple(entries), tuple(problems)


def content_version(entries: tuple[Entry, ...]) -> str:
    """16 hexadecimal digits that stand for the entries, in any order."""
    content = sorted(repr(astuple(replace(entry, line=0))) for entry in entries)
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]


def compare(old: WatchList, new: WatchList) -> Difference:
    """What changes from one list to another."""

    def by_plate(watch_list: WatchList) -> dict[str, set[Entry]]:
        plates: dict[str, set[Entry]] = {}
        for entry in watch_list.entries:
            plates.setdefault(entry.plate, set()).add(replace(entry, line=0))
        return plates

    before, after = by_plate(old), by_plate(new)
    return Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(plate for plate in before.keys() & after.keys() if before[plate] != after[plate])),
    )


class _Refused(Exception):
    """A line, or the whole file, is of no use."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


def _decode(data: bytes) -> str:
    save_as = "save it as CSV UTF-8"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Refused(Problem(0, "", "", "the file is UTF-16", save_as))
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise _Refused(Problem(line, "", "", "the line holds a NUL byte: damaged, or UTF-16", save_as))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Refused(Problem(line, "", "", f"byte 0x{data[error.start]:02x} is not UTF-8", save_as)) from error


def _lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, blank ones left out."""
    lines = [(n, line) for n, line in enumerate(re.split("\r\n|\n|\r", text), start=1) if line.strip(" \t,;")]
    if not lines:
        raise _Refused(Problem(0, "", "", "the file is empty", f"begin with the header {','.join(COLUMNS)}"))
    return lines


def _delimiter(header: str) -> str:
    """A comma, or what a spreadsheet of another language writes instead."""
    return next((mark for mark in ",;\t" if mark in header), ",")


def _split(line: str, number: int, delimiter: str) -> list[str]:
    if len(line) > MAX_LINE:
        raise _Refused(Problem(number, "", line[:80], f"{len(line)} characters are too many", f"at most {MAX_LINE}"))
    try:
        fields = next(csv.reader([line], strict=True, delimiter=delimiter))
    except csv.Error as error:
        cure = 'close the quote on the same line, and write " inside quotes as ""'
        raise _Refused(Problem(number, "", line[:80], f"broken quoting: {error}", cure)) from error
    # A field that rightly holds a quote stands in the line in quotes, with the quote doubled.
    stray = next((field for field in fields if '"' in field and _quoted(field) not in line), "")
    if stray:
        raise _Refused(Problem(number, "", stray[:80], "stray quote", 'write " inside quotes as ""'))
    return [field.strip() for field in fields]


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'


def _columns(header: str, number: int, delimiter: str) -> list[str]:
    names = [name.casefold() for name in _split(header, number, delimiter)]
    if "plate" not in names and not set(names) & set(COLUMNS):
        close = difflib.get_close_matches(names[0], COLUMNS, n=1)
        if not close:
            what = f"the header is missing, the first line is {header[:80]!r}"
            raise _Refused(Problem(number, "", header[:80], what, f"begin with {','.join(COLUMNS)}"))
    problems: list[Problem] = []
    for name in names:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, COLUMNS, n=1)
            cure = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(COLUMNS)}"
            problems.append(Problem(number, name, name, f"unknown column {name!r}", cure))
        elif names.count(name) > 1:
            problems.append(Problem(number, name, name, f"the column {name!r} is there twice", "remove one"))
    if "plate" not in names and not any("'plate'" in problem.cure for problem in problems):
        problems.append(Problem(number, "plate", "", "the column 'plate' is missing", "add it"))
    if problems:
        raise _Refused(*dict.fromkeys(problems))
    return names


def _fields(row: str, number: int, columns: list[str], delimiter: str) -> dict[str, str]:
    fields = _split(row, number, delimiter)
    if len(fields) != len(columns):
        what = f"{len(fields)} fields where the header has {len(columns)}"
        raise _Refused(Problem(number, "", row[:80], what, f'put a field that holds "{delimiter}" in quotes'))
    return dict(zip(columns, fields, strict=True))
