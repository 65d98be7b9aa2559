"""One plate out of the many reads of a track: a weighted sum of log-probabilities, tempered.

Strings are not counted. Each read's lattice enters with a weight by its quality, reads that contradict what the others
say together lose theirs, and the sum is scaled to the number of *independent* looks. Reads of one vehicle share light,
dirt, angle and the reader's own habits: n of them are worth n ** INDEPENDENCE. With n itself, ten reads that are each
70 % sure of one wrong character would be 99.98 % sure of it together; with the square root they are 94 % sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anpr.plates import lattice
from anpr.plates.lattice import Settled
from anpr.records import Colour
from anpr.tracking.association import agreement
from anpr.tracking.look import Look, smoothed

INDEPENDENCE = 0.5
"""Exponent that turns a number of reads into a number of independent looks."""
CONTRADICTION = -2.0
"""Nats of `agreement` with the whole at which a read loses half its weight."""
SWITCH = -6.0
"""Nats of `agreement` between two halves of a track below which they are two vehicles."""


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """What the reads of a track say together."""

    settled: Settled
    log_probs: NDArray[np.float32]
    """(slots, 37), the voted lattice."""
    positions: tuple[tuple[tuple[str, float], ...], ...]
    """Per position the likely characters with their probabilities."""
    surest_read: float
    """Highest probability of any single read."""


def effective_looks(weights: float, squares: float) -> float:
    """Independent looks in reads whose weights have this sum and this sum of squares (Kish's effective sample size)."""
    return float((weights * weights / squares) ** INDEPENDENCE)


def vote(looks: Sequence[Look], *, colour: Colour = "unknown", lines: int | None = None) -> Vote:
    """Settle the reads of one vehicle; `looks` is not empty and all lattices have one shape."""
    log_probs = _combined(looks)
    settled = lattice.settle(log_probs, colour=colour, lines=lines)
    return Vote(
        settled,
        log_probs,
        lattice.position_alternatives(log_probs, settled.text),
        max(look.read.probability for look in looks),
    )


def switch(looks: Sequence[Look]) -> int | None:
    """Where the text changes within a track: the index of the first look at the second vehicle; None if it does not.

    Both sides must have two reads that stand together, so that one misread frame never splits a vehicle.
    """
    best, where = SWITCH, None
    if len(looks) < 4 or _spread(looks) > SWITCH:
        return None
    for index in range(2, len(looks) - 1):
        before, after = np.exp(_combined(looks[:index])), np.exp(_combined(looks[index:]))
        evidence = float(agreement(before[None], after[None])[0, 0])
        if evidence < best and _united(looks[:index], before) and _united(looks[index:], after):
            best, where = evidence, index
    return where


def _combined(looks: Sequence[Look]) -> NDArray[np.float32]:
    """The voted lattice, (slots, 37) log-probabilities."""
    weights = np.array([look.weight for look in looks])
    lattices = [smoothed(look.read.log_probs) for look in looks]
    if len(looks) > 2:
        whole = np.exp(lattice.combine(lattices, _tempered(weights)))
        reads = np.exp(np.stack(lattices))
        evidence = agreement(whole[None], reads)[0].astype(np.float64)
        weights = weights / (1.0 + np.exp(np.clip(CONTRADICTION - evidence, -30.0, 30.0)))
    return lattice.combine(lattices, _tempered(weights))


def _tempered(weights: NDArray[np.float64]) -> list[float]:
    total = float(weights.sum())
    looks = effective_looks(total, float((weights * weights).sum()))
    scaled: list[float] = (weights * (looks / total)).tolist()
    return scaled


def _spread(looks: Sequence[Look]) -> float:
    """The least agreement of any read with the first or the last."""
    reads = np.exp(np.stack([look.read.log_probs for look in looks]))
    return float(agreement(reads[[0, -1]], reads).min())


def _united(looks: Sequence[Look], whole: NDArray[np.float32]) -> bool:
    reads = np.exp(np.stack([look.read.log_probs for look in looks]))
    return bool((agreement(whole[None], reads)[0] > 0.0).mean() > 0.6)
