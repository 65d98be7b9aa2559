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
from anpr.plates.lattice import average, settle
from anpr.records import ALPHABET, NO_PLATE, TOO_SMALL, Frame, Plate, Read


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
    cut_again_below: float = 0.0
    """A plate that is read less probably, or seems cut off, is cut out with wider margins too, and what the net says of
    all the cuts is averaged; 0: each plate is cut out once."""
    alternatives: int = 5


WIDER = (0.03, 0.06)
"""Added to the margin of the further cuts. Found on training scenes scaled down until their plates were 8 to 15 px
high: three cuts read 44 plates that one did not, and one 8 that three did not."""

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
        """From the net's second output, (cuts, states) before softmax: the mean of the cuts' chances."""
        scaled = logits.astype(np.float64) / output.judgement_temperature
        shares = np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)).mean(axis=0)
        chances = dict(zip(output.states, shares.tolist(), strict=True))
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
        contrast, outputs = self._cut(frame, plate)
        facts = self.session.model.facts.output
        read = read_of_outputs(outputs, plate, facts, contrast=contrast, options=self.options)
        if not is_to_be_cut_again(read, self.options):
            return read
        cuts = [outputs, *(self._cut(frame, plate, wider)[1] for wider in WIDER)]
        together = [np.concatenate(each) for each in zip(*cuts, strict=True)]
        return read_of_outputs(together, plate, facts, contrast=contrast, options=self.options)

    def _cut(self, frame: Frame, plate: Plate, wider: float = 0.0) -> tuple[float, list[NDArray[np.float32]]]:
        """The contrast of one cut, and what the net says of it."""
        margin = self.session.model.facts.input.margin + wider
        contrast = self.operations.rectify(frame.luma, plate.quad, self.crop[0, 0], margin=margin)
        return contrast, self.session.run_all(self.crop)


def is_to_be_cut_again(read: Read, options: ReaderOptions) -> bool:
    """Whether wider cuts may tell more of a plate than the first one did."""
    if read.unreadable:
        return options.cut_again_below > 0 and read.unreadable == REASONS["cut"]
    return read.probability < options.cut_again_below


def read_of_outputs(
    outputs: Sequence[NDArray[np.floating]], plate: Plate, facts: Output, *, contrast: float, options: ReaderOptions
) -> Read:
    """The Read that the net's outputs for the cuts of one plate stand for, each (cuts, …), in the order of
    `facts.names`."""
    logits = outputs[0].astype(np.float64) / facts.temperature
    log_probs = average((logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)).astype(np.float32))
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
        unreadable = TOO_SMALL
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
