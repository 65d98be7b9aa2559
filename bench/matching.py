"""How fast does a read find the listed plates that it may be, and does it find all?

The list holds a million plates and a thousand wildcards, drawn evenly over provinces, series and numbers. One read in
ten is of a listed plate. Nine in ten reads are certain of every character, as settled reads of a track are; in the rest
each character is in doubt with probability 0.3, between those that the shipped table of confusions says it is taken
for, and one in ten of these has a character missing or too many.

The threshold is 0.01; `_at_half` is 0.5, what the budget of a list of a million gives; `_at_least` is 0.001, the least
that any budget gives, at which characters missing or too many count, too. At that one the index is built, swapped and
compared. Each read is timed by itself inside the compiled code; `sighting` is the whole call from Python, from a
sighting's tuples to matches with their reasons. Recall is against scoring every entry of the list. Of the pause while
lists are swapped (`swap_gap_ms`), the time in which the machine ran something else (/proc/self/task/*/schedstat) is
taken off: what is left is the program's own. Beside it, the same reads by a RapidFuzz scan for plates one edit away,
and by one regular expression for the same run over all plates; neither knows a lattice.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import time
import tracemalloc
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from anpr.ops.cpu_match_index import search
from anpr.ops.cpu_match_patterns import fits_pattern, score_pattern
from anpr.ops.cpu_matching import encode_plates, score_pairs, weigh_lattices
from anpr.ops.matching_contract import SLOTS
from anpr.plates.confusions import shipped
from anpr.plates.forms import LONGEST, SERIES_LETTERS
from anpr.plates.provinces import codes
from anpr.records import ALPHABET, EMPTY
from anpr.watch.index import Costs, Index, Reads, Thresholds, as_rows
from anpr.watch.lists import WatchList
from anpr.watch.matcher import Matcher
from anpr.watch.table import NONE, Entries, Texts
from bench import report

LEAST = 0.001
THRESHOLDS = {"": 0.01, "_at_half": 0.5, "_at_least": LEAST}
SHARE_LISTED = 0.1
SHARE_DOUBTFUL = 0.1
SHARE_IN_DOUBT = 0.3
SHARE_SHIFTED = 0.1

_clock_gettime = ctypes.CDLL(None).clock_gettime
_clock_gettime.argtypes = (ctypes.c_int, ctypes.c_void_p)
_clock_gettime.restype = ctypes.c_int
_MONOTONIC = 1


def draw_plates(count: int, rng: np.random.Generator) -> NDArray[np.bytes_]:
    """Car plates, S12."""
    parts = (
        rng.choice(sorted(codes()), count),
        rng.choice(list(SERIES_LETTERS), count),
        np.char.zfill(rng.integers(1, 100_000, count).astype(str), 5),
    )
    return np.char.add(np.char.add(parts[0], parts[1]), parts[2]).astype("S12")


def draw_patterns(count: int, rng: np.random.Generator) -> NDArray[np.bytes_]:
    """Plates of which somebody remembers a part, in four equal shares."""
    patterns = []
    for number, plate in enumerate(draw_plates(count, rng).tolist()):
        text = plate.decode()
        unknown = rng.choice(np.arange(3, 8), 2, replace=False)
        some = "".join("?" if place in unknown else character for place, character in enumerate(text))
        patterns.append((some, f"*{text[2:7]}*", f"{text[:6]}*", f"{text[:3]}*{text[5:]}")[number % 4])
    return np.array([pattern.encode() for pattern in patterns], "S12")


def draw_reads(plates: NDArray[np.bytes_], rng: np.random.Generator) -> Reads:
    """One read of each plate, as the text says at the top."""
    taken_for = np.exp(-shipped().costs)
    lattices = np.zeros((len(plates), SLOTS, EMPTY + 1), np.float32)
    texts, chances = [], []
    for lattice, plate in zip(lattices, plates.tolist(), strict=True):
        shown, doubtful = plate.decode(), rng.random() < SHARE_DOUBTFUL
        if doubtful and rng.random() < SHARE_SHIFTED:
            place = int(rng.integers(2, len(shown)))
            more = str(rng.integers(10)) if rng.random() < 0.5 else ""
            shown = (shown[:place] + more + shown[place + (not more) :])[:LONGEST]
        lattice[len(shown) :, EMPTY] = 1.0
        for slot, character in enumerate(shown):
            own = ALPHABET.index(character)
            lattice[slot, own] = 1.0
            if doubtful and rng.random() < SHARE_IN_DOUBT:
                others = taken_for[:, own] * rng.gamma(0.5, size=EMPTY)
                others[own] = 0.0
                doubt = rng.uniform(0.02, 0.7)
                row = others / others.sum() * doubt
                row[own] = 1.0 - doubt
                row[row < 0.01] = 0.0  # as a sighting keeps it
                lattice[slot, :EMPTY] = row
        best = lattice.argmax(axis=1)
        texts.append("".join(ALPHABET[column] for column in best if column < EMPTY).encode())
        chances.append(float(lattice.max(axis=1).prod()))
    return Reads(
        lattices, as_rows(np.array(texts, "S12"))[:, None].copy(), np.array(chances, np.float32)[:, None].copy()
    )


@njit  # type: ignore[untyped-decorator]
def _time_each(  # type: ignore[no-untyped-def]
    plates, patterns, lattices, texts, chances, confusions, missing, extra, limits, found, nanoseconds
):
    """Nanoseconds of each read's search."""
    now = np.zeros(2, np.int64)
    for read in range(len(lattices)):
        _clock_gettime(_MONOTONIC, now.ctypes.data)
        begun = now[0] * 1_000_000_000 + now[1]
        search(
            plates,
            patterns,
            lattices[read : read + 1],
            texts[read : read + 1],
            chances[read : read + 1],
            confusions,
            missing,
            extra,
            limits,
            found[0],
            found[1],
            found[2],
        )
        _clock_gettime(_MONOTONIC, now.ctypes.data)
        nanoseconds[read] = now[0] * 1_000_000_000 + now[1] - begun


