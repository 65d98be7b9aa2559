"""Which province a plate code was issued by: a dated map, since the provinces were merged on 2025-07-01.

Source: Circular 24/2023/TT-BCA appendix 2 (before) and Circular 51/2025/TT-BCA appendix 2 (since). A code tells where
the plate was registered when it was issued; never where the vehicle or its owner comes from.
"""

from __future__ import annotations

import csv
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from difflib import get_close_matches
from functools import cache
from importlib import resources
from types import MappingProxyType

from anpr.errors import PlateError

MERGER = date(2025, 7, 1)
"""First day of the 34 provinces."""

CENTRAL_CODE = "80"
"""Issued by the traffic police department (C08) to central agencies; it belongs to no province."""

VIETNAM_TIME = timezone(timedelta(hours=7), "UTC+07:00")


@dataclass(frozen=True, slots=True)
class Code:
    """One two-digit code that has been assigned."""

    code: str
    before: str
    """Province until 2025-06-30; empty for the central code."""
    after: str
    """Province since 2025-07-01; empty for the central code."""
    issuer: str
    """Who issues it where that is no province: `C08`, else empty."""


@cache
def codes() -> MappingProxyType[str, Code]:
    """All 81 assigned codes, in ascending order."""
    text = resources.files("anpr.plates").joinpath("provinces.csv").read_text(encoding="utf-8")
    table: dict[str, Code] = {}
    for row in csv.DictReader(text.splitlines()):
        code, before, after = row["code"], row["province_before_2025"], row["province_after_2025"]
        if code == CENTRAL_CODE:
            table[code] = Code(code, "", "", "C08")
        elif before:
            table[code] = Code(code, before, after, "")
    return MappingProxyType(table)


def province(code: str, on: date) -> str:
    """Name of the province of `code` by the map valid on that day; empty for the central code 80.

    Raises PlateError for a code that was never assigned.
    """
    entry = codes().get(code)
    if entry is None:
        raise PlateError(
            f"province code {code!r} was never assigned",
            cure=f"the codes are 11 to 99 without {', '.join(never_assigned())}",
        )
    return entry.before if on < MERGER else entry.after


def never_assigned() -> tuple[str, ...]:
    """The codes of 11 to 99 that no province ever had."""
    return tuple(str(code) for code in range(11, 100) if str(code) not in codes())


def vietnam_date(wall_seconds: float) -> date:
    """The calendar day in Viet Nam at a wall time (UTC seconds since 1970)."""
    return datetime.fromtimestamp(wall_seconds, UTC).astimezone(VIETNAM_TIME).date()


def codes_of(place: str) -> frozenset[str]:
    """The codes that a province issued, by its name before or since 2025-07-01; or the one code that is written.

    Case, accents and spaces do not matter: `bac ninh`, `Bắc Ninh`. Raises PlateError for what is neither.
    """
    wanted = _plain(place)
    if wanted in codes():
        return frozenset({wanted})
    found = frozenset(
        entry.code for entry in codes().values() if wanted and wanted in (_plain(entry.before), _plain(entry.after))
    )
    if not found:
        names = {_plain(name): name for entry in codes().values() for name in (entry.before, entry.after) if name}
        close = [names[name] for name in get_close_matches(wanted, names, n=3)]
        cure = f"did you mean {' or '.join(close)}?" if close else "give a province's name or a code such as 30"
        raise PlateError(f"{place[:80]!r} is no province", cure=cure)
    return found


def _plain(name: str) -> str:
    """A name without case, accents, spaces and hyphens."""
    folded = unicodedata.normalize("NFKD", name.casefold().replace("đ", "d"))
    return "".join(character for character in folded if character.isalnum())
