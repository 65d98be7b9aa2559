"""Finding the listed plates that a read may be, on the processor: the tables of an index and the search in them.

The search finds every plate whose score (`anpr.ops.matching_contract`) reaches a threshold, and scores only those that
may. It needs no luck, because the score's own bound drives it:

- *As it is.* A plate laid on the slots as it is scores base times the product of its ratios. All strings whose product
  reaches threshold / base are walked, most likely first in each slot, a branch left as soon as its product is too
  small (no ratio is above 1). Each string is looked up among the plates.
- *A character missing.* The plate without its character j is then such a string, with a product that reaches
  threshold / (base * missing). So the same strings, as far as they are that likely, are looked up among all listed
  plates with one character taken out.
- *A character too many.* The lattice without slot j is walked in the same way, down to threshold / (base * extra).

As a lattice's probabilities sum to 1, hardly more than 1 / threshold strings of plates can be that likely, and branches
whose first `HEAD` characters begin no listed plate are left at once.

numba keeps `search` compiled for this file as it is: who changes the other two files that it is made of
(`cpu_matching`, `cpu_match_patterns`) has to touch this one as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anpr.ops.cpu_match_patterns import PatternTables, search_patterns
from anpr.ops.cpu_matching import SLACK, decode_into, encode_into, rank, score, weigh
from anpr.ops.matching_contract import RADIX, SLOTS
from anpr.plates.forms import LONGEST
from anpr.records import EMPTY

HEAD = 4
"""Characters of a plate's beginning that are known to begin some plate: 37**4 bits fit the second-level cache."""

_FILTER_BITS_PER_PLATE = 16
_GATHERED = 64
_MIX = -7046029254386353131  # 2**64 / golden ratio (Knuth, The Art of Computer Programming 6.4), as int64
_HEADS = RADIX**HEAD


class PlateTables(NamedTuple):
    """Plates in hash buckets. Positions count plates in the order of `codes`."""

    codes: NDArray[np.int64]
    """(plates,) in the order of their buckets."""
    rows: NDArray[np.uint32]
    """(plates,) the row of the list that each stands in."""
    starts: NDArray[np.uint32]
    """(2**k + 1,) where each bucket begins in `codes`."""
    filter: NDArray[np.int64]
    """(2**m,) words of a Bloom filter with two bits of one word per plate: most strings are seen at once to be none."""
    heads: NDArray[np.int64]
    """Bit set of the beginnings of plates, and of plates with one character taken out."""
    deleted_starts: NDArray[np.uint32]
    """(2**k + 1,) buckets of the plates with one character taken out; of size 1 if none are looked up."""
    deleted: NDArray[np.uint32]
    """Positions of the plates that they come from."""


