"""Finding the listed patterns (`30A12?45`, `*A1234*`) that a read may be, on the processor.

All patterns are run over the slots at once, one bit per place of each pattern (Baeza-Yates and Gonnet 1992, Shift-And),
with the sets of characters that are likely enough in each slot. What is left is scored one by one:

The score of a pattern is the largest score that a plate fitting it has when it is laid on the slots as it is: base
times the ratio of each fixed character in its slot, the largest ratio of any character where a wildcard takes one, and
E[n] where it ends. No character is missing from a pattern or too many for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.cpu_matching import SLACK, decode_into, rank
from anpr.ops.matching_contract import SLOTS
from anpr.plates.forms import LONGEST
from anpr.records import EMPTY

ANY, MANY = 37, 38
"""Symbols beside 1 to 36, the characters: exactly one character, any number of them."""
SYMBOLS = 39


class PatternTables(NamedTuple):
    """Patterns as words of bits: bit p of a pattern is set while its first p symbols, `*` not counted, are read."""

    symbols: NDArray[np.uint8]
    """(patterns, width), 0 where one has ended; sorted by their first two."""
    rows: NDArray[np.uint32]
    """(patterns,) the row of the list that each stands in."""
    groups: NDArray[np.int32]
    """The words of patterns that begin with the symbols s and t: groups[g] to groups[g + 1], g = s * SYMBOLS + t."""
    accepts: NDArray[np.int64]
    """(words, 36): the bits that each character may set."""
    begins: NDArray[np.int64]
    """(words,) the bits of the beginnings."""
    loops: NDArray[np.int64]
    """(words,) the bits after which there is a `*`."""
    ends: NDArray[np.int64]
    """(words,) the last bits."""
    owners: NDArray[np.int32]
    """(words, 64) the pattern that each last bit stands for."""


def build_patterns(texts: NDArray[np.uint8]) -> PatternTables:
    """The tables of the rows of `texts` (uint8 (n, width), ASCII padded with 0) that hold wildcards."""
    rows = np.empty(_count_patterns(texts), np.uint32)
    symbols = np.empty((len(rows), texts.shape[1]), np.uint8)
    _read_symbols(texts, symbols, rows)
    beginnings = symbols[:, 0].astype(np.int32) * SYMBOLS + symbols[:, 1]
    order = np.argsort(beginnings, kind="stable")
    symbols, rows, beginnings = symbols[order], rows[order], beginnings[order]
    words = np.empty(len(rows), np.int32)
    groups = np.zeros(SYMBOLS * SYMBOLS + 1, np.int32)
    count = _lay_out(symbols, beginnings, words, groups)
    tables = PatternTables(
        symbols,
        rows,
        groups,
        np.zeros((count, EMPTY), np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros((count, 64), np.int32),
    )
    _fill(tables, words)
    return tables


@njit(cache=True, nogil=True)
def _count_patterns(texts):  # type: ignore[no-untyped-def]
    count = 0
    for row in range(len(texts)):
        for column in range(texts.shape[1]):
            if texts[row, column] == 42 or texts[row, column] == 63:
                count += 1
                break
    return count


@njit(cache=True, nogil=True)
def _read_symbols(texts, symbols, rows):  # type: ignore[no-untyped-def]
    count = 0
    for row in range(len(texts)):
        wild = False
        for column in range(texts.shape[1]):
            wild |= texts[row, column] == 42 or texts[row, column] == 63
        if not wild:
            continue
        for column in range(texts.shape[1]):
            byte = texts[row, column]
            if byte == 0:
                symbol = 0
            elif byte == 42:
                symbol = MANY
            elif byte == 63:
                symbol = ANY
            else:
                symbol = byte - 47 if byte < 65 else byte - 54
            symbols[count, column] = symbol
        rows[count] = row
        count += 1


@njit(cache=True, nogil=True)
def _bits(symbols):  # type: ignore[no-untyped-def]
    """Bits that a pattern takes."""
    bits = 1
    for symbol in symbols:
        if symbol != 0 and symbol != MANY:
            bits += 1
    return bits


@njit(cache=True, nogil=True)
def _lay_out(symbols, beginnings, words, groups):  # type: ignore[no-untyped-def]
    """Which word each pattern goes to, no word with two beginnings; returns how many there are."""
    word = -1
    room = 0
    last = np.int64(-1)
    for pattern in range(len(symbols)):
        beginning = np.int64(beginnings[pattern])
        bits = _bits(symbols[pattern])
        if beginning != last or bits > room:
            word += 1
            room = 64
            for between in range(last + 1, beginning + 1):
                groups[between] = word
            last = beginning
        room -= bits
        words[pattern] = word
    for between in range(last + 1, len(groups)):
        groups[between] = word + 1
    return word + 1


@njit(cache=True, nogil=True)
def _fill(tables, words):  # type: ignore[no-untyped-def]
    bit = 0
    for pattern in range(len(words)):
        word = words[pattern]
        if pattern == 0 or word != words[pattern - 1]:
            bit = 0
        tables.begins[word] |= np.int64(1) << bit
        for symbol in tables.symbols[pattern]:
            if symbol == 0:
                break
            if symbol == MANY:
                tables.loops[word] |= np.int64(1) << bit
                continue
            bit += 1
            for character in range(EMPTY):
                if symbol == ANY or symbol == character + 1:
                    tables.accepts[word, character] |= np.int64(1) << bit
        tables.ends[word] |= np.int64(1) << bit
        tables.owners[word, bit] = pattern
        bit += 1


@njit(cache=True, nogil=True)
def search_patterns(  # type: ignore[no-untyped-def]
    tables, ratios, codes, chances, threshold, choices, weights, counts, tails,
    read, total, found_reads, found_rows, found_scores,
):  # fmt: skip
    """Write down every pattern that a read matches; returns how many are found so far.

    `choices`, `weights`, `counts` and `tails` are room to work in.
    """
    first = total
    digits = np.empty(LONGEST + 1, np.int64)
    peaks = np.empty(SLOTS, np.float32)
    for slot in range(SLOTS):
        peaks[slot] = ratios[slot, :EMPTY].max()
    for which in range(len(codes)):
        # A reference that is likely enough is among the texts of its lattice.
        if codes[which] == 0 or (chances[which] < threshold) != (which == 0):
            continue
        length = decode_into(codes[which], digits)
        for slot in range(SLOTS):
            counts[slot] = 1 if slot < length else 0
            choices[slot, 0] = digits[slot] if slot < length else 0
            weights[slot, 0] = 1
            tails[slot] = 1 if slot >= length else 0
        tails[SLOTS] = 1
        total = _run(
            tables, ratios, peaks, codes, chances, threshold, np.float32(1), choices, weights, counts, tails,
            read, first, total, found_reads, found_rows, found_scores,
        )  # fmt: skip
    if chances[0] < threshold:
        return total
    least = threshold / chances[0] * SLACK
    rank(ratios, least, choices, weights, counts, tails)
    return _run(
        tables, ratios, peaks, codes, chances, threshold, least, choices, weights, counts, tails,
        read, first, total, found_reads, found_rows, found_scores,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _run(  # type: ignore[no-untyped-def]
    tables, ratios, peaks, codes, chances, threshold, least, choices, weights, counts, tails,
    read, first, total, found_reads, found_rows, found_scores,
):  # fmt: skip
    """Run the patterns that may begin so over the slots, and take those that reach their end.

    Two characters below the root of `least` are together below `least`: at most one such may be passed.
    """
    root = np.sqrt(least) * SLACK
    for one in range(-2, counts[0]):
        first_symbol = choices[0, one] if one >= 0 else MANY + 1 + one
        weight = weights[0, one] if one >= 0 else np.float32(1)
        for other in range(-3, counts[1]):
            if other >= 0:
                if weight * weights[1, other] < least:
                    break
                second_symbol = choices[1, other]
            else:
                second_symbol = MANY + 1 + other if other > -3 else 0
            group = first_symbol * SYMBOLS + second_symbol
            word, end = tables.groups[group], tables.groups[group + 1]
            if first_symbol == MANY:  # whatever comes second
                if other > -3:
                    break
                end = tables.groups[first_symbol * SYMBOLS + SYMBOLS]
            while word < end:
                reached = _reach(tables, word, choices, weights, counts, tails, least, root)
                bit = 0
                while reached != 0:
                    if reached & 1:
                        total = _take(
                            tables, tables.owners[word, bit], ratios, peaks, codes, chances, threshold,
                            read, first, total, found_reads, found_rows, found_scores,
                        )  # fmt: skip
                    reached = (reached >> 1) & np.int64(0x7FFFFFFFFFFFFFFF)
                    bit += 1
                word += 1
    return total


@njit(cache=True, nogil=True)
def _reach(tables, word, choices, weights, counts, tails, least, root):  # type: ignore[no-untyped-def]
    """The last bits that one word's patterns reach."""
    clean, stained = tables.begins[word], np.int64(0)
    ends, loops = tables.ends[word], tables.loops[word]
    reached = np.int64(0)
    for slot in range(SLOTS):
        if tails[slot] >= least:
            reached |= (clean | stained) & ends
        cheap = costly = np.int64(0)
        count = counts[slot]
        for choice in range(count):
            bits = tables.accepts[word, choices[slot, choice] - 1]
            if weights[slot, choice] >= root:
                cheap |= bits
            else:
                costly |= bits
        if count == 0:
            loops = 0
        stained = ((stained << 1) & cheap) | ((clean << 1) & costly) | (stained & loops)
        clean = ((clean << 1) & cheap) | (clean & loops)
        if clean | stained == 0:
            return reached
    return reached | ((clean | stained) & ends)


