"""What a plate's passages before one come to: all that most rules need to know of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from anpr.records import Sighting
    from anpr.rules.contract import Past

SECONDS_PER_HOUR = 3600.0
DistanceKm = Callable[[str, str], float | None]
"""The way by road between two cameras; None if it is not known."""


class Glance(NamedTuple):
    """At passages in order of time."""

    number: int
    first_seconds: float
    """When the earliest was seen; infinite if there is none."""
    last_seconds: float
    """When the latest was seen; minus infinity if there is none."""
    peak_kmh: float
    """No way here from another camera was faster; infinite if a distance is not known."""


NOTHING = Glance(0, inf, -inf, 0.0)


def glance_at(passed: Sequence[Past], passage: Sighting, distance_km: DistanceKm) -> Glance:
    """The glance at passages before this one, in order of time."""
    if not passed:
        return NOTHING
    peak_kmh = 0.0
    for past in passed:
        if past.camera_id != passage.camera_id:
            km = distance_km(past.camera_id, passage.camera_id)
            kmh = inf if km is None else kmh_of(km, passage.seen_seconds - past.seen_seconds)
            peak_kmh = max(peak_kmh, kmh)
    return Glance(len(passed), passed[0].seen_seconds, passed[-1].seen_seconds, peak_kmh)


def kmh_of(km: float, seconds: float) -> float:
    """The speed; a way in no time is infinitely fast, no way takes none."""
    if km == 0.0:
        return 0.0
    return km * SECONDS_PER_HOUR / seconds if seconds > 0.0 else inf
