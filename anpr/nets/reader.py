"""The plate reader: plates of a frame in, one Read with its lattice for each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anpr.errors import ModelError
from anpr.nets.model import ModelFolder, Output
from anpr.nets.providers import Device
from anpr.nets.session import Session
from anpr.ops import contract
from anpr.ops.quads import quad_size
from anpr.plates.lattice import settle
from anpr.records import ALPHABET, NO_PLATE, Frame, Plate, Read


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """When a plate is not worth a reading."""

    character_height_least_px: float = 6.0
    """Characters lower than this in the source picture hold no shape."""
    contrast_least: float = 6.0
    """Deviation of the plate's grey levels below which nothing is printed on it."""
    validity_least: float = 0.2
    """Share of the lattice that must lie on Vietnamese plates."""
    readable_least: float = 0.5
    """Chance that there is a whole Vietnamese plate to read, where the net judges it."""
    alternatives: int = 5


REASONS = {"blurred": "too blurred", "cut": "cut off", "foreign": "not a Vietnamese plate", "none": NO_PLATE}
"""What is told of a plate in a state that is not readable."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the net says of the plate as a whole."""

    readable: float = 1.0
    """Chance, 0 to 1."""
    otherwise: str = ""
    """The likeliest reason if it is not readable."""

    @staticmethod
    def of(logits: NDArray[np.floating], output: Output) -> Judgement:
        """From the net's second output, (states,) before softmax."""
        scaled = logits.astype(np.float64) / output.judgement_temperature
        chances = dict(zip(output.states, np.exp(scaled - np.logaddexp.reduce(scaled)).tolist(), strict=True))
        readable = chances.pop("readable")
        return Judgement(readable, REASONS[max(chances, key=chances.__getitem__)])


SURE = Judgement()
"""Of a net that does not judge."""


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
        outputs = [output[0] for output in self.session.run_all(self.crop)]
        return read_of_outputs(outputs, plate, facts.output, contrast=contrast, options=self.options)


def read_of_outputs(
    outputs: Sequence[NDArray[np.floating]], plate: Plate, facts: Output, *, contrast: float, options: ReaderOptions
) -> Read:
    """The Read that the net's outputs for one plate stand for, in the order of `facts.names`."""
    logits = outputs[0].astype(np.float64) / facts.temperature
    log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    judgement = Judgement.of(outputs[1], facts) if facts.judgement else SURE
    return judged(log_probs, plate, contrast=contrast, options=options, judgement=judgement)


def judged(
    log_probs: NDArray[np.float32],
    plate: Plate,
    *,
    contrast: float,
    options: ReaderOptions,
    judgement: Judgement = SURE,
) -> Read:
    """The Read that a lattice gives of a plate, with the reason where nothing should be read."""
    settled = settle(log_probs, top=options.alternatives, colour=plate.colour, lines=plate.lines)
    _, height_px = quad_size(plate.quad)
    character_px = height_px * (0.38 if plate.lines == 2 else 0.62)
    unreadable = ""
    if judgement.readable < options.readable_least and judgement.otherwise == NO_PLATE:
        unreadable = NO_PLATE
    elif character_px < options.character_height_least_px:
        unreadable = "too small"
    elif contrast < options.contrast_least:
        unreadable = "no contrast"
    elif not settled.text or settled.validity < options.validity_least:
        unreadable = "not a Vietnamese plate"
    elif judgement.readable < options.readable_least:
        unreadable = judgement.otherwise
    return Read(
        log_probs=log_probs,
        raw=settled.raw,
        text=settled.text,
        probability=settled.probability * judgement.readable,
        readable=judgement.readable,
        alternatives=tuple((text, chance * judgement.readable) for text, chance in settled.alternatives),
        unreadable=unreadable,
    )
