"""Parsing: what a normalised text may be as a Vietnamese plate, most likely reading first, or why it is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from anpr.errors import PlateError
from anpr.plates import display, evidence
from anpr.plates.forms import FOREIGN_CODES, FORMS, LONGEST, SPECIAL_CODES, UNUSED_LETTERS, Form, Kind
from anpr.plates.normalise import normalise
from anpr.plates.provinces import CENTRAL_CODE, codes
from anpr.records import ALPHABET, Colour

SHORTEST = 5
"""Characters of the shortest plate, a military motorbike's."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand a plate text."""

    text: str
    kind: Kind
    province_code: str | None
    """As printed; None for military plates. The code 80 belongs to no province, see `issuer`."""
    series: str
    """`A`, `H1`, `AA`, `LD`, `NG`, `TM` …, Đ as D; `T` for temporary plates."""
    number: str
    """The order number's digits."""
    display: str
    """As printed: `30A-123.45`, `29-H1 123.45`, `80-441-NG-02`, `TM-12-34`."""
    organisation: str = ""
    """Foreign plates: the three digits of the country or organisation."""
    issuer: str = ""
    """`C08` for the code 80, the traffic police department; else empty: the province."""
    note: str = ""
    """Meaning of a special or foreign series."""


def _pattern(form: Form) -> re.Pattern[str]:
    groups = []
    for name, paths in form.parts:
        alternatives = "|".join("".join(f"[{characters}]" for characters in path) for path in paths)
        groups.append(f"(?P<{name}>{alternatives})")
    return re.compile("".join(groups))


_PATTERNS = tuple((form.kind, _pattern(form)) for form in FORMS)


def parse(text: str) -> tuple[Reading, ...]:
    """All readings of a normalised text, in no order of likelihood; empty if it is no plate."""
    found: dict[tuple[Kind, str, str], Reading] = {}
    for kind, pattern in _PATTERNS:
        matched = pattern.fullmatch(text)
        if matched:
            reading = _reading(kind, matched)
            found.setdefault((reading.kind, reading.series, reading.number), reading)
    return tuple(found.values())


def readings(
    text: str, *, colour: Colour = "unknown", lines: int | None = None, vehicle: evidence.Vehicle | None = None
) -> tuple[Reading, ...]:
    """All readings of a normalised text, most likely first.

    The order follows colour, line count and the vehicle's class as far as they are known, then the prior of an
    expressway: cars before special series before motorbikes. Nothing is left out. Empty if `text` is no plate.
    """

    def likelihood(reading: Reading) -> float:
        return evidence.weight(reading.kind, reading.series, colour=colour, lines=lines) * evidence.prior(
            reading.kind, vehicle=vehicle
        )

    return tuple(sorted(parse(text), key=likelihood, reverse=True))


def require(text: str) -> tuple[Reading, ...]:
    """The readings of any spelling of a plate, most likely first. Raises PlateError saying why it is none."""
    plate = normalise(text)
    found = readings(plate)
    if not found:
        raise PlateError(f"{plate!r} is no Vietnamese plate: {explain(plate)}", cure="like 30A-123.45 or 29-H1 123.45")
    return found


def explain(text: str) -> str:
    """Why a normalised text is no plate, in one line; empty if it is one."""
    return "" if parse(text) else next(_reasons(text))


def _reasons(text: str) -> Iterator[str]:
    """The reasons, the most telling first; the last always holds."""
    strange = sorted(set(text) - set(ALPHABET))
    if strange:
        yield f"{strange[0]!r} is not in the engine's form, normalise first"
    if len(text) < SHORTEST:
        yield f"{len(text)} characters are too few, a plate has at least {SHORTEST}"
    if len(text) > LONGEST:
        yield f"{len(text)} characters are too many, a plate has at most {LONGEST}"
    for position, character in enumerate(text, start=1):
        if character in UNUSED_LETTERS:
            yield f"the letter {character} at position {position} is on no plate" + _meant(character)
    if text.isdigit():
        yield "there is no series letter"
    if text.isalpha():
        yield "there is no number"
    start = 1 if text[0] == "T" and text[1:3].isdigit() else 0
    code, rest = text[start : start + 2], text[start + 2 :]
    if code.isdigit():
        if code not in codes():
            yield f"province code {code} was never assigned"
        series = rest.rstrip("0123456789")
        number = rest[len(series) :]
        if rest[:1].isdigit() and len(rest) > 3 and not rest[:3].isdigit():
            yield f"after the province code {code} comes a series letter, not {rest[0]}"
        if number and not number.strip("0"):
            yield "the order number 0 does not exist"
        if len(number) < 4:
            found = repr(number) if number else "is missing, it"
            yield f"the order number {found} has too few digits, four or five are needed"
        if len(number) > 6:
            yield f"the order number has too many digits, {len(number)} after the series {series}"
        if len(series) > 2:
            yield f"the series {series} has too many letters"
        if len(series) == 2 and series not in SPECIAL_CODES and series not in FOREIGN_CODES:
            yield f"no series {series} with {len(number)} digits exists"
        yield f"no series {series or 'without letters'} with the number {number!r} exists"
    if code[0].isdigit():
        yield f"the province code {code} is not two digits"
    yield "it begins neither with a province code nor with two letters of a military unit and three or four digits"


def _meant(character: str) -> str:
    digit = {"O": "0", "I": "1"}.get(character)
    return f", is it the digit {digit}?" if digit else ""


def _reading(kind: Kind, matched: re.Match[str]) -> Reading:
    parts = matched.groupdict(default="")
    code = parts.get("province")
    series = parts["series"]
    notes = {"special": SPECIAL_CODES, "foreign": FOREIGN_CODES}.get(kind, {})
    return Reading(
        text=matched.string,
        kind=kind,
        province_code=code,
        series=series,
        number=parts["number"],
        display=display.printed(kind, matched),
        organisation=parts.get("organisation", ""),
        issuer="C08" if code == CENTRAL_CODE else "",
        note=notes.get(series, ""),
    )
