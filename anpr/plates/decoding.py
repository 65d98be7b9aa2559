"""The k best plates of a lattice, exactly, in microseconds.

A backward sweep over the automaton of all plates gives from each state on the best continuation and the sum over all.
Then, with the best continuation as an exact bound, keeping the k best beginnings at each slot gives the k best texts:
any better beginning leads to a text that is itself among the k best.
"""

from __future__ import annotations

import numba
import numpy as np

from anpr.records import ALPHABET, EMPTY

CLASSES = EMPTY + 1

_CHARACTERS = np.frombuffer(ALPHABET.encode() + b"\0", np.uint8)
_SMALLEST = 1e-300
"""No product over all slots falls below this, so that sums stay within the range of a double."""


@numba.njit(cache=True, nogil=True)
def decode(  # type: ignore[no-untyped-def]
    log_probs, layer_start, edge_start, edge_character, edge_target, ends, top
):
    """Texts (top, slots) ASCII padded with 0, their log probabilities (top,), raw (slots,) ASCII, validity.

    Validity is NaN if the input is not finite or -inf.
    """
    slots = log_probs.shape[0]
    texts = np.zeros((top, slots), np.uint8)
    scores = np.full(top, -np.inf)
    raw = np.zeros(slots, np.uint8)
    logs = np.empty((slots, CLASSES))
    probabilities = np.empty((slots, CLASSES))
    if not _normalise(log_probs, logs, probabilities, raw):
        return texts, scores, raw, np.nan
    tail_logs = np.zeros(slots + 1)
    for slot in range(slots - 1, -1, -1):
        tail_logs[slot] = tail_logs[slot + 1] + logs[slot, EMPTY]
    end_logs = np.log(ends)
    best, valid, weighted = _sweep(
        logs, probabilities, tail_logs, layer_start, edge_start, edge_character, edge_target, ends, end_logs
    )
    if best[0] > -np.inf:
        scores[0] = best[0]
        _beam(
            logs,
            tail_logs,
            len(layer_start) - 1,
            edge_start,
            edge_character,
            edge_target,
            end_logs,
            best,
            texts,
            scores,
        )
        scores -= max(np.log(weighted), best[0])
    return texts, scores, raw, min(valid, 1.0)


@numba.njit(cache=True, nogil=True)
def _normalise(log_probs, logs, probabilities, raw):  # type: ignore[no-untyped-def]
    """Fill logarithms and probabilities, each slot summing to 1, and the best characters; False if impossible."""
    slots = log_probs.shape[0]
    floor = _SMALLEST ** (1.0 / slots)
    for slot in range(slots):
        best_class = 0
        for column in range(CLASSES):
            value = log_probs[slot, column]
            if np.isnan(value) or value == np.inf:
                return False
            if value > log_probs[slot, best_class]:
                best_class = column
        peak = np.float64(log_probs[slot, best_class])
        if peak == -np.inf:
            return False
        raw[slot] = _CHARACTERS[best_class]
        total = 0.0
        for column in range(CLASSES):
            probabilities[slot, column] = np.exp(log_probs[slot, column] - peak)
            total += probabilities[slot, column]
        shift = peak + np.log(total)
        for column in range(CLASSES):
            logs[slot, column] = log_probs[slot, column] - shift
            if logs[slot, column] > -np.inf:
                probabilities[slot, column] = max(probabilities[slot, column] / total, floor)
    return True


@numba.njit(cache=True, nogil=True)
def _sweep(  # type: ignore[no-untyped-def]
    logs, probabilities, tail_logs, layer_start, edge_start, edge_character, edge_target, ends, end_logs
):
    """Backward over the automaton: best log probability from each state on, the sum of all texts, the weighted sum."""
    slots = logs.shape[0]
    states = len(ends)
    depth = min(slots, len(layer_start) - 2)
    best = np.full(states, -np.inf)
    valid = np.zeros(states)
    weighted = np.zeros(states)
    tail = 1.0
    for slot in range(depth, slots):
        tail *= probabilities[slot, EMPTY]
    for layer in range(depth, -1, -1):
        if layer < depth:
            tail *= probabilities[layer, EMPTY]
        for state in range(layer_start[layer], layer_start[layer + 1]):
            best_here = -np.inf
            valid_here = 0.0
            weighted_here = 0.0
            if ends[state] > 0.0:
                best_here = tail_logs[layer] + end_logs[state]
                valid_here = tail
                weighted_here = tail * ends[state]
            if layer < depth:
                for edge in range(edge_start[state], edge_start[state + 1]):
                    character = edge_character[edge]
                    target = edge_target[edge]
                    best_here = max(best_here, logs[layer, character] + best[target])
                    valid_here += probabilities[layer, character] * valid[target]
                    weighted_here += probabilities[layer, character] * weighted[target]
            best[state] = best_here
            valid[state] = valid_here
            weighted[state] = weighted_here
    return best, valid[0], weighted[0]


@numba.njit(cache=True, nogil=True)
def _beam(  # type: ignore[no-untyped-def]
    logs, tail_logs, layers, edge_start, edge_character, edge_target, end_logs, best, texts, scores
):
    """Forward: keep the `top` beginnings whose best text is most probable. State -1: the text has ended."""
    top, slots = texts.shape
    depth = min(slots, layers - 1)
    states = np.zeros(top, np.int32)
    gone = np.zeros(top)
    next_states = np.zeros(top, np.int32)
    next_gone = np.zeros(top)
    next_scores = np.empty(top)
    origin = np.zeros(top, np.int32)
    appended = np.zeros(top, np.int32)
    for layer in range(depth + 1):
        next_scores[:] = -np.inf
        for hypothesis in range(top):
            if scores[hypothesis] == -np.inf:
                break
            state = states[hypothesis]
            first, last = 0, 0
            if state >= 0 and layer < depth:
                first, last = edge_start[state], edge_start[state + 1]
            # The step before the first edge is to end here, or to have ended.
            for edge in range(first - 1, last):
                if edge >= first:
                    character, target = edge_character[edge], edge_target[edge]
                    so_far = gone[hypothesis] + logs[layer, character]
                    score = so_far + best[target]
                else:
                    character, target = EMPTY, -1
                    so_far = gone[hypothesis] + (tail_logs[layer] + end_logs[state] if state >= 0 else 0.0)
                    score = so_far
                place = top
                while place > 0 and next_scores[place - 1] < score:
                    place -= 1
                if place == top:
                    continue
                for index in range(top - 1, place, -1):
                    next_scores[index] = next_scores[index - 1]
                    next_states[index] = next_states[index - 1]
                    next_gone[index] = next_gone[index - 1]
                    origin[index] = origin[index - 1]
                    appended[index] = appended[index - 1]
                next_scores[place] = score
                next_states[place] = target
                next_gone[place] = so_far
                origin[place] = hypothesis
                appended[place] = character
        previous = texts.copy()
        for index in range(top):
            scores[index] = next_scores[index]
            if scores[index] == -np.inf:
                continue
            texts[index] = previous[origin[index]]
            if layer < slots:
                texts[index, layer] = _CHARACTERS[appended[index]]
            states[index] = next_states[index]
            gone[index] = next_gone[index]
