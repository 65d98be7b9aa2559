"""The road: three sites of the Hà Nội – Thái Nguyên expressway, and when vehicles pass them.

Kilometres count from the start of the road at Ninh Hiệp, Hà Nội; the posts are those of the examples in the brief
of the rules, not surveyed ones. A vehicle drives `inbound` when it goes towards Thái Nguyên.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scripts.day.vehicles import Body, Vehicle


@dataclass(frozen=True, slots=True)
class Site:
    """A place with one camera over the road."""

    id: str
    camera_id: str
    km: float
    name: str
    province: str
    classifies: bool = False
    """Whether the site tells the class of vehicles."""
    clock_error_seconds: float = 0.0
    """By how much its clock is ahead."""
    abroad: bool = False
    """True: outside the province, so that no direction leads into it or out of it."""


SOUTH = Site("ct07-km3", "km3", 3.0, "Ninh Hiệp", "Hà Nội")
MIDDLE = Site("ct07-km25", "km25", 25.0, "Yên Bình", "Thái Nguyên", classifies=True, clock_error_seconds=1.2)
NORTH = Site("ct07-km60", "km60", 60.0, "Tân Lập", "Thái Nguyên", classifies=True, clock_error_seconds=-0.5)
SITES = (SOUTH, MIDDLE, NORTH)

VIET_YEN = Site("viet-yen", "viet-yen-1", 0.0, "Việt Yên", "Bắc Giang", abroad=True)
QL1B = Site("ql1b", "ql1b-1", 0.0, "Võ Nhai, QL1B", "Thái Nguyên")
CLOSED = Site("phong-toa", "phong-toa-1", 0.0, "Khu phong tỏa", "Thái Nguyên")
ELSEWHERE = (VIET_YEN, QL1B, CLOSED)
"""Places whose boxes tell ours what they saw: in another province, at another gate, at a closed area."""

SPEED_KMH: Mapping[Body, tuple[float, float]] = {
    "motorbike": (60.0, 4.0),
    "car": (92.0, 6.0),
    "bus": (84.0, 5.0),
    "truck": (76.0, 5.0),
}
"""Speed between two sites and its deviation, kept within SLOWEST_KMH and FASTEST_KMH: faster ones are planted."""
SLOWEST_KMH, FASTEST_KMH = 55.0, 104.0


@dataclass(frozen=True, slots=True)
class Passing:
    """One vehicle before one camera."""

    vehicle: Vehicle
    site: Site
    inbound: bool
    at_seconds: float
    """True wall time; the site's clock may say another."""
    clear: bool = False
    """True: a clean plate, a perfect camera: the case stands or falls by the rules, though its corners are shaken."""
    covered: bool = False
    """The plate cannot be read by anybody."""
    preview: bool = False
    """Also told of before it is settled."""


def drive(
    vehicle: Vehicle, *, start_seconds: float, inbound: bool, first: int, last: int, rng: np.random.Generator
) -> list[Passing]:
    """One trip past SITES[first] to SITES[last], `first` <= `last`, in either direction, at the vehicle's own pace.

    `start_seconds` is when it passes the first site of its way.
    """
    mean, deviation = SPEED_KMH[vehicle.body]
    sites = SITES[first : last + 1]
    way = sites if inbound else sites[::-1]
    passings = [Passing(vehicle, way[0], inbound, start_seconds)]
    for before, site in pairwise(way):
        speed = float(np.clip(rng.normal(mean, deviation), SLOWEST_KMH, FASTEST_KMH))
        at = passings[-1].at_seconds + abs(site.km - before.km) / speed * 3600.0
        passings.append(Passing(vehicle, site, inbound, at))
    return passings
