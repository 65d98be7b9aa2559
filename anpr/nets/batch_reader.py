"""The reader over the plates of a batch of surfaces: lattice, judgement, contrast and colour cast come home, 1.5 KB a
plate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anpr.errors import ModelError
from anpr.nets.bound import Bound, first
from anpr.nets.colour import PICTURE_CHROMA_LEAST, colour_of_cast
from anpr.nets.model import ModelFolder
from anpr.nets.providers import Device, GpuPlace
from anpr.nets.reader import ReaderOptions, read_of_outputs
from anpr.nets.runtime import open_session
from anpr.ops.contract import Batches
from anpr.ops.surfaces import Array, Surface
from anpr.records import ALPHABET, Plate, Read


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A plate in a surface, and whether it is to be read."""

    surface: Surface
    plate: Plate
    wanted: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class BatchReader:
    """Tells plates' colours and reads them. Use from the thread that opened it."""

    batches: Batches
    options: ReaderOptions
    most: int
    net: Bound
    contrasts: Array
    casts: Array
    spreads: Array

    @staticmethod
    def open(
        model: ModelFolder,
        options: ReaderOptions,
        batches: Batches,
        *,
        device: Device,
        place: GpuPlace | None,
        most: int,
        threads: int = 1,
    ) -> BatchReader:
        """For batches of up to `most` plates; more are read in several. Raises ModelError or DeviceError."""
        facts = model.facts
        if facts.output.decoding != "slots" or facts.output.alphabet != ALPHABET:
            raise ModelError(
                "is no reader that works in batches", place=str(model.path), cure="name a reader with slots"
            )
        height, width = facts.input.height, facts.input.width
        session = open_session(model, device=device, place=place, sizes=[(height, width)], most=most, threads=threads)
        gpu, graphs = None if place is None else place.number, 1 if device == "cuda" else None
        net = Bound.open(session, batches, height=height, width=width, most=most, gpu=gpu, graphs_from=graphs)
        contrasts, spreads = (batches.empty((most,), np.float32) for _ in range(2))
        return BatchReader(batches, options, most, net, contrasts, batches.empty((most, 2), np.float32), spreads)

    def warm(self) -> None:
        """Prepare every batch size."""
        self.net.warm()

    def read(self, found: Sequence[Found]) -> list[tuple[Plate, Read | None]]:
        """Each plate with its colour, and a Read of those that are wanted, in the same order."""
        results: list[tuple[Plate, Read | None]] = []
        for start in range(0, len(found), self.most):
            results += self._read(found[start : start + self.most])
        return results

    def _read(self, found: Sequence[Found]) -> list[tuple[Plate, Read | None]]:
        facts = self.net.session.model.facts
        quads = np.stack([each.plate.quad for each in found])
        surfaces = [each.surface for each in found]
        self.batches.chroma_of_plates(surfaces, quads, self.casts, self.spreads)
        arrays = [first(array, len(found)) for array in (self.casts, self.spreads)]
        wanted = [number for number, each in enumerate(found) if each.wanted]
        if wanted:
            chosen = [surfaces[number] for number in wanted]
            self.batches.rectify_plates(
                chosen, quads[wanted], self.net.input, self.contrasts, margin=facts.input.margin
            )
            self.net.run(len(wanted))
            arrays += [first(array, len(wanted)) for array in (self.contrasts, *self.net.outputs)]
        casts, spreads, *read = self.batches.fetch(*arrays)
        plates = [
            _coloured(each.plate, cast, float(spread)) for each, cast, spread in zip(found, casts, spreads, strict=True)
        ]
        reads: dict[int, Read] = {}
        for row, number in enumerate(wanted):
            contrast, *outputs = (array[row : row + 1] for array in read)
            reads[number] = read_of_outputs(
                outputs, plates[number], facts.output, contrast=float(contrast[0]), options=self.options
            )
        return [(plate, reads.get(number)) for number, plate in enumerate(plates)]


def _coloured(plate: Plate, cast: NDArray[np.float32], spread: float) -> Plate:
    """With its colour, or none to tell in an infrared picture."""
    colour = "unknown" if spread < PICTURE_CHROMA_LEAST else colour_of_cast(float(cast[0]), float(cast[1]))
    return replace(plate, colour=colour)
