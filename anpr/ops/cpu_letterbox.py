"""Pictures shrunk to the detector's input, as a plane of levels or as blocks of bytes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.contract import BLOCK_PX, Letterbox, fit_letterbox

ROWS_MOST = 256
"""So many bytes may be added up in 16 bits."""


def letterbox_luma(luma: NDArray[np.uint8], canvas: NDArray[np.float32], *, mean: float, scale: float) -> Letterbox:
    """See `anpr.ops.contract`."""
    height, width = luma.shape
    box = fit_letterbox(height, width, *canvas.shape)
    out_height, out_width = box.height_px, box.width_px
    times = height // out_height
    if 1 < times <= ROWS_MOST and (out_height * times, out_width * times) == (height, width):
        _shrink_evenly(luma, canvas, out_height, out_width, times, np.float32(mean), np.float32(scale))
    elif out_width < width and out_height < height:
        _shrink(luma, canvas, out_height, out_width, np.float32(mean), np.float32(scale))
    else:
        _enlarge(luma, canvas, out_height, out_width, np.float32(mean), np.float32(scale))
    canvas[out_height:] = 0
    canvas[:out_height, out_width:] = 0
    return box


@njit(cache=True, nogil=True, fastmath=True)
def _shrink_evenly(
    luma: NDArray[np.uint8],
    canvas: NDArray[np.float32],
    out_height: int,
    out_width: int,
    times: int,
    mean: np.float32,
    scale: np.float32,
) -> None:
    """Whole numbers of pixels become one: 1080p to 640 x 360 or 480 x 270, the usual cases."""
    total = np.empty(out_width * times, np.uint16)
    share = np.float32(1 / (times * times))
    for y in range(out_height):
        _sum_rows(luma, y * times, times, total)
        if times == 3:
            for x in range(out_width):
                grey = np.int32(total[3 * x]) + np.int32(total[3 * x + 1]) + np.int32(total[3 * x + 2])
                canvas[y, x] = (np.float32(grey) * share - mean) * scale
        else:
            for x in range(out_width):
                grey = np.int32(0)
                for column in range(times * x, times * (x + 1)):
                    grey += np.int32(total[column])
                canvas[y, x] = (np.float32(grey) * share - mean) * scale


@njit(cache=True, nogil=True, inline="always")
def _sum_rows(luma: NDArray[np.uint8], top: int, times: int, total: NDArray[np.uint16]) -> None:
    """`times` rows from `top` on, at most ROWS_MOST, added up column by column."""
    first = luma[top]
    for x in range(total.shape[0]):
        total[x] = first[x]
    for line in range(top + 1, top + times):
        source = luma[line]
        for x in range(total.shape[0]):
            total[x] += source[x]


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
            value = bilinear(luma, (x + 0.5) * step_x - 0.5, (y + 0.5) * step_y - 0.5)
            canvas[y, x] = (np.float32(value) - mean) * scale


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def bilinear(luma: NDArray[np.uint8], x: float, y: float) -> float:
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


def letterbox_blocks(luma: NDArray[np.uint8], blocks: NDArray[np.uint8], *, fill: int) -> Letterbox:
    """See `anpr.ops.contract`."""
    height, width = luma.shape
    canvas_shape = blocks.shape[0] * BLOCK_PX, blocks.shape[1] * BLOCK_PX
    box = fit_letterbox(height, width, *canvas_shape)
    out = blocks.view(np.uint32)
    times = height // box.height_px
    if times <= ROWS_MOST and (box.height_px * times, box.width_px * times) == (height, width):
        _shrink_whole(luma, out, box.height_px, box.width_px, times, fill)
    else:
        plane = np.empty(canvas_shape, np.float32)
        letterbox_luma(luma, plane, mean=0.0, scale=1.0)
        _round(plane, out, box.height_px, box.width_px, fill)
    return box


@njit(cache=True, nogil=True, inline="always")
def _set_row(out: NDArray[np.uint32], y: int, row: NDArray[np.uint8]) -> None:
    """Row `y` of pixels into the blocks that it runs through."""
    words = row.view(np.uint32)
    across = out[y // BLOCK_PX, :, y % BLOCK_PX]
    for block in range(words.shape[0]):
        across[block] = words[block]


@njit(cache=True, nogil=True, inline="always")
def _fill_below(out: NDArray[np.uint32], height_px: int, row: NDArray[np.uint8], fill: int) -> None:
    row[:] = fill
    for y in range(height_px, out.shape[0] * BLOCK_PX):
        _set_row(out, y, row)


@njit(cache=True, nogil=True, fastmath=True)
def _shrink_whole(
    luma: NDArray[np.uint8], out: NDArray[np.uint32], height_px: int, width_px: int, times: int, fill: int
) -> None:
    """Whole numbers of pixels become one: 1080p to 640 x 360 or 480 x 270, the usual cases."""
    row = np.full(out.shape[1] * BLOCK_PX, fill, np.uint8)
    total = np.empty(width_px * times, np.uint16)
    half, share = np.float32(0.5), np.float32(1 / (times * times))
    for y in range(height_px):
        _sum_rows(luma, y * times, times, total)
        if times == 3:
            for x in range(width_px):
                grey = np.int32(total[3 * x]) + np.int32(total[3 * x + 1]) + np.int32(total[3 * x + 2])
                row[x] = np.uint8(np.float32(grey) * share + half)
        elif times == 4:
            for x in range(width_px):
                left = np.int32(total[4 * x]) + np.int32(total[4 * x + 1])
                right = np.int32(total[4 * x + 2]) + np.int32(total[4 * x + 3])
                row[x] = np.uint8((left + right + 8) >> 4)
        else:
            for x in range(width_px):
                grey = np.int32(0)
                for column in range(times * x, times * (x + 1)):
                    grey += np.int32(total[column])
                row[x] = np.uint8(np.float32(grey) * share + half)
        _set_row(out, y, row)
    _fill_below(out, height_px, row, fill)


@njit(cache=True, nogil=True, fastmath=True)
def _round(plane: NDArray[np.float32], out: NDArray[np.uint32], height_px: int, width_px: int, fill: int) -> None:
    """The nearest bytes of a plane."""
    row = np.full(out.shape[1] * BLOCK_PX, fill, np.uint8)
    for y in range(height_px):
        for x in range(width_px):
            row[x] = np.uint8(plane[y, x] + np.float32(0.5))
        _set_row(out, y, row)
    _fill_below(out, height_px, row, fill)
