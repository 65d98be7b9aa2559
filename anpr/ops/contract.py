"""What a backend of image operations must offer, and how one is chosen.

There is one set of operations, in two forms. `Operations` takes single pictures in host memory: the processor's path,
a module whose names `load` checks. `Batches` takes batches of surfaces where they lie, on the host or on a GPU:
`open_batches` gives one of a backend. The processor fulfils both, and its batches call its single-picture functions,
so what is tested against them is tested against the path that is used. The text of `Batches` is below, at each name.

letterbox_luma(luma, canvas, *, mean, scale) -> Letterbox
    Shrinks or enlarges `luma` (uint8 (h, w), rows may be padded) into `canvas` (float32 (H, W)), keeping its shape,
    at the top left; writes `(value - mean) * scale` and 0 where there is no picture.
letterbox_blocks(luma, blocks, *, fill) -> Letterbox
    The same as bytes: the nearest grey levels into `blocks` (uint8 (H / BLOCK_PX, W / BLOCK_PX, BLOCK_PX ** 2), the
    pixels of a block row by row), `fill` where there is no picture.
rectify(luma, quad, out, *, margin) -> float
    Cuts the plate `quad` (float32 (4, 2)) out of `luma` into `out` (float32 (h, w)), grown by the share `margin` of
    its size on every side, made frontal by a homography, area-averaged where it shrinks, standardised to mean 0 and
    deviation 1. Returns the deviation of the grey levels before that: the contrast.
find_peaks(maps, *, threshold, stride, most) -> float32 (n, 10)
    Local maxima of a detector's maps (10, h, w), at least `threshold`: score, share of two lines, 8 corner coordinates
    in canvas pixels, best first, at most `most`, of the first PEAKS_MOST row by row. What is no number is no peak.
plate_chroma(chroma_u, chroma_v, quad) -> (u, v)
    The colour cast of the plate `quad` (float32 (4, 2), luma pixels), in levels from grey: the mean of the stronger
    half of the chroma in its middle. Characters cover less than half of a plate and are pale, so that is the
    background's. The planes are uint8 (ceil(h / 2), ceil(w / 2)), 128 is grey. (0, 0) for a quad without area.
chroma_spread(chroma_u, chroma_v) -> float
    How far a picture's chroma lies from its own median, in the mean: next to nothing in infrared.
cell_levels(luma, levels) -> None
    Writes the brightness of each cell of CELL_PX x CELL_PX pixels of `luma` (uint8 (h, w), rows may be padded) into
    `levels` (float32 (h // CELL_PX, w // CELL_PX)): UNITS * ln(mean + DARK_LEVEL), so that a change of the light adds
    the same everywhere. The mean is taken over some rows of the cell.
find_motion(levels, scene, lanes, moved, *, noise_factor, noise_least) -> int
    How many cells inside `lanes` (uint8 (rows, columns), not 0 inside) have moved. `scene` is float32 (3, rows,
    columns): each cell's BACKGROUND, its usual distance from it (NOISE), and its level in the picture LOOKED_AT last.
    A cell has changed if it differs from both by more than `noise_factor` times its noise, a change of light that the
    whole picture shares left out; it has moved if most cells around it have changed, too: those are 1 in `moved`
    (uint8 (rows, columns)), all others 0. Background and noise, never less than `noise_least`, follow the picture.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from anpr.errors import DeviceError
from anpr.ops.surfaces import Array, Surface

Backend = Literal["cpu", "cuda"]
BACKENDS: tuple[Backend, ...] = ("cpu", "cuda")

NAMES = (
    "letterbox_luma",
    "letterbox_blocks",
    "rectify",
    "find_peaks",
    "plate_chroma",
    "chroma_spread",
    "cell_levels",
    "find_motion",
)

BATCH_NAMES = (
    "place",
    "stream_handle",
    "empty",
    "put",
    "fetch",
    "synchronize",
    "close",
    "letterbox_surfaces",
    "blocks_of_surfaces",
    "rectify_plates",
    "peaks_of_maps",
    "chroma_of_plates",
    "motion_of_surfaces",
    "start_scenes",
    "note_looks",
    "score_plates",
    "plates_within",
)

CROP_PIXELS = 8192
"""A rectified plate of a batch has at most so many: they lie in a GPU's fast memory until they are standardised."""
PEAKS_MOST = 64
"""Of a picture with more local maxima the first ones, row by row, are looked at."""
MAP_CELLS = 65536
"""Cells of a detector's map in a batch, at most …"""
PICTURE_CELLS = 131072
"""… and cells of a picture, which is more than 8K has: a GPU's fast memory holds a bit for each."""
BLOCK_PX = 4
"""A detector whose input is blocks takes squares of so many pixels as the channels of one place."""
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


