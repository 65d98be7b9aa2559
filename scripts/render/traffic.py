"""Who comes by and when: an arrival process over the day, lanes, speeds, headways, kinds and plates.

passages = sample_traffic(rng, road, seconds=40, peak_per_second=0.42)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scripts.render.plate import PlateSpec, sample_spec
from scripts.render.road import Lane, Road
from scripts.render.spec import Format
from scripts.render.vehicles import Kind

Role = Literal["truck", "bus", "yellow", "blue", "red", "motorbike", "dirty", "fast"]
"""What a vehicle of the cast must be."""

ROLES: tuple[Role, ...] = ("truck", "bus", "yellow", "blue", "red", "motorbike", "dirty", "fast")

HOURLY_PERCENT: tuple[float, ...] = (
    1.2, 0.9, 0.8, 0.9, 1.6, 3.2, 6.3, 10.0, 8.4, 6.2, 5.4, 4.8,
    4.3, 4.4, 4.9, 5.6, 7.0, 8.2, 5.4, 3.6, 2.6, 1.9, 1.3, 1.1,
)  # fmt: skip
"""Share of a day's vehicles by hour: a peak hour of 10 %, two peaks, few by night (15,000 a day gives 0.42/s at 7)."""

MIN_HEADWAY_SECONDS = 1.1
SIGHT_M = 140.0
"""Length of road over which a follower must not run into its leader."""

REGION_CODES = (
    "20",
    "29",
    "30",
    "97",
    "98",
    "99",
    "88",
    "12",
    "22",
    "11",
    "14",
    "15",
    "36",
    "37",
    "89",
    "90",
    "18",
    "35",
    "19",
)
"""Whose cars drive on the Hà Nội – Thái Nguyên road (domain 4.1), commonest first."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One vehicle passing the camera."""

    number: int
    kind: Kind
    plate: PlateSpec
    plate_shown: bool
    """False for a motorbike coming towards the camera: it has a rear plate only."""
    lane: Lane
    offset_m: float
    """To the right of the lane's middle."""
    speed_kmh: float
    at_seconds: float
    """Clip time at which the visible face crosses the reading line."""
    dirt: float
    """0 to 1, of the plate."""
    seed: int
    """Of the vehicle's looks."""

    @property
    def speed_mps(self) -> float:
        """Metres a second."""
        return self.speed_kmh / 3.6


def rate_per_second(hour: float, peak_per_second: float) -> float:
    """Vehicles a second over all lanes at an hour of the day, if the busiest hour has `peak_per_second`."""
    index = int(hour % 24)
    share = HOURLY_PERCENT[index] + (HOURLY_PERCENT[(index + 1) % 24] - HOURLY_PERCENT[index]) * max(
        0.0, hour % 1 - 0.5
    )
    return peak_per_second * share / max(HOURLY_PERCENT)


def sample_arrivals(
    rng: np.random.Generator, *, seconds: float, peak_per_second: float, start_hour: float
) -> NDArray[np.float64]:
    """Times from 0 to `seconds` of a Poisson process whose rate follows the hours of the day (by thinning)."""
    count = int(rng.poisson(peak_per_second * 1.2 * seconds))
    times = np.sort(rng.uniform(0, seconds, count))
    rates = np.array([rate_per_second(start_hour + t / 3600, peak_per_second) for t in times])
    return times[rng.uniform(0, peak_per_second * 1.2, count) < rates]


def sample_traffic(
    rng: np.random.Generator, road: Road, *, seconds: float, peak_per_second: float, start_hour: float = 7.0,
    cast: Sequence[Role] = (), lead_seconds: float = 6.0,
) -> tuple[Passage, ...]:  # fmt: skip
    """All passages from `lead_seconds` before the clip until as long after it, by time.

    The `cast` takes the places of the first arrivals within the clip, in shuffled order. In each lane two faces never
    cross the reading line, nor any line within SIGHT_M of it, less than MIN_HEADWAY_SECONDS apart: a follower that
    would is delayed, and slowed to its leader's speed.
    """
    times = sample_arrivals(
        rng, seconds=seconds + 2 * lead_seconds, peak_per_second=peak_per_second, start_hour=start_hour
    )
    roles: list[Role | None] = [None] * len(times)
    inside = [i for i, t in enumerate(times) if lead_seconds + 1 <= t < lead_seconds + seconds - 1]
    for index, wanted in zip(rng.permutation(inside[: max(len(cast), len(inside) - 2)]), cast):
        roles[index] = wanted
    texts: set[str] = set()
    last: dict[int, Passage] = {}
    passages = []
    for number, (time, role) in enumerate(zip(times, roles), start=1):
        kind, colour = _kind_and_colour(rng, role)
        lane = _lane_for(rng, road, kind)
        plate = _plate(rng, kind, colour, lane, texts)
        texts.add(plate.text)
        slow = {"truck": 82.0, "bus": 92.0, "motorbike": 66.0}.get(kind, 98.0)
        speed = 119.0 if role == "fast" else float(np.clip(rng.normal(slow, 9.0), 60.0, 120.0))
        offset = (
            (0.55 if lane.direction == "receding" else -0.55)
            if kind == "motorbike"
            else float(np.clip(rng.normal(0, 0.22), -0.5, 0.5))
        )
        passage = Passage(
            number, kind, plate, not (kind == "motorbike" and lane.direction == "approaching"), lane, offset, speed,
            float(time) - lead_seconds, _dirt(rng, role),
            int(rng.integers(2**32)),
        )  # fmt: skip
        passage = _keep_distance(passage, last.get(lane.index))
        last[lane.index] = passage
        passages.append(passage)
    return tuple(sorted(passages, key=lambda p: p.at_seconds))


