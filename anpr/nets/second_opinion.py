"""A second reader for the plates that the first is not sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from anpr.metrics import Counters
from anpr.plates.lattice import combine, settle
from anpr.records import Frame, Plate, Read


class ReadsPlates(Protocol):
    """What both readers do."""

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        """One Read per plate, in the same order."""
        ...


@dataclass(frozen=True, slots=True)
class OpinionOptions:
    """When the second reader is asked, and what its word counts."""

    below_probability: float = 0.9
    """Reads that are at least so probable stand as they are."""
    first_weight: float = 1.0
    second_weight: float = 0.5


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Two readers as one, with lattices of as many slots. Use from one thread at a time."""

    first: ReadsPlates
    second: ReadsPlates
    options: OpinionOptions
    alternatives: int
    """Further readings that are kept, as the first reader keeps them."""
    counters: Counters
    """`second_opinions` by what came of them: `agreed`, `changed`, `kept` (the first reader's word), or `refused`: the
    second reader saw no plate."""

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        """One Read per plate, in the same order."""
        reads = self.first.read(frame, plates)
        return [self._asked(frame, plate, read) for plate, read in zip(plates, reads, strict=True)]

    def _asked(self, frame: Frame, plate: Plate, read: Read) -> Read:
        """`read`, or what both readers say together where both see a plate."""
        if read.unreadable or read.probability >= self.options.below_probability:
            return read
        (other,) = self.second.read(frame, [plate])
        if other.unreadable:
            self.counters.add("second_opinions", reason="refused")
            return read
        weights = (self.options.first_weight, self.options.second_weight)
        log_probs = combine((read.log_probs, other.log_probs), weights)
        settled = settle(log_probs, top=self.alternatives, colour=plate.colour, lines=plate.lines)
        outcome = "agreed" if read.text == other.text else "kept" if settled.text == read.text else "changed"
        self.counters.add("second_opinions", reason=outcome)
        return replace(
            read,
            log_probs=log_probs,
            raw=settled.raw,
            text=settled.text,
            probability=settled.probability * read.readable,
            alternatives=tuple((text, chance * read.readable) for text, chance in settled.alternatives),
        )
