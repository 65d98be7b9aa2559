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
    return float(_spread(chroma_u[::SPREAD_STEP, ::SPREAD_STEP], chroma_v[::SPREAD_STEP, ::SPREAD_STEP]))


@njit(cache=True, nogil=True, fastmath=True)
def _spread(chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8]) -> float:
    height, width = chroma_u.shape
    counts = np.zeros((2, 256), np.int64)
    for y in range(height):
        for x in range(width):
            counts[0, chroma_u[y, x]] += 1
            counts[1, chroma_v[y, x]] += 1
    middle_u, middle_v = _median(counts[0], height * width), _median(counts[1], height * width)
    total = 0.0
    for y in range(height):
        for x in range(width):
            u, v = chroma_u[y, x] - middle_u, chroma_v[y, x] - middle_v
            total += np.sqrt(u * u + v * v)
    return float(total / (height * width))


@njit(cache=True, nogil=True)
def _median(counts: NDArray[np.int64], samples: int) -> float:
    """Of so many bytes, how often each occurs."""
    below, lower = 0, -1
    for level in range(256):
        below += counts[level]
        if lower < 0 and 2 * below >= samples:
            lower = level
        if 2 * below > samples:
            return 0.5 * (lower + level)
    return 0.5 * (lower + 255)
