"""What a backend of image operations must offer, and how one is chosen.

Every backend is a module with exactly these functions; `load` checks that they are all there.

letterbox_luma(luma, canvas, *, mean, scale) -> Letterbox
    Shrinks or enlarges `luma` (uint8 (h, w), rows may be padded) into `canvas` (float32 (H, W)), keeping its shape,
    at the top left; writes `(value - mean) * scale` and 0 where there is no picture.
rectify(luma, quad, out, *, margin) -> float
    Cuts the plate `quad` (float32 (4, 2)) out of `luma` into `out` (float32 (h, w)), grown by the share `margin` of
    its size on every side, made frontal by a homography, area-averaged where it shrinks, standardised to mean 0 and
    deviation 1. Returns the deviation of the grey levels before that: the contrast.
find_peaks(maps, *, threshold, stride, most) -> float32 (n, 10)
    Local maxima of a detector's maps (10, h, w): score, share of two lines, 8 corner coordinates in canvas pixels,
    best first, at most `most`.
cell_levels(luma, levels) -> None
    Writes the brightness of each cell of CELL_PX x CELL_PX pixels of `luma` (uint8 (h, w), rows may be padded) into
    `levels` (float32 (h // CELL_PX, w // CELL_PX)): UNITS * ln(mean + DARK_LEVEL), so that a change of the light adds
    the same everywhere. The mean is taken over some rows of the cell.
find_motion(levels, scene, lanes, *, noise_factor, noise_least) -> int
    How many cells inside `lanes` (uint8 (rows, columns), not 0 inside) have moved. `scene` is float32 (3, rows,
    columns): each cell's BACKGROUND, its usual distance from it (NOISE), and its level in the picture LOOKED_AT last.
    A cell has changed if it differs from both by more than `noise_factor` times its noise, a change of light that the
    whole picture shares left out; it has moved if most cells around it have changed, too. Background and noise, never
    less than `noise_least`, follow the picture.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from anpr.errors import DeviceError

Backend = Literal["cpu"]

NAMES = ("letterbox_luma", "rectify", "find_peaks", "cell_levels", "find_motion")

CELL_PX = 16
"""A vehicle whose plate can be read is wider and higher than three of them."""
UNITS = 100.0
"""Units of level per factor e of light: a change by 1 % is about one unit."""
DARK_LEVEL = 16.0
"""Grey level of video's black: below it there is noise, and no light to be multiplied."""
BACKGROUND, NOISE, LOOKED_AT = 0, 1, 2
"""Planes of a scene."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How source pixels lie on the canvas: canvas = source * ratio, both measured from the picture's corner."""

    ratio_x: float
    ratio_y: float
    width_px: int
    height_px: int

    def to_source(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, 2) canvas pixel centres -> source pixel centres."""
        ratio = np.array([self.ratio_x, self.ratio_y], dtype=np.float32)
        return np.asarray((points + np.float32(0.5)) / ratio - np.float32(0.5), dtype=np.float32)

    def to_canvas(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, 2) source pixel centres -> canvas pixel centres."""
        ratio = np.array([self.ratio_x, self.ratio_y], dtype=np.float32)
        return np.asarray((points + np.float32(0.5)) * ratio - np.float32(0.5), dtype=np.float32)


class Operations(Protocol):
    """The contract as a type."""

    def letterbox_luma(
        self, luma: NDArray[np.uint8], canvas: NDArray[np.float32], *, mean: float, scale: float
    ) -> Letterbox: ...

    def rectify(
        self, luma: NDArray[np.uint8], quad: NDArray[np.float32], out: NDArray[np.float32], *, margin: float
    ) -> float: ...

    def find_peaks(
        self, maps: NDArray[np.float32], *, threshold: float, stride: int, most: int
    ) -> NDArray[np.float32]: ...

    def cell_levels(self, luma: NDArray[np.uint8], levels: NDArray[np.float32]) -> None: ...

    def find_motion(
        self,
        levels: NDArray[np.float32],
        scene: NDArray[np.float32],
        lanes: NDArray[np.uint8],
        *,
        noise_factor: float,
        noise_least: float,
    ) -> int: ...


def load(backend: Backend = "cpu") -> Operations:
    """The operations of one backend. Raises DeviceError if there is no such backend, or it lacks an operation."""
    if backend != "cpu":
        raise DeviceError(f"no image operations for {backend!r}", cure="set device = 'cpu'")
    module = importlib.import_module(f"anpr.ops.{backend}")
    missing = [name for name in NAMES if not hasattr(module, name)]
    if missing:
        raise DeviceError(f"backend {backend!r} lacks {', '.join(missing)}", cure="reinstall anpr")
    return cast("Operations", module)
