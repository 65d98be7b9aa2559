"""What is planted in the day: vehicles that break a rule, vehicles that almost do, and what lists and registers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from anpr.plates.provinces import VIETNAM_TIME
from anpr.records import Severity
from scripts.day.road import SITES, Passing, Site
from scripts.day.traffic import at
from scripts.day.vehicles import Registry, Vehicle

STEADY_KMH = 88.0
"""Pace of planted vehicles that are not in a hurry."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A hit that must come."""

    rule: str
    passing: int
    """Which of the case's passings it is about."""
    severity: Severity


@dataclass(frozen=True, slots=True)
class Case:
    """One planted story."""

    number: int
    """Of the rule that it is about, 1 to 17."""
    name: str
    passings: Sequence[Passing]
    expected: Sequence[Expected]
    silent: Sequence[str]
    """Rules that must raise nothing about any of its passings, but for what is expected."""


@dataclass(slots=True)
class Planting:
    """The planted world while it is being made."""

    rng: np.random.Generator
    vehicles: Registry
    cases: list[Case] = field(default_factory=list)
    entries: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Rows of the watch-lists, by list."""
    declarations: list[dict[str, str]] = field(default_factory=list)
    answers: dict[str, dict[str, str]] = field(default_factory=dict)
    """What the register says, by plate."""

    def case(
        self,
        number: int,
        name: str,
        passings: Sequence[Passing],
        expected: Sequence[Expected] = (),
        *,
        silent: Sequence[str] = (),
    ) -> None:
        """Plant a story."""
        self.cases.append(Case(number, name, passings, expected, silent))

    def list_plate(self, name: str, vehicle: Vehicle | str, **fields: str) -> None:
        """Put a plate on a watch-list."""
        plate = vehicle if isinstance(vehicle, str) else vehicle.display
        complete = {"reason": "planted", "authority": "PC08", "valid_until": "2026-12-31", "reference": "17/2026"}
        self.entries.setdefault(name, []).append({"plate": plate} | complete | fields)

    def declare(self, vehicle: Vehicle, kind: str, declared_seconds: float, **fields: str) -> None:
        """File a declaration."""
        self.declarations.append(
            {"plate": vehicle.display, "type": kind, "declared": moment(declared_seconds)} | fields
        )

    def register(self, vehicle: Vehicle, **fields: str) -> None:
        """Have the register know the vehicle, rightly but for `fields`."""
        right = {
            "colour": vehicle.colour,
            "vehicle_class": vehicle.body,
            "inspection_until": "2027-06-30",
            "transport": "yes" if vehicle.colour == "yellow" else "no",
        }
        self.answers[vehicle.display] = right | fields


def moment(seconds: float) -> str:
    """A wall time as lists and declarations write it, Viet Nam time."""
    return datetime.fromtimestamp(seconds, UTC).astimezone(VIETNAM_TIME).isoformat(timespec="seconds")


def stop(
    vehicle: Vehicle, site: Site, hour: float, *, inbound: bool = True, days_ago: float = 0.0, covered: bool = False
) -> Passing:
    """One clear passing before one camera."""
    return Passing(vehicle, site, inbound, at(hour, days_ago=days_ago), clear=True, covered=covered)


def trip(
    vehicle: Vehicle, hour: float, *, inbound: bool = True, kmh: Sequence[float] = (STEADY_KMH, STEADY_KMH),
    sites: Sequence[Site] = SITES, covered: bool = False, preview: bool = False,
) -> list[Passing]:  # fmt: skip
    """A clear trip past `sites`, given from south to north, at these average speeds between them."""
    way = list(sites) if inbound else list(reversed(sites))
    seconds = at(hour)
    passings = []
    for index, site in enumerate(way):
        if index:
            seconds += abs(site.km - way[index - 1].km) / kmh[index - 1] * 3600.0
        passings.append(Passing(vehicle, site, inbound, seconds, clear=True, covered=covered, preview=preview))
    return passings
