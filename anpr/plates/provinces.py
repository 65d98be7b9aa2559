"""Which province a plate code was issued by: a dated map, since the provinces were merged on 2025-07-01.

Source: Circular 24/2023/TT-BCA appendix 2 (before) and Circular 51/2025/TT-BCA appendix 2 (since). A code tells where
the plate was registered when it was issued; never where the vehicle or its owner comes from.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
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
