"""From the output of a text recogniser with connectionist temporal classification to a lattice (pure).

Such a net says for each of many narrow steps along a line of text which character it shows, or none (the blank):
Graves et al. 2006. Its dictionary holds thousands of characters, of which a plate uses 36.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from anpr.records import ALPHABET, EMPTY

OTHER = EMPTY + 1
"""Column of all characters that are on no plate, dots and dashes among them."""

PROBABILITY_FLOOR = 1e-6
"""No character is ruled out by one net."""

_FOLDED = {"Đ": "D", "đ": "D"}


def columns_of(dictionary: Sequence[str]) -> NDArray[np.intp]:
    """(1 + characters,) the lattice column of every class: EMPTY for the blank, which comes first, OTHER for the rest.

    Small letters count as capitals, Đ as D.
    """
    places = {character: column for column, character in enumerate(ALPHABET)}
    folded = [_FOLDED.get(character, character.upper()) for character in dictionary]
    return np.array([EMPTY, *(places.get(character, OTHER) for character in folded)], dtype=np.intp)


def fold(probabilities: NDArray[np.float32], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """(steps, classes) -> (steps, 38): the probabilities of the classes that share a column, added."""
    kept = np.flatnonzero(columns < OTHER)
    folded = np.zeros((len(probabilities), OTHER + 1))
    np.add.at(folded.T, columns[kept], probabilities[:, kept].T.astype(np.float64))
    folded[:, OTHER] = np.maximum(1.0 - folded.sum(axis=1), 0.0)
    return folded


def characters(folded: NDArray[np.float64]) -> NDArray[np.float64]:
    """(steps, 38) -> (n, 37): the characters of the best path, each with what else may stand in its place.

    A run of steps with the same best character is one character; its row is that of the run's surest step.
    Characters that are on no plate separate, and fall away.
    """
    best = folded.argmax(axis=1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    rows: list[NDArray[np.float64]] = []
    for start, end in pairwise([*starts.tolist(), len(best)]):
        column = best[start]
        if column < EMPTY:
            surest = folded[start + int(folded[start:end, column].argmax())]
            row = surest[: EMPTY + 1].copy()
            row[EMPTY] += surest[OTHER]
            rows.append(row)
    return np.array(rows).reshape(-1, EMPTY + 1)


def lattice(rows: NDArray[np.float64], *, slots: int, temperature: float = 1.0) -> NDArray[np.float32]:
    """(n, 37) -> (slots, 37) log-probabilities; slots after the last character are empty.

    Characters beyond the last slot are left out: `rows` of more than `slots` characters are no plate.
    """
    filled = np.full((slots, EMPTY + 1), PROBABILITY_FLOOR)
    filled[:, EMPTY] = 1.0
    count = min(slots, len(rows))
    filled[:count] = np.maximum(rows[:count], PROBABILITY_FLOOR)
    logs = np.log(filled) / temperature
    return np.asarray(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True), dtype=np.float32)
