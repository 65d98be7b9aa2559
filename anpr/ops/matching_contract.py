"""What a backend of matching operations must offer: scoring listed plates by what a reader saw, and scanning stored
plates by edits. A backend is a module with exactly these functions; `load` checks that they are all there.

**A plate is packed** into an int64, its code: from 0, for each character, `code = code * 37 + 1 + ALPHABET.index(it)`.
Ten characters, the longest plate, need less than 2**53; 0 is no plate. The last character is `code % 37 - 1`.

**A read is** its lattice (float32 (SLOTS, 37), row i the probabilities of the i-th character in the order of ALPHABET,
then 'no character here'), its reference, the code of the text that was settled, and its base, float32, the probability
of that text. Reads are scored relative to their reference:

    w[i, c] = max(q[i, c], max over d of q[i, d] * confusions[d, c])     for a character c; d are characters
    w[i, EMPTY] = q[i, EMPTY]
    ratio[i, c] = min(1, w[i, c] / w[i, R[i]])                           R[i]: the reference's character, EMPTY after it

A plate's character takes the larger of what the lattice gave it and what its shape makes it. Where w[i, R[i]] is 0,
the ratio is 1 for what has any weight and 0 for the rest; that of R[i] itself is always 1. Products are float32.

**The score of a plate** T of n characters is the largest of three ways to lay it on the slots, so at most one character
is missing or one too many, and any number may be confused:

    as it is             base           * product of ratio[k, T[k]] for k < n                     * E[n]
    j of T not read      base * missing * the same for k < j, of ratio[k - 1, T[k]] for k > j     * E[n - 1]
    slot j not of T      base * extra   * the same for k < j, of ratio[k + 1, T[k]] for k >= j    * E[n + 1]

over all j, where E[n] is the product of ratio[i, EMPTY] for i >= n. It is 0 where a character would lie beyond the
slots. Products are taken from the left up to j, from the right (E first) down to j, then left * right * factor * base.

encode_plates(texts) -> int64 (n,)
    Codes of `texts`, uint8 (n, width) ASCII padded with 0; 0 for a row that is longer than a plate, is empty or holds
    anything but characters of ALPHABET (a pattern).
weigh_lattices(lattices, references, confusions) -> float32 (reads, SLOTS, 37)
    The ratios of `lattices` (float32 (reads, SLOTS, 37)) and `references` (int64 (reads,), none 0). `confusions`:
    float32 (36, 36), P(read | true), row = read; its diagonal counts as 1.
score_pairs(ratios, bases, reads, plates, *, missing, extra) -> float32 (pairs,)
    Score of `plates[k]` (int64 (pairs,)) for the read `reads[k]` (int32 (pairs,)), with `bases` (float32 (reads,)). All
    plates of a list for one read is the brute force that every index must agree with.
match_brute(plates, query, *, most_edits) -> int64 (n,), uint8 (n,)
    Positions, rising, of all `plates` (int64 (plates,), 0 never matches) within `most_edits` insertions, deletions and
    substitutions (Levenshtein 1966) of the code `query`, and how many each needs. Plates in rising order are scanned
    many times as fast as others.
"""

from __future__ import annotations

import importlib
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from anpr.errors import DeviceError
from anpr.plates.forms import LONGEST

Backend = Literal["cpu"]

NAMES = ("encode_plates", "weigh_lattices", "score_pairs", "match_brute")

SLOTS = LONGEST + 1
"""Of a lattice: the longest plate and one character too many."""
RADIX = 37


class Matching(Protocol):
    """The contract as a type."""

    def encode_plates(self, texts: NDArray[np.uint8]) -> NDArray[np.int64]: ...

    def weigh_lattices(
        self, lattices: NDArray[np.float32], references: NDArray[np.int64], confusions: NDArray[np.float32]
    ) -> NDArray[np.float32]: ...

    def score_pairs(
        self,
        ratios: NDArray[np.float32],
        bases: NDArray[np.float32],
        reads: NDArray[np.int32],
        plates: NDArray[np.int64],
        *,
        missing: float,
        extra: float,
    ) -> NDArray[np.float32]: ...

    def match_brute(
        self, plates: NDArray[np.int64], query: int, *, most_edits: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]: ...


def load(backend: Backend = "cpu") -> Matching:
    """The operations of one backend. Raises DeviceError if there is no such backend, or it lacks an operation."""
    if backend != "cpu":
        raise DeviceError(f"no matching operations for {backend!r}", cure="set device = 'cpu'")
    module = importlib.import_module(f"anpr.ops.{backend}_matching")
    missing = [name for name in NAMES if not hasattr(module, name)]
    if missing:
        raise DeviceError(f"backend {backend!r} lacks {', '.join(missing)}", cure="reinstall anpr")
    return cast("Matching", module)
