"""Letter shapes as polygons, and their masks at any size.

`glyphs.json` holds the outlines, a set each for new and old car sizes and for motorbikes, because these are different
drawings and not one stretched (domain 1.6). `derive_glyphs` writes it. A set is `{character: {"contours": …}}`; each
contour is `[[x, y], …]` in thousandths of the character's box, filled by the even-odd rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.strokes import stroke_mask

FaceName = Literal["ministry", "drawn"]
SetName = Literal["car", "car_old", "motorbike"]
Contours = tuple[NDArray[np.float32], ...]

FACES: tuple[FaceName, ...] = ("ministry", "drawn")
"""The face averaged over crops, and the near face written by hand."""

BOX_MM: Mapping[SetName, tuple[float, float, float]] = {
    "car": (38.0, 63.0, 10.0),
    "car_old": (41.0, 76.0, 8.5),
    "motorbike": (22.0, 55.0, 7.0),
}
"""Width, height and stroke of the sets: domain 1.6; `car_old` as measured on crops of 470x110 plates."""

UNIT = 1000
"""Coordinates of glyphs.json are this fraction of the box."""

_SUPERSAMPLE = 4


@cache
def outlines(set_name: SetName) -> Mapping[str, Contours]:
    """The ministry face's contours per character, each (n, 2) float32 in 0..1 of the box, `(x, y)` downwards."""
    document = json.loads((Path(__file__).parent / "glyphs.json").read_text(encoding="utf-8"))
    return {
        char: tuple(np.array(contour, np.float32) / np.float32(UNIT) for contour in glyph["contours"])
        for char, glyph in document[set_name].items()
    }


def contours_of(mask: NDArray[np.uint8], *, tolerance: float = 0.004) -> list[list[list[int]]]:
    """Polygons of a mask, in thousandths of its box; edges are straightened within `tolerance` of the height."""
    height, width = mask.shape
    found, _ = cv2.findContours(cv2.copyMakeBorder(mask, 2, 2, 2, 2, 0), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in found:
        if cv2.contourArea(contour) < 0.0015 * height * width:
            continue
        simple = cv2.approxPolyDP(contour, tolerance * height, True)[:, 0].astype(np.float64) - 2 + 0.5
        simple *= (UNIT / width, UNIT / height)
        polygons.append(np.round(simple).astype(int).tolist())
    return polygons


def grow(mask: NDArray[np.uint8], radius_px: float) -> NDArray[np.uint8]:
    """A mask of 0 and 255 with its outline moved outwards by `radius_px`, inwards if negative; ink ends at the edge."""
    if abs(radius_px) < 0.5:
        return mask
    if radius_px > 0:
        grown = cv2.distanceTransform(255 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius_px
        return (np.asarray(grown) * 255).astype(np.uint8)
    inside = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    kept = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > -radius_px
    return (np.asarray(kept)[1:-1, 1:-1] * 255).astype(np.uint8)


@lru_cache(maxsize=32768)
def glyph_mask(
    face: FaceName, set_name: SetName, char: str, width_px: int, height_px: int, weight: int = 0
) -> NDArray[np.uint8]:
    """Coverage 0..255 of `char` in a box, (height_px, width_px) uint8, read-only and shared.

    `weight` thickens (> 0) or thins (< 0) the strokes by 14 % of the set's pen a step, as paint and wear do.
    Raises KeyError for a character that the face lacks.
    """
    big_width, big_height = width_px * _SUPERSAMPLE, height_px * _SUPERSAMPLE
    box = BOX_MM[set_name]
    if face == "drawn":
        drawn = stroke_mask(char, width_mm=box[0], height_mm=box[1], pen_mm=box[2], px_per_mm=big_height / box[1])
        big = np.asarray(cv2.resize(drawn, (big_width, big_height), interpolation=cv2.INTER_NEAREST), np.uint8)
    else:
        big = np.zeros((big_height, big_width), np.uint8)
        scaled = [
            np.round(contour * (big_width, big_height) * 16 - 8).astype(np.int32)
            for contour in outlines(set_name)[char]
        ]
        cv2.fillPoly(big, scaled, 255, shift=4)
    big = grow(big, weight * 0.07 * box[2] * big_height / box[1])
    mask = np.asarray(cv2.resize(big, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)
    mask.setflags(write=False)
    return mask
