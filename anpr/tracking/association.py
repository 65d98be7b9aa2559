"""Which plate of this frame belongs to which track.

The score of a pair is the logarithm of a likelihood ratio: the plate is the track's vehicle, against the plate is a
newcomer (or a false detection) and the track's vehicle was missed. Three things speak: where and how large the plate is
(`motion`), its number of lines, and whether the lattices show one text. A tight prediction outweighs one misread frame;
a loose one (a first frame, a long gap, 5 frames/s) leaves the word to the texts. A pair whose score is not above zero
is never joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from anpr.records import EMPTY
from anpr.tracking.motion import Prediction, Spot

NEWCOMER_LOG_DENSITY = log(1e-4 / 1.5)
"""Newcomers per frame, per square plate size and unit of log size: about 0.05 in a 1080p picture (600 square sizes)."""
DETECTION_LOG_ODDS = log(0.9 / 0.1)
"""A plate in view is found in nine frames of ten."""
MISSED_LOG_CHANCE = log(0.15)
"""Each frame in which the vehicle was looked for in vain speaks against it still being there …"""
HIDDEN_LOG_CHANCE = log(0.01)
"""… but not beyond the chance that something stands before it."""
SAME_LINES, OTHER_LINES = log(0.98), log(0.04)
"""The detector's line count changes within one vehicle in few frames."""
MISREAD = 0.03
"""Chance that a character of a read is anything, whatever the lattice says."""
VOTE_MISREAD = 1e-3
"""The same for a voted lattice."""
SAME_TEXT = 9.0
"""Nats of agreement of a whole plate."""
CLEARLY_OTHER = -2.0
"""Nats of agreement of one position at which its characters are different ones."""
MOST_TEXT_EVIDENCE = 12.0
"""In a pair's score the text's word is held within this many nats either way: reads of one vehicle err together."""

_SHARED = np.full((10, EMPTY + 1), 0.10, np.float32)
_SHARED[:3] = 0.28
_SHARED[:, EMPTY] = 0.70
"""Chance that two vehicles show the same character, by position and column."""


def agreement_by_position(
    beliefs: NDArray[np.float32], reads: NDArray[np.float32], *, misread: float = MISREAD
) -> NDArray[np.float32]:
    """Evidence that two lattices show one character: log P(both | same) - log P(both | different), in nats.

    `beliefs` (tracks, slots, 37) and `reads` (reads, slots, 37) are probabilities, the result (tracks, reads, slots).
    The chance that two vehicles share a character is high in the first three positions (province and series) and for
    the empty ones; flat rows say nothing. `misread` is the chance that a character is anything, whatever its row says.
    """
    slots = beliefs.shape[1]
    prior = _SHARED[np.minimum(np.arange(slots), len(_SHARED) - 1)]
    shared = np.einsum("tsc,rsc->trs", beliefs / prior, reads)
    evidence: NDArray[np.float32] = np.log(shared * (1.0 - misread) + misread)
    sharp = beliefs.max(axis=2)[:, None] * reads.max(axis=2)[None]
    return np.where(evidence < 0.0, evidence * sharp, evidence)


def agreement(beliefs: NDArray[np.float32], reads: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evidence that two lattices show one text, (tracks, reads): the sum of `agreement_by_position`."""
    total: NDArray[np.float32] = agreement_by_position(beliefs, reads).sum(axis=2)
    return total


def same_text(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Whether two voted lattices, (slots, 37) log-probabilities, show one whole plate with no character clearly other.

    Votes err far less than single reads, so one clear difference is believed: it is the next plate of a fleet.
    """
    evidence = agreement_by_position(np.exp(first)[None], np.exp(second)[None], misread=VOTE_MISREAD)[0, 0]
    return bool(evidence.sum() >= SAME_TEXT and evidence.min() > CLEARLY_OTHER)


def pair_score(prediction: Prediction, spot: Spot, *, same_lines: bool, text_evidence: float, missed: int) -> float:
    """The log likelihood ratio of one pair; above zero means rather one vehicle than two.

    `missed` counts the frames since the track's last plate in which it was not found.
    """
    absence = max(missed * MISSED_LOG_CHANCE, HIDDEN_LOG_CHANCE)
    text = min(max(text_evidence, -MOST_TEXT_EVIDENCE), MOST_TEXT_EVIDENCE)
    motion = prediction.log_density(spot) - NEWCOMER_LOG_DENSITY + DETECTION_LOG_ODDS
    return motion + absence + (SAME_LINES if same_lines else OTHER_LINES) + text


def assign(scores: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs (row, column) with the greatest sum of scores; pairs at or below zero are left out.

    Exact: the rows' own favourites where they differ, else the Hungarian method with potentials (Kuhn 1955, in the
    shortest-path form of Jonker and Volgenant 1987), O(n^3) on a square of rows plus columns at most.
    """
    favourites = []
    for row, values in enumerate(scores):
        best = max(values)
        if best > 0.0:
            favourites.append((row, values.index(best)))
    if len({column for _, column in favourites}) == len(favourites):
        return favourites
    size = max(len(scores), len(scores[0]))
    costs = [[-max(value, 0.0) for value in values] + [0.0] * (size - len(values)) for values in scores]
    costs += [[0.0] * size for _ in range(size - len(costs))]
    pairs = sorted((row, column) for column, row in enumerate(_hungarian(costs)))
    return [(row, column) for row, column in pairs if costs[row][column] < 0.0]


def _hungarian(costs: list[list[float]]) -> list[int]:
    """For each column of the square matrix the row matched to it at the least total cost."""
    size = len(costs)
    row_potential, column_potential = [0.0] * (size + 1), [0.0] * (size + 1)
    row_of = [size] * (size + 1)
    for row in range(size):
        row_of[size], column = row, size
        slack, came_from, done = [float("inf")] * size, [size] * size, [False] * (size + 1)
        while row_of[column] != size:
            done[column] = True
            at, best, after = row_of[column], float("inf"), size
            for other in range(size):
                if done[other]:
                    continue
                reduced = costs[at][other] - row_potential[at] - column_potential[other]
                if reduced < slack[other]:
                    slack[other], came_from[other] = reduced, column
                if slack[other] < best:
                    best, after = slack[other], other
            for other in range(size + 1):
                if done[other]:
                    row_potential[row_of[other]] += best
                    column_potential[other] -= best
                elif other < size:
                    slack[other] -= best
            column = after
        while column != size:
            row_of[column] = row_of[came_from[column]]
            column = came_from[column]
    return row_of[:size]
