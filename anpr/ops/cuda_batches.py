"""Batches of image operations on a GPU: each call checks its arrays and queues one kernel of kernels/*.cu."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from anpr.ops import batch_checks, cuda_jobs
from anpr.ops.contract import BLOCK_PX, LOOKED_AT, Letterbox, fit_letterbox
from anpr.ops.cpu_motion import LEVEL_OF_SUM
from anpr.ops.cuda_driver import Driver, PyCudaDriver
from anpr.ops.cuda_matching import CudaMatching
from anpr.ops.surfaces import Array, DeviceArray, Surface


def open_batches(device: int) -> CudaBatches:
    """See `anpr.ops.contract`."""
    return CudaBatches(PyCudaDriver(device))


class CudaBatches:
    """`anpr.ops.contract.Batches` on what `driver` drives."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._matching = CudaMatching(driver)
        self._level_of_sum = self._put_new(LEVEL_OF_SUM)

    @property
    def place(self) -> Literal["host", "device"]:
        return self._driver.place

    @property
    def stream_handle(self) -> int:
        return self._driver.stream_handle

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        return self._driver.allocate(shape, dtype)

    def put(self, values: NDArray[Any], into: Array | None = None) -> DeviceArray:
        if into is None:
            return self._put_new(values)
        batch_checks.put(values, into)
        target = _on_device(into)
        self._driver.write(target.first(len(values)), np.ascontiguousarray(values))
        return target

    def _put_new(self, values: NDArray[Any]) -> DeviceArray:
        array = self._driver.allocate(values.shape, values.dtype)
        self._driver.write(array, np.ascontiguousarray(values))
        return array

    def fetch(self, *arrays: Array) -> tuple[NDArray[Any], ...]:
        return self._driver.read(*map(_on_device, arrays))

    def synchronize(self) -> None:
        self._driver.synchronize()

    def close(self) -> None:
        self._driver.close()

    def letterbox_surfaces(
        self, surfaces: Sequence[Surface], canvas: Array, *, mean: float, scale: float
    ) -> list[Letterbox]:
        batch_checks.letterbox(self.place, surfaces, canvas)
        _, _, height, width = canvas.shape
        boxes, rows = _letterboxes(surfaces, height, width)
        for first, some in _launches(rows, cuda_jobs.LETTERBOX_JOBS):
            arguments = cuda_jobs.pack(
                cuda_jobs.jobs(cuda_jobs.LETTERBOX, cuda_jobs.LETTERBOX_JOBS, some),
                "Piiiff",
                _row_address(canvas, first),
                _is_half(canvas),
                width,
                height,
                mean,
                scale,
            )
            self._driver.launch("letterbox", (_parts(width, 32), _parts(height, 8), len(some)), (32, 8, 1), arguments)
        return boxes

    def blocks_of_surfaces(self, surfaces: Sequence[Surface], blocks: Array, *, fill: int) -> list[Letterbox]:
        batch_checks.blocks(self.place, surfaces, blocks)
        _, rows_of_blocks, columns, _ = blocks.shape
        width, height = columns * BLOCK_PX, rows_of_blocks * BLOCK_PX
        boxes, rows = _letterboxes(surfaces, height, width)
        for first, some in _launches(rows, cuda_jobs.LETTERBOX_JOBS):
            arguments = cuda_jobs.pack(
                cuda_jobs.jobs(cuda_jobs.LETTERBOX, cuda_jobs.LETTERBOX_JOBS, some),
                "Piii",
                _row_address(blocks, first),
                width,
                height,
                fill,
            )
            grid = (_parts(width, 32), _parts(height, 8), len(some))
            self._driver.launch("letterbox_blocks", grid, (32, 8, 1), arguments)
        return boxes

    def rectify_plates(
        self,
        surfaces: Sequence[Surface],
        quads: NDArray[np.float32],
        crops: Array,
        contrasts: Array,
        *,
        margin: float,
    ) -> None:
        batch_checks.rectify(self.place, surfaces, quads, crops, contrasts)
        _, _, height, width = crops.shape
        for first, some in _launches(_plates(surfaces, quads), cuda_jobs.PLATE_JOBS):
            arguments = cuda_jobs.pack(
                cuda_jobs.jobs(cuda_jobs.PLATE, cuda_jobs.PLATE_JOBS, some),
                "PPiiif",
                _row_address(crops, first),
                _row_address(contrasts, first),
                _is_half(crops),
                width,
                height,
                margin,
            )
            self._driver.launch("rectify", (len(some), 1, 1), (512, 1, 1), arguments)

    def peaks_of_maps(
        self, maps: Array, peaks: Array, counts: Array, *, pictures: int, threshold: float, stride: int
    ) -> None:
        batch_checks.peaks(maps, peaks, counts, pictures=pictures)
        _, _, height, width = maps.shape
        if pictures:
            arguments = cuda_jobs.pack(
                None,
                "PPPiiifii",
                _on_device(maps).address,
                _on_device(peaks).address,
                _on_device(counts).address,
                _is_half(maps),
                width,
                height,
                threshold,
                stride,
                peaks.shape[1],
            )
            self._driver.launch("peaks", (pictures, 1, 1), (256, 1, 1), arguments)

    def chroma_of_plates(
        self, surfaces: Sequence[Surface], quads: NDArray[np.float32], casts: Array, spreads: Array
    ) -> None:
        batch_checks.chroma(self.place, surfaces, quads, casts, spreads)
        for first, some in _launches(_plates(surfaces, quads), cuda_jobs.PLATE_JOBS):
            arguments = cuda_jobs.pack(
                cuda_jobs.jobs(cuda_jobs.PLATE, cuda_jobs.PLATE_JOBS, some),
                "PP",
                _row_address(casts, first),
                _row_address(spreads, first),
            )
            self._driver.launch("chroma", (len(some), 1, 1), (256, 1, 1), arguments)

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
        batch_checks.motion(self.place, surfaces, levels, scenes, lanes, moved)
        self._measure(surfaces, levels)
        rows = [
            (*(_on_device(array).address for array in (level, scene, lane)), *level.shape)
            for level, scene, lane in zip(levels, scenes, lanes, strict=True)
        ]
        for first, some in _launches(rows, cuda_jobs.MOTION_JOBS):
            arguments = cuda_jobs.pack(
                cuda_jobs.jobs(cuda_jobs.MOTION, cuda_jobs.MOTION_JOBS, some),
                "Pff",
                _row_address(moved, first),
                noise_factor,
                noise_least,
            )
            self._driver.launch("find_motion", (len(some), 1, 1), (512, 1, 1), arguments)

    def start_scenes(
        self, surfaces: Sequence[Surface], levels: Sequence[Array], scenes: Sequence[Array], *, noise: float
    ) -> None:
        batch_checks.start(self.place, surfaces, levels, scenes)
        self._measure(surfaces, levels)
        for level, scene in zip(levels, scenes, strict=True):
            background, spread, looked_at = (_on_device(scene).at(plane) for plane in range(3))
            self._driver.copy(_on_device(level), background)
            self._driver.copy(_on_device(level), looked_at)
            self._driver.write(spread, np.full(level.shape, noise, np.float32))

    def note_looks(self, levels: Sequence[Array], scenes: Sequence[Array]) -> None:
        batch_checks.looks(levels, scenes)
        for level, scene in zip(levels, scenes, strict=True):
            self._driver.copy(_on_device(level), _on_device(scene).at(LOOKED_AT))

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
        batch_checks.score(plates, ratios, bases, least=least)
        return self._matching.score_plates(_on_device(plates), ratios, bases, missing=missing, extra=extra, least=least)

    def plates_within(
        self, plates: Array, query: int, *, most_edits: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        batch_checks.within(plates, query, most_edits=most_edits)
        return self._matching.plates_within(_on_device(plates), query, most_edits=most_edits)

    def _measure(self, surfaces: Sequence[Surface], levels: Sequence[Array]) -> None:
        """The cells' levels."""
        rows = [
            (cuda_jobs.surface_row(surface), _on_device(level).address, *level.shape)
            for surface, level in zip(surfaces, levels, strict=True)
        ]
        for _, some in _launches(rows, cuda_jobs.CELL_JOBS):
            arguments = cuda_jobs.pack(
                cuda_jobs.jobs(cuda_jobs.CELLS, cuda_jobs.CELL_JOBS, some), "P", self._level_of_sum.address
            )
            most = max(rows_of_cells * columns for _, _, rows_of_cells, columns in some)
            self._driver.launch("cell_levels", (_parts(most, 128), 1, len(some)), (128, 1, 1), arguments)


def _plates(surfaces: Sequence[Surface], quads: NDArray[np.float32]) -> list[tuple[Any, ...]]:
    """A job for each plate."""
    corners = quads.reshape(-1, 8)
    return [(cuda_jobs.surface_row(surface), quad) for surface, quad in zip(surfaces, corners, strict=True)]


def _letterboxes(surfaces: Sequence[Surface], height: int, width: int) -> tuple[list[Letterbox], list[tuple[Any, ...]]]:
    """How each surface lies on a canvas of (height, width), and its job."""
    boxes = [fit_letterbox(surface.height_px, surface.width_px, height, width) for surface in surfaces]
    rows = [
        (cuda_jobs.surface_row(surface), box.width_px, box.height_px)
        for surface, box in zip(surfaces, boxes, strict=True)
    ]
    return boxes, rows


def _on_device(array: Array) -> DeviceArray:
    if not isinstance(array, DeviceArray):
        raise TypeError(f"an array of these batches is needed, got {type(array).__name__}")
    return array


def _is_half(array: Array) -> int:
    return int(array.dtype == np.float16)


def _row_address(array: Array, row: int) -> int:
    return _on_device(array).at(row).address


def _parts(length: int, size: int) -> int:
    """How many parts of `size` cover `length`."""
    return -(-length // size)


def _launches(rows: list[tuple[Any, ...]], most: int) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """(number of the first row, the rows) of each launch."""
    for first in range(0, len(rows), most):
        yield first, rows[first : first + most]
