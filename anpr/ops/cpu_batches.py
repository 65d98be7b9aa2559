"""Batches of image operations on the processor: `anpr.ops.cpu`, one picture or plate after another.

The twin of the GPU's batches, and what the batched engine runs on where there is no GPU. Pictures of 10 bits become 8
bits first; a GPU keeps the fractions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from anpr.ops import batch_checks, cpu, cpu_matching
from anpr.ops.contract import BACKGROUND, LOOKED_AT, NOISE, Letterbox
from anpr.ops.surfaces import Array, Surface


def open_batches(device: int) -> CpuBatches:
    """See `anpr.ops.contract`; there is only one processor, and `device` is ignored."""
    return CpuBatches()


class CpuBatches:
    """`anpr.ops.contract.Batches` in host memory: arrays are NumPy's own."""

    @property
    def place(self) -> Literal["host", "device"]:
        return "host"

    @property
    def stream_handle(self) -> int:
        return 0

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.zeros(shape, dtype)

    def put(self, values: NDArray[Any], into: Array | None = None) -> NDArray[Any]:
        if into is None:
            return np.array(values, order="C")
        batch_checks.put(values, into)
        target = _own(into)
        target[: len(values)] = values
        return target

    def fetch(self, *arrays: Array) -> tuple[NDArray[Any], ...]:
        return tuple(_own(array).copy() for array in arrays)

    def synchronize(self) -> None:
        """Nothing is ever queued."""

    def close(self) -> None:
        """Nothing is held."""

    def letterbox_surfaces(
        self, surfaces: Sequence[Surface], canvas: Array, *, mean: float, scale: float
    ) -> list[Letterbox]:
        batch_checks.letterbox(self.place, surfaces, canvas)
        plane = np.empty(canvas.shape[2:], np.float32)
        boxes = []
        for surface, target in zip(surfaces, _own(canvas), strict=False):
            boxes.append(cpu.letterbox_luma(luma_of(surface), plane, mean=mean, scale=scale))
            target[0] = plane
        return boxes

    def blocks_of_surfaces(self, surfaces: Sequence[Surface], blocks: Array, *, fill: int) -> list[Letterbox]:
        batch_checks.blocks(self.place, surfaces, blocks)
        return [
            cpu.letterbox_blocks(luma_of(surface), target, fill=fill)
            for surface, target in zip(surfaces, _own(blocks), strict=False)
        ]

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
        crop = np.empty(crops.shape[2:], np.float32)
        for plate, (surface, quad) in enumerate(zip(surfaces, quads, strict=True)):
            _own(contrasts)[plate] = cpu.rectify(luma_of(surface), quad, crop, margin=margin)
            _own(crops)[plate, 0] = crop

    def peaks_of_maps(
        self, maps: Array, peaks: Array, counts: Array, *, pictures: int, threshold: float, stride: int
    ) -> None:
        batch_checks.peaks(maps, peaks, counts, pictures=pictures)
        exact = np.asarray(_own(maps)[:pictures], np.float32)
        for picture, own_maps in enumerate(exact):
            found = cpu.find_peaks(own_maps, threshold=threshold, stride=stride, most=peaks.shape[1])
            _own(peaks)[picture] = 0
            _own(peaks)[picture, : len(found)] = found
            _own(counts)[picture] = len(found)

    def chroma_of_plates(
        self, surfaces: Sequence[Surface], quads: NDArray[np.float32], casts: Array, spreads: Array
    ) -> None:
        batch_checks.chroma(self.place, surfaces, quads, casts, spreads)
        for plate, (surface, quad) in enumerate(zip(surfaces, quads, strict=True)):
            u, v = chroma_of(surface)
            _own(casts)[plate] = cpu.plate_chroma(u, v, quad)
            _own(spreads)[plate] = cpu.chroma_spread(u, v)

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
        for index, (level, scene, lane) in enumerate(zip(levels, scenes, lanes, strict=True)):
            _own(moved)[index] = cpu.find_motion(
                _own(level),
                _own(scene),
                _own(lane),
                np.empty(lane.shape, np.uint8),
                noise_factor=noise_factor,
                noise_least=noise_least,
            )

    def start_scenes(
        self, surfaces: Sequence[Surface], levels: Sequence[Array], scenes: Sequence[Array], *, noise: float
    ) -> None:
        batch_checks.start(self.place, surfaces, levels, scenes)
        self._measure(surfaces, levels)
        for level, scene in zip(levels, scenes, strict=True):
            _own(scene)[[BACKGROUND, LOOKED_AT]] = _own(level)
            _own(scene)[NOISE] = noise

    def note_looks(self, levels: Sequence[Array], scenes: Sequence[Array]) -> None:
        batch_checks.looks(levels, scenes)
        for level, scene in zip(levels, scenes, strict=True):
            _own(scene)[LOOKED_AT] = _own(level)

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
        codes = _own(plates)
        reads, positions, scores = [], [], []
        for read in range(len(ratios)):
            of_read = np.full(len(codes), read, np.int32)
            found = cpu_matching.score_pairs(ratios, bases, of_read, codes, missing=missing, extra=extra)
            hit = np.flatnonzero(found >= least)
            reads.append(of_read[hit])
            positions.append(hit)
            scores.append(found[hit])
        if not reads:
            return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32)
        return np.concatenate(reads), np.concatenate(positions), np.concatenate(scores)

    def plates_within(
        self, plates: Array, query: int, *, most_edits: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        batch_checks.within(plates, query, most_edits=most_edits)
        return cpu_matching.match_brute(_own(plates), query, most_edits=most_edits)

    def _measure(self, surfaces: Sequence[Surface], levels: Sequence[Array]) -> None:
        for surface, level in zip(surfaces, levels, strict=True):
            luma = _values(surface, surface.luma_address, surface.luma_pitch_bytes, surface.height_px, surface.width_px)
            cpu.cell_levels(luma if surface.layout == "nv12" else (luma >> 8).astype(np.uint8), _own(level))


def luma_of(surface: Surface) -> NDArray[np.uint8]:
    """(height, width) grey levels; of P010 the nearest ones, as a copy."""
    return _levels(
        _values(surface, surface.luma_address, surface.luma_pitch_bytes, surface.height_px, surface.width_px)
    )


def chroma_of(surface: Surface) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """u and v, (ceil(height/2), ceil(width/2)) each; of P010 the nearest levels, as a copy."""
    rows, columns = (surface.height_px + 1) // 2, (surface.width_px + 1) // 2
    pairs = _levels(_values(surface, surface.chroma_address, surface.chroma_pitch_bytes, rows, 2 * columns))
    return pairs[:, 0::2], pairs[:, 1::2]


def _values(surface: Surface, address: int, pitch_bytes: int, rows: int, columns: int) -> NDArray[Any]:
    """A plane as it is stored, in its own memory."""
    dtype = np.dtype(np.uint8 if surface.layout == "nv12" else np.uint16)
    size = pitch_bytes * (rows - 1) + columns * dtype.itemsize
    memory = memoryview((ctypes.c_uint8 * size).from_address(address))
    return np.ndarray((rows, columns), dtype, memory, strides=(pitch_bytes, dtype.itemsize))


def _levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype != np.uint8:
        values = np.minimum((values.astype(np.uint32) + 128) >> 8, 255)
    return values.astype(np.uint8, copy=False)


def _own(array: Array) -> NDArray[Any]:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"an array of these batches is needed, got {type(array).__name__}")
    return array
