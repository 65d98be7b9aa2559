"""The plate detector: a picture in, its plates with corners, line count and colour out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anpr.nets.colour import plate_colour
from anpr.nets.model import ModelFolder
from anpr.nets.session import Device, Session
from anpr.ops import contract
from anpr.ops.quads import box_iou, is_convex, quad_area, quad_size
from anpr.records import Frame, Plate


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How plates are taken from the detector's maps."""

    threshold: float = 0.35
    most: int = 16
    """Plates a frame, the best first."""
    overlap_most: float = 0.3
    """Of two plates whose upright boxes overlap more (IoU), the better one is kept."""
    height_least_px: float = 8.0
    """Shorter plates, in source pixels, are too far away to be told from badges."""
    zooms: tuple[float, ...] = (1.0,)
    """Sizes at which the picture is looked at; still pictures need smaller ones for plates that fill them."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds plates. Use from one thread at a time: the canvas is its own."""

    session: Session
    options: DetectorOptions
    operations: contract.Operations
    canvas: NDArray[np.float32]

    @staticmethod
    def open(
        model: ModelFolder, options: DetectorOptions | None = None, *, device: Device = "cpu", threads: int = 1
    ) -> Detector:
        """Raises ModelError or DeviceError as `Session.open` does."""
        facts = model.facts.input
        return Detector(
            session=Session.open(model, device=device, threads=threads),
            options=options or DetectorOptions(),
            operations=contract.load("cpu"),
            canvas=np.zeros((1, 1, facts.height, facts.width), dtype=np.float32),
        )

    def detect(self, frame: Frame) -> list[Plate]:
        """The plates of a frame, best first."""
        found: list[Plate] = []
        for zoom in self.options.zooms:
            found += self._look(frame, zoom)
        kept: list[Plate] = []
        for plate in sorted(found, key=lambda plate: -plate.score):
            box = plate.to_xyxy()
            if all(box_iou(box, other.to_xyxy()) <= self.options.overlap_most for other in kept):
                kept.append(plate)
        return [replace(plate, colour=plate_colour(frame, plate.quad)) for plate in kept[: self.options.most]]

    def _look(self, frame: Frame, zoom: float) -> list[Plate]:
        """The plates at one size of the picture, unfiltered for overlap."""
        facts = self.session.model.facts
        box = self.operations.letterbox_luma(
            frame.luma, self.canvas[0, 0], mean=facts.input.mean, scale=facts.input.scale, zoom=zoom
        )
        maps = self.session.run(self.canvas)[0]
        peaks = self.operations.find_peaks(
            maps, threshold=self.options.threshold, stride=facts.output.stride, most=self.options.most
        )
        plates = []
        for peak in peaks:
            quad = box.to_source(peak[2:].reshape(4, 2))
            if quad_area(quad) <= 0 or not is_convex(quad) or quad_size(quad)[1] < self.options.height_least_px:
                continue
            plates.append(Plate(quad=quad, score=float(peak[0]), lines=2 if peak[1] > 0.5 else 1))
        return plates
