"""What a camera sees all day that looks like a plate and is none: a sign, a grille on a wall, a mark on the road.

The detector finds it again and again, barely; the reader says each time that it is none. Once that is known of a place,
it is not read at every look, and its coming and going does not count as vehicles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anpr.ops.quads import box_iou
from anpr.records import NO_PLATE, Plate, Read

SAME_IOU = 0.6
"""Overlap of two boxes from which on they are the same place: a plate that drives has left it by the next look."""
READS_LEAST = 4
"""Readings in a row that found no plate …"""
SECONDS_LEAST = 2.0
"""… over so long a time, before a place is held to be a fixture."""
AGAIN_SECONDS = 2.0
"""So often a fixture is read all the same."""
SCORE_MARGIN = 0.15
"""A vehicle's plate in front of it is found with more certainty than the fixture ever was, by so much."""
FORGET_SECONDS = 120.0
"""A place that was not seen for so long is forgotten."""
MOST = 32
"""Places remembered, of a camera."""


@dataclass(slots=True)
class _Place:
    box: tuple[float, float, float, float]
    score: float
    """The highest that it was found with."""
    first_seconds: float
    read_seconds: float
    seen_seconds: float
    reads: int = 1
    """In which there was no plate, in a row."""

    def is_fixture(self) -> bool:
        return self.reads >= READS_LEAST and self.read_seconds - self.first_seconds >= SECONDS_LEAST


class Fixtures:
    """Of one camera. Not thread-safe."""

    def __init__(self) -> None:
        self._places: list[_Place] = []

    def hides(self, plate: Plate, pts_seconds: float) -> bool:
        """Whether this is a fixture that need not be read now."""
        place = self._at(plate)
        if place is None:
            return False
        if pts_seconds < place.seen_seconds:
            self._places.clear()  # the stream began anew
            return False
        place.seen_seconds = pts_seconds
        new = plate.score > place.score + SCORE_MARGIN
        return place.is_fixture() and not new and pts_seconds - place.read_seconds < AGAIN_SECONDS

    def learn(self, plates: Sequence[Plate], reads: Sequence[Read | None], pts_seconds: float) -> None:
        """Take in what was read; None where nothing was."""
        for plate, read in zip(plates, reads, strict=True):
            if read is None:
                continue
            place = self._at(plate)
            if read.unreadable != NO_PLATE:
                if place is not None:
                    self._places.remove(place)
            elif place is None:
                self._places.append(_Place(plate.to_xyxy(), plate.score, pts_seconds, pts_seconds, pts_seconds))
            else:
                place.reads += 1
                place.score = max(place.score, plate.score)
                place.read_seconds = place.seen_seconds = pts_seconds
        self._places = [place for place in self._places if pts_seconds - place.seen_seconds < FORGET_SECONDS][-MOST:]

    def _at(self, plate: Plate) -> _Place | None:
        box = left, top, right, bottom = plate.to_xyxy()
        for place in self._places:
            place_left, place_top, place_right, place_bottom = place.box
            apart = place_left >= right or place_right <= left or place_top >= bottom or place_bottom <= top
            if not apart and box_iou(box, place.box) >= SAME_IOU:
                return place
        return None
