"""What moves, on the processor, compiled by numba; `anpr.ops.contract` says what each operation does."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.contract import BACKGROUND, CELL_PX, DARK_LEVEL, LOOKED_AT, NOISE, UNITS

SAMPLED_ROWS = (4, 12)
"""Rows of a cell that are summed: contiguous bytes, which the compiler adds many at once. More cost memory traffic."""

NOISE_STEP = np.float32(1.02)
"""Factor by which a cell's noise follows its differences, up and down alike: it settles at their median."""

FOLLOWED = np.float32(0.25)
"""Share of its noise by which a cell's background follows the picture: the sigma-delta filter, a running median that
no passing vehicle can drag along (Manzanera and Richefeu 2007, "A new motion detection algorithm based on sigma-delta
background estimation")."""

SHIFT_STEPS = 4
"""Steps per unit in which a change of the whole picture's light is measured …"""
SHIFT_UNITS_MOST = 100
"""… and how large it can be: a change by the factor e."""

NEIGHBOURS_LEAST = 5
"""Of a cell and its 8 neighbours, so many must have changed for it to have moved: rain and noise are scattered."""

_SAMPLES = CELL_PX * len(SAMPLED_ROWS)
LEVEL_OF_SUM = (UNITS * np.log(np.arange(255 * _SAMPLES + 1) / _SAMPLES + DARK_LEVEL)).astype(np.float32)
"""Level by sum of a cell's samples."""


def cell_levels(luma: NDArray[np.uint8], levels: NDArray[np.float32]) -> None:
    """See `anpr.ops.contract`."""
    _cell_levels(luma, levels, LEVEL_OF_SUM, np.empty(levels.shape[1] * CELL_PX, np.uint16))


@njit(cache=True, nogil=True, fastmath=True)
def _cell_levels(
    luma: NDArray[np.uint8], levels: NDArray[np.float32], level_of: NDArray[np.float32], sums: NDArray[np.uint16]
) -> None:
    rows, columns = levels.shape
    for row in range(rows):
        top = row * CELL_PX
        upper, lower = luma[top + SAMPLED_ROWS[0]], luma[top + SAMPLED_ROWS[1]]
        for x in range(columns * CELL_PX):
            sums[x] = np.uint16(upper[x]) + np.uint16(lower[x])
        for column in range(columns):
            total = np.uint16(0)
            for x in range(CELL_PX):
                total += sums[column * CELL_PX + x]
            levels[row, column] = level_of[total]


def find_motion(
    levels: NDArray[np.float32],
    scene: NDArray[np.float32],
    lanes: NDArray[np.uint8],
    moved: NDArray[np.uint8],
    *,
    noise_factor: float,
    noise_least: float,
) -> int:
    """See `anpr.ops.contract`."""
    changed = np.empty(levels.shape, np.uint8)
    return int(_find_motion(levels, scene, lanes, moved, changed, np.float32(noise_factor), np.float32(noise_least)))


@njit(cache=True, nogil=True, fastmath=True)
def _find_motion(
    levels: NDArray[np.float32],
    scene: NDArray[np.float32],
    lanes: NDArray[np.uint8],
    moved: NDArray[np.uint8],
    changed: NDArray[np.uint8],
    noise_factor: np.float32,
    noise_least: np.float32,
) -> int:
    rows, columns = levels.shape
    background, noise, looked_at = scene[BACKGROUND], scene[NOISE], scene[LOOKED_AT]
    lighter = _shift(levels, background)
    lighter_since = _shift(levels, looked_at)
    for row in range(rows):
        for column in range(columns):
            level, spread = levels[row, column], noise[row, column]
            difference = level - background[row, column] - lighter
            amount = abs(difference)
            limit = noise_factor * spread
            since = abs(level - looked_at[row, column] - lighter_since)
            changed[row, column] = np.uint8(amount > limit) & np.uint8(since > limit)
            follow = FOLLOWED * spread
            background[row, column] += lighter + min(max(difference, -follow), follow)
            noise[row, column] = max(spread * NOISE_STEP if amount > spread else spread / NOISE_STEP, noise_least)
    moved[:] = 0
    count = 0
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            if not (changed[row, column] and lanes[row, column]):
                continue
            together = 0
            for near in range(row - 1, row + 2):
                together += changed[near, column - 1] + changed[near, column] + changed[near, column + 1]
            moved[row, column] = together >= NEIGHBOURS_LEAST
            count += moved[row, column]
    return count


@njit(cache=True, nogil=True, fastmath=True)
def _shift(levels: NDArray[np.float32], reference: NDArray[np.float32]) -> np.float32:
    """By how much the picture as a whole is lighter than `reference`: the median of the differences."""
    rows, columns = levels.shape
    middle = SHIFT_UNITS_MOST * SHIFT_STEPS
    counts = np.zeros(2 * middle + 1, np.int32)
    for row in range(rows):
        for column in range(columns):
            steps = np.float32(SHIFT_STEPS) * (levels[row, column] - reference[row, column])
            counts[int(min(max(steps + np.float32(middle + 0.5), np.float32(0)), np.float32(2 * middle)))] += 1
    left = rows * columns // 2
    for step in range(2 * middle + 1):
        left -= counts[step]
        if left < 0:
            return np.float32((step - middle) / SHIFT_STEPS)
    return np.float32(0)
