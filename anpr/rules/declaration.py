"""One declaration of a journey, and how it is read from a CSV file or a message; everything wrong is told at once.

A declaration says where a vehicle comes from, its route, how long it may travel and with how many persons, and the type
of the declaration: `khaibao` (an ordinary one), `luongxanh` (a green-lane pass), or what an authority calls its own.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anpr.config.times import parse_moment
from anpr.errors import DeclarationError, PlateError
from anpr.plates.grammar import require
from anpr.plates.provinces import codes
from anpr.privacy import Private
from anpr.rules.sheet import LeftOut, Sheet

REQUIRED = ("plate", "type", "declared")
COLUMNS = (*REQUIRED, "id", "valid_from", "valid_until", "origin", "route", "persons", "test", "reference")
MAX_FIELD = 500
MOST_PERSONS = 200
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What was declared about one plate."""

    id: str
    plate: str
    """In the engine's form."""
    type: str
    declared_seconds: float
    valid_from_seconds: float | None = None
    """None: from when it was declared."""
    valid_until_seconds: float | None = None
    """First moment at which it no longer holds; None: for ever."""
    origin: str = ""
    """A province, by its name before or after 2025-07-01."""
    route: tuple[str, ...] = ()
    """Provinces on the way."""
    persons: int | None = None
    test_seconds: float | None = None
    """When the test was taken."""
    reference: str = ""

    def valid_at(self, seconds: float) -> bool:
        """Whether it holds at a wall time."""
        begin = self.declared_seconds if self.valid_from_seconds is None else self.valid_from_seconds
        return begin <= seconds and (self.valid_until_seconds is None or seconds < self.valid_until_seconds)


def parse_csv(data: bytes, path: Path) -> tuple[Sequence[Declaration], LeftOut]:
    """What a CSV file declares, and the bad rows that it is taken without.

    Raises DeclarationError with a line per problem, `file:line: what (cure)`, if they are too many.
    """
    sheet = Sheet(data, path, refusal=DeclarationError, casefold=True)
    _check_columns(sheet.columns, str(path))
    found: list[Declaration] = []
    for place, row in sheet.rows():
        try:
            found.append(read_declaration(row, place=place))
        except DeclarationError as error:
            sheet.refuse(*error.problems)
    return found, sheet.left_out()


def _check_columns(columns: Sequence[str], place: str) -> None:
    problems: list[str] = []
    for name in columns:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, COLUMNS, n=1)
            cure = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(COLUMNS)}"
            problems.append(Private(f"{place}:1: unknown column {name!r} ({cure})"))
        elif columns.count(name) > 1:
            problems.append(f"{place}:1: the column {name!r} is there twice (remove one)")
    problems += [f"{place}:1: the column {name!r} is missing (add it)" for name in REQUIRED if name not in columns]
    if problems:
        raise DeclarationError(
            f"{len(problems)} problems in the header", place=place, problems=tuple(dict.fromkeys(problems))
        )


def read_declaration(fields: Mapping[str, str], *, place: str) -> Declaration:
    """One declaration from texts by column. Raises DeclarationError with all that is wrong."""
    row = _Row({name: value.strip() for name, value in fields.items()}, place)
    for name in row.fields.keys() - set(COLUMNS):
        close = difflib.get_close_matches(name, COLUMNS, n=1)
        row.wrong(name, "is not known", f"did you mean {close[0]!r}?" if close else f"known: {', '.join(COLUMNS)}")
    for name in REQUIRED:
        if not row.fields.get(name):
            row.wrong(name, "is missing", "give it")
    declared = row.moment("declared")
    kind = row.fields.get("type", "")
    if kind and not _TYPE.fullmatch(kind):
        row.wrong("type", f"cannot be {kind[:80]!r}", "letters, digits, - and _")
    valid_from, valid_until = row.moment("valid_from"), row.moment("valid_until", end_of_day=True)
    if valid_from is not None and valid_until is not None and valid_from >= valid_until:
        row.wrong("valid_until", "is not after valid_from", "swap them?")
    written = json.dumps({name: value for name, value in sorted(row.fields.items()) if value}, ensure_ascii=False)
    declaration = Declaration(
        id=row.fields.get("id") or hashlib.sha256(written.encode()).hexdigest()[:24],
        plate=row.plate(),
        type=kind,
        declared_seconds=declared or 0.0,
        valid_from_seconds=valid_from,
        valid_until_seconds=valid_until,
        origin=row.province("origin", row.fields.get("origin", "")),
        route=tuple(
            row.province("route", part.strip()) for part in row.fields.get("route", "").split(";") if part.strip()
        ),
        persons=row.persons(),
        test_seconds=row.moment("test"),
        reference=row.fields.get("reference", ""),
    )
    if row.problems:
        raise DeclarationError(row.problems[0].removeprefix(f"{place}: "), place=place, problems=tuple(row.problems))
    return declaration


class _Row:
    """One row being read; collects what is wrong."""

    def __init__(self, fields: Mapping[str, str], place: str) -> None:
        self.fields = fields
        self.place = place
        self.problems: list[str] = []
        for name, value in fields.items():
            if len(value) > MAX_FIELD or not value.isprintable():
                self.wrong(name, "is too long or holds control characters", f"at most {MAX_FIELD} characters")

    def wrong(self, column: str, what: str, cure: str) -> None:
        self.problems.append(Private(f"{self.place}: {column} {what} ({cure})"))

    def plate(self) -> str:
        written = self.fields.get("plate", "")
        try:
            return require(written)[0].text if written else ""
        except PlateError as error:
            self.wrong("plate", error.problem, error.cure)
            return ""

    def moment(self, column: str, *, end_of_day: bool = False) -> float | None:
        written = self.fields.get(column, "")
        if not written:
            return None
        try:
            return parse_moment(written, end_of_day=end_of_day)
        except ValueError:
            self.wrong(column, f"{written[:40]!r} is no date", "like 2026-03-31 or 2026-03-31T18:00+07:00")
            return None

    def province(self, column: str, written: str) -> str:
        if written and written not in {name for code in codes().values() for name in (code.before, code.after)}:
            self.wrong(column, f"{written[:80]!r} is no province", "write its name with its accents")
        return written

    def persons(self) -> int | None:
        written = self.fields.get("persons", "")
        if not written:
            return None
        if not written.isascii() or not written.isdigit() or not 0 < int(written[:9]) <= MOST_PERSONS:
            self.wrong("persons", f"{written[:40]!r} is no number of persons", f"1 to {MOST_PERSONS}")
            return None
        return int(written)
