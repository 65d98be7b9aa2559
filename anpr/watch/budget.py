"""How many false hits a list brings, and the thresholds that keep them within its budget.

A hit is false if the vehicle carries another plate. Of the vehicles that pass in a day, `vehicles_per_day`, each car in
the country is taken to be any one with the same probability, 1 / CARS, and every number of every series to be issued:
both make the estimate too high rather than too low, for most series are not full. A motorbike counts like a car, which
makes it too high again where motorbikes are among the vehicles: there were 61 million in 2019 (National Traffic Safety
Committee), so that one that passes is any given one nine times less often. A listed plate T is then matched by
mistake, at the threshold t, at most

    vehicles_per_day / CARS * sum over plates X one character from T of
        1                             if a certain read of X gives T a score of t or more: P(X's character | T's) >= t
        min(1, P(X is read as T) / t) otherwise

times a day. The first line is a vehicle read rightly: its neighbour on the list is near enough. The second is one that
was read in doubt: the table of confusions holds the mean probability that the reader gives T's character where X's is
shown, or a character less or more, and a probability with the mean m is t or more in at most m / t of all cases
(Markov's inequality). At t = 1 that is the misreads that look certain, which no threshold prevents. Plates two
characters away add little: the product of two confusions.

A pattern is matched by every plate that fits, which is its purpose and counts in no budget. A false hit is a vehicle
that does not fit and is read so. With another character, d, in the place of one of its fixed ones, c, as many plates
fit as do now; the vehicles that carry these are counted by the same two lines. How large a share of the traffic they
are is not known, and of a province it depends on where the camera stands. Two things bound it:

- of the cars, no more are of them than plates fit, each by 1 / CARS; of the motorbikes each by 1 / MOTORBIKES;
- all vehicles that are one character from the pattern are together no more than pass: a vehicle is that in one place
  only, unless a part of the pattern stands between two `*` and may be found in several.

So the worst mixture is counted: first those that are the most easily taken for fitting, up to their bound, until no
vehicle is left. For patterns of single numbers that is the sum over all; for a province (`20*`) it is as if only the
most similar other provinces drove there. A digit counts for a digit and a letter for a letter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anpr.ops.cpu_match_neighbours import MOST_NEIGHBOURS, expect_false, find_neighbours, transitions
from anpr.ops.cpu_matching import decode, encode, encode_plates
from anpr.plates.automaton import automaton
from anpr.plates.forms import Kind
from anpr.plates.patterns import Pattern, count_by_kinds
from anpr.records import ALPHABET
from anpr.watch.index import Costs, Thresholds, as_rows

CARS = 6_800_000
"""Registered in Viet Nam at the end of 2024 (Vietnam Register)."""
MOTORBIKES = 61_000_000
"""In use in 2019 (National Traffic Safety Committee)."""
WIDE_SHARE = 0.1
"""Of the country's cars: more are those of a province."""
LEAST_THRESHOLD = 0.001
"""However large the budget: below, a hit says nothing."""
MOST_THRESHOLD = 0.5
"""However small the budget, unless it is 0: what is as likely as not is always told."""

