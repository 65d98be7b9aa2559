"""The index of one watch-list: immutable, built beside the live one, searched without a lock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anpr.ops.cpu_match_index import PlateTables, build_plates, find_exact, search
from anpr.ops.cpu_match_patterns import PatternTables, build_patterns
from anpr.ops.matching_contract import SLOTS
from anpr.plates.confusions import Confusions, shipped
from anpr.records import EMPTY

MISSING = 2e-3
"""With which a match counts for each character that was not read. Set, and higher than measured
(`Confusions.left_out`): a character that dirt or a cover hides is in no labelled picture, and only lists of few plates
have so low a threshold."""
EXTRA = 2e-3
"""The same for each that was read where there is none."""

TEXT_BYTES = 12
"""Width of a text: the longest pattern."""


def as_rows(texts: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """(n, TEXT_BYTES) the bytes of texts."""
    return np.ascontiguousarray(texts, f"S{TEXT_BYTES}").view(np.uint8).reshape(len(texts), TEXT_BYTES)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least probability with which a listed plate, or a listed pattern, matches."""

    plates: float
    patterns: float
    expected_per_day: float | None = None
    """False hits a day that they let through, at most, if that was asked."""

    def __post_init__(self) -> None:
        if not (self.plates > 0.0 and self.patterns > 0.0):
            raise ValueError(f"thresholds must be above 0, got {self.plates} and {self.patterns}")


@dataclass(frozen=True, slots=True)
class Costs:
    """How a reader errs, and what a match by such an error scores."""

    confusions: Confusions = field(default_factory=shipped)
    missing: float = MISSING
    extra: float = EXTRA

    def probabilities(self) -> NDArray[np.float32]:
        """(36 read, 36 true) P(read | true)."""
        return np.exp(-self.confusions.costs).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """Sightings as arrays, to be matched in one go."""

    lattices: NDArray[np.float32]
    """(reads, SLOTS, 37) probabilities, columns = ALPHABET, then 'no character here'."""
    texts: NDArray[np.uint8]
    """(reads, 1 + alternatives, TEXT_BYTES) ASCII padded with 0, the reference first."""
    chances: NDArray[np.float32]
    """(reads, 1 + alternatives) their probabilities."""

    def __post_init__(self) -> None:
        reads, texts = len(self.lattices), self.texts.shape[1]
        if self.lattices.shape != (reads, SLOTS, EMPTY + 1):
            raise ValueError(f"lattices must be (reads, {SLOTS}, {EMPTY + 1}), got {self.lattices.shape}")
        if self.texts.shape != (reads, texts, TEXT_BYTES) or self.chances.shape != (reads, texts):
            raise ValueError(f"texts and chances do not fit {reads} reads: {self.texts.shape}, {self.chances.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The plates and patterns of one list."""

    plates: PlateTables
    patterns: PatternTables
    thresholds: Thresholds
    costs: Costs
    _confusions: NDArray[np.float32] = field(repr=False)
    _limits: NDArray[np.float32] = field(repr=False)

    @classmethod
    def build(cls, texts: NDArray[np.bytes_], *, thresholds: Thresholds, costs: Costs | None = None) -> Index:
        """The index of `texts` (S12, one row per entry, patterns among them).

        Plates with a character taken out are kept only where such a match can reach the threshold.
        """
        costs = costs or Costs()
        rows = as_rows(texts)
        return cls(
            build_plates(rows, with_deleted=costs.missing >= thresholds.plates),
            build_patterns(rows),
            thresholds,
            costs,
            costs.probabilities(),
            np.array([thresholds.plates, thresholds.patterns], np.float32),
        )

    @property
    def size_bytes(self) -> int:
        """Memory of the tables."""
        return sum(table.nbytes for tables in (self.plates, self.patterns) for table in tables)

    def search(self, reads: Reads) -> tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.float32]]:
        """Per match the read, the row of the list and the score; ordered by read."""
        room = 64 + 2 * len(reads.lattices)
        while True:
            found = np.empty(room, np.int32), np.empty(room, np.uint32), np.empty(room, np.float32)
            total = search(
                self.plates,
                self.patterns,
                reads.lattices,
                reads.texts,
                reads.chances,
                self._confusions,
                np.float32(self.costs.missing),
                np.float32(self.costs.extra),
                self._limits,
                *found,
            )
            if total <= room:
                return found[0][:total], found[1][:total], found[2][:total]
            room = 2 * total

    def find_exact(self, texts: NDArray[np.bytes_]) -> NDArray[np.int32]:
        """Per text a row of the list with that very plate, -1 where there is none."""
        positions = np.empty(len(texts), np.int32)
        find_exact(self.plates, as_rows(texts), positions)
        listed = positions >= 0
        positions[listed] = self.plates.rows[positions[listed]]
        return positions
