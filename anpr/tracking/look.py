"""One readable read of a vehicle and what it weighs in the vote."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anpr.records import EMPTY, Plate, Read

MISREAD = 0.02
"""Chance that a character of one read is anything, whatever the lattice says: no single read can veto."""
GOOD_SIZE_PX = 60.0
"""Square root of the plate's area at which nothing is lost any more: characters 16 pixels high."""
TAINTED_WEIGHT = 0.15
"""Of a read from a possibly damaged picture."""
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True)
class Moment:
    """The frame in which something was seen."""

    frame_index: int
    pts_seconds: float
    wall_seconds: float
    tainted: bool


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One readable read, with its place in the track."""

    plate: Plate
    read: Read
    weight: float
    """Quality, above 0 and at most 1."""
    ordinal: int
    """Number of the plate within its track, from 0."""
    moment: Moment


def quality(read: Read, *, size_px: float, tainted: bool) -> float:
    """How much a read weighs, above 0 and at most 1: the plate's size, the lattice's sharpness, a damaged picture.

    `size_px` is the square root of the plate's area. Sharpness is the geometric mean of the rows' peaks, squared: a
    blurred plate gives flat rows.
    """
    size = min(size_px / GOOD_SIZE_PX, 1.0) ** 2
    sharpness = float(np.exp(2.0 * read.log_probs.max(axis=1).mean()))
    return min(max(size * sharpness * (TAINTED_WEIGHT if tainted else 1.0), LEAST_WEIGHT), 1.0)


def smoothed(log_probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The lattice with a MISREAD share of every row spread over all characters."""
    return np.log(np.exp(log_probs) * (1.0 - MISREAD) + MISREAD / (EMPTY + 1))