def time_each(index: Index, reads: Reads) -> NDArray[np.float64]:
    """Microseconds of each read, in one thread."""
    found = np.empty(4096, np.int32), np.empty(4096, np.uint32), np.empty(4096, np.float32)
    limits = np.array([index.thresholds.plates, index.thresholds.patterns], np.float32)
    for _ in range(2):  # once to compile and to warm the caches
        nanoseconds = np.empty(len(reads.lattices), np.int64)
        _time_each(
            index.plates,
            index.patterns,
            reads.lattices,
            reads.texts,
            reads.chances,
            index.costs.probabilities(),
            np.float32(index.costs.missing),
            np.float32(index.costs.extra),
            limits,
            found,
            nanoseconds,
        )
    return nanoseconds / 1e3


def time_exact(index: Index, texts: NDArray[np.bytes_]) -> float:
    """Reads per second."""
    seconds = []
    for _ in range(7):
        begun = time.perf_counter()
        index.find_exact(texts)
        seconds.append(time.perf_counter() - begun)
    return len(texts) / float(np.median(seconds))


def as_list(listed: NDArray[np.bytes_]) -> WatchList:
    """A watch-list of bare plates and patterns."""
    rows = len(listed)
    unlimited, none = np.full(rows, np.inf), np.full(rows, NONE, np.int8)
    nothing = Texts(b"", np.zeros(rows, np.int32))
    columns = {"reasons": nothing, "authorities": nothing, "references": nothing, "kinds": none, "severities": none}
    lines = np.zeros(rows, np.int32)
    entries = Entries(
        plates=listed, valid_from_seconds=-unlimited, valid_until_seconds=unlimited, lines=lines, **columns
    )
    return WatchList("bench", "1", entries)


def time_sightings(watch_list: WatchList, reads: Reads) -> NDArray[np.float64]:
    """Microseconds of each read as one sighting, from its tuples to its matches with their reasons."""
    least = THRESHOLDS[""]
    matcher = Matcher((watch_list,), thresholds=Thresholds(least, least))
    microseconds = []
    for lattice, texts, chances in zip(reads.lattices, reads.texts, reads.chances, strict=True):
        text = texts[0].tobytes().rstrip(b"\0").decode()
        rows_of = tuple(
            tuple(((ALPHABET + " ")[column].strip(), float(row[column])) for column in np.flatnonzero(row))
            for row in lattice[: len(text)]
        )
        alternatives = ((text, float(chances[0])),)
        begun = time.perf_counter()
        matcher.match(text=text, raw=text, alternatives=alternatives, lattice=rows_of, seen_seconds=1.8e9)
        microseconds.append((time.perf_counter() - begun) * 1e6)
    return np.array(microseconds)


