"""Where the cameras stand: road distances, and which way leads into the province."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from anpr.plates.provinces import codes
from anpr.records import Direction
from anpr.rules.language import Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One camera on the map."""

    camera_id: str
    site_id: str = ""
    road: str = ""
    km: float | None = None
    """Chainage along `road`."""
    province: str = ""
    """Where it stands, by its name before or after 2025-07-01; empty: not told."""
    inbound: Direction = "unknown"
    """How vehicles that drive into the province pass it."""
    rising: Direction = "unknown"
    """How vehicles that drive towards higher kilometres of the road pass it."""
    only: Direction = "unknown"
    """How all vehicles pass it, if all pass one way."""


@dataclass(frozen=True, slots=True)
class Places:
    """The map of a box."""

    places: Mapping[str, Place] = field(default_factory=dict)
    """By camera."""
    distances_km: Mapping[frozenset[str], float] = field(default_factory=dict)
    """Between two cameras, as told; elsewhere the difference of their chainages on one road."""
    _neighbours: dict[str, tuple[tuple[str, float], ...]] = field(default_factory=dict, repr=False, compare=False)
    """What `neighbours` has found."""
    _ways_km: dict[tuple[str, str], float | None] = field(default_factory=dict, repr=False, compare=False)
    """What `distance_km` has found."""

    @classmethod
    def of(cls, places: Iterable[Place], distances_km: Iterable[tuple[str, str, float]] = ()) -> Places:
        """The map of these places, with these road distances between two cameras each."""
        return cls(
            {place.camera_id: place for place in places},
            {frozenset((one, other)): km for one, other, km in distances_km},
        )

    def distance_km(self, one: str, other: str) -> float | None:
        """The way by road between two cameras; None if it is not known."""
        try:
            return self._ways_km[one, other]
        except KeyError:
            km = self._ways_km[one, other] = self._way_km(one, other)
            return km

    def _way_km(self, one: str, other: str) -> float | None:
        told = self.distances_km.get(frozenset((one, other)))
        if told is not None:
            return told
        first, second = self.places.get(one), self.places.get(other)
        if first is None or second is None or not first.road or first.road != second.road:
            return None
        return None if first.km is None or second.km is None else abs(first.km - second.km)

    def neighbours(self, camera_id: str) -> tuple[tuple[str, float], ...]:
        """The other cameras that a distance is known to, with it."""
        found = self._neighbours.get(camera_id)
        if found is None:
            found = self._neighbours[camera_id] = tuple(self._near(camera_id))
        return found

    def _near(self, camera_id: str) -> Iterator[tuple[str, float]]:
        cameras = sorted({*self.places, *(camera for pair in self.distances_km for camera in pair)} - {camera_id})
        for camera in cameras:
            km = self.distance_km(camera_id, camera)
            if km is not None:
                yield camera, km

    def bound(self, camera_id: str, direction: Direction) -> Bound | None:
        """Whether a vehicle drove into or out of the province; None if that is not known."""
        place = self.places.get(camera_id)
        if place is None or place.inbound == "unknown":
            return None
        driven = direction if direction != "unknown" else place.only
        if driven == "unknown":
            return None
        return "in" if driven == place.inbound else "out"

    def may_lead(self, one: str, its_direction: Direction, other: str, direction: Direction) -> bool:
        """Whether a vehicle that passed one camera may have come to another without turning round, by how it passed
        both: only along their road. True where that is not known."""
        first, second = self.places.get(one), self.places.get(other)
        if first is None or second is None or not first.road or first.road != second.road:
            return True
        if first.km is None or second.km is None or first.km == second.km:
            return True
        rises = second.km > first.km
        return all(driven in (None, rises) for driven in (_rises(first, its_direction), _rises(second, direction)))

    def province(self, camera_id: str) -> str:
        """Where a camera stands; empty if that is not told."""
        place = self.places.get(camera_id)
        return place.province if place else ""


def _rises(place: Place, direction: Direction) -> bool | None:
    """Whether a vehicle drove towards higher kilometres; None if that is not known."""
    driven = direction if direction != "unknown" else place.only
    return None if "unknown" in (driven, place.rising) else driven == place.rising


@lru_cache(maxsize=16_384)
def same_province(one: str, other: str) -> bool:
    """Whether two names mean the same province, or one that has become part of the other."""
    if one == other:
        return True
    return any((code.before, code.after) in ((one, other), (other, one)) for code in codes().values())
