"""The image operations on the processor, compiled by numba; `anpr.ops.contract` says what each does."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.contract import PEAKS_MOST
from anpr.ops.cpu_chroma import chroma_spread as chroma_spread
from anpr.ops.cpu_chroma import plate_chroma as plate_chroma
from anpr.ops.cpu_homography import homography
from anpr.ops.cpu_letterbox import bilinear
from anpr.ops.cpu_letterbox import letterbox_blocks as letterbox_blocks
from anpr.ops.cpu_letterbox import letterbox_luma as letterbox_luma
from anpr.ops.cpu_motion import cell_levels as cell_levels
from anpr.ops.cpu_motion import find_motion as find_motion

SOURCE_SAMPLES_MOST = 4
"""A rectified pixel averages at most this many samples a side; beyond it the plate is far larger than needed."""

DEVIATION_FLOOR = 4.0
"""Grey levels: a flat crop is not blown up into noise."""


def rectify(luma: NDArray[np.uint8], quad: NDArray[np.float32], out: NDArray[np.float32], *, margin: float) -> float:
    """See `anpr.ops.contract`."""
    return float(_rectify(luma, quad.astype(np.float64), out, margin))


@njit(cache=True, nogil=True, fastmath=True)
def _rectify(luma: NDArray[np.uint8], quad: NDArray[np.float64], out: NDArray[np.float32], margin: float) -> float:
    """The unit square onto the quad, sampled with area averaging."""
    a, b, c, d, e, f, g, h, flat = homography(quad)
    if flat:
        out[:] = 0
        return 0.0
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = quad
    height, width = out.shape
    long_side = max(math.hypot(x1 - x0, y1 - y0), math.hypot(x2 - x3, y2 - y3))
    tall_side = max(math.hypot(x3 - x0, y3 - y0), math.hypot(x2 - x1, y2 - y1))
    samples_x = max(1, min(SOURCE_SAMPLES_MOST, round(long_side * (1 + 2 * margin) / width)))
    samples_y = max(1, min(SOURCE_SAMPLES_MOST, round(tall_side * (1 + 2 * margin) / height)))
    share = 1.0 / (samples_x * samples_y)
    total, squares = 0.0, 0.0
    for row in range(height):
        for column in range(width):
            value = 0.0
            for sub_row in range(samples_y):
                v = ((row + (sub_row + 0.5) / samples_y) / height) * (1 + 2 * margin) - margin
                for sub_column in range(samples_x):
                    u = ((column + (sub_column + 0.5) / samples_x) / width) * (1 + 2 * margin) - margin
                    w = g * u + h * v + 1
                    value += bilinear(luma, (a * u + b * v + c) / w, (d * u + e * v + f) / w)
            value *= share
            out[row, column] = value
            total += value
            squares += value * value
    count = height * width
    mean = total / count
    deviation = math.sqrt(max(0.0, squares / count - mean * mean))
    factor = np.float32(1.0 / max(deviation, DEVIATION_FLOOR))
    shift = np.float32(mean)
    for row in range(height):
        for column in range(width):
            out[row, column] = (out[row, column] - shift) * factor
    return deviation


def find_peaks(maps: NDArray[np.float32], *, threshold: float, stride: int, most: int) -> NDArray[np.float32]:
    """See `anpr.ops.contract`."""
    found = _find_peaks(maps, np.float32(threshold), stride)
    return found[np.argsort(-found[:, 0], kind="stable")[:most]]


@njit(cache=True, nogil=True)
def _find_peaks(maps: NDArray[np.float32], threshold: np.float32, stride: int) -> NDArray[np.float32]:
    """3x3 maxima from the threshold on; the first of equal neighbours wins."""
    _, height, width = maps.shape
    heat = maps[0]
    found = np.empty((PEAKS_MOST, 10), dtype=np.float32)
    count = 0
    for y in range(height):
        for x in range(width):
            score = heat[y, x]
            if not score >= threshold or count == found.shape[0]:
                continue
            highest = True
            for other_y in range(max(0, y - 1), min(height, y + 2)):
                for other_x in range(max(0, x - 1), min(width, x + 2)):
                    other = heat[other_y, other_x]
                    if other > score or (other == score and (other_y, other_x) < (y, x)):
                        highest = False
            if not highest:
                continue
            found[count, 0] = score
            found[count, 1] = maps[1, y, x]
            for corner in range(4):
                found[count, 2 + 2 * corner] = (x + 0.5 + maps[2 + 2 * corner, y, x]) * stride - 0.5
                found[count, 3 + 2 * corner] = (y + 0.5 + maps[3 + 2 * corner, y, x]) * stride - 0.5
            count += 1
    return found[:count].copy()
