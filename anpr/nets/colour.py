"""The background colour of a plate, from the chroma planes; the nets see luma only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anpr.ops.cpu_chroma import PATCH as PATCH
from anpr.ops.cpu_chroma import chroma_spread, plate_chroma
from anpr.records import Colour, Frame

SATURATION_LEAST = 24.0
"""Chroma distance from grey, in 8-bit levels, below which a background is white."""

PICTURE_CHROMA_LEAST = 2.5
"""Mean chroma distance of a whole picture below which it is infrared: it has no colours to tell."""


def is_colourless(frame: Frame) -> bool:
    """True if the picture is infrared or grey, so that no plate's colour can be told."""
    return chroma_spread(frame.chroma_u, frame.chroma_v) < PICTURE_CHROMA_LEAST


def plate_colours(frame: Frame, quads: Sequence[NDArray[np.float32]]) -> list[Colour]:
    """The background colour inside each quad (4, 2), source pixels; `unknown` for all of an infrared picture."""
    if not quads or is_colourless(frame):
        return ["unknown"] * len(quads)
    return [colour_of_cast(*plate_chroma(frame.chroma_u, frame.chroma_v, quad)) for quad in quads]


def classify(u: NDArray[np.uint8], v: NDArray[np.uint8]) -> Colour:
    """The colour of a patch's chroma planes (any shape, same for both)."""
    cast = np.stack([u.ravel().astype(np.float32) - 128, v.ravel().astype(np.float32) - 128])
    strength = np.hypot(*cast)
    strong = cast[:, strength >= np.median(strength)]
    u_mean, v_mean = strong.mean(axis=1)
    return colour_of_cast(float(u_mean), float(v_mean))


def colour_of_cast(u_mean: float, v_mean: float) -> Colour:
    """The colour of a background whose chroma is so far from grey."""
    if float(np.hypot(u_mean, v_mean)) < SATURATION_LEAST:
        return "white"
    angle = float(np.degrees(np.arctan2(v_mean, u_mean)))
    if 75 <= angle < 135:
        return "red"
    if angle >= 135 or angle < -160:
        return "yellow"
    if -60 <= angle < 45:
        return "blue"
    return "unknown"
