"""The colour cast of plates, on the processor, compiled by numba; `anpr.ops.contract` says what each operation does."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.cpu_homography import homography
from anpr.ops.cpu_letterbox import bilinear

PATCH = (24, 12)
"""A plate is divided into so many columns and rows …"""
RIM = (3, 2)
"""… of which so many on either side are left out: frame and bodywork."""
SPREAD_STEP = 8
"""Of a picture's chroma every such value of every such row is looked at."""


def plate_chroma(
    chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8], quad: NDArray[np.float32]
) -> tuple[float, float]:
    """See `anpr.ops.contract`."""
    u, v = _plate_chroma(chroma_u, chroma_v, quad.astype(np.float64))
    return float(u), float(v)


@njit(cache=True, nogil=True)
def _plate_chroma(
    chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8], quad: NDArray[np.float64]
) -> tuple[float, float]:
    (columns, rows), (rim_x, rim_y) = PATCH, RIM
    points = (columns - 2 * rim_x) * (rows - 2 * rim_y)
    a, b, c, d, e, f, g, h, flat = homography(quad)
    if flat:
        return 0.0, 0.0
    u, v, strength = np.empty(points), np.empty(points), np.empty(points)
    point = 0
    for row in range(rim_y, rows - rim_y):
        for column in range(rim_x, columns - rim_x):
            across, down = column / columns, row / rows
            w = g * across + h * down + 1
            x, y = 0.5 * (a * across + b * down + c) / w, 0.5 * (d * across + e * down + f) / w
            u[point], v[point] = bilinear(chroma_u, x, y) - 128.0, bilinear(chroma_v, x, y) - 128.0
            strength[point] = np.hypot(u[point], v[point])
            point += 1
    strong = strength >= np.median(strength)
    return u[strong].mean(), v[strong].mean()


def chroma_spread(chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8]) -> float:
    """See `anpr.ops.contract`."""
    u = chroma_u[::SPREAD_STEP, ::SPREAD_STEP].astype(np.float32)
    v = chroma_v[::SPREAD_STEP, ::SPREAD_STEP].astype(np.float32)
    return float(np.hypot(u - np.median(u), v - np.median(v)).mean())
