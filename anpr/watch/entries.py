"""One entry of a watch-list, from the fields of its row; everything wrong with a row is told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from anpr.config.times import parse_moment
from anpr.errors import PlateError
from anpr.plates.forms import Kind
from anpr.plates.grammar import Reading, require
from anpr.plates.patterns import is_pattern, parse_pattern
from anpr.privacy import HIDDEN, Private, mask_plate
from anpr.records import Severity

COLUMNS = ("plate", "reason", "severity", "authority", "valid_from", "valid_until", "reference")
"""Columns of a watch-list file; only the plate is required."""

MAX_FIELD = 500
"""Characters that one field may have."""

_SHORTEST_HIDDEN = 3
"""Characters of a value that is hidden also where it stands without quotes."""

SEVERITIES: dict[str, Severity] = {severity: severity for severity in get_args(Severity)}

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which no file can hold."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file."""

    line: int
    """From 1; 0 for the file as a whole."""
    column: str
    """Name of the column; empty for the whole line."""
    value: str
    what: str
    cure: str = ""
    entry: int = 0
    """Of a JSON file the number of the entry, from 1, for all may stand on one line; 0 elsewhere."""
    plate: str = ""
    """Of a JSON file what the entry has for a plate, if something else is wrong with it."""

    def __str__(self) -> str:
        column = f"{self.column}: " if self.column else ""
        told = f"{self._place(self.plate)}{column}{self.what}" + (f" ({self.cure})" if self.cure else "")
        # It quotes the file, which must not steer a terminal.
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in told)

    @property
    def masked(self) -> str:
        """Where it is, of what kind, and the cure, without anything of the file: for a log."""
        column = f"{self.column}: " if self.column in COLUMNS else ""
        what, cure = map(self._hide, (self.what, self.cure))
        plate = mask_plate(self.plate) if self.plate else ""
        return f"{self._place(plate)}{column}{what}" + (f" ({cure})" if cure else "")

    def _hide(self, text: str) -> str:
        """A text without what it quotes of the file."""
        if len(self.value) >= _SHORTEST_HIDDEN:
            text = re.sub(rf"(?<!\w){re.escape(self.value)}(?!\w)", HIDDEN, text)
        return Private(text).masked

    def _place(self, plate: str) -> str:
        of_plate = f" ({plate})" if plate else ""
        parts = (f"line {self.line}" if self.line else "", f"entry {self.entry}{of_plate}" if self.entry else "")
        place = ", ".join(filter(None, parts))
        return f"{place}: " if place else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed plate, or a pattern of plates."""

    plate: str
    """In the engine's form; a pattern as `anpr.plates.patterns.Pattern.text`."""
    reason: str = ""
    severity: Severity | None = None
    """Overrides the list's."""
    authority: str = ""
    valid_from_seconds: float | None = None
    """UTC seconds since 1970 from which the entry holds; None: always."""
    valid_until_seconds: float | None = None
    """First moment at which it no longer holds; None: for ever."""
    reference: str = ""
    """File number of the authority."""
    line: int = 0
    """Where it stands in its file, for messages; not part of its content."""
    kind: Kind | None = None
    """Of the plates that share this text, the one that the list's spelling means: `29-H1 2345` is a motorbike,
    `29H-123.45` a car. None where the spelling leaves it open or no other kind shares the text."""

    @property
    def is_pattern(self) -> bool:
        """Whether the entry stands for all plates of a pattern."""
        return is_pattern(self.plate)

    def valid_at(self, seconds: float) -> bool:
        """Whether the entry holds at a wall time."""
        begun = self.valid_from_seconds is None or self.valid_from_seconds <= seconds
        return begun and (self.valid_until_seconds is None or seconds < self.valid_until_seconds)


def read_entry(fields: Mapping[str, str], *, line: int) -> tuple[Entry | None, tuple[Problem, ...]]:
    """The entry of one row, or everything that is wrong with it.

    Days are days in Viet Nam, `valid_until` included; moments without an offset are Vietnamese time.
    """
    problems: list[Problem] = []

    def wrong(column: str, what: str, cure: str) -> None:
        problems.append(Problem(line, column, fields[column][:80], what, cure))

    for column, value in fields.items():
        if len(value) > MAX_FIELD:
            wrong(column, f"{len(value)} characters are too many", f"at most {MAX_FIELD}")
        if UNPRINTABLE.search(value):
            wrong(column, f"control character in {value[:80]!r}", "remove it")
    if problems:
        return None, tuple(problems)

    plate, kind = "", None
    try:
        if is_pattern(fields["plate"]):
            plate = parse_pattern(fields["plate"]).text
        else:
            readings = require(fields["plate"])
            plate, kind = readings[0].text, meant_kind(fields["plate"], readings)
    except PlateError as error:
        wrong("plate", error.problem, error.cure)
    given_severity = fields.get("severity", "")
    severity = SEVERITIES.get(given_severity.upper())
    if given_severity and severity is None:
        wrong("severity", f"unknown severity {given_severity!r}", f"one of {', '.join(SEVERITIES)}, or empty")
    moments: dict[str, float | None] = {}
    for column in ("valid_from", "valid_until"):
        value = fields.get(column, "")
        try:
            moments[column] = parse_moment(value, end_of_day=column == "valid_until") if value else None
        except ValueError:
            wrong(column, f"no date: {value!r}", "like 2026-03-31 or 2026-03-31T18:00+07:00")
    begin, end = moments.get("valid_from"), moments.get("valid_until")
    if begin is not None and end is not None and end <= begin:
        wrong("valid_until", "the entry ends before it begins", "exchange the two dates, or correct the year")
    if problems:
        return None, tuple(problems)
    return Entry(
        plate=plate,
        kind=kind,
        reason=fields.get("reason", ""),
        severity=severity,
        authority=fields.get("authority", ""),
        valid_from_seconds=begin,
        valid_until_seconds=end,
        reference=fields.get("reference", ""),
        line=line,
    ), ()


def meant_kind(written: str, readings: Sequence[Reading]) -> Kind | None:
    """Which of a text's readings the spelling means, by where its groups end; None if it does not tell."""

    def groups(text: str) -> list[str]:
        return re.split(r"[-\s]+", text.strip().upper().replace(".", "").replace("Đ", "D"))

    if len({reading.kind for reading in readings}) < 2:
        return None
    kinds = {reading.kind for reading in readings if groups(reading.display) == groups(written)}
    return kinds.pop() if len(kinds) == 1 else None
