"""What `anpr.ops.contract.Batches` refuses, one function for each operation and the same for every backend.

Each raises ValueError that says what was expected and what was given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from anpr.ops.contract import BLOCK_PX, CELL_PX, CROP_PIXELS, MAP_CELLS, PEAKS_MOST, PICTURE_CELLS
from anpr.ops.matching_contract import RADIX, SLOTS
from anpr.ops.surfaces import Array, Place, Surface
from anpr.plates.forms import LONGEST

FLOATS = (np.float32, np.float16)


def put(values: NDArray[np.generic], into: Array) -> None:
    """`values` fit the first rows of `into`."""
    _expect(into, "into", (None, *values.shape[1:]), values.dtype)
    _rows(len(values), into)


def letterbox(place: Place, surfaces: Sequence[Surface], canvas: Array) -> None:
    """For `letterbox_surfaces`."""
    _expect(canvas, "canvas", (None, 1, None, None), *FLOATS)
    _surfaces(place, surfaces, canvas)


def blocks(place: Place, surfaces: Sequence[Surface], array: Array) -> None:
    """For `blocks_of_surfaces`."""
    _expect(array, "blocks", (None, None, None, BLOCK_PX**2), np.uint8)
    _surfaces(place, surfaces, array)


def rectify(
    place: Place, surfaces: Sequence[Surface], quads: NDArray[np.float32], crops: Array, contrasts: Array
) -> None:
    """For `rectify_plates`."""
    _expect(crops, "crops", (None, 1, None, None), *FLOATS)
    _expect(contrasts, "contrasts", (None,), np.float32)
    _quads(place, surfaces, quads, crops, contrasts)
    height, width = crops.shape[2:]
    if height * width > CROP_PIXELS:
        raise ValueError(f"crops may have {CROP_PIXELS} pixels, got {height} x {width}")


def peaks(maps: Array, rows: Array, counts: Array, *, pictures: int) -> None:
    """For `peaks_of_maps`."""
    _expect(maps, "maps", (None, 10, None, None), *FLOATS)
    _expect(rows, "peaks", (None, None, 10), np.float32)
    _expect(counts, "counts", (None,), np.int32)
    _rows(pictures, maps, rows, counts)
    most, (height, width) = rows.shape[1], maps.shape[2:]
    if most > PEAKS_MOST or height * width > MAP_CELLS:
        raise ValueError(f"at most {PEAKS_MOST} peaks of {MAP_CELLS} cells, got {most} of {height} x {width}")


def chroma(place: Place, surfaces: Sequence[Surface], quads: NDArray[np.float32], casts: Array, spreads: Array) -> None:
    """For `chroma_of_plates`."""
    _expect(casts, "casts", (None, 2), np.float32)
    _expect(spreads, "spreads", (None,), np.float32)
    _quads(place, surfaces, quads, casts, spreads)


def motion(
    place: Place,
    surfaces: Sequence[Surface],
    levels: Sequence[Array],
    scenes: Sequence[Array],
    lanes: Sequence[Array],
    moved: Array,
) -> None:
    """For `motion_of_surfaces`."""
    _expect(moved, "moved", (None,), np.int32)
    _rows(len(surfaces), moved)
    start(place, surfaces, levels, scenes)
    for level, lane in zip(levels, lanes, strict=True):
        _expect(lane, "lanes", level.shape, np.uint8)


def start(place: Place, surfaces: Sequence[Surface], levels: Sequence[Array], scenes: Sequence[Array]) -> None:
    """For `start_scenes`."""
    _surfaces(place, surfaces)
    for surface, level in zip(surfaces, levels, strict=True):
        cells = (surface.height_px // CELL_PX, surface.width_px // CELL_PX)
        if not 0 < cells[0] * cells[1] <= PICTURE_CELLS:
            raise ValueError(f"a picture may have 1 to {PICTURE_CELLS} cells, {surface!r} has {cells[0]} x {cells[1]}")
        _expect(level, "levels", cells, np.float32)
    looks(levels, scenes)


def looks(levels: Sequence[Array], scenes: Sequence[Array]) -> None:
    """For `note_looks`."""
    for level, scene in zip(levels, scenes, strict=True):
        _expect(scene, "a scene", (3, *level.shape), np.float32)


def score(plates: Array, ratios: NDArray[np.float32], bases: NDArray[np.float32], *, least: float) -> None:
    """For `score_plates`."""
    _codes(plates)
    _expect(ratios, "ratios", (None, SLOTS, RADIX), np.float32)
    _expect(bases, "bases", (len(ratios),), np.float32)
    if not least > 0:
        raise ValueError(f"least must be above 0, got {least}")


def within(plates: Array, query: int, *, most_edits: int) -> None:
    """For `plates_within`."""
    _codes(plates)
    if not 0 < query < RADIX**LONGEST:
        raise ValueError(f"the query must be a plate's code, got {query}")
    if not 0 <= most_edits <= LONGEST:
        raise ValueError(f"most_edits must be 0 to {LONGEST}, got {most_edits}")


def _codes(plates: Array) -> None:
    _expect(plates, "plates", (None,), np.int64)
    if plates.shape[0] >= 2**31:
        raise ValueError(f"at most 2**31 - 1 plates, got {plates.shape[0]}")


def _quads(place: Place, surfaces: Sequence[Surface], quads: NDArray[np.float32], *arrays: Array) -> None:
    _expect(quads, "quads", (len(surfaces), 4, 2), np.float32)
    if not np.isfinite(quads).all():
        raise ValueError("quads must be finite")
    _surfaces(place, surfaces, *arrays)


def _surfaces(place: Place, surfaces: Sequence[Surface], *arrays: Array) -> None:
    """Surfaces lie where the operations run, and each of them has a row in each of `arrays`."""
    if any(surface.place != place for surface in surfaces):
        raise ValueError(f"surfaces must lie on the {place}")
    _rows(len(surfaces), *arrays)


def _rows(rows: int, *arrays: Array) -> None:
    for array in arrays:
        if array.shape[0] < rows:
            raise ValueError(f"{rows} rows are needed, got {array.dtype} {array.shape}")


def _expect(array: Array, name: str, shape: tuple[int | None, ...], *dtypes: DTypeLike) -> None:
    """`array` has one of `dtypes` and `shape`, in which None stands for any length."""
    fits = len(array.shape) == len(shape) and all(
        wanted is None or size == wanted for size, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        wanted_shape = ", ".join("any" if size is None else str(size) for size in shape)
        names = " or ".join(str(np.dtype(dtype)) for dtype in dtypes)
        raise ValueError(f"{name} must be {names} ({wanted_shape}), got {array.dtype} {array.shape}")