@dataclass(frozen=True, slots=True)
class Recall:
    """The index against a look at every entry."""

    expected: int
    found: int
    """Of those expected, with the same score."""
    made_up: int

    @property
    def share(self) -> float:
        return self.found / max(1, self.expected)


def measure_recall(index: Index, listed: NDArray[np.bytes_], reads: Reads) -> Recall:
    """Score every entry for every read, and compare."""
    plates = encode_plates(as_rows(listed))
    references = encode_plates(np.ascontiguousarray(reads.texts[:, 0]))
    ratios = weigh_lattices(reads.lattices, references, index.costs.probabilities())
    bases = np.ascontiguousarray(reads.chances[:, 0])
    expected: dict[tuple[int, int], float] = {}
    patterns = index.patterns
    for read in range(len(bases)):
        scores = score_pairs(
            ratios,
            bases,
            np.full(len(plates), read, np.int32),
            plates,
            missing=index.costs.missing,
            extra=index.costs.extra,
        )
        matched = (scores >= np.float32(index.thresholds.plates)) | (plates == references[read])
        expected |= {(read, row): float(scores[row]) for row in np.flatnonzero(matched & (plates > 0)).tolist()}
        peaks = ratios[read, :, :EMPTY].max(axis=1)
        for symbols, row in zip(patterns.symbols, patterns.rows.tolist(), strict=True):
            score = bases[read] * score_pattern(symbols, ratios[read], peaks)
            fits = fits_pattern(symbols, references[read])
            if fits or score >= np.float32(index.thresholds.patterns):
                expected[read, row] = float(max(score, bases[read]) if fits else score)
    numbers, rows, scores = index.search(reads)
    found = dict(zip(zip(numbers.tolist(), rows.tolist(), strict=True), scores.tolist(), strict=True))
    right = sum(found.get(pair) == score for pair, score in expected.items())
    return Recall(len(expected), right, len(found.keys() - expected.keys()))


def measure_swap(watch_list: WatchList, reads: Reads) -> tuple[float, float]:
    """The longest pause of a thread that matches while another builds a matcher and swaps it, the median of some swaps:
    milliseconds of the program's own doing, and all."""
    least = Thresholds(LEAST, LEAST)
    Matcher((watch_list,))  # compiled code is loaded at the start, not at a swap
    live, stop = [Matcher((watch_list,), thresholds=least)], threading.Event()
    own, whole = [0.0], [0.0]
    """Of each swap the longest so far."""
    ones = [
        Reads(reads.lattices[i : i + 1], reads.texts[i : i + 1], reads.chances[i : i + 1])
        for i in range(min(1000, len(reads.lattices)))
    ]

    def match(builder: int) -> None:
        own_file, its_file = (
            open(f"/proc/self/task/{thread}/schedstat", "rb")  # noqa: PTH123, SIM115
            for thread in (threading.get_native_id(), builder)
        )

        def elsewhere() -> int:
            """Nanoseconds in which this thread ran, or either would have run if it had had a processor."""
            ran, waited, _ = os.pread(own_file.fileno(), 100, 0).split()
            return int(ran) + int(waited) + int(os.pread(its_file.fileno(), 100, 0).split()[1])

        number = 0
        with own_file, its_file:
            while not stop.is_set():
                number += 1
                read = ones[number % len(ones)]
                before, begun = elsewhere(), time.perf_counter_ns()
                live[0].indexes[0].search(read)
                lasted, spent = time.perf_counter_ns() - begun, elsewhere() - before
                whole[-1] = max(whole[-1], lasted / 1e6)
                own[-1] = max(own[-1], (lasted - spent) / 1e6)

    thread = threading.Thread(target=match, args=(threading.get_native_id(),))
    thread.start()
    for thresholds in (None, least) * 3:  # None: the list's budget is worked out as well
        live[0] = Matcher((watch_list,), thresholds=thresholds)
        own.append(0.0)
        whole.append(0.0)
    stop.set()
    thread.join()
    return float(np.median(own[:-1])), float(np.median(whole[:-1]))


