"""The matching operations on the processor, compiled by numba; `anpr.ops.matching_contract` says what each does."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.matching_contract import RADIX, SLOTS
from anpr.plates.forms import LONGEST
from anpr.records import ALPHABET, EMPTY

SLACK = np.float32(1 - 1e-5)
"""A search takes products in another order than the score: with this, none is lost to rounding."""


def encode_plates(texts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """See `anpr.ops.matching_contract`."""
    codes = np.empty(len(texts), np.int64)
    encode_into(texts, codes)
    return codes


def encode(text: str) -> int:
    """The code of one text; 0 for one that is no plate's."""
    row = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    return int(encode_plates(row[None])[0]) if text else 0


def decode(code: int) -> str:
    """The text of a code."""
    text = ""
    while code > 0:
        code, digit = divmod(code, RADIX)
        text = ALPHABET[digit - 1] + text
    return text


def weigh_lattices(
    lattices: NDArray[np.float32], references: NDArray[np.int64], confusions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """See `anpr.ops.matching_contract`."""
    if lattices.shape[1:] != (SLOTS, EMPTY + 1):
        raise ValueError(f"lattices must be (reads, {SLOTS}, {EMPTY + 1}), got {lattices.shape}")
    if len(references) != len(lattices) or not np.all(references > 0):
        raise ValueError("every lattice needs a reference, and none may be 0")
    ratios = np.empty(lattices.shape, np.float32)
    for lattice, reference, into in zip(lattices, references.tolist(), ratios, strict=True):
        weigh(lattice, reference, confusions, into)
    return ratios


def score_pairs(
    ratios: NDArray[np.float32],
    bases: NDArray[np.float32],
    reads: NDArray[np.int32],
    plates: NDArray[np.int64],
    *,
    missing: float,
    extra: float,
) -> NDArray[np.float32]:
    """See `anpr.ops.matching_contract`."""
    scores = np.empty(len(plates), np.float32)
    _score_pairs(ratios, bases, reads, plates, np.float32(missing), np.float32(extra), scores)
    return scores


def match_brute(
    plates: NDArray[np.int64], query: int, *, most_edits: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """See `anpr.ops.matching_contract`."""
    if query <= 0:
        raise ValueError(f"the query must be a plate's code, got {query}")
    if not 0 <= most_edits <= LONGEST:
        raise ValueError(f"most_edits must be 0 to {LONGEST}, got {most_edits}")
    edits = np.empty(len(plates), np.uint8)
    _count_edits(plates, query, most_edits, edits)
    positions = np.flatnonzero(edits <= most_edits)
    return positions, edits[positions]


@njit(cache=True, nogil=True)
def encode_into(texts, codes):  # type: ignore[no-untyped-def]
    """Codes of ASCII rows padded with 0; 0 for what is no plate's text."""
    for row in range(len(texts)):
        code = np.int64(0)
        length = 0
        ended = False
        for column in range(texts.shape[1]):
            byte = np.int64(texts[row, column])
            if byte == 0:
                ended = True
                continue
            if 48 <= byte <= 57:
                digit = byte - 47
            elif 65 <= byte <= 90:
                digit = byte - 54
            else:
                digit = np.int64(0)
            length += 1
            if ended or digit == 0 or length > LONGEST:
                code = np.int64(0)
                break
            code = code * RADIX + digit
        codes[row] = code


@njit(cache=True, nogil=True)
def decode_into(code, digits):  # type: ignore[no-untyped-def]
    """The digits of a code, 1 + index into ALPHABET, from the left; returns how many."""
    length = 0
    rest = code
    while rest > 0:
        rest //= RADIX
        length += 1
    rest = code
    for place in range(length - 1, -1, -1):
        digits[place] = rest % RADIX
        rest //= RADIX
    return length


@njit(cache=True, nogil=True)
def weigh(lattice, reference, confusions, ratios):  # type: ignore[no-untyped-def]
    """Fill the ratios (SLOTS, 37) of one lattice."""
    digits = np.empty(LONGEST + 1, np.int64)
    length = decode_into(reference, digits)
    for slot in range(SLOTS):
        row = ratios[slot]
        empty = lattice[slot, EMPTY]
        own = digits[slot] - 1 if slot < length else EMPTY
        likely = 0
        for column in range(EMPTY):
            likely += lattice[slot, column] > 0
        if lattice[slot, own] == 1 and likely == (own < EMPTY):
            # The usual case, and what the general one comes to where nothing is in doubt.
            for column in range(EMPTY):
                row[column] = confusions[own, column] if own < EMPTY else np.float32(0)
            row[EMPTY] = min(np.float32(1), empty)
            row[own] = 1
            continue
        row[:] = 0
        for read in range(EMPTY):
            chance = lattice[slot, read]
            if chance > 0:
                for true in range(EMPTY):
                    row[true] = max(row[true], chance * confusions[read, true])
                row[read] = max(row[read], chance)
        row[EMPTY] = empty
        weight = row[own]
        if weight > 0:
            for column in range(EMPTY + 1):
                row[column] = min(np.float32(1), row[column] / weight)
        else:
            for column in range(EMPTY + 1):
                row[column] = np.float32(1) if row[column] > 0 else np.float32(0)
        row[own] = 1


@njit(cache=True, nogil=True)
def rank(ratios, least, choices, weights, counts, tails):  # type: ignore[no-untyped-def]
    """Per slot the characters with at least this ratio, 1 + index into ALPHABET, best first, their ratios and number,
    and the products E; returns the slots in which there are any."""
    used = 0
    tails[SLOTS] = 1
    for slot in range(SLOTS - 1, -1, -1):
        tails[slot] = tails[slot + 1] * ratios[slot, EMPTY]
        count = 0
        for column in range(EMPTY):
            ratio = ratios[slot, column]
            if ratio >= least:
                place = count
                while place > 0 and weights[slot, place - 1] < ratio:
                    weights[slot, place] = weights[slot, place - 1]
                    choices[slot, place] = choices[slot, place - 1]
                    place -= 1
                weights[slot, place] = ratio
                choices[slot, place] = column + 1
                count += 1
        counts[slot] = count
        if count > 0 and used == 0:
            used = slot + 1
    return used


@njit(cache=True, nogil=True)
def score(ratios, base, plate, missing, extra):  # type: ignore[no-untyped-def]
    """The score of one plate."""
    one = np.float32(1)
    digits = np.empty(LONGEST + 1, np.int64)
    length = decode_into(plate, digits)
    before = np.empty(LONGEST + 2, np.float32)  # before[j]: the product of the first j characters
    before[0] = one
    for k in range(length):
        before[k + 1] = before[k] * ratios[k, digits[k] - 1]
    tail = one  # E[length + 1]
    for slot in range(SLOTS - 1, length, -1):
        tail *= ratios[slot, EMPTY]
    after = tail
    best_extra = np.float32(0)
    if length + 1 <= SLOTS:
        best_extra = before[length] * after
        for k in range(length - 1, -1, -1):
            after *= ratios[k + 1, digits[k] - 1]
            best_extra = max(best_extra, before[k] * after)
    tail *= ratios[length, EMPTY]  # E[length]
    best = before[length] * tail
    after = tail * ratios[length - 1, EMPTY]  # E[length - 1]
    best_missing = before[length - 1] * after
    for k in range(length - 1, 0, -1):
        after *= ratios[k - 1, digits[k] - 1]
        best_missing = max(best_missing, before[k - 1] * after)
    return max(best, max(best_missing * missing, best_extra * extra)) * base


@njit(cache=True, nogil=True)
def _score_pairs(ratios, bases, reads, plates, missing, extra, scores):  # type: ignore[no-untyped-def]
    for pair in range(len(plates)):
        read = reads[pair]
        scores[pair] = score(ratios[read], bases[read], plates[pair], missing, extra) if plates[pair] > 0 else 0


@njit(cache=True, nogil=True)
def _count_edits(plates, query, most, edits):  # type: ignore[no-untyped-def]
    """Levenshtein distances of all plates (Myers 1999, one word, from the last character to the first); 255 where there
    is no plate, or it is known to be further than `most`.

    A plate that is more than r edits further than that tells it of all that differ from it in their last r characters
    alone, for so many edits make them one. In rising order these follow it, and are passed over.
    """
    digits = np.empty(LONGEST + 1, np.int64)
    length = decode_into(query, digits)
    places = np.zeros(RADIX, np.int64)
    for k in range(length):
        places[digits[k]] |= np.int64(1) << (length - 1 - k)
    last = np.int64(1) << (length - 1)
    first = end = np.int64(0)  # no plate in first <= plate < end is near
    for index in range(len(plates)):
        plate = plates[index]
        if plate <= 0 or first <= plate < end:
            edits[index] = 255
            continue
        rises = (np.int64(1) << length) - 1
        falls = np.int64(0)
        distance = length
        rest = np.uint64(plate)
        while rest > 0:
            shorter = rest // np.uint64(RADIX)
            equal = places[np.int64(rest - shorter * np.uint64(RADIX))]
            rest = shorter
            diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
            up = falls | ~(diagonal | rises)
            down = rises & diagonal
            if up & last:
                distance += 1
            if down & last:
                distance -= 1
            up = (up << 1) | 1
            rises = (down << 1) | ~(diagonal | up)
            falls = up & diagonal
        edits[index] = distance
        if distance > most:
            size = np.int64(1)
            for _ in range(distance - most - 1):
                size *= RADIX
            first = plate // size * size
            end = first + size
