"""The index against a look at every entry: whatever the definition says matches is found, and nothing else."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr.ops.cpu_match_patterns import score_pattern
from anpr.ops.matching_contract import SLOTS, load
from anpr.plates.confusions import Confusions
from anpr.plates.forms import LONGEST
from anpr.plates.patterns import Pattern, is_pattern
from anpr.records import ALPHABET, EMPTY
from anpr.watch.index import Costs, Index, Reads, Thresholds, as_rows

CHARACTERS = "0128BD"
OPS = load()


def make_costs(missing: float, extra: float, seed: int = 5) -> Costs:
    """Every true character is read as any other with some probability, a few of them often."""
    probabilities = np.random.default_rng(seed).dirichlet([0.05] * EMPTY, EMPTY).T * 0.6
    np.fill_diagonal(probabilities, 0.0)
    np.fill_diagonal(probabilities, 1.0 - probabilities.sum(axis=0))
    return Costs(Confusions(-np.log(np.maximum(probabilities, 1e-9))), missing=missing, extra=extra)


def look_at_every_entry(index: Index, listed: list[str], reads: Reads) -> dict[tuple[int, int], float]:
    """The definition, entry by entry: (read, row) -> score."""
    codes = OPS.encode_plates(as_rows(np.array([text.encode() for text in listed], "S12")))
    references = OPS.encode_plates(np.ascontiguousarray(reads.texts[:, 0]))
    ratios = OPS.weigh_lattices(reads.lattices, references, index.costs.probabilities())
    found = {}
    for read in range(len(reads.lattices)):
        bases = np.ascontiguousarray(reads.chances[:, 0])
        scores = OPS.score_pairs(
            ratios,
            bases,
            np.full(len(codes), read, np.int32),
            codes,
            missing=index.costs.missing,
            extra=index.costs.extra,
        )
        texts = [bytes(row).rstrip(b"\0").decode() for row in reads.texts[read]]
        for row, text in enumerate(listed):
            if is_pattern(text):
                symbols = np.array([_symbol(character) for character in text.ljust(12, "\0")], np.uint8)
                score = bases[read] * score_pattern(symbols, ratios[read], ratios[read, :, :EMPTY].max(axis=1))
                fits, least = Pattern(text).matches, index.thresholds.patterns
            else:
                score, fits, least = scores[row], text.__eq__, index.thresholds.plates
            for asked, chance in zip(texts, reads.chances[read], strict=True):
                if asked and fits(asked):
                    score = max(score, chance)
            if score >= np.float32(least) or fits(texts[0]):
                found[read, row] = float(score)
    return found


def _symbol(character: str) -> int:
    return {"?": 37, "*": 38, "\0": 0}.get(character) or ALPHABET.find(character) + 1


def found_by(index: Index, reads: Reads) -> dict[tuple[int, int], float]:
    numbers, rows, scores = index.search(reads)
    pairs = list(zip(numbers.tolist(), rows.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs), "found twice"
    return dict(zip(pairs, scores.tolist(), strict=True))


def spoil(text: str, rng: np.random.Generator) -> str:
    """A character left out, put in or changed, or none."""
    place, character = int(rng.integers(len(text))), str(rng.choice(list(CHARACTERS)))
    ways = (text, text[:place] + text[place + 1 :], text[:place] + character + text[place:])
    return ways[rng.integers(3)][:LONGEST]


def make_reads(texts: list[str], others: list[str], rng: np.random.Generator, *, doubtful: float) -> Reads:
    """Reads of `texts`, some of their slots in doubt, each with two of `others` as alternatives."""
    lattices = np.zeros((len(texts), SLOTS, EMPTY + 1), np.float32)
    for lattice, text in zip(lattices, texts, strict=True):
        for slot in range(SLOTS):
            own = ALPHABET.index(text[slot]) if slot < len(text) else EMPTY
            likely = [
                own,
                *([ALPHABET.index(str(rng.choice(list(CHARACTERS)))), EMPTY] if rng.random() < doubtful else []),
            ]
            np.add.at(lattice[slot], likely, rng.dirichlet([3.0, 1.0, 0.3][: len(likely)]))
    rows = [[text, *rng.choice([*others, ""], 2)] for text in texts]
    return Reads(
        lattices,
        np.array([[text.encode() for text in row] for row in rows], "S12").view(np.uint8).reshape(len(texts), 3, 12),
        np.column_stack([rng.uniform(0.05, 1.0, len(texts)), rng.uniform(0.0, 0.2, (len(texts), 2))]).astype(
            np.float32
        ),
    )


def make_texts(rng: np.random.Generator, count: int) -> list[str]:
    sizes = rng.integers(4, LONGEST + 1, count)
    return ["".join(rng.choice(list(CHARACTERS), size)) for size in sizes]


def make_patterns(rng: np.random.Generator, count: int) -> list[str]:
    texts = ["".join(rng.choice(list(CHARACTERS + "?*"), size)) for size in rng.integers(2, 9, count)]
    return [text for text in texts if is_pattern(text)]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    plates=st.sampled_from([0, 1, 30, 800]),
    threshold=st.sampled_from([0.6, 0.1, 0.01, 0.001, 0.0002]),
    missing=st.sampled_from([0.0, 0.002, 0.05]),
    extra=st.sampled_from([0.0, 0.002, 0.05]),
    doubtful=st.sampled_from([0.0, 0.2, 0.5]),
)
def test_nothing_is_lost_and_nothing_is_made_up(
    seed: int, plates: int, threshold: float, missing: float, extra: float, doubtful: float
) -> None:
    rng = np.random.default_rng(seed)
    listed = make_texts(rng, plates) + make_patterns(rng, 30)
    rng.shuffle(listed)
    thresholds = Thresholds(threshold, float(rng.choice([threshold, 0.05])))
    index = Index.build(
        np.array([text.encode() for text in listed], "S12"), thresholds=thresholds, costs=make_costs(missing, extra)
    )
    known = [text for text in listed if not is_pattern(text)] or ["01"]
    texts = [spoil(str(text), rng) for text in rng.choice([*known, *make_texts(rng, 4)], 6)]
    reads = make_reads(texts, known, rng, doubtful=doubtful)
    assert found_by(index, reads) == look_at_every_entry(index, listed, reads)


def test_every_entry_of_a_plate_is_found() -> None:
    listed = np.array([b"30A12345"] * 300 + [b"30A*"] * 300, "S12")
    index = Index.build(listed, thresholds=Thresholds(0.01, 0.01))
    rng = np.random.default_rng(0)
    reads = make_reads(["30A12345", "30A12345"], ["30A12345"], rng, doubtful=0.0)
    assert len(found_by(index, reads)) == 1200


def test_exact_texts_are_looked_up_in_batches() -> None:
    rng = np.random.default_rng(1)
    listed = sorted(set(make_texts(rng, 5_000)))
    index = Index.build(np.array([*(text.encode() for text in listed), b"30*"], "S12"), thresholds=Thresholds(0.5, 0.5))
    asked = [*listed, *make_texts(rng, 1_000), "30*", ""]
    expected = [listed.index(text) if text in set(listed) else -1 for text in asked]
    assert index.find_exact(np.array([text.encode() for text in asked], "S12")).tolist() == expected


def test_an_empty_list_matches_nothing() -> None:
    index = Index.build(np.empty(0, "S12"), thresholds=Thresholds(0.01, 0.01))
    assert index.find_exact(np.array([b"30A12345"], "S12")).tolist() == [-1]
    assert found_by(index, make_reads(["012"], ["01"], np.random.default_rng(0), doubtful=1.0)) == {}


def test_deletions_are_kept_only_where_they_can_match() -> None:
    listed = np.array([text.encode() for text in make_texts(np.random.default_rng(0), 1000)], "S12")
    low, high = (Index.build(listed, thresholds=Thresholds(threshold, 0.5)) for threshold in (0.001, 0.1))
    assert len(low.plates.deleted) > 3000
    assert len(high.plates.deleted) == 0
    assert high.size_bytes < low.size_bytes


def test_a_search_runs_beside_others() -> None:
    """An index has no state of a search: many threads may ask it at once."""
    rng = np.random.default_rng(2)
    listed = make_texts(rng, 3_000)
    index = Index.build(np.array([text.encode() for text in listed], "S12"), thresholds=Thresholds(0.001, 0.001))
    batches = [make_reads(listed[start : start + 200], listed, rng, doubtful=0.2) for start in (0, 200, 400, 600)]
    expected = [found_by(index, batch) for batch in batches]
    found: list[list[dict[tuple[int, int], float]]] = [[] for _ in batches]

    def ask(number: int) -> None:
        found[number] = [found_by(index, batches[number]) for _ in range(5)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[answer] * 5 for answer in expected]


@pytest.mark.parametrize(
    ("lattices", "texts", "chances"),
    [((1, 3, 37), (1, 1, 12), (1, 1)), ((1, SLOTS, 37), (1, 1, 10), (1, 1)), ((2, SLOTS, 37), (2, 3, 12), (2, 2))],
)
def test_reads_of_wrong_shapes_are_refused(
    lattices: tuple[int, ...], texts: tuple[int, ...], chances: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must be|do not fit"):
        Reads(np.zeros(lattices, np.float32), np.zeros(texts, np.uint8), np.zeros(chances, np.float32))
