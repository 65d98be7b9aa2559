"""The image operations on the processor, compiled by numba; `anpr.ops.contract` says what each does."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.contract import Letterbox
from anpr.ops.cpu_motion import cell_levels as cell_levels
from anpr.ops.cpu_motion import find_motion as find_motion

SOURCE_SAMPLES_MOST = 4
"""A rectified pixel averages at most this many samples a side; beyond it the plate is far larger than needed."""

DEVIATION_FLOOR = 4.0
"""Grey levels: a flat crop is not blown up into noise."""


def letterbox_luma(luma: NDArray[np.uint8], canvas: NDArray[np.float32], *, mean: float, scale: float) -> Letterbox:
    """See `anpr.ops.contract`."""
    height, width = luma.shape
    canvas_height, canvas_width = canvas.shape
    fit = min(canvas_width / width, canvas_height / height)
    out_width = max(1, min(canvas_width, round(width * fit)))
    out_height = max(1, min(canvas_height, round(height * fit)))
    if out_width * 3 == width and out_height * 3 == height:
        _shrink_by_three(luma, canvas, out_height, out_width, np.float32(mean), np.float32(scale))
    elif out_width < width and out_height < height:
        _shrink(luma, canvas, out_height, out_width, np.float32(mean), np.float32(scale))
    else:
        _enlarge(luma, canvas, out_height, out_width, np.float32(mean), np.float32(scale))
    canvas[out_height:] = 0
    canvas[:out_height, out_width:] = 0
    return Letterbox(out_width / width, out_height / height, out_width, out_height)


@njit(cache=True, nogil=True, fastmath=True)
def _shrink_by_three(
    luma: NDArray[np.uint8],
    canvas: NDArray[np.float32],
    out_height: int,
    out_width: int,
    mean: np.float32,
    scale: np.float32,
) -> None:
    """1080p to 640 x 360, the usual case."""
    factor = np.float32(scale / np.float32(9))
    for y in range(out_height):
        above, middle, below = luma[3 * y], luma[3 * y + 1], luma[3 * y + 2]
        for x in range(out_width):
            left = 3 * x
            total = np.int32(0)
            for column in range(left, left + 3):
                total += np.int32(above[column]) + np.int32(middle[column]) + np.int32(below[column])
            canvas[y, x] = (np.float32(total) - np.float32(9) * mean) * factor


@njit(cache=True, nogil=True, fastmath=True)
def _shrink(
    luma: NDArray[np.uint8],
    canvas: NDArray[np.float32],
    out_height: int,
    out_width: int,
    mean: np.float32,
    scale: np.float32,
) -> None:
    """Exact area average, rows first."""
    height, width = luma.shape
    step_y, step_x = height / out_height, width / out_width
    row = np.empty(width, dtype=np.float32)
    for y in range(out_height):
        top, bottom = y * step_y, min((y + 1) * step_y, float(height))
        row[:] = 0
        source = int(top)
        while source < bottom:
            weight = np.float32(min(bottom, source + 1.0) - max(top, float(source)))
            line = luma[source]
            for x in range(width):
                row[x] += weight * np.float32(line[x])
            source += 1
        area = np.float32((bottom - top) * step_x)
        for x in range(out_width):
            left, right = x * step_x, min((x + 1) * step_x, float(width))
            total = np.float32(0)
            column = int(left)
            while column < right:
                total += np.float32(min(right, column + 1.0) - max(left, float(column))) * row[column]
                column += 1
            canvas[y, x] = (total / area - mean) * scale


@njit(cache=True, nogil=True, fastmath=True)
def _enlarge(
    luma: NDArray[np.uint8],
    canvas: NDArray[np.float32],
    out_height: int,
    out_width: int,
    mean: np.float32,
    scale: np.float32,
) -> None:
    """Bilinear, edges repeated."""
    height, width = luma.shape
    step_y, step_x = height / out_height, width / out_width
    for y in range(out_height):
        for x in range(out_width):
            value = _bilinear(luma, (x + 0.5) * step_x - 0.5, (y + 0.5) * step_y - 0.5)
            canvas[y, x] = (np.float32(value) - mean) * scale


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _bilinear(luma: NDArray[np.uint8], x: float, y: float) -> float:
    """The grey level at (x, y), edges repeated."""
    height, width = luma.shape
    x = min(max(x, 0.0), width - 1.0)
    y = min(max(y, 0.0), height - 1.0)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    share_x, share_y = x - left, y - top
    upper = luma[top, left] * (1 - share_x) + luma[top, right] * share_x
    lower = luma[bottom, left] * (1 - share_x) + luma[bottom, right] * share_x
    return float(upper * (1 - share_y) + lower * share_y)


def rectify(luma: NDArray[np.uint8], quad: NDArray[np.float32], out: NDArray[np.float32], *, margin: float) -> float:
    """See `anpr.ops.contract`."""
    return float(_rectify(luma, quad.astype(np.float64), out, margin))


@njit(cache=True, nogil=True, fastmath=True)
def _rectify(luma: NDArray[np.uint8], quad: NDArray[np.float64], out: NDArray[np.float32], margin: float) -> float:
    """Homography of the unit square onto the quad (Heckbert 1989, section 2.2.3), sampled with area averaging."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = quad
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    right_x, right_y, left_x, left_y = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    determinant = right_x * left_y - left_x * right_y
    if abs(determinant) < 1e-9:
        out[:] = 0
        return 0.0
    g = (sum_x * left_y - left_x * sum_y) / determinant
    h = (right_x * sum_y - sum_x * right_y) / determinant
    a, b = x1 - x0 + g * x1, x3 - x0 + h * x3
    d, e = y1 - y0 + g * y1, y3 - y0 + h * y3
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
                    value += _bilinear(luma, (a * u + b * v + x0) / w, (d * u + e * v + y0) / w)
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
    """3x3 maxima above the threshold; the first of equal neighbours wins."""
    _, height, width = maps.shape
    heat = maps[0]
    found = np.empty((64, 10), dtype=np.float32)
    count = 0
    for y in range(height):
        for x in range(width):
            score = heat[y, x]
            if score < threshold or count == found.shape[0]:
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