def build_plates(texts: NDArray[np.uint8], *, with_deleted: bool) -> PlateTables:
    """The tables of the rows of `texts` (uint8 (n, width), ASCII padded with 0) that are plates, others left out.

    Runs without the interpreter's lock but for moments, so that other threads go on matching.
    """
    codes = np.empty(len(texts), np.int64)
    encode_into(texts, codes)
    count = _count_plates(codes)
    buckets = _power_of_two(2 * count)
    starts = np.zeros(buckets + 1, np.uint32)
    ordered = np.empty(count, np.int64)
    rows = np.empty(count, np.uint32)
    bloom = np.zeros(_power_of_two(count * _FILTER_BITS_PER_PLATE // 64), np.int64)
    heads = np.zeros(_HEADS // 64 + 1, np.int64)
    _fill_plates(codes, starts, ordered, rows, bloom, heads)
    if not with_deleted:
        return PlateTables(ordered, rows, starts, bloom, heads, np.zeros(1, np.uint32), np.zeros(0, np.uint32))
    total = _count_deleted(ordered)
    deleted_starts = np.zeros(_power_of_two(total) + 1, np.uint32)
    deleted = np.empty(total, np.uint32)
    _fill_deleted(ordered, deleted_starts, deleted, heads)
    return PlateTables(ordered, rows, starts, bloom, heads, deleted_starts, deleted)


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


@njit(cache=True, nogil=True, inline="always")
def _hash(code):  # type: ignore[no-untyped-def]
    mixed = code * _MIX
    return mixed ^ (mixed >> 32)


@njit(cache=True, nogil=True)
def _count_plates(codes):  # type: ignore[no-untyped-def]
    count = 0
    for code in codes:
        if code > 0:
            count += 1
    return count


@njit(cache=True, nogil=True)
def _head(code):  # type: ignore[no-untyped-def]
    while code >= _HEADS:
        code //= RADIX
    return code


@njit(cache=True, nogil=True)
def _mark_head(heads, code):  # type: ignore[no-untyped-def]
    head = _head(code)
    heads[head >> 6] |= np.int64(1) << (head & 63)


@njit(cache=True, nogil=True)
def _two_bits(hashed):  # type: ignore[no-untyped-def]
    return (np.int64(1) << ((hashed >> 40) & 63)) | (np.int64(1) << ((hashed >> 46) & 63))


@njit(cache=True, nogil=True)
def _fill_plates(codes, starts, ordered, rows, bloom, heads):  # type: ignore[no-untyped-def]
    """Counting sort by bucket, stable: plates that stand on the list twice keep their order."""
    mask = len(starts) - 2
    for code in codes:
        if code > 0:
            starts[(_hash(code) & mask) + 1] += 1
    for bucket in range(1, len(starts)):
        starts[bucket] += starts[bucket - 1]
    for row in range(len(codes) - 1, -1, -1):
        code = codes[row]
        if code > 0:
            hashed = _hash(code)
            bucket = (hashed & mask) + 1
            # Filling from each bucket's end turns the ends into beginnings.
            starts[bucket] -= 1
            place = starts[bucket]
            ordered[place] = code
            rows[place] = row
            bloom[hashed & (len(bloom) - 1)] |= _two_bits(hashed)
            _mark_head(heads, code)
    _shift(starts, len(ordered))


@njit(cache=True, nogil=True)
def _shift(starts, total):  # type: ignore[no-untyped-def]
    """starts[b + 1] holds where bucket b begins: move each to b."""
    for bucket in range(len(starts) - 1):
        starts[bucket] = starts[bucket + 1]
    starts[len(starts) - 1] = total


@njit(cache=True, nogil=True)
def _count_deleted(codes):  # type: ignore[no-untyped-def]
    digits = np.empty(LONGEST + 1, np.int64)
    total = 0
    for code in codes:
        length = decode_into(code, digits)
        for k in range(length):
            if length > 1 and (k == 0 or digits[k] != digits[k - 1]):
                total += 1
    return total


@njit(cache=True, nogil=True)
def _deletions(code, digits, into):  # type: ignore[no-untyped-def]
    """The different codes with one character taken out; returns how many."""
    length = decode_into(code, digits)
    count = 0
    power = np.int64(1)
    for k in range(length - 1, -1, -1):
        if length > 1 and (k == 0 or digits[k] != digits[k - 1]):
            into[count] = code // (power * RADIX) * power + code % power
            count += 1
        power *= RADIX
    return count


@njit(cache=True, nogil=True)
def _fill_deleted(codes, starts, deleted, heads):  # type: ignore[no-untyped-def]
    mask = len(starts) - 2
    digits = np.empty(LONGEST + 1, np.int64)
    shorter = np.empty(LONGEST, np.int64)
    for code in codes:
        for k in range(_deletions(code, digits, shorter)):
            starts[(_hash(shorter[k]) & mask) + 1] += 1
            _mark_head(heads, shorter[k])
    for bucket in range(1, len(starts)):
        starts[bucket] += starts[bucket - 1]
    for position in range(len(codes) - 1, -1, -1):
        for k in range(_deletions(codes[position], digits, shorter)):
            bucket = (_hash(shorter[k]) & mask) + 1
            starts[bucket] -= 1
            deleted[starts[bucket]] = position
    _shift(starts, len(deleted))


@njit(cache=True, nogil=True)
def find_exact(tables, texts, positions):  # type: ignore[no-untyped-def]
    """Per row of `texts` (uint8 (n, width)) the first position of that plate, -1 if it is not listed."""
    codes = np.empty(1, np.int64)
    for row in range(len(texts)):
        encode_into(texts[row : row + 1], codes)
        positions[row] = -1
        code = codes[0]
        if code == 0 or len(tables.codes) == 0:
            continue
        hashed = _hash(code)
        bits = _two_bits(hashed)
        if tables.filter[hashed & (len(tables.filter) - 1)] & bits != bits:
            continue
        bucket = hashed & (len(tables.starts) - 2)
        for place in range(tables.starts[bucket], tables.starts[bucket + 1]):
            if tables.codes[place] == code:
                positions[row] = place
                break


@njit(cache=True, nogil=True)
def search(  # type: ignore[no-untyped-def]
    plates: PlateTables,
    patterns: PatternTables,
    lattices,
    texts,
    chances,
    confusions,
    missing,
    extra,
    thresholds,
    found_reads,
    found_rows,
    found_scores,
):
    """Everything listed that each read matches; returns how many, of which those beyond the room are not written.

    `lattices`: float32 (reads, SLOTS, 37). `texts`: uint8 (reads, 1 + alternatives, width), the reference first, rows
    of zeros where there are fewer; `chances`: float32 (reads, 1 + alternatives), the probability of each. `thresholds`:
    float32 (2,), of plates and of patterns. A reference of zeros matches nothing; one that is listed itself matches
    whatever its probability.
    """
    ratios = np.empty((SLOTS, EMPTY + 1), np.float32)
    choices = np.empty((SLOTS, EMPTY), np.int64)
    weights = np.empty((SLOTS, EMPTY), np.float32)
    counts = np.empty(SLOTS, np.int64)
    tails = np.empty(SLOTS + 1, np.float32)
    codes = np.empty(texts.shape[1], np.int64)
    total = 0
    for read in range(len(lattices)):
        encode_into(texts[read], codes)
        if codes[0] == 0:
            continue
        weigh(lattices[read], codes[0], confusions, ratios)
        if len(plates.codes) > 0:
            total = _search_plates(
                plates, ratios, codes, chances[read], missing, extra, thresholds[0],
                choices, weights, counts, tails, read, total, found_reads, found_rows, found_scores,
            )  # fmt: skip
        if len(patterns.symbols) > 0:
            total = search_patterns(
                patterns, ratios, codes, chances[read], thresholds[1],
                choices, weights, counts, tails, read, total, found_reads, found_rows, found_scores,
            )  # fmt: skip
    return total


@njit(cache=True, nogil=True)
def _search_plates(  # type: ignore[no-untyped-def]
    tables, ratios, codes, chances, missing, extra, threshold,
    choices, weights, counts, tails, read, total, found_reads, found_rows, found_scores,
):  # fmt: skip
    first = total
    base = chances[0]
    # The reference and the alternatives.
    for which in range(len(codes)):
        if codes[which] > 0 and (which == 0 or chances[which] >= threshold):
            total = _take_equal(
                tables, codes[which], ratios, codes, chances, missing, extra, threshold,
                read, first, total, found_reads, found_rows, found_scores,
            )  # fmt: skip
    if base < threshold:
        return total
    least = threshold / base * SLACK
    used = rank(ratios, least, choices, weights, counts, tails)
    begun = np.empty(LONGEST + 1, np.int64)
    products = np.empty(LONGEST + 1, np.float32)
    tried = np.empty(LONGEST + 1, np.int64)
    strings = np.empty(_GATHERED, np.int64)
    ended = np.empty(_GATHERED, np.float32)
    words = np.empty(_GATHERED, np.int64)
    for skipped in range(-1, used if extra >= least else 0):
        gathered = 0
        depth = 0
        begun[0], products[0], tried[0] = 0, extra if skipped >= 0 else np.float32(1), 0
        while depth >= 0:
            depth, gathered = _walk(
                tables.heads, choices, weights, counts, tails, begun, products, tried, depth,
                SLOTS if skipped < 0 else skipped, least, strings, ended, gathered,
            )  # fmt: skip
            if gathered == 0:
                continue
            _probe(tables.filter, strings, words, gathered)
            for index in range(gathered):
                code = strings[index]
                hashed = _hash(code)
                bits = _two_bits(hashed)
                if words[index] & bits == bits:
                    total = _take_equal(
                        tables, code, ratios, codes, chances, missing, extra, threshold,
                        read, first, total, found_reads, found_rows, found_scores,
                    )  # fmt: skip
                if skipped < 0 and len(tables.deleted) > 0 and ended[index] * missing >= least:
                    bucket = hashed & (len(tables.deleted_starts) - 2)
                    for place in range(tables.deleted_starts[bucket], tables.deleted_starts[bucket + 1]):
                        total = _take(
                            tables, tables.deleted[place], ratios, codes, chances, missing, extra, threshold,
                            read, first, total, found_reads, found_rows, found_scores,
                        )  # fmt: skip
            gathered = 0
    return total


@njit(cache=True, nogil=True)
def _probe(bloom, strings, words, count):  # type: ignore[no-untyped-def]
    """Fetch the filter's word of each string, all at once: each may be far away in memory."""
    for index in range(count):
        words[index] = bloom[_hash(strings[index]) & (len(bloom) - 1)]


@njit(cache=True, nogil=True)
def _walk(  # type: ignore[no-untyped-def]
    heads, choices, weights, counts, tails, begun, products, tried, depth, skipped, least, strings, ended, gathered
):
    """Gather the strings whose product reaches `least`, until there is no room; slot `skipped` is left out.

    By depth, `begun` is the code of the string so far, `products` its product, `tried` how many characters were tried
    after it. Returns the depth at which to go on, -1 at the end, and how many strings are gathered.
    """
    while depth >= 0 and gathered < len(strings):
        slot = depth + 1 if depth >= skipped else depth
        if depth == LONGEST or slot >= SLOTS or tried[depth] >= counts[slot]:
            depth -= 1
            continue
        choice = tried[depth]
        product = products[depth] * weights[slot, choice]
        if product < least:
            depth -= 1
            continue
        tried[depth] = choice + 1
        code = begun[depth] * RADIX + choices[slot, choice]
        if depth + 1 == HEAD and not heads[code >> 6] >> (code & 63) & 1:
            continue
        depth += 1
        begun[depth], products[depth], tried[depth] = code, product, 0
        if depth < skipped < SLOTS:
            continue
        whole = product * tails[depth + 1 if depth >= skipped else depth]  # the text ends here
        if whole >= least:
            strings[gathered] = code
            ended[gathered] = whole
            gathered += 1
    return depth, gathered


@njit(cache=True, nogil=True)
def _take_equal(  # type: ignore[no-untyped-def]
    tables, code, ratios, codes, chances, missing, extra, threshold,
    read, first, total, found_reads, found_rows, found_scores,
):  # fmt: skip
    """Take all positions of one plate."""
    bucket = _hash(code) & (len(tables.starts) - 2)
    for place in range(tables.starts[bucket], tables.starts[bucket + 1]):
        if tables.codes[place] == code:
            total = _take(
                tables, place, ratios, codes, chances, missing, extra, threshold,
                read, first, total, found_reads, found_rows, found_scores,
            )  # fmt: skip
    return total


@njit(cache=True, nogil=True)
def _take(  # type: ignore[no-untyped-def]
    tables, place, ratios, codes, chances, missing, extra, threshold,
    read, first, total, found_reads, found_rows, found_scores,
):  # fmt: skip
    """Score a candidate, and write it down if it matches and is not written down yet."""
    row = tables.rows[place]
    for index in range(first, min(total, len(found_rows))):
        if found_rows[index] == row:
            return total
    plate = tables.codes[place]
    value = score(ratios, chances[0], plate, missing, extra)
    for which in range(1, len(codes)):
        if codes[which] == plate:
            value = max(value, chances[which])
    if value >= threshold or plate == codes[0]:
        if total < len(found_rows):
            found_reads[total] = read
            found_rows[total] = row
            found_scores[total] = value
        total += 1
    return total
