"""The plate reader: plates of a frame in, one Read with its lattice for each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anpr.errors import ModelError
from anpr.nets.model import ModelFolder
from anpr.nets.session import Device, Session
from anpr.ops import contract
from anpr.ops.quads import quad_size
from anpr.plates.lattice import settle
from anpr.records import ALPHABET, Frame, Plate, Read


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """When a plate is not worth a reading."""

    character_height_least_px: float = 6.0
    """Characters lower than this in the source picture hold no shape."""
    contrast_least: float = 6.0
    """Deviation of the plate's grey levels below which nothing is printed on it."""
    validity_least: float = 0.2
    """Share of the lattice that must lie on Vietnamese plates."""
    alternatives: int = 5


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads plates. Use from one thread at a time: the crop is its own."""

    session: Session
    options: ReaderOptions
    operations: contract.Operations
    crop: NDArray[np.float32]

    @staticmethod
    def open(
        model: ModelFolder, options: ReaderOptions | None = None, *, device: Device = "cpu", threads: int = 1
    ) -> Reader:
        """Raises ModelError or DeviceError as `Session.open` does, ModelError for a foreign alphabet."""
        facts = model.facts
        if facts.output.alphabet != ALPHABET:
            raise ModelError(
                f"reads {facts.output.alphabet!r}, the engine's characters are {ALPHABET!r}",
                place=str(model.path),
                cure="name a reader trained for this engine",
            )
        return Reader(
            session=Session.open(model, device=device, threads=threads),
            options=options or ReaderOptions(),
            operations=contract.load("cpu"),
            crop=np.zeros((1, 1, facts.input.height, facts.input.width), dtype=np.float32),
        )

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        """One Read per plate, in the same order."""
        return [self._read(frame, plate) for plate in plates]

    def _read(self, frame: Frame, plate: Plate) -> Read:
        facts = self.session.model.facts
        contrast = self.operations.rectify(frame.luma, plate.quad, self.crop[0, 0], margin=facts.input.margin)
        logits = self.session.run(self.crop)[0].astype(np.float64) / facts.output.temperature
        log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
        return judged(log_probs, plate, contrast=contrast, options=self.options)


def judged(log_probs: NDArray[np.float32], plate: Plate, *, contrast: float, options: ReaderOptions) -> Read:
    """The Read that a lattice gives of a plate, with the reason where nothing should be read."""
    settled = settle(log_probs, top=options.alternatives, colour=plate.colour, lines=plate.lines)
    _, height_px = quad_size(plate.quad)
    character_px = height_px * (0.38 if plate.lines == 2 else 0.62)
    unreadable = ""
    if character_px < options.character_height_least_px:
        unreadable = "too small"
    elif contrast < options.contrast_least:
        unreadable = "no contrast"
    elif not settled.text or settled.validity < options.validity_least:
        unreadable = "not a Vietnamese plate"
    return Read(
        log_probs=log_probs,
        raw=settled.raw,
        text=settled.text,
        probability=settled.probability,
        alternatives=settled.alternatives,
        unreadable=unreadable,
    )
