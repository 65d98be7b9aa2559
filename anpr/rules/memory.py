"""A history in plain memory: the twin of the box's own, for fixtures and tests. It forgets nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anpr.records import Hit, Sighting
from anpr.rules.contract import Past, Raised, Where
from anpr.rules.glance import DistanceKm, Glance


def remember(sighting: Sighting) -> Past:
    """What history keeps of a sighting."""
    return Past(**{name: getattr(sighting, name) for name in Past.__struct_fields__})


class MemoryHistory:
    """Implements `History`."""

    def __init__(self) -> None:
        self._passages: dict[str, Past] = {}
        self._raised: dict[str, tuple[Raised, ...]] = {}
        self._listed: dict[str, tuple[float, frozenset[str]]] = {}

    def add(self, sighting: Sighting, *, hits: Sequence[Hit] = ()) -> None:
        """Take in a revision of a sighting, with what the watch-lists raised about it."""
        if sighting.state == "withdrawn":
            self._passages.pop(sighting.id, None)
            self._listed.pop(sighting.id, None)
            self._raised.pop(sighting.id, None)
            return
        self._passages[sighting.id] = remember(sighting)
        self._listed[sighting.id] = (sighting.seen_seconds, frozenset(hit.list_name for hit in hits))

    def note(self, sighting_id: str, raised: Sequence[Raised]) -> None:
        """What the rules raise about the newest revision of a sighting, in place of what they raised before."""
        self._raised[sighting_id] = tuple(raised)

    def of_plate(
        self, plate: str, from_seconds: float, until_seconds: float, where: Where | None = None
    ) -> Sequence[Past]:
        return self._where(lambda past: past.text == plate and from_seconds <= past.seen_seconds <= until_seconds)

    def at_camera(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        return self._where(
            lambda past: past.camera_id == camera_id and from_seconds <= past.seen_seconds <= until_seconds
        )

    def unread_at(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        return [past for past in self.at_camera(camera_id, from_seconds, until_seconds) if not past.text]

    def glance(self, passage: Sighting, within_seconds: float, distance_km: DistanceKm) -> Glance | None:
        return None

    def may_share_leaders(
        self,
        passage: Sighting,
        from_seconds: float,
        until_seconds: float,
        reach_seconds: float,
        *,
        plates: int,
        cameras: int,
    ) -> bool:
        return True

    def raised(self, rule: str, key: str, from_seconds: float, until_seconds: float) -> Sequence[tuple[float, str]]:
        return sorted(
            (each.hit.seen_seconds, each.hit.sighting_id)
            for all_of_one in self._raised.values()
            for each in all_of_one
            if each.hit.rule == rule and each.key == key and from_seconds <= each.hit.seen_seconds <= until_seconds
        )

    def list_hits(self, list_name: str, from_seconds: float, until_seconds: float) -> int:
        listed = self._listed.values()
        return sum(from_seconds <= seen <= until_seconds and list_name in lists for seen, lists in listed)

    def _where(self, wanted: Callable[[Past], bool]) -> list[Past]:
        return sorted(filter(wanted, self._passages.values()), key=lambda past: (past.seen_seconds, past.id))
