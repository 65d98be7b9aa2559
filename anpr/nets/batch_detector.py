"""The detector over batches of surfaces, where they lie: only the peaks come home, 640 bytes a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anpr.nets.bound import Bound, first
from anpr.nets.detector import DetectorOptions, best_plates, canvas_size, plates_of_peaks
from anpr.nets.model import ModelFolder
from anpr.nets.providers import Device, GpuPlace
from anpr.nets.runtime import open_session
from anpr.ops.contract import Batches, Letterbox
from anpr.ops.surfaces import Array, Surface
from anpr.records import Plate


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """One size at which pictures are looked at."""

    net: Bound
    peaks: Array
    counts: Array


@dataclass(frozen=True, slots=True, eq=False)
class BatchDetector:
    """Finds plates, colours aside. Use from the thread that opened it."""

    batches: Batches
    options: DetectorOptions
    most: int
    canvases: tuple[_Canvas, ...]

    @staticmethod
    def open(
        model: ModelFolder,
        options: DetectorOptions,
        batches: Batches,
        *,
        device: Device,
        place: GpuPlace | None,
        most: int,
        threads: int = 1,
    ) -> BatchDetector:
        """For batches of up to `most` pictures. Raises ModelError or DeviceError."""
        facts = model.facts.input
        sizes = [canvas_size(facts.height, facts.width, zoom) for zoom in options.zooms]
        session = open_session(model, device=device, place=place, sizes=sizes, most=most, threads=threads)
        canvases, graphs = [], 1 if device == "cuda" else None
        for height, width in sizes:
            gpu = None if place is None else place.number
            net = Bound.open(session, batches, height=height, width=width, most=most, gpu=gpu, graphs_from=graphs)
            graphs = None if graphs is None else graphs + len(net.sizes)
            peaks = batches.empty((most, options.most, 10), np.float32)
            canvases.append(_Canvas(net, peaks, batches.empty((most,), np.int32)))
        return BatchDetector(batches, options, most, tuple(canvases))

    def warm(self) -> None:
        """Prepare every batch size."""
        for canvas in self.canvases:
            canvas.net.warm()

    def detect(self, surfaces: Sequence[Surface]) -> list[list[Plate]]:
        """The plates of each surface, best first, at most `most` surfaces."""
        boxes = [self._look(canvas, surfaces) for canvas in self.canvases]
        results = [first(array, len(surfaces)) for canvas in self.canvases for array in (canvas.peaks, canvas.counts)]
        fetched = self.batches.fetch(*results)
        found: list[list[Plate]] = [[] for _ in surfaces]
        for at, placed in enumerate(boxes):
            peaks: NDArray[np.float32]
            counts: NDArray[np.int32]
            peaks, counts = fetched[2 * at : 2 * at + 2]
            for plates, box, rows, count in zip(found, placed, peaks, counts.tolist(), strict=True):
                plates += plates_of_peaks(rows[:count], box, self.options)
        return [best_plates(plates, self.options) for plates in found]

    def _look(self, canvas: _Canvas, surfaces: Sequence[Surface]) -> list[Letterbox]:
        """Queue one canvas's work; how the pictures lie on it."""
        facts, count = canvas.net.session.model.facts, len(surfaces)
        if facts.input.layout == "blocks":
            boxes = self.batches.blocks_of_surfaces(surfaces, canvas.net.input, fill=round(facts.input.mean))
        else:
            mean, scale = facts.input.mean, facts.input.scale
            boxes = self.batches.letterbox_surfaces(surfaces, canvas.net.input, mean=mean, scale=scale)
        canvas.net.run(count)
        self.batches.peaks_of_maps(
            canvas.net.outputs[0],
            canvas.peaks,
            canvas.counts,
            pictures=count,
            threshold=self.options.threshold,
            stride=facts.output.stride,
        )
        return boxes
