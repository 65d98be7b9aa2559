"""The ordinary traffic of a day: everybody keeps the rules, many come back the same day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from anpr.plates.provinces import VIETNAM_TIME
from scripts.day.road import Passing, drive
from scripts.day.vehicles import Registry
from scripts.render.traffic import HOURLY_PERCENT

DAY = datetime(2026, 10, 14, tzinfo=VIETNAM_TIME)
"""A Wednesday, after the last decree that a rule rests on."""
DAY_SECONDS = DAY.timestamp()
RETURNS = 0.35
"""Share of the trips that are somebody's way back."""
WHOLE_WAY = 0.7
"""Share of the trips that pass all three cameras; the others leave the road, or join it, after the middle one."""
PREVIEWS = 0.1
"""Share of the passings that are also told of before they are settled."""


def at(hour: float, *, days_ago: float = 0.0) -> float:
    """Wall time of an hour of the day, Viet Nam time; `days_ago` counts back from the day itself."""
    return DAY_SECONDS + hour * 3600.0 - days_ago * 86_400.0


def ordinary_traffic(rng: np.random.Generator, registry: Registry, *, trips: int) -> list[Passing]:
    """The passings of so many trips, every one of them past the middle camera, in no order."""
    hours = np.array(HOURLY_PERCENT) / sum(HOURLY_PERCENT)
    passings: list[Passing] = []
    made = 0
    while made < trips:
        vehicle = registry.background()
        start = at(int(rng.choice(24, p=hours)) + float(rng.random()))
        inbound = bool(rng.random() < 0.5)
        way = (0, 2) if rng.random() < WHOLE_WAY else ((0, 1), (1, 2))[int(rng.integers(2))]
        starts = [start]
        back = start + float(rng.uniform(2.0, 10.0)) * 3600.0
        if rng.random() < RETURNS / (1 - RETURNS) and back < at(23.0) and made + 1 < trips:
            starts.append(back)
        for turn, begin in enumerate(starts):
            passings += drive(
                vehicle, start_seconds=begin, inbound=inbound ^ bool(turn), first=way[0], last=way[1], rng=rng
            )
            made += 1
    return [replace(passing, preview=bool(rng.random() < PREVIEWS)) for passing in passings]
