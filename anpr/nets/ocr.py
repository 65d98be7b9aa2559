"""A general text recogniser (PP-OCR and its like) as a plate reader: strips of text in, one Read for each plate out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anpr.errors import ModelError
from anpr.nets import ctc
from anpr.nets.model import ModelFolder
from anpr.nets.providers import Device
from anpr.nets.reader import ReaderOptions, judged
from anpr.nets.session import Session
from anpr.ops import contract
from anpr.ops.quads import quad_size
from anpr.records import Frame, Plate, Read

GAP_LOOK = (64, 96)
"""Height and width at which the gap between two lines is looked for."""
GAP_RANGE = (0.36, 0.64)
"""Where it may lie, as shares of the plate's height."""
WIDTH_STEP = 16
"""Strips are as wide as a multiple of it: few shapes, so that the runtime can keep its plans."""


@dataclass(frozen=True, slots=True)
class OcrReader:
    """Reads plates with a recogniser of text lines. Use from one thread at a time."""

    session: Session
    options: ReaderOptions
    operations: contract.Operations
    columns: NDArray[np.intp]
    """Lattice column of each class of the net."""

    @staticmethod
    def open(
        model: ModelFolder, options: ReaderOptions | None = None, *, device: Device = "cpu", threads: int = 1
    ) -> OcrReader:
        """Raises ModelError or DeviceError as `Session.open` does, ModelError for a dictionary that does not fit."""
        columns = ctc.columns_of(_dictionary(model))
        session = Session.open(model, device=device, threads=threads)
        classes = session.runtime.get_outputs()[0].shape[-1]
        if isinstance(classes, int) and classes != len(columns):
            raise ModelError(
                f"has {len(columns) - 1} characters, the net tells {classes - 1} apart",
                place=str(model.path / model.facts.output.dictionary),
                cure="restore the model folder",
            )
        return OcrReader(session, options or ReaderOptions(), contract.load("cpu"), columns)

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        """One Read per plate, in the same order."""
        return [self._read(frame, plate) for plate in plates]

    def _read(self, frame: Frame, plate: Plate) -> Read:
        output = self.session.model.facts.output
        found = [self._strip(frame, quad) for quad in self._strips(frame, plate)]
        rows = np.concatenate([characters for characters, _ in found])
        log_probs = ctc.lattice(rows, slots=output.slots, temperature=output.temperature)
        read = judged(log_probs, plate, contrast=min(contrast for _, contrast in found), options=self.options)
        if len(rows) > output.slots and not read.unreadable:
            return replace(read, unreadable="not a Vietnamese plate")
        return read

    def _strips(self, frame: Frame, plate: Plate) -> list[NDArray[np.float32]]:
        """The corners of each line of text."""
        if plate.lines == 1:
            return [plate.quad]
        look = np.zeros(GAP_LOOK, np.float32)
        self.operations.rectify(frame.luma, plate.quad, look, margin=0.0)
        gap = gap_of(look)
        return [part_of(plate.quad, 0.0, gap), part_of(plate.quad, gap, 1.0)]

    def _strip(self, frame: Frame, quad: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """The characters of one line as rows of a lattice, and the line's contrast."""
        wanted = self.session.model.facts.input
        width_px, height_px = quad_size(quad)
        steps = round(wanted.height * width_px / max(height_px, 1.0) / WIDTH_STEP)
        width = min(wanted.width, max(2, steps) * WIDTH_STEP)
        grey = np.zeros((wanted.height, width), np.float32)
        contrast = self.operations.rectify(frame.luma, quad, grey, margin=wanted.margin)
        np.clip(grey * np.float32(wanted.scale), -1.0, 1.0, out=grey)
        batch = np.ascontiguousarray(np.broadcast_to(grey, (1, wanted.channels, wanted.height, width)))
        return ctc.characters(ctc.fold(self.session.run(batch)[0], self.columns)), contrast


def gap_of(look: NDArray[np.float32]) -> float:
    """Where the two lines of a frontal plate part, as a share of its height: the row with the fewest edges."""
    height = look.shape[0]
    edges = np.abs(np.diff(look, axis=1)).mean(axis=1)
    smooth = np.convolve(edges, np.ones(5) / 5, mode="same")
    first, last = round(GAP_RANGE[0] * height), round(GAP_RANGE[1] * height)
    off_centre = np.abs((np.arange(first, last) + 0.5) / height - 0.5)
    return float((first + np.argmin(smooth[first:last] * (1 + 2 * off_centre)) + 0.5) / height)


def part_of(quad: NDArray[np.float32], top: float, bottom: float) -> NDArray[np.float32]:
    """The part of a plate between two shares of its height."""
    left, right = quad[3] - quad[0], quad[2] - quad[1]
    corners = [quad[0] + top * left, quad[1] + top * right, quad[1] + bottom * right, quad[0] + bottom * left]
    return np.array(corners, np.float32)


def _dictionary(model: ModelFolder) -> list[str]:
    """The characters of the net's classes after the blank."""
    name = model.facts.output.dictionary
    place = model.path / name
    problem = "is missing"
    if name and "/" not in name and place.is_file():
        try:
            return place.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError:
            problem = "is not UTF-8"
    raise ModelError(f"the dictionary {name!r} {problem}", place=str(model.path), cure="restore the model folder")
