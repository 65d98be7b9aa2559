"""How well the sightings of a clip agree with what the clip really shows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot

from anpr.records import Sighting
from anpr.replay.truth import Quad, TrueVehicle, Truth

NEAR_WIDTHS = 0.75
"""A sighting's plate lies on a true one if their centres are at most so many plate widths apart."""
SIMILAR_EDITS = 2
"""A text with so few edits names the vehicle, if the times overlap."""
SLACK_SECONDS = 0.5
"""Times overlap if they are at most so far apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleScore:
    """What became of one vehicle."""

    vehicle: TrueVehicle
    text: str
    """Of its best sighting; empty if there is none or it could not be read."""
    edits: int | None
    """Between the true text and the sighting's; None without a sighting."""
    probability: float
    unreadable: str
    sightings: int
    """1 is right, 0 is missed, more are duplicates."""

    @property
    def exact(self) -> bool:
        """Read without a mistake."""
        return self.edits == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Sightings against truth. Vehicles without a readable plate do not count, nor are their sightings held false."""

    passed: int
    """Vehicles whose plate can be read in at least one frame."""
    captured: int
    """Of these, vehicles that have a sighting."""
    exact: int
    """Of these, vehicles whose sighting has exactly the true text."""
    duplicates: int
    """Sightings beyond the first of any vehicle."""
    false: tuple[Sighting, ...]
    """Sightings of no vehicle at all."""
    rows: tuple[VehicleScore, ...]
    """Each vehicle that passed, in the clip's order."""

    @property
    def missed(self) -> int:
        """Vehicles without a sighting."""
        return self.passed - self.captured

    @property
    def capture_rate(self) -> float:
        """Captured of passed; 1 if none passed."""
        return self.captured / self.passed if self.passed else 1.0

    @property
    def exact_rate(self) -> float:
        """Exact of passed; 1 if none passed."""
        return self.exact / self.passed if self.passed else 1.0


def score(sightings: Iterable[Sighting], truth: Truth) -> Score:
    """Compare the sightings of one clip (any revisions, the highest of each id counts) with its truth."""
    newest: dict[str, Sighting] = {}
    for sighting in sightings:
        if sighting.id not in newest or newest[sighting.id].revision < sighting.revision:
            newest[sighting.id] = sighting
    ways = _ways(truth)
    found: dict[int, list[tuple[int, Sighting]]] = {}
    false: list[Sighting] = []
    for sighting in newest.values():
        if sighting.state == "withdrawn":
            continue
        matches = [match for way in ways if (match := way.match(sighting)) is not None]
        if not matches:
            false.append(sighting)
            continue
        *_, edits, vehicle_id = min(matches)
        found.setdefault(vehicle_id, []).append((edits, sighting))
    rows = tuple(
        _row(vehicle, found.get(vehicle.id, [])) for vehicle in truth.vehicles if vehicle.first_readable is not None
    )
    return Score(
        passed=len(rows),
        captured=sum(row.sightings > 0 for row in rows),
        exact=sum(row.exact for row in rows),
        duplicates=sum(len(each) - 1 for each in found.values()),
        false=tuple(false),
        rows=rows,
    )


def edit_distance(first: str, second: str) -> int:
    """Insertions, deletions and replacements between two texts (Levenshtein)."""
    above = list(range(len(second) + 1))
    for row, a in enumerate(first, start=1):
        here = [row]
        for column, b in enumerate(second, start=1):
            here.append(min(here[-1] + 1, above[column] + 1, above[column - 1] + (a != b)))
        above = here
    return above[-1]


@dataclass(frozen=True, slots=True)
class _Way:
    """One vehicle's plate through the clip."""

    vehicle: TrueVehicle
    pts_seconds: Sequence[float]
    quads: Sequence[Quad]
    reach_seconds: float
    """A frame is found at a time up to so far from it."""

    def match(self, sighting: Sighting) -> tuple[bool, bool, float, int, int] | None:
        """How well the sighting fits, less is better; its last two items are the edits and the vehicle's id."""
        edits = edit_distance(self.vehicle.text, sighting.text)
        begin = sighting.pts_seconds - (sighting.seen_seconds - sighting.first_seconds)
        end = sighting.pts_seconds + (sighting.last_seconds - sighting.seen_seconds)
        overlap = begin <= self.pts_seconds[-1] + SLACK_SECONDS and end >= self.pts_seconds[0] - SLACK_SECONDS
        named = overlap and bool(sighting.text) and edits <= SIMILAR_EDITS
        distance = self._distance_widths(sighting)
        placed = distance <= NEAR_WIDTHS
        if not placed and not named:
            return None
        return not (named and edits == 0), not placed, min(distance, 1e3), edits, self.vehicle.id

    def _distance_widths(self, sighting: Sighting) -> float:
        after = min(bisect_left(self.pts_seconds, sighting.pts_seconds), len(self.pts_seconds) - 1)
        index = min((max(after - 1, 0), after), key=lambda each: abs(self.pts_seconds[each] - sighting.pts_seconds))
        if abs(self.pts_seconds[index] - sighting.pts_seconds) > self.reach_seconds:
            return float("inf")
        quad = self.quads[index]
        (ax, ay), (bx, by) = _centre(quad), _centre(sighting.quad)
        width = hypot(quad[1][0] - quad[0][0], quad[1][1] - quad[0][1])
        return hypot(ax - bx, ay - by) / max(width, 1.0)


def _ways(truth: Truth) -> list[_Way]:
    times: dict[int, list[float]] = {}
    quads: dict[int, list[Quad]] = {}
    for frame in truth.frames:
        for plate in frame.plates:
            times.setdefault(plate.vehicle, []).append(frame.pts_seconds)
            quads.setdefault(plate.vehicle, []).append(plate.quad)
    reach = 0.6 / truth.clip.fps
    return [
        _Way(vehicle, times[vehicle.id], quads[vehicle.id], reach) for vehicle in truth.vehicles if vehicle.id in times
    ]


def _centre(quad: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in quad) / len(quad), sum(y for _, y in quad) / len(quad)


def _row(vehicle: TrueVehicle, found: Sequence[tuple[int, Sighting]]) -> VehicleScore:
    if not found:
        return VehicleScore(vehicle=vehicle, text="", edits=None, probability=0.0, unreadable="", sightings=0)
    edits, best = min(found, key=lambda each: (each[0], each[1].id))
    return VehicleScore(
        vehicle=vehicle,
        text=best.text,
        edits=edits,
        probability=best.probability,
        unreadable=best.unreadable,
        sightings=len(found),
    )
