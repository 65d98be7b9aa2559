"""Rows of a watch-list file, checked by the column: those written as usual at once, the others one by one.

What the short way takes is what `read_entry` would take: a plate's spelling is looked up by everything that its reading
depends on, and the spelling's first bearer was read by `read_entry`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from anpr.watch.entries import MAX_FIELD, UNPRINTABLE, Entry, Problem, read_entry
from anpr.watch.table import KINDS, NONE, PLATE, RANKS, Entries, Texts

CHUNK = 20_000
"""Rows that are read at once."""
MAX_ENTRIES = 2_000_000
MAX_PATTERNS = 10_000
MAX_PROBLEMS = 1_000
"""Problems told one by one; the rest is counted."""
MAX_PLATE = 20
"""Characters that are shown of what stands for a plate."""

_USUAL = re.compile(r"([0-9]{2}[- ]?[A-Za-z]{1,2})([1-9](?=[- ]))?([- ]?)([0-9]{3}\.?[0-9]{2}|[0-9]{4})")
"""Province and letters, digit of the series, separator, order number."""
_DIGITS = str.maketrans("23456789", "11111111")
_DROPPED = str.maketrans("", "", "-. ")
_MAX_KNOWN = 200_000
"""Different spellings that are remembered."""

_Meaning = tuple[int, int, float, float]
"""Kind, severity, valid from, valid until."""


class Refused(Exception):
    """A row, or the whole file, is of no use."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """What a watch-list file says."""

    entries: Entries
    """Of the good rows."""
    problems: tuple[Problem, ...] = ()
    """Everything that is wrong, at most `MAX_PROBLEMS` of it one by one."""
    rows: int = 0
    bad_rows: int = 0
    """Those that gave no entry."""
    usable: bool = True
    """False if the file as a whole is wrong: its encoding, its header, its size."""
    head: Mapping[str, object] = field(default_factory=dict)
    """What the file says of the list as a whole."""
    head_lines: Mapping[str, int] = field(default_factory=dict)
    """Where it says so."""

    @classmethod
    def refused(cls, problems: Sequence[Problem]) -> Parsed:
        """A file that is wrong as a whole."""
        return cls(Entries.of(()), tuple(problems), usable=False)


class RowReader:
    """Takes rows, gives the entries.

    `numbered`: what it is given for lines are the numbers of the entries. Then its problems tell them.
    """

    def __init__(self, *, numbered: bool = False) -> None:
        self._numbered = numbered
        self.problems: list[Problem] = []
        self.rows = 0
        self._bad_rows = 0
        self._problem_count = 0
        self._parts: list[Entries] = []
        self._spellings: dict[tuple[str, bool, str, str], int] = {}

    def refuse(self, *problems: Problem) -> None:
        """Take note of a row that gives no entry."""
        self.rows += 1
        self._refuse(problems)

    def _refuse(self, problems: Sequence[Problem]) -> None:
        self._bad_rows += 1
        self._problem_count += len(problems)
        self.problems.extend(problems[: MAX_PROBLEMS - len(self.problems)])

    def take(self, lines: Sequence[int], columns: Mapping[str, Sequence[str]]) -> None:
        """Read some rows: their lines, and the fields of each column, stripped of white space."""
        self.rows += len(lines)
        if not lines:
            return
        empty = ("",) * len(lines)
        written, severity = columns["plate"], columns.get("severity", empty)
        spotless = all(map(_spotless, columns.values()))
        plates = "\n".join(written).translate(_DROPPED).upper().split("\n") if spotless else list(written)
        kinds = np.array([*map(self._kind, written)] if spotless else [_ODD] * len(lines), np.int8)
        severities = np.array([_RANKS.get(each, _ODD) for each in severity], np.int8)
        begins, ends = self._times(columns.get("valid_from", empty), columns.get("valid_until", empty))
        good = np.ones(len(lines), np.bool_)
        for row in np.flatnonzero((kinds == _ODD) | (severities == _ODD) | np.isnan(begins)).tolist():
            entry, wrong = read_entry({name: column[row] for name, column in columns.items()}, line=lines[row])
            if entry is None:
                self._refuse([self._placed(problem, written[row]) for problem in wrong])
                good[row], plates[row] = False, ""
            else:
                plates[row] = entry.plate
                kinds[row], severities[row], begins[row], ends[row] = _meaning(entry)
        kept = np.flatnonzero(good).tolist()

        def texts(name: str) -> Texts:
            column = columns.get(name, empty)
            return Texts.of(column if len(kept) == len(lines) else [column[row] for row in kept])

        self._parts.append(
            Entries(
                plates=np.array(plates, PLATE)[good],
                kinds=kinds[good],
                severities=severities[good],
                valid_from_seconds=begins[good],
                valid_until_seconds=ends[good],
                lines=np.array(lines, np.int32)[good],
                reasons=texts("reason"),
                authorities=texts("authority"),
                references=texts("reference"),
            )
        )

    def finish(self, head: Mapping[str, object] | None = None, head_lines: Mapping[str, int] | None = None) -> Parsed:
        """All rows that were taken, of those for the same plate at the same time only the first."""
        entries = Entries.joined(self._parts)
        twins = tuple(_twins(entries))
        for twin, first in twins:
            line, plate = int(entries.lines[twin]), entries.plates[twin].decode()
            already = f"entry {entries.lines[first]}" if self._numbered else f"on line {entries.lines[first]}"
            what = f"{plate} is already {already}"
            other_kind = entries.kinds[twin] != entries.kinds[first]
            cure = (
                f"write it once as {plate}, for vehicles of both kinds"
                if other_kind
                else "keep one, or part their times"
            )
            self._refuse([self._placed(Problem(line, "plate", plate, what, cure), plate)])
        if twins:
            entries = entries.take(np.setdiff1d(np.arange(len(entries)), [twin for twin, _ in twins]))
        if len(entries.patterns) > MAX_PATTERNS:
            what = f"{len(entries.patterns)} patterns are too many"
            return Parsed.refused([Problem(0, "plate", "", what, f"at most {MAX_PATTERNS}")])
        problems = sorted(self.problems, key=lambda problem: problem.line)
        if more := self._problem_count - len(problems):
            problems.append(Problem(0, "", "", f"and {more} more problems", "correct those above first"))
        return Parsed(entries, tuple(problems), self.rows, self._bad_rows, head=head or {}, head_lines=head_lines or {})

    def _placed(self, problem: Problem, plate: str) -> Problem:
        """With the number of its entry, and with the plate if that is not what it tells of."""
        if not self._numbered:
            return problem
        return replace(problem, entry=problem.line, plate="" if problem.column == "plate" else plate[:MAX_PLATE])

    def _kind(self, plate: str) -> int:
        """The kind of a plate that is spelt as usual; `_ODD` if it is not, or may be wrong."""
        match = _USUAL.fullmatch(plate)
        if match is None:
            return _ODD
        head, digit, separator, number = match.groups()
        spelling = head, digit is None, separator, _NUMBERS[number.translate(_DIGITS)]
        kind = self._spellings.get(spelling)
        if kind is None:
            entry, _ = read_entry({"plate": plate}, line=0)
            kind = _ODD if entry is None else _meaning(entry)[0]
            if len(self._spellings) < _MAX_KNOWN:
                self._spellings[spelling] = kind
        return kind

    def _times(self, begins: Sequence[str], ends: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """From and until when the rows hold; NaN where the dates may be wrong."""
        pairs = [*map("\n".join, zip(begins, ends))]
        known = {pair: _validity(*pair.split("\n")) if pair.count("\n") == 1 else (nan, nan) for pair in set(pairs)}
        times = np.array([known[pair] for pair in pairs] if len(known) > 1 else [known[pairs[0]]] * len(pairs))
        return times[:, 0].copy(), times[:, 1].copy()


_ODD = -2
_RANKS: dict[str, int] = {"": NONE} | {severity: rank for rank, severity in enumerate(RANKS)}


def _number_classes() -> dict[str, str]:
    """Of the order numbers, written with 1 for each digit but 0, those that the grammar does not tell apart: where it
    may divide them, after the first digit or the third, it asks what is 0."""
    classes: dict[str, str] = {}
    for digits in (4, 5):
        for bits in product("01", repeat=digits):
            number = "".join(bits)
            zeros = "".join("01"["1" in part] for part in (number, number[0], number[1:], number[3:]))
            dotted = f"{number[:3]}.{number[3:]}"
            classes |= {number: f"{digits} {zeros}"} | ({dotted: f". {zeros}"} if digits == 5 else {})
    return classes


_NUMBERS = _number_classes()


def _spotless(fields: Sequence[str]) -> bool:
    """Whether no field is too long or holds what none may."""
    return len(max(fields, key=len)) <= MAX_FIELD and UNPRINTABLE.search("".join(fields)) is None


@lru_cache(maxsize=10_000)
def _validity(begin: str, end: str) -> tuple[float, float]:
    if not begin and not end:
        return -inf, inf
    entry, _ = read_entry({"plate": "30A-123.45", "valid_from": begin, "valid_until": end}, line=0)
    return (nan, nan) if entry is None else _meaning(entry)[2:]


def _meaning(entry: Entry) -> _Meaning:
    return (
        NONE if entry.kind is None else KINDS.index(entry.kind),
        NONE if entry.severity is None else RANKS.index(entry.severity),
        -inf if entry.valid_from_seconds is None else entry.valid_from_seconds,
        inf if entry.valid_until_seconds is None else entry.valid_until_seconds,
    )


def _twins(entries: Entries) -> Iterator[tuple[int, int]]:
    """Rows for a plate and a time for which an earlier row is there, with that row."""
    order = entries.order()
    plates = entries.plates[order]
    repeats = np.flatnonzero(plates[1:] == plates[:-1]) + 1
    first: dict[bytes, int] = {}
    for place in _with_their_first(repeats):
        row = int(order[place])
        plate = bytes(entries.plates[row])
        other = first.get(plate)
        if other is not None and entries.valid_from_seconds[row] < entries.valid_until_seconds[other]:
            yield row, other
        else:
            first[plate] = row


def _with_their_first(repeats: NDArray[np.intp]) -> list[int]:
    """The places of rows that repeat the plate of the place before, and that place too, each once."""
    return [int(place) for place in np.union1d(repeats, repeats - 1)]
