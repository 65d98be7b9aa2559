"""From a reader's lattice to a plate: decoding constrained by the grammar, and voting.

A lattice is (slots, 37) float32 natural logarithms of probabilities; row i is the i-th character of the text, the
columns are ALPHABET and then EMPTY ('no character here'). Characters fill the slots from the left.

The decoding itself is in `anpr.plates.decoding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp

import numpy as np
from numpy.typing import NDArray

from anpr.plates import evidence
from anpr.plates.automaton import automaton
from anpr.plates.decoding import CLASSES, decode
from anpr.plates.forms import FORMS
from anpr.records import ALPHABET, EMPTY, Colour

MIN_SLOTS = 6
VOTE_FLOOR = -20.0
"""No single read may count more than this against a character: one wrong certainty must not veto a whole track."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a lattice says under the grammar."""

    text: str
    """The most probable plate; empty if the lattice gives none any probability."""
    probability: float
    """Of `text` among all plates, 0 to 1."""
    alternatives: tuple[tuple[str, float], ...]
    """The most probable plates by falling probability, `text` first."""
    raw: str
    """The best character of each slot, no grammar applied."""
    validity: float
    """Share of the lattice's probability that lies on plates, 0 to 1: small means that this is no Vietnamese plate."""


def settle(
    log_probs: NDArray[np.float32], *, top: int = 5, colour: Colour = "unknown", lines: int | None = None
) -> Settled:
    """The plates that a lattice makes most probable.

    `log_probs`: (slots, 37) with at least 6 slots; rows are normalised here. The probability of a text is the product
    of its slots' probabilities, times what colour and line count say of its kind (`anpr.plates.evidence`), over the
    same for all plates. Exact, some 20 µs. Raises ValueError for another shape, NaN or +inf.
    """
    if log_probs.ndim != 2 or log_probs.shape[0] < MIN_SLOTS or log_probs.shape[1] != CLASSES:
        raise ValueError(f"a lattice must be (at least {MIN_SLOTS}, {CLASSES}), got {log_probs.shape}")
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    graph = automaton()
    texts, scores, raw, validity = decode(
        np.array(log_probs, np.float32, order="C"),
        graph.layer_start,
        graph.edge_start,
        graph.edge_character,
        graph.edge_target,
        _ends(colour, lines),
        top,
    )
    if validity != validity:
        raise ValueError("a lattice must hold logarithms of probabilities, got NaN or +inf")
    alternatives = tuple(
        (bytes(characters).rstrip(b"\0").decode("ascii"), exp(min(score, 0.0)))
        for characters, score in zip(texts, scores.tolist(), strict=True)
        if score > -np.inf
    )
    text, probability = alternatives[0] if alternatives else ("", 0.0)
    return Settled(text, probability, alternatives, bytes(raw).replace(b"\0", b"").decode("ascii"), validity)


def combine(lattices: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """One lattice that several reads of the same plate vote for: the weighted sum of their logarithms, renormalised.

    Every lattice has the same number of slots; weights are at least 0 and not all 0. Raises ValueError otherwise.
    """
    if not lattices or len(lattices) != len(weights):
        raise ValueError(f"voting needs one weight per lattice, got {len(weights)} for {len(lattices)}")
    if min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(f"weights must be at least 0 and not all 0, got {list(weights)}")
    stacked = np.maximum(np.stack(lattices).astype(np.float64), VOTE_FLOOR)
    total = np.tensordot(np.asarray(weights, np.float64), stacked, axes=1)
    total -= total.max(axis=1, keepdims=True)
    total -= np.log(np.exp(total).sum(axis=1, keepdims=True))
    return total.astype(np.float32)


def average(lattices: NDArray[np.float32]) -> NDArray[np.float32]:
    """One lattice (slots, 37) of several (n, slots, 37) of one picture of a plate: the mean of their probabilities.

    Unlike `combine`, which takes the lattices for independent witnesses, it is no surer than they are.
    """
    mean: NDArray[np.float32] = lattices[0]
    if len(lattices) > 1:
        mean = (np.logaddexp.reduce(lattices, axis=0) - np.log(len(lattices))).astype(np.float32)
    return mean


def position_alternatives(
    log_probs: NDArray[np.float32], text: str, *, min_probability: float = 0.01
) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Per slot the likely characters by falling probability, '' for none: the lattice in a form that can be kept.

    Covers the slots of `text` and further ones in which a character is likely; the characters of `text` are always in.
    """
    probabilities = np.exp(np.asarray(log_probs, np.float64))
    likely = probabilities >= min_probability
    for position, character in enumerate(text):
        likely[position, ALPHABET.index(character)] = True
    used = np.flatnonzero(likely[:, :EMPTY].any(axis=1))
    kept: list[tuple[tuple[str, float], ...]] = []
    for position in range(int(used[-1]) + 1 if len(used) else 0):
        row = probabilities[position]
        columns = sorted(np.flatnonzero(likely[position]).tolist(), key=lambda column: -row[column])
        kept.append(tuple((ALPHABET[c] if c < EMPTY else "", float(row[c])) for c in columns))
    return tuple(kept)


@cache
def _ends(colour: Colour, lines: int | None) -> NDArray[np.float64]:
    """(states,) weight of a text that ends there, that of its best form; 0 where no plate ends."""
    weights = [
        evidence.weight(form.kind, dict(form.parts)["series"][0][0], colour=colour, lines=lines) for form in FORMS
    ]
    return np.array([max((weights[form] for form in forms), default=0.0) for forms in automaton().forms])