def _dirt(rng: np.random.Generator, role: Role | None) -> float:
    return float(rng.uniform(0.75, 1.1)) if role == "dirty" else max(0.0, float(rng.normal(-0.1, 0.25)))


def _keep_distance(passage: Passage, leader: Passage | None) -> Passage:
    """The passage delayed and slowed so that it keeps its headway behind the leader."""
    if leader is None:
        return passage
    length = {"truck": 9.0, "bus": 10.5}.get(leader.kind, 5.0)
    gap = MIN_HEADWAY_SECONDS + length / leader.speed_mps
    time = max(passage.at_seconds, leader.at_seconds + gap)
    gains_mps = SIGHT_M / max(SIGHT_M / leader.speed_mps - (time - leader.at_seconds - gap), 1e-3)
    speed = min(passage.speed_kmh, max(leader.speed_kmh, gains_mps * 3.6))
    return replace(passage, at_seconds=time, speed_kmh=speed)


def _kind_and_colour(rng: np.random.Generator, role: Role | None) -> tuple[Kind, str]:
    kinds: tuple[Kind, ...] = ("sedan", "suv", "pickup", "van", "truck", "bus", "motorbike")
    kind = kinds[int(rng.choice(7, p=(0.30, 0.25, 0.06, 0.08, 0.20, 0.10, 0.01)))]
    if role in ("truck", "bus", "motorbike"):
        kind = role
    elif role in ("blue", "red", "fast") and kind in ("truck", "bus", "motorbike"):
        kind = "suv"
    elif role in ("yellow", "dirty") and kind == "motorbike":
        kind = "truck"
    business = {"truck": 0.8, "bus": 0.9, "van": 0.5, "motorbike": 0.0}.get(kind, 0.18)
    draw = rng.random()
    colour = "yellow" if draw < business else "blue" if draw > 0.97 else "red" if draw > 0.945 else "white"
    if kind == "motorbike":
        colour = "white"
    return kind, role if role in ("yellow", "blue", "red") else colour


def _lane_for(rng: np.random.Generator, road: Road, kind: Kind) -> Lane:
    """Any lane; a motorbike keeps to the outermost, on the receding side if there is one."""
    if kind != "motorbike":
        return road.lanes[int(rng.integers(len(road.lanes)))]
    receding = [lane for lane in road.lanes if lane.direction == "receding"]
    return max(receding or road.lanes, key=lambda lane: abs(lane.centre_m))


def _plate(rng: np.random.Generator, kind: Kind, colour: str, lane: Lane, taken: set[str]) -> PlateSpec:
    """A new plate of this colour: front plates have one line, rear plates two, mostly of the region."""
    lines = 1 if lane.direction == "approaching" else 2
    weights: dict[Format, float]
    if kind == "motorbike":
        weights, lines = {"motorbike": 0.5, "motorbike_old": 0.5}, 2
    elif colour == "red":
        weights = {"military": 1.0}
    else:
        weights = {"car": 0.9, "car_4_digits": 0.06, "special": 0.04 if colour == "white" else 0.0}
    local = rng.random() < 0.85
    for _ in range(20_000):
        spec = sample_spec(rng, weights=weights, any_letter=0.0)
        if spec.colour != colour or spec.lines != lines or spec.text in taken:
            continue
        if spec.generation == "motorbike" and kind != "motorbike":
            continue
        if local and colour != "red" and spec.text[:2] not in REGION_CODES:
            continue
        return spec
    raise ValueError(f"no new {colour} plate with {lines} lines for a {kind}")