def fit_letterbox(height: int, width: int, canvas_height: int, canvas_width: int) -> Letterbox:
    """How a picture lies on a canvas that it fills in one direction."""
    fit = min(canvas_width / width, canvas_height / height)
    out_width = max(1, min(canvas_width, round(width * fit)))
    out_height = max(1, min(canvas_height, round(height * fit)))
    return Letterbox(out_width / width, out_height / height, out_width, out_height)


class Operations(Protocol):
    """The contract as a type."""

    def letterbox_luma(
        self, luma: NDArray[np.uint8], canvas: NDArray[np.float32], *, mean: float, scale: float
    ) -> Letterbox: ...

    def letterbox_blocks(self, luma: NDArray[np.uint8], blocks: NDArray[np.uint8], *, fill: int) -> Letterbox: ...

    def rectify(
        self, luma: NDArray[np.uint8], quad: NDArray[np.float32], out: NDArray[np.float32], *, margin: float
    ) -> float: ...

    def find_peaks(
        self, maps: NDArray[np.float32], *, threshold: float, stride: int, most: int
    ) -> NDArray[np.float32]: ...

    def plate_chroma(
        self, chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8], quad: NDArray[np.float32]
    ) -> tuple[float, float]: ...

    def chroma_spread(self, chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8]) -> float: ...

    def cell_levels(self, luma: NDArray[np.uint8], levels: NDArray[np.float32]) -> None: ...

    def find_motion(
        self,
        levels: NDArray[np.float32],
        scene: NDArray[np.float32],
        lanes: NDArray[np.uint8],
        moved: NDArray[np.uint8],
        *,
        noise_factor: float,
        noise_least: float,
    ) -> int: ...