@njit(cache=True, nogil=True)
def _take(  # type: ignore[no-untyped-def]
    tables, pattern, ratios, peaks, codes, chances, threshold,
    read, first, total, found_reads, found_rows, found_scores,
):  # fmt: skip
    row = tables.rows[pattern]
    for index in range(first, min(total, len(found_rows))):
        if found_rows[index] == row:
            return total
    symbols = tables.symbols[pattern]
    value = chances[0] * score_pattern(symbols, ratios, peaks)
    fits = False
    for which in range(len(codes)):
        if codes[which] > 0 and (which == 0 or chances[which] > value) and fits_pattern(symbols, codes[which]):
            value = max(value, chances[which])
            fits |= which == 0
    if value >= threshold or fits:
        if total < len(found_rows):
            found_reads[total] = read
            found_rows[total] = row
            found_scores[total] = value
        total += 1
    return total


@njit(cache=True, nogil=True)
def score_pattern(symbols, ratios, peaks):  # type: ignore[no-untyped-def]
    """The largest product of ratios of a text that fits; `peaks`: the largest ratio of a character in each slot."""
    best = np.zeros(SLOTS + 1, np.float32)  # best[i]: of the symbols so far, laid on the first i slots
    best[0] = 1
    for symbol in symbols:
        if symbol == 0:
            break
        if symbol == MANY:
            for slot in range(1, SLOTS + 1):
                best[slot] = max(best[slot], best[slot - 1] * peaks[slot - 1])
        else:
            for slot in range(SLOTS, 0, -1):
                best[slot] = best[slot - 1] * (peaks[slot - 1] if symbol == ANY else ratios[slot - 1, symbol - 1])
            best[0] = 0
    tail = np.float32(1)
    result = best[SLOTS]
    for slot in range(SLOTS - 1, -1, -1):
        tail *= ratios[slot, EMPTY]
        result = max(result, best[slot] * tail)
    return result


@njit(cache=True, nogil=True)
def fits_pattern(symbols, code):  # type: ignore[no-untyped-def]
    """Whether a plate fits."""
    digits = np.empty(LONGEST + 1, np.int64)
    length = decode_into(code, digits)
    reached = np.int64(1)  # bit p: the symbols so far may have taken the first p characters
    everywhere = (np.int64(1) << (length + 1)) - 1
    for symbol in symbols:
        if symbol == 0 or reached == 0:
            break
        if symbol == MANY:
            reached = everywhere & ~((reached & -reached) - 1)
            continue
        equal = np.int64(0)
        for place in range(length):
            if symbol == ANY or digits[place] == symbol:
                equal |= np.int64(1) << place
        reached = (reached & equal) << 1
    return reached >> length & 1 == 1
