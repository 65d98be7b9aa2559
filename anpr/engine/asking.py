"""What a judgement asked of the memory, and whether the answers have changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anpr.records import Sighting
from anpr.rules.contract import History, Past, Where
from anpr.rules.glance import DistanceKm, Glance

Asked = tuple[str, ...]
"""A question of the memory, but for its time: `plate`, `camera`, `raised` or `list`, and of what."""
Span = tuple[float, float]
"""Two wall times, both included."""


class Asking:
    """A `History` that notes what it is asked, as far as the answers may still change."""

    __slots__ = ("_from_seconds", "_history", "asked")

    def __init__(self, history: History, from_seconds: float) -> None:
        """What is about a time before `from_seconds` can change only by passages that come too late to count."""
        self.asked: dict[Asked, Span] = {}
        self._history = history
        self._from_seconds = from_seconds

    def of_plate(
        self, plate: str, from_seconds: float, until_seconds: float, where: Where | None = None
    ) -> Sequence[Past]:
        self._note(("plate", plate), from_seconds, until_seconds)
        return self._history.of_plate(plate, from_seconds, until_seconds, where)

    def at_camera(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        self._note(("camera", camera_id), from_seconds, until_seconds)
        return self._history.at_camera(camera_id, from_seconds, until_seconds)

    def unread_at(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        self._note(("camera", camera_id), from_seconds, until_seconds)
        return self._history.unread_at(camera_id, from_seconds, until_seconds)

    def glance(self, passage: Sighting, within_seconds: float, distance_km: DistanceKm) -> Glance | None:
        seen = passage.seen_seconds
        self._note(("plate", passage.text), seen - within_seconds, seen)
        return self._history.glance(passage, within_seconds, distance_km)

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
        seen = passage.seen_seconds
        self._note(("camera", passage.camera_id), seen - reach_seconds, seen)
        if until_seconds >= self._from_seconds:
            for past in self._history.of_plate(passage.text, max(from_seconds, self._from_seconds), until_seconds):
                self._note(("camera", past.camera_id), past.seen_seconds - reach_seconds, past.seen_seconds)
        return self._history.may_share_leaders(
            passage, from_seconds, until_seconds, reach_seconds, plates=plates, cameras=cameras
        )

    def raised(self, rule: str, key: str, from_seconds: float, until_seconds: float) -> Sequence[tuple[float, str]]:
        self._note(("raised", rule, key), from_seconds, until_seconds)
        return self._history.raised(rule, key, from_seconds, until_seconds)

    def list_hits(self, list_name: str, from_seconds: float, until_seconds: float) -> int:
        self._note(("list", list_name), from_seconds, until_seconds)
        return self._history.list_hits(list_name, from_seconds, until_seconds)

    def _note(self, asked: Asked, from_seconds: float, until_seconds: float) -> None:
        if until_seconds < self._from_seconds:
            return
        span = from_seconds, until_seconds
        known = self.asked.setdefault(asked, span)
        if known is not span:
            self.asked[asked] = min(from_seconds, known[0]), max(until_seconds, known[1])


def note(changed: dict[Asked, Span], asked: Asked, seen_seconds: float) -> None:
    span = seen_seconds, seen_seconds
    known = changed.setdefault(asked, span)
    if known is not span:
        changed[asked] = min(known[0], seen_seconds), max(known[1], seen_seconds)


def touches(asked: Mapping[Asked, Span], changed: Mapping[Asked, Span]) -> bool:
    """Whether some answer that was asked for has changed."""
    for key, (first, last) in changed.items():
        span = asked.get(key)
        if span is not None and first <= span[1] and last >= span[0]:
            return True
    return False
