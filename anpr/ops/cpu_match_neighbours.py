"""The plates one character away from a listed one, on the processor: how the reader may take one for the other."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.cpu_matching import decode_into
from anpr.ops.matching_contract import RADIX
from anpr.plates.automaton import Automaton
from anpr.plates.forms import LONGEST
from anpr.records import EMPTY

MOST_NEIGHBOURS = (2 * LONGEST + 1) * RADIX
"""No plate has more."""


def transitions(graph: Automaton) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """(states, 36) where each character leads, -1 nowhere; (states,) whether a plate may end there."""
    targets = np.full((len(graph.forms), EMPTY), -1, np.int32)
    states = np.repeat(np.arange(len(graph.forms)), np.diff(graph.edge_start))
    targets[states, graph.edge_character] = graph.edge_target
    return targets, np.array([bool(forms) for forms in graph.forms])


@njit(cache=True, nogil=True)
def find_neighbours(  # type: ignore[no-untyped-def]
    plate, targets, ends, confusions, missing, extra, left_out, added, others, accepted, mistaken
):
    """Write the plates one substitution, insertion or deletion from the code `plate`; returns how many.

    `missing` and `extra` are what a match by such a slip scores, `left_out` and `added` how probable one is.
    `others`: int64 codes. `accepted`: float32, the score of `plate` where the other one was read for certain.
    `mistaken`: float32, the probability that the other one is read as `plate`. Each has room for `MOST_NEIGHBOURS`.
    """
    own = np.empty(LONGEST + 1, np.int64)
    length = decode_into(plate, own)
    other = np.empty(LONGEST + 2, np.int64)
    count = 0
    for place in range(length):
        other[:length] = own[:length]
        for digit in range(1, RADIX):
            if digit == own[place]:
                continue
            other[place] = digit
            code = _code_of_plate(other, length, targets, ends)
            if code > 0:
                others[count] = code
                accepted[count] = confusions[digit - 1, own[place] - 1]
                mistaken[count] = confusions[own[place] - 1, digit - 1]
                count += 1
    for place in range(length):
        if place > 0 and own[place] == own[place - 1]:
            continue
        other[:place] = own[:place]
        other[place : length - 1] = own[place + 1 : length]
        code = _code_of_plate(other, length - 1, targets, ends)
        if code > 0:
            others[count], accepted[count], mistaken[count] = code, missing, added
            count += 1
    if length < LONGEST:
        for place in range(length + 1):
            other[:place] = own[:place]
            other[place + 1 : length + 1] = own[place:length]
            for digit in range(1, RADIX):
                if place > 0 and digit == own[place - 1]:
                    continue
                other[place] = digit
                code = _code_of_plate(other, length + 1, targets, ends)
                if code > 0:
                    others[count], accepted[count], mistaken[count] = code, extra, left_out
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _code_of_plate(digits, length, targets, ends):  # type: ignore[no-untyped-def]
    """The code of a text; 0 if it is no plate."""
    state = np.int64(0)
    code = np.int64(0)
    for place in range(length):
        state = np.int64(targets[state, digits[place] - 1])
        if state < 0:
            return np.int64(0)
        code = code * RADIX + digits[place]
    return code if ends[state] else np.int64(0)


@njit(cache=True, nogil=True)
def expect_false(  # type: ignore[no-untyped-def]
    plates, targets, ends, confusions, missing, extra, left_out, added, thresholds, expected
):
    """Fill `expected` (float64 (plates, thresholds)) with the number of neighbours of each plate, each counted by the
    probability, at most, that its passage matches the plate."""
    others = np.empty(MOST_NEIGHBOURS, np.int64)
    accepted = np.empty(MOST_NEIGHBOURS, np.float32)
    mistaken = np.empty(MOST_NEIGHBOURS, np.float32)
    for row in range(len(plates)):
        count = find_neighbours(
            plates[row], targets, ends, confusions, missing, extra, left_out, added, others, accepted, mistaken
        )
        for step in range(len(thresholds)):
            total = 0.0
            for index in range(count):
                total += 1.0 if accepted[index] >= thresholds[step] else min(1.0, mistaken[index] / thresholds[step])
            expected[row, step] = total