def time_rapidfuzz(texts: list[str], asked: list[str]) -> float:
    """Microseconds, the median, of a scan for plates one edit away."""
    microseconds = []
    for text in asked:
        begun = time.perf_counter()
        distances = process.cdist([text], texts, scorer=Levenshtein.distance, score_cutoff=1, dtype=np.uint8, workers=1)
        np.flatnonzero(distances[0] <= 1)
        microseconds.append((time.perf_counter() - begun) * 1e6)
    return float(np.median(microseconds))


def time_linear(texts: list[str], asked: list[str]) -> float:
    """Microseconds, the median, of one regular expression of all plates one edit away, over all plates."""
    joined = "\n".join(texts)
    microseconds = []
    for text in asked:
        places = range(len(text))
        ways = [f"{text[:place]}.?{text[place + 1 :]}" for place in places]
        ways += [f"{text[:place]}.{text[place:]}" for place in range(len(text) + 1)]
        begun = time.perf_counter()
        re.findall(rf"^(?:{'|'.join(ways)})$", joined, re.MULTILINE)
        microseconds.append((time.perf_counter() - begun) * 1e6)
    return float(np.median(microseconds))


def main() -> int:
    """Measure and print."""
    arguments = report.parser(__doc__).parse_args()
    rng = np.random.default_rng(1)
    plates, patterns, count, looked_at, scans = (
        (30_000, 200, 2_000, 40, 3) if arguments.quick else (1_000_000, 1_000, 50_000, 300, 9)
    )
    listed = np.concatenate([draw_plates(plates, rng), draw_patterns(patterns, rng)])
    seen = np.where(rng.random(count) < SHARE_LISTED, rng.choice(listed[:plates], count), draw_plates(count, rng))
    reads = draw_reads(seen, rng)
    costs = Costs()
    figures: dict[str, float] = {}
    for name, least in THRESHOLDS.items():
        thresholds = Thresholds(least, least)
        index = Index.build(listed, thresholds=thresholds, costs=costs)
        microseconds = time_each(index, reads)
        figures[f"lattice_p50_us{name}"] = float(np.median(microseconds))
        figures[f"lattice_p99_us{name}"] = float(np.percentile(microseconds, 99))
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        Index.build(listed, thresholds=thresholds, costs=costs)
        seconds.append(time.perf_counter() - begun)
    figures["build_s"] = float(np.median(seconds))
    figures["index_mb"] = index.size_bytes / 1e6
    tracemalloc.start()
    Index.build(listed, thresholds=thresholds, costs=costs)
    figures["build_peak_mb"] = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    figures["exact_reads_per_s"] = time_exact(index, np.tile(seen, 1_000_000 // count))
    watch_list = as_list(listed)
    first = Reads(reads.lattices[:5000], reads.texts[:5000], reads.chances[:5000])
    sightings = time_sightings(watch_list, first)
    figures["sighting_p50_us"] = float(np.median(sightings))
    figures["sighting_p99_us"] = float(np.percentile(sightings, 99))
    some = np.concatenate([np.argsort(reads.chances[:, 0])[:looked_at], np.arange(looked_at)])
    recall = measure_recall(index, listed, Reads(reads.lattices[some], reads.texts[some], reads.chances[some]))
    figures |= {"recall": recall.share, "recall_of": recall.expected, "made_up": recall.made_up}
    figures["swap_pause_ms"], figures["swap_gap_ms"] = measure_swap(watch_list, first)
    texts = [text.decode() for text in listed[:plates].tolist()]
    asked = [text.decode() for text in seen[:scans].tolist()]
    figures["rapidfuzz_p50_us"] = time_rapidfuzz(texts, asked)
    figures["linear_p50_us"] = time_linear(texts, asked)
    report.show(
        f"{plates:,} plates and {patterns:,} wildcards, {count:,} reads",
        ["figure", "value"],
        [[name, value] for name, value in figures.items()],
    )
    report.finish("matching", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