class Batches(Protocol):
    """The operations over batches. Open one in the thread that uses it, and use it from that thread alone.

    On a GPU everything is queued on one stream in the order of the calls, and only `fetch` and `synchronize` wait; so
    surfaces must live until one of these has returned. Arrays come from `empty` or `put` of the same object, surfaces
    lie where the object works (`place`). An array may have more rows than a call has pictures or plates: only the first
    are written, and the others keep what they hold. Raises ValueError for a shape or dtype that does not fit.
    """

    @property
    def place(self) -> Literal["host", "device"]:
        """Where surfaces and arrays lie."""

    @property
    def stream_handle(self) -> int:
        """The CUDA stream for others to share, never 0 on a GPU; 0 on the processor, which has none."""

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """A new array, all zero. Raises DeviceMemoryError if a GPU's memory is full."""

    def put(self, values: NDArray[Any], into: Array | None = None) -> Array:
        """`values` as a new array, or in the first rows of `into`."""

    def fetch(self, *arrays: Array) -> tuple[NDArray[Any], ...]:
        """The arrays' values in host memory, as copies, once everything before is done."""

    def synchronize(self) -> None:
        """Wait until everything before is done."""

    def close(self) -> None:
        """Give back what is held; arrays of this object must not be used any more."""

    def letterbox_surfaces(
        self, surfaces: Sequence[Surface], canvas: Array, *, mean: float, scale: float
    ) -> list[Letterbox]:
        """`letterbox_luma` of each surface into `canvas` (float32 or float16 (n or more, 1, H, W))."""

    def blocks_of_surfaces(self, surfaces: Sequence[Surface], blocks: Array, *, fill: int) -> list[Letterbox]:
        """`letterbox_blocks` of each surface into `blocks` (uint8 (n or more, H / BLOCK_PX, W / BLOCK_PX,
        BLOCK_PX ** 2))."""

    def rectify_plates(
        self,
        surfaces: Sequence[Surface],
        quads: NDArray[np.float32],
        crops: Array,
        contrasts: Array,
        *,
        margin: float,
    ) -> None:
        """`rectify` of each plate: `quads` (m, 4, 2) in pixels of `surfaces[i]`, one surface per plate, the same one
        as often as it has plates. Into `crops` (float32 or float16 (m or more, 1, h, w), h * w at most CROP_PIXELS)
        and `contrasts` (float32 (m or more,))."""

    def peaks_of_maps(
        self, maps: Array, peaks: Array, counts: Array, *, pictures: int, threshold: float, stride: int
    ) -> None:
        """`find_peaks` of the first `pictures` of `maps` (float32 or float16 (n, 10, h, w)) into `peaks` (float32 (n,
        most, 10)), most at most PEAKS_MOST, and `counts` (int32 (n,)). Rows of `peaks` beyond the count are 0."""

    def chroma_of_plates(
        self, surfaces: Sequence[Surface], quads: NDArray[np.float32], casts: Array, spreads: Array
    ) -> None:
        """`plate_chroma` of each plate, surfaces and quads as for `rectify_plates`, into `casts` (float32 (m or more,
        2)), and `chroma_spread` of its surface into `spreads` (float32 (m or more,))."""

    def motion_of_surfaces(
        self,
        surfaces: Sequence[Surface],
        levels: Sequence[Array],
        scenes: Sequence[Array],
        lanes: Sequence[Array],
        moved: Array,
        *,
        noise_factor: float,
        noise_least: float,
    ) -> None:
        """`cell_levels` and then `find_motion` of each surface, no camera twice, into `moved` (int32 (n or more,)).
        `levels`, `scenes` and `lanes` are each camera's own. A camera whose scene is new starts it by
        `start_scenes` instead."""

    def start_scenes(
        self, surfaces: Sequence[Surface], levels: Sequence[Array], scenes: Sequence[Array], *, noise: float
    ) -> None:
        """`cell_levels` of each surface, taken as its camera's background and as what was looked at; `noise` is what
        a cell is first believed to vary by."""

    def note_looks(self, levels: Sequence[Array], scenes: Sequence[Array]) -> None:
        """The levels of each camera become those LOOKED_AT last."""

    def score_plates(
        self,
        plates: Array,
        ratios: NDArray[np.float32],
        bases: NDArray[np.float32],
        *,
        missing: float,
        extra: float,
        least: float,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
        """Numbers of reads, positions in `plates` and scores, rising by read and position, wherever `score_pairs` of
        `anpr.ops.matching_contract` gives at least `least`, above 0. `plates` is an array of codes (int64 (n,), below
        2**31 of them), `ratios` (reads, SLOTS, 37) and `bases` (reads,) are the reads. Waits for the answer."""

    def plates_within(
        self, plates: Array, query: int, *, most_edits: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """`match_brute` of `anpr.ops.matching_contract` over an array of codes as for `score_plates`. Waits for the
        answer."""


def load(backend: Backend = "cpu") -> Operations:
    """The operations of one backend on single pictures in host memory. Raises DeviceError if it has none, or lacks an
    operation."""
    if backend != "cpu":
        raise DeviceError(f"no image operations for {backend!r}", cure="set device = 'cpu'")
    module = importlib.import_module(f"anpr.ops.{backend}")
    missing = [name for name in NAMES if not hasattr(module, name)]
    if missing:
        raise DeviceError(f"backend {backend!r} lacks {', '.join(missing)}", cure="reinstall anpr")
    return cast("Operations", module)


def open_batches(backend: Backend, *, device: int = 0) -> Batches:
    """A backend's batches, for the thread that calls; on a GPU on number `device`, with its primary context current in
    this thread until `close`.

    Raises DeviceError, with its cure, if the backend is unknown, lacks an operation, or has no GPU, driver, PyCUDA or
    compiler.
    """
    if backend not in BACKENDS:
        raise DeviceError(f"no image operations for {backend!r}", cure=f"set one of {', '.join(BACKENDS)}")
    module = importlib.import_module(f"anpr.ops.{backend}_batches")
    batches: Batches = module.open_batches(device)
    missing = [name for name in BATCH_NAMES if not hasattr(batches, name)]
    if missing:
        raise DeviceError(f"backend {backend!r} lacks {', '.join(missing)}", cure="reinstall anpr")
    return batches
