"""The background colour of a plate, from the chroma planes; the nets see luma only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.records import Colour, Frame

SATURATION_LEAST = 24.0
"""Chroma distance from grey, in 8-bit levels, below which a background is white."""

PICTURE_CHROMA_LEAST = 2.5
"""Mean chroma distance of a whole picture below which it is infrared: it has no colours to tell."""

PATCH = (24, 12)
"""Columns and rows at which the plate's chroma is sampled."""


def is_colourless(frame: Frame) -> bool:
    """True if the picture is infrared or grey, so that no plate's colour can be told."""
    u = frame.chroma_u[::8, ::8].astype(np.float32) - 128
    v = frame.chroma_v[::8, ::8].astype(np.float32) - 128
    return float(np.hypot(u - np.median(u), v - np.median(v)).mean()) < PICTURE_CHROMA_LEAST


def plate_colours(frame: Frame, quads: Sequence[NDArray[np.float32]]) -> list[Colour]:
    """The background colour inside each quad (4, 2), source pixels; `unknown` for all of an infrared picture."""
    if not quads or is_colourless(frame):
        return ["unknown"] * len(quads)
    return [_plate_colour(frame, quad) for quad in quads]


def _plate_colour(frame: Frame, quad: NDArray[np.float32]) -> Colour:
    """From the chroma of the plate's middle, characters included.

    Characters cover less than half of any Vietnamese plate and are colourless or pale, so the stronger half of the
    chroma is the background's.
    """
    columns, rows = PATCH
    target = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32) / 2, target)
    u = cv2.warpPerspective(frame.chroma_u, matrix, PATCH, borderMode=cv2.BORDER_REPLICATE)
    v = cv2.warpPerspective(frame.chroma_v, matrix, PATCH, borderMode=cv2.BORDER_REPLICATE)
    return classify(np.asarray(u, dtype=np.uint8)[2:-2, 3:-3], np.asarray(v, dtype=np.uint8)[2:-2, 3:-3])


def classify(u: NDArray[np.uint8], v: NDArray[np.uint8]) -> Colour:
    """The colour of a patch's chroma planes (any shape, same for both)."""
    cast = np.stack([u.ravel().astype(np.float32) - 128, v.ravel().astype(np.float32) - 128])
    strength = np.hypot(*cast)
    strong = cast[:, strength >= np.median(strength)]
    u_mean, v_mean = strong.mean(axis=1)
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
