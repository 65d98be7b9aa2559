"""Whether a camera shows anything: frozen, black, covered and blurred pictures, looked for once a second.

Some rows of a picture are cut into tiles. In each tile the range of its grey levels and its steepest step between
neighbours are taken, and some points are kept to compare with later pictures.

    frozen    nearly all tiles repeat what one of the last half minute's pictures had: noise makes every live picture
              differ, also at night and after the encoder; a clock that is drawn in runs on in a few tiles only
    black     dark, and nearly all tiles without any structure
    covered   not dark, and nearly all tiles without structure: a bag, a hand, paint, thick fog
    blurred   where there is structure, no step is steep: out of focus, or dirt all over; or nearly no tile has a step
              that would be seen, as through a smeared lens

Measured on street and car park footage, on rendered clips by day and night, and on the same with a frozen picture, a
covered lens and blur: a live picture differed by 0.6 grey levels or more in the tiles that count, a frozen one that was
encoded again by 0.2 or less where it came as far behind its key frame; the steepness of sharp footage was 0.29 to 0.46,
blurred by 3 pixels 0.07 to 0.11. All but a few tiles of a smeared picture had steps of 3 grey levels at most, of the
darkest night 9 or more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Condition = Literal["", "frozen", "black", "covered", "blurred"]

LOOK_SECONDS = 1.0
ENTER_SECONDS = 18.0
"""So long every look must find something wrong before it is believed; to find the same picture as far behind its key
frame may take ten seconds more …"""
LEAVE_SECONDS = 4.0
"""… and so long none may find it before it is over."""
ROWS = 54
TILES = 9, 16
POINT_STEP = 16
KEPT = 32
"""Looks that a picture is compared with …"""
LEAST_AGE_SECONDS = 3.5
"""… if they are that old: an encoder repeats quiet parts until its next key frame."""
REPEAT_LEVELS = 0.3
COUNTED_PERCENTILE = 93
"""Tiles that differ more than these may hold a clock."""
BLACK_RANGE, BLACK_LEVEL = 8, 40.0
FLAT_RANGE = 12
FLAT_SHARE = 0.93
"""Of the tiles; the others may hold text that the camera draws in."""
STRUCTURE_RANGE = 40
LEAST_STRUCTURED_TILES = 8
BLURRED_STEEPNESS = 0.12
SMEARED_STEP = 5
"""Grey levels."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What one picture is like, tile by tile (9, 16)."""

    ranges: NDArray[np.uint8]
    steps: NDArray[np.uint8]
    level: float
    points: NDArray[np.uint8]
    """(9, rows, 16, points)"""


@dataclass(slots=True)
class PictureWatch:
    """Judges one camera's pictures; `condition` is what it has come to."""

    condition: Condition = ""
    _looked_seconds: float = -np.inf
    _bad_since: float | None = None
    """Stream time since which every look found something wrong."""
    _good_since: float | None = None
    """Stream time since which no look did."""
    _found: Counter[Condition] = field(default_factory=Counter)
    """How often each was found since `_bad_since`: two that are alike may take turns."""
    _blurred: bool = False
    """Of the last picture that had enough structure to tell."""
    _past: list[tuple[float, NDArray[np.uint8]]] = field(default_factory=list)

    def due(self, pts_seconds: float) -> bool:
        """Whether `look` would look at a picture of this time."""
        return pts_seconds >= self._looked_seconds + LOOK_SECONDS

    def look(self, luma: NDArray[np.uint8], pts_seconds: float) -> float | None:
        """Show it a picture (height, width); most are let pass.

        Returns None, or, when `condition` has changed, for how many seconds it has been so.
        """
        if not self.due(pts_seconds):
            return None
        self._looked_seconds = pts_seconds
        look = _look(luma)
        found = self._judge(look, pts_seconds)
        if found:
            self._good_since = None
            self._bad_since = pts_seconds if self._bad_since is None else self._bad_since
            self._found[found] += 1
        else:
            self._good_since = pts_seconds if self._good_since is None else self._good_since
            self._bad_since = None
            self._found.clear()
        return self._settle(pts_seconds)

    def reset(self) -> None:
        """The stream was interrupted: what was seen before counts no more. `condition` stays until a look clears it."""
        self._bad_since = self._good_since = None
        self._found.clear()
        self._past.clear()

    def _settle(self, now: float) -> float | None:
        if not self.condition and self._bad_since is not None and now - self._bad_since >= ENTER_SECONDS:
            self.condition = self._found.most_common(1)[0][0]
            return now - self._bad_since
        if self.condition and self._good_since is not None and now - self._good_since >= LEAVE_SECONDS:
            self.condition = ""
            return now - self._good_since
        return None

    def _judge(self, look: _Look, now: float) -> Condition:
        """What this picture alone, beside those before it, looks like."""
        repeats = self._repeats(look, now)
        flat = float((look.ranges <= FLAT_RANGE).mean())
        if look.level < BLACK_LEVEL and float((look.ranges <= BLACK_RANGE).mean()) >= FLAT_SHARE:
            return "black"
        if look.level >= BLACK_LEVEL and flat >= FLAT_SHARE:
            return "covered"
        if repeats:
            return "frozen"
        if np.percentile(look.steps, COUNTED_PERCENTILE) <= SMEARED_STEP:
            return "blurred"
        structured = look.ranges >= STRUCTURE_RANGE
        if int(structured.sum()) >= LEAST_STRUCTURED_TILES:
            steepness = np.median(look.steps[structured] / look.ranges[structured])
            self._blurred = bool(steepness < BLURRED_STEEPNESS)
        return "blurred" if self._blurred else ""

    def _repeats(self, look: _Look, now: float) -> bool:
        if self._past and self._past[0][1].shape != look.points.shape:
            self._past.clear()
        old = [points for at, points in self._past if now - at >= LEAST_AGE_SECONDS]
        self._past.append((now, look.points))
        del self._past[:-KEPT]
        if not old:
            return False
        differences = np.abs(np.stack(old).astype(np.int16) - look.points).mean(axis=(2, 4))
        counted = np.percentile(differences.reshape(len(old), -1), COUNTED_PERCENTILE, axis=1)
        return bool(counted.min() < REPEAT_LEVELS)


def _look(luma: NDArray[np.uint8]) -> _Look:
    """Some rows of `luma` (height, width), all columns, by tiles. Pictures too small for it are stretched first."""
    height, width = luma.shape
    if height < ROWS or width < TILES[1] * POINT_STEP:
        luma = np.asarray(cv2.resize(luma, (TILES[1] * POINT_STEP, ROWS)), dtype=np.uint8)
        height, width = luma.shape
    step, columns = height // ROWS, width // TILES[1] * TILES[1]
    rows = np.ascontiguousarray(luma[step // 2 :: step][:ROWS, :columns])
    steps = np.zeros_like(rows)
    cv2.absdiff(rows[:, 1:], rows[:, :-1], dst=steps[:, 1:])
    shape = TILES[0], ROWS // TILES[0], TILES[1], columns // TILES[1]
    tiles = rows.reshape(shape)
    return _Look(
        ranges=tiles.max(axis=(1, 3)) - tiles.min(axis=(1, 3)),
        steps=steps.reshape(shape).max(axis=(1, 3)),
        level=float(rows.mean()),
        points=tiles[:, :, :, ::POINT_STEP].copy(),
    )
