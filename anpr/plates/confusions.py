"""How likely a reader takes one character for another: one table for every matcher.

The shipped table (`confusions.csv`) is measured of the shipped reader by `python -m scripts.confusions`; its first
lines say how. Characters that it could not measure have estimates by shape (open or closed counters, shared strokes).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anpr.errors import PlateError
from anpr.records import ALPHABET

UNLISTED = 2e-4
"""Probability of a confusion that the table does not list."""
ANY = "*"
"""In the table, any character: `*,,p` is one that is not read, `,*,p` one that is read where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Confusions:
    """Costs, −ln P(read | truth), of each character read for each."""

    costs: NDArray[np.float64]
    """(36 read, 36 true) in the order of ALPHABET. For each true character the probabilities sum to 1."""
    left_out: float = UNLISTED
    """Mean probability that one particular character of a plate is not read, and all others are."""
    added: float = UNLISTED
    """Mean probability that at one particular place between them a character is read that is not there."""

    def __post_init__(self) -> None:
        if self.costs.shape != (len(ALPHABET), len(ALPHABET)):
            raise ValueError(f"costs must be {(len(ALPHABET), len(ALPHABET))}, got {self.costs.shape}")

    def cost(self, read: str, truth: str) -> float:
        """−ln P(the reader says `read` | the plate shows `truth`); near 0 where both are the same."""
        return float(self.costs[ALPHABET.index(read), ALPHABET.index(truth)])

    def truths(self, read: str, *, max_cost: float) -> tuple[tuple[str, float], ...]:
        """The other characters that may have been read as `read`, with their costs, cheapest first."""
        row = self.costs[ALPHABET.index(read)]
        return tuple(
            (ALPHABET[column], float(row[column]))
            for column in np.argsort(row, kind="stable").tolist()
            if row[column] <= max_cost and ALPHABET[column] != read
        )


def load_confusions(path: Path) -> Confusions:
    """A table from a CSV file with the columns truth, read, probability; pairs not listed have `UNLISTED`.

    Leading lines that begin with # are remarks.

    Raises PlateError for a row that makes no sense, or a true character whose confusions sum to 1 or more.
    """
    return _build(path.read_text(encoding="utf-8-sig"), place=str(path))


@cache
def shipped() -> Confusions:
    """The table of the package."""
    text = resources.files("anpr.plates").joinpath("confusions.csv").read_text(encoding="utf-8")
    return _build(text, place="confusions.csv")


def cost(read: str, truth: str) -> float:
    """−ln P(read | truth) by the shipped table."""
    return shipped().cost(read, truth)


def _place(character: str) -> int:
    """In ALPHABET. Raises ValueError for anything but one of its characters."""
    if len(character) != 1:
        raise ValueError(f"{character!r} is not one character")
    return ALPHABET.index(character)


def _build(text: str, *, place: str) -> Confusions:
    slips = {(ANY, ""): UNLISTED, ("", ANY): UNLISTED}
    probabilities = np.full((len(ALPHABET), len(ALPHABET)), UNLISTED)
    np.fill_diagonal(probabilities, 0.0)
    lines = text.splitlines()
    remarks = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    rows = csv.DictReader(lines[remarks:])
    if set(rows.fieldnames or ()) != {"truth", "read", "probability"}:
        raise PlateError("no table of confusions", place=place, cure="the first line is truth,read,probability")
    for line, row in enumerate(rows, start=remarks + 2):
        try:
            probability = float(row["probability"])
            slip = row["truth"], row["read"]
            pair = None if slip in slips else (_place(row["read"]), _place(row["truth"]))
        except (TypeError, ValueError) as error:
            raise PlateError(f"no confusion: {error}", place=f"{place}:{line}", cure="like 8,B,0.02") from error
        if (pair is not None and pair[0] == pair[1]) or not 0.0 < probability < 1.0:
            raise PlateError(
                f"{row['truth']} read as {row['read']} with probability {probability}",
                place=f"{place}:{line}",
                cure="two different characters and a probability between 0 and 1",
            )
        if pair is None:
            slips[slip] = probability
        else:
            probabilities[pair] = probability
    right = 1.0 - probabilities.sum(axis=0)
    if right.min() <= 0.0:
        worst = ALPHABET[int(right.argmin())]
        raise PlateError(f"the confusions of {worst} sum to {1 - right.min():.3f}", place=place, cure="keep it below 1")
    np.fill_diagonal(probabilities, right)
    return Confusions(-np.log(probabilities), left_out=slips[ANY, ""], added=slips["", ANY])