_LADDER = np.geomspace(LEAST_THRESHOLD, MOST_THRESHOLD, 64)
_PLATES_LOOKED_AT = 5_000
"""Plates, spread evenly over a list, from which the expectation of all is taken."""
_PATTERNS_LOOKED_AT = 100
_MOTORBIKE_KINDS: frozenset[Kind] = frozenset(("motorbike", "motorbike_electric"))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another plate that a listed one is matched by."""

    plate: str
    probability: float
    """The score of the listed plate where this one was read for certain."""


def thresholds_of(
    texts: NDArray[np.bytes_], *, false_hits_per_day: float, vehicles_per_day: float, costs: Costs
) -> Thresholds:
    """The least thresholds that keep a list (S12, plates and patterns) within its budget, and what they let through.

    If none does, it is `MOST_THRESHOLD`, and `expected_per_day` is more than the budget. Plates and patterns have half
    of the budget each where the list has both. A budget of 0 leaves what was read exactly. Of a long list some entries,
    evenly spread, stand for all.
    """
    if not false_hits_per_day >= 0.0:
        raise ValueError(f"false_hits_per_day must be at least 0, got {false_hits_per_day}")
    if not vehicles_per_day >= 0.0:
        raise ValueError(f"vehicles_per_day must be at least 0, got {vehicles_per_day}")
    if false_hits_per_day == 0.0:
        return Thresholds(inf, inf)
    codes = encode_plates(as_rows(texts))
    plates, patterns = codes[codes > 0], texts[codes == 0]
    share = false_hits_per_day / 2 if len(plates) and len(patterns) else false_hits_per_day
    some_plates, some_patterns = _some(plates, _PLATES_LOOKED_AT), _some(patterns, _PATTERNS_LOOKED_AT)
    of_plates = _expect_of_plates(some_plates, _LADDER, vehicles_per_day, costs).sum(axis=0)
    of_patterns = _expect_of_patterns(some_patterns, _LADDER, vehicles_per_day, costs).sum(axis=0)
    of_plates *= len(plates) / max(1, len(some_plates))
    of_patterns *= len(patterns) / max(1, len(some_patterns))
    at_plates, at_patterns = _least_within(of_plates, share), _least_within(of_patterns, share)
    return Thresholds(
        float(_LADDER[at_plates]),
        float(_LADDER[at_patterns]),
        expected_per_day=float(of_plates[at_plates] + of_patterns[at_patterns]),
    )


def expected_false_hits(
    texts: NDArray[np.bytes_], *, thresholds: Thresholds, vehicles_per_day: float, costs: Costs
) -> NDArray[np.float64]:
    """False hits a day, at most, of each entry (S12) at some thresholds."""
    expected = np.zeros(len(texts))
    codes = encode_plates(as_rows(texts))
    # What is read exactly is matched at any threshold.
    at = np.minimum([[thresholds.plates], [thresholds.patterns]], 1.0)
    expected[codes > 0] = _expect_of_plates(codes[codes > 0], at[0], vehicles_per_day, costs)[:, 0]
    expected[codes == 0] = _expect_of_patterns(texts[codes == 0], at[1], vehicles_per_day, costs)[:, 0]
    return expected


def _some(items: NDArray[Any], most: int) -> NDArray[Any]:
    """At most so many of them, evenly spread."""
    return items[np.linspace(0, len(items) - 1, most).astype(np.intp)] if len(items) > most else items


def _least_within(expected: NDArray[np.float64], budget: float) -> int:
    """The step of the ladder."""
    within = np.flatnonzero(expected <= budget)
    return int(within[0]) if len(within) else len(_LADDER) - 1


def _expect_of_plates(
    codes: NDArray[np.int64], thresholds: NDArray[np.float64], vehicles_per_day: float, costs: Costs
) -> NDArray[np.float64]:
    """(plates, thresholds) false hits a day."""
    expected = np.zeros((len(codes), len(thresholds)))
    expect_false(codes, *_grammar(), *_slips(costs), thresholds, expected)
    return expected * (vehicles_per_day / CARS)


def _expect_of_patterns(
    texts: NDArray[np.bytes_], thresholds: NDArray[np.float64], vehicles_per_day: float, costs: Costs
) -> NDArray[np.float64]:
    """(patterns, thresholds) false hits a day, at most: by plates that do not fit."""
    expected = np.zeros((len(texts), len(thresholds)))
    confusions = costs.probabilities()
    taken_for: dict[str, NDArray[np.float64]] = {}
    for own in set(b"".join(texts.tolist()).decode()) & set(ALPHABET):
        alike = [ALPHABET.index(other) for other in ALPHABET if other != own and other.isdigit() == own.isdigit()]
        accepted = confusions[alike, ALPHABET.index(own), None]
        mistaken = confusions[ALPHABET.index(own), alike][:, None]
        taken_for[own] = np.where(accepted >= thresholds, 1.0, np.minimum(1.0, mistaken / thresholds))
    for row, text in enumerate(texts.tolist()):
        pattern = text.decode()
        near = np.sort(np.concatenate([taken_for[own] for own in pattern if own in taken_for]), axis=0)[::-1]
        share = _share(pattern)
        together = 1.0 if pattern.count("*") < 2 else inf
        shares = np.clip(together - share * np.arange(len(near)), 0.0, share)
        expected[row] = vehicles_per_day * (shares @ near)
        time.sleep(0)  # lets go of the interpreter's lock: others match meanwhile
    return np.minimum(expected, vehicles_per_day)


def fitting_per_day(pattern: str, vehicles_per_day: float) -> float | None:
    """How many vehicles a day fit a pattern, at most, where the traffic is that of the country.

    None: it takes in more than `WIDE_SHARE` of the cars. How many of these drive at a place nobody can tell from here.
    """
    share = _share(pattern)
    return None if share > WIDE_SHARE else vehicles_per_day * share


def _share(pattern: str) -> float:
    """Of the country's cars or of its motorbikes, whichever is more, those that may fit, at most."""
    cars = motorbikes = 0
    for kinds, plates in count_by_kinds(Pattern(pattern)).items():
        cars += plates * bool(kinds - _MOTORBIKE_KINDS)
        motorbikes += plates * bool(kinds & _MOTORBIKE_KINDS)
    return min(1.0, max(cars / CARS, motorbikes / MOTORBIKES))


def accepted_for(plate: str, *, threshold: float, costs: Costs) -> tuple[Neighbour, ...]:
    """The other plates one character away for which a listed one is taken when they were read for certain."""
    others = np.empty(MOST_NEIGHBOURS, np.int64)
    accepted = np.empty(MOST_NEIGHBOURS, np.float32)
    mistaken = np.empty(MOST_NEIGHBOURS, np.float32)
    count = find_neighbours(encode(plate), *_grammar(), *_slips(costs), others, accepted, mistaken)
    near = [index for index in range(count) if accepted[index] >= threshold]
    return tuple(
        Neighbour(decode(int(others[index])), float(accepted[index]))
        for index in sorted(near, key=lambda index: (-accepted[index], others[index]))
    )


def _slips(costs: Costs) -> tuple[NDArray[np.float32], float, float, float, float]:
    """The confusions; what a character missing or too many scores, and how probable each is."""
    confusions = costs.confusions
    return costs.probabilities(), costs.missing, costs.extra, confusions.left_out, confusions.added


@cache
def _grammar() -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    return transitions(automaton())
