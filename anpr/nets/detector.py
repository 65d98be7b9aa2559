"""The plate detector: a picture in, its plates with corners, line count and colour out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anpr.errors import ModelError
from anpr.nets.colour import plate_colours
from anpr.nets.model import Input, ModelFolder
from anpr.nets.providers import Device
from anpr.nets.session import Session
from anpr.ops import contract
from anpr.ops.quads import box_iou, is_convex, quad_area, quad_size
from anpr.ops.window import Window, merged
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
    """Sizes of the canvas, as a share of the model's own, on which the picture is looked at: above 1 for far plates,
    below for plates that fill the picture. The cost grows with the square."""


CANVAS_MULTIPLE = 32
"""The net halves its canvas five times."""
CONTEXT_PX = 32
"""Canvas pixels around a window that are looked at, too: a plate is known by what is around it."""
EDGE_PX = 8
"""Plates so near an edge of what was looked at, in canvas pixels, may be cut."""
MOST_OF_IT = 0.8
"""Share of the picture from which on the whole is looked at."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Finds plates. Use from one thread at a time: the canvases are its own."""

    session: Session
    options: DetectorOptions
    operations: contract.Operations
    canvases: tuple[Canvas, ...]
    """One for each zoom."""

    @staticmethod
    def open(
        model: ModelFolder, options: DetectorOptions | None = None, *, device: Device = "cpu", threads: int = 1
    ) -> Detector:
        """Raises ModelError or DeviceError as `Session.open` does, ModelError for a zoom that the net cannot take."""
        facts, options = model.facts.input, options or DetectorOptions()
        session = Session.open(model, device=device, threads=threads)
        sizes = [canvas_size(facts.height, facts.width, zoom) for zoom in options.zooms]
        if not session.takes_any_size and set(sizes) != {(facts.height, facts.width)}:
            raise ModelError(
                f"takes pictures of {facts.width}x{facts.height} alone, the pipeline asks for zooms {options.zooms}",
                place=str(model.path),
                cure="set zooms = [1.0], or export the model again",
            )
        operations = contract.load("cpu")
        return Detector(session, options, operations, tuple(Canvas.new(facts, size, operations) for size in sizes))

    def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
        """The plates of a frame, best first; with `windows`, those in these parts of it, at a part of the cost.

        More than the windows is looked at, so that what stands at their edges is found as in the whole picture.
        """
        found: list[Plate] = []
        for canvas in self.canvases:
            parts = canvas.parts(frame.luma.shape, windows)
            if not parts:
                found += self._look(frame.luma, canvas)
            for part in parts:
                found += self._look_at(frame.luma, canvas, part)
        kept = best_plates(found, self.options)
        colours = plate_colours(frame, [plate.quad for plate in kept])
        return [replace(plate, colour=colour) for plate, colour in zip(kept, colours, strict=True)]

    def _look(self, luma: NDArray[np.uint8], canvas: Canvas) -> list[Plate]:
        """The plates on one canvas, unfiltered for overlap."""
        box = canvas.draw(luma)
        return plates_of_peaks(self._peaks(canvas), box, self.options)

    def _look_at(self, luma: NDArray[np.uint8], whole: Canvas, window: Window) -> list[Plate]:
        """The same of a part of the picture; not those at its edges, where there is more picture: they may be cut."""
        height, width = luma.shape
        times = whole.times(luma.shape)
        canvas = whole.cut((window.bottom - window.top) // times, (window.right - window.left) // times)
        box = canvas.draw(luma[window.top : window.bottom, window.left : window.right])
        low = np.where([window.left > 0, window.top > 0], EDGE_PX, -np.inf)
        goes_on = np.array([window.right < width, window.bottom < height])
        high = np.where(goes_on, np.array([box.width_px, box.height_px]) - EDGE_PX, np.inf)
        peaks = self._peaks(canvas)
        corners = peaks[:, 2:].reshape(-1, 4, 2)
        inside = ((corners >= low) & (corners < high)).all((1, 2))
        corner = np.array([window.left, window.top], np.float32)
        plates = plates_of_peaks(peaks[inside], box, self.options)
        return [replace(plate, quad=plate.quad + corner) for plate in plates]

    def _peaks(self, canvas: Canvas) -> NDArray[np.float32]:
        return self.operations.find_peaks(
            self.session.run(canvas.batch)[0],
            threshold=self.options.threshold,
            stride=self.session.model.facts.output.stride,
            most=self.options.most,
        )


def plates_of_peaks(peaks: NDArray[np.float32], box: contract.Letterbox, options: DetectorOptions) -> list[Plate]:
    """The plates that a canvas's peaks (n, 10) stand for, `box` telling how the picture lies on it."""
    plates = []
    for peak in peaks:
        quad = box.to_source(peak[2:].reshape(4, 2))
        if quad_area(quad) <= 0 or not is_convex(quad) or quad_size(quad)[1] < options.height_least_px:
            continue
        plates.append(Plate(quad=quad, score=float(peak[0]), lines=2 if peak[1] > 0.5 else 1))
    return plates


def best_plates(found: Sequence[Plate], options: DetectorOptions) -> list[Plate]:
    """Those of all canvases that are not better seen by another, best first."""
    kept: list[Plate] = []
    for plate in sorted(found, key=lambda plate: -plate.score):
        box = plate.to_xyxy()
        if all(box_iou(box, other.to_xyxy()) <= options.overlap_most for other in kept):
            kept.append(plate)
    return kept[: options.most]


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """The input of a detector, drawn anew for each picture."""

    facts: Input
    batch: NDArray[np.float32] | NDArray[np.uint8]
    """Of one picture, laid out as the facts say."""
    operations: contract.Operations

    @staticmethod
    def new(facts: Input, size: tuple[int, int], operations: contract.Operations) -> Canvas:
        """A blank one of (height, width) pixels, multiples of `CANVAS_MULTIPLE`."""
        blank = np.zeros(size, np.float32 if facts.layout == "plane" else np.uint8)
        return Canvas(facts, _shaped(facts, blank.reshape(-1), *size), operations)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        if self.facts.layout == "plane":
            return self.batch.shape[2], self.batch.shape[3]
        return self.batch.shape[1] * contract.BLOCK_PX, self.batch.shape[2] * contract.BLOCK_PX

    def times(self, shape: tuple[int, ...]) -> int:
        """How many pixels of a picture of that (height, width) become one, and so across; 0 if no whole number does, or
        the tiles that the net can halve do not fill the picture's width."""
        height, width = shape
        box = contract.fit_letterbox(height, width, *self.size)
        times = width // box.width_px
        whole = (box.width_px * times, box.height_px * times) == (width, height)
        return times if whole and width % (CANVAS_MULTIPLE * times) == 0 else 0

    def parts(self, shape: tuple[int, ...], windows: Sequence[Window]) -> list[Window]:
        """What has to be looked at of a picture of that (height, width), in tiles; none if it is better looked at as a
        whole."""
        height, width = shape
        times = self.times(shape)
        if not windows or not times:
            return []
        tile_px = CANVAS_MULTIPLE * times
        grown = (window.grown(CONTEXT_PX * times) for window in windows)
        parts = merged(window.on_tiles(tile_px, height_px=height, width_px=width) for window in grown)
        return parts if sum(part.area for part in parts) < MOST_OF_IT * width * height else []

    def cut(self, height: int, width: int) -> Canvas:
        """A smaller one in the same memory."""
        return Canvas(self.facts, _shaped(self.facts, self.batch.reshape(-1), height, width), self.operations)

    def draw(self, luma: NDArray[np.uint8]) -> contract.Letterbox:
        """Put a picture on it, as large as it fits; tells where it lies."""
        facts = self.facts
        if facts.layout == "plane":
            plane: NDArray[np.float32] = self.batch[0, 0]
            return self.operations.letterbox_luma(luma, plane, mean=facts.mean, scale=facts.scale)
        blocks: NDArray[np.uint8] = self.batch[0]
        return self.operations.letterbox_blocks(luma, blocks, fill=round(facts.mean))


def _shaped(
    facts: Input, pixels: NDArray[np.float32] | NDArray[np.uint8], height: int, width: int
) -> NDArray[np.float32] | NDArray[np.uint8]:
    """The first of the `pixels` as a batch of one picture."""
    first = pixels[: height * width]
    if facts.layout == "plane":
        return first.reshape(1, 1, height, width)
    px = contract.BLOCK_PX
    return first.reshape(1, height // px, width // px, px * px)


def canvas_size(height: int, width: int, zoom: float) -> tuple[int, int]:
    """(height, width) of the canvas at a zoom: whole multiples of what the net can halve, at least one."""
    rows, columns = (max(1, round(side * zoom / CANVAS_MULTIPLE)) * CANVAS_MULTIPLE for side in (height, width))
    return rows, columns
