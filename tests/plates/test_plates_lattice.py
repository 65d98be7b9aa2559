import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anpr.plates import evidence
from anpr.plates.grammar import parse
from anpr.plates.lattice import average, combine, position_alternatives, settle
from anpr.records import ALPHABET, EMPTY, Colour


def lattice(
    text: str, *, slots: int = 10, noise: float = 1.0, sharp: float = 9.0, seed: int = 0
) -> NDArray[np.float32]:
    """A reader's output for `text`, with noise."""
    logits = np.random.default_rng(seed).normal(size=(slots, EMPTY + 1)) * noise
    for slot in range(slots):
        logits[slot, ALPHABET.index(text[slot]) if slot < len(text) else EMPTY] += sharp
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def sparse(choices: list[str], seed: int, *, slots: int = 10) -> NDArray[np.float32]:
    """A lattice with probability only on the given characters of each slot (' ' = none)."""
    rng = np.random.default_rng(seed)
    probabilities = np.zeros((slots, EMPTY + 1))
    for slot in range(slots):
        for character in choices[slot] if slot < len(choices) else " ":
            probabilities[slot, EMPTY if character == " " else ALPHABET.index(character)] = rng.random() + 1e-3
    with np.errstate(divide="ignore"):
        return np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def exhaustive(log_probs: NDArray[np.float32], colour: Colour, lines: int | None) -> tuple[dict[str, float], float]:
    """Every plate of a sparse lattice with its weighted probability, and the plain probability of all."""
    probabilities = np.exp(log_probs.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weighted: dict[str, float] = {}
    valid = 0.0
    for columns in itertools.product(*(np.flatnonzero(row).tolist() for row in probabilities)):
        text = "".join(ALPHABET[column] if column < EMPTY else " " for column in columns).rstrip()
        found = parse(text)
        if found:
            mass = float(np.prod([row[column] for row, column in zip(probabilities, columns)]))
            valid += mass
            weighted[text] = mass * max(
                evidence.weight(reading.kind, reading.series, colour=colour, lines=lines) for reading in found
            )
    return weighted, valid


@settings(max_examples=60, deadline=None)
@given(
    choices=st.lists(
        st.text("0123T89ABDHMLRN ", min_size=1, max_size=4).map(lambda text: "".join(set(text))),
        min_size=6,
        max_size=8,
    ),
    seed=st.integers(0, 1000),
    colour=st.sampled_from(["unknown", "white", "yellow", "blue", "red"]),
    lines=st.sampled_from([None, 1, 2]),
    slots=st.sampled_from([8, 10, 12]),
)
@example(choices=[*"20", "AN", *"A0001"], seed=0, colour="blue", lines=None, slots=8)
def test_settle_equals_brute_force(
    choices: list[str], seed: int, colour: Colour, lines: int | None, slots: int
) -> None:
    log_probs = sparse(choices, seed, slots=slots)
    weighted, valid = exhaustive(log_probs, colour, lines)
    settled = settle(log_probs, top=4, colour=colour, lines=lines)
    assert settled.validity == pytest.approx(valid, rel=1e-5, abs=1e-12)
    assert len(settled.alternatives) == min(4, len(weighted))
    expected = sorted(weighted.values(), reverse=True)[:4]
    for (text, probability), mass in zip(settled.alternatives, expected):
        assert probability == pytest.approx(mass / sum(weighted.values()), rel=1e-4)
        assert weighted[text] == pytest.approx(mass, rel=1e-4)


def beam(log_probs: NDArray[np.float32], width: int) -> set[str]:
    """The most probable strings of a lattice, grammar or not."""
    beams = [("", 0.0)]
    for row in log_probs:
        longer = [
            (text + (ALPHABET[column] if column < EMPTY else " "), score + float(row[column]))
            for text, score in beams
            for column in range(EMPTY + 1)
        ]
        beams = sorted(longer, key=lambda item: -item[1])[:width]
    return {text.rstrip() for text, _ in beams}


@pytest.mark.parametrize("seed", range(12))
def test_no_likelier_plate_is_missed_on_dense_lattices(seed: int) -> None:
    log_probs = lattice("30A12345", noise=2.5, sharp=5.0, seed=seed)

    def score(text: str) -> float:
        columns = [ALPHABET.index(c) for c in text] + [EMPTY] * (10 - len(text))
        return float(log_probs[range(10), columns].astype(np.float64).sum())

    settled = settle(log_probs)
    plates = [text for text in beam(log_probs, 2000) if parse(text)]
    assert all(score(text) <= score(settled.text) + 1e-9 for text in plates)
    assert all(parse(text) for text, _ in settled.alternatives)
    assert sum(probability for _, probability in settled.alternatives) <= 1 + 1e-9


@pytest.mark.parametrize("text", ["30A12345", "29H112345", "TM1234", "80441NG02", "T8023588", "KA123", "29MD112345"])
def test_a_sharp_lattice_gives_its_plate(text: str) -> None:
    settled = settle(lattice(text, sharp=14.0))
    assert settled.text == settled.raw == text
    assert settled.alternatives[0] == (text, settled.probability)
    assert settled.probability > 0.98
    assert 0.98 < settled.validity <= 1.0


def test_the_grammar_repairs_and_the_raw_text_stays() -> None:
    log_probs = lattice("3OA12345", noise=0.0)
    log_probs[1, 0] = log_probs[1, ALPHABET.index("O")] - 1.0
    settled = settle(log_probs)
    assert settled.raw == "3OA12345"
    assert settled.text == "30A12345"
    assert settled.validity < 0.5


def test_colour_and_lines_are_soft_evidence() -> None:
    between = lattice("30A12345", noise=0.0)
    between[2, ALPHABET.index("N")] = between[2, ALPHABET.index("A")] + 0.5
    assert settle(between).text == "30N12345"
    assert settle(between, colour="blue").text == "30A12345"
    assert settle(lattice("30N12345"), colour="blue").text == "30N12345"
    assert settle(lattice("29H112345"), lines=1).text == "29H112345"


def test_fewer_slots_limit_the_length() -> None:
    assert settle(lattice("30A123456", slots=7)).text != ""
    assert settle(lattice("TM1234", slots=6)).text == "TM1234"
    assert len(settle(lattice("30A12345", slots=7)).text) <= 7
    assert settle(lattice("30A12345", slots=16)).text == "30A12345"


def test_no_plate_at_all() -> None:
    settled = settle(sparse(["I"] * 6, 0))
    assert (settled.text, settled.probability, settled.alternatives, settled.validity) == ("", 0.0, (), 0.0)
    assert settled.raw == "IIIIII"


@pytest.mark.parametrize("margin", [50.0, 200.0, 3000.0])
def test_a_hopeless_lattice_stays_finite(margin: float) -> None:
    log_probs = np.full((10, EMPTY + 1), -margin, np.float32)
    log_probs[:, ALPHABET.index("I")] = 0.0
    settled = settle(log_probs)
    assert parse(settled.text)
    assert 0.0 <= settled.probability <= 1.0
    assert settled.validity < 1e-12


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_lattice_is_refused(bad: float) -> None:
    log_probs = lattice("30A12345")
    log_probs[3, 3] = bad
    with pytest.raises(ValueError, match="NaN"):
        settle(log_probs)


@pytest.mark.parametrize("shape", [(5, 37), (10, 36), (370,)])
def test_shapes_are_checked(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="lattice must be"):
        settle(np.zeros(shape, np.float32))


def test_votes_add_up() -> None:
    right, wrong = lattice("30A12345", seed=1), lattice("30A12845", seed=2)
    assert settle(combine([right, right, wrong], [1.0, 1.0, 1.0])).text == "30A12345"
    assert settle(combine([right, wrong], [0.2, 1.0])).text == "30A12845"
    np.testing.assert_allclose(combine([right], [1.0]), right, atol=1e-4)
    assert np.exp(combine([right, wrong], [0.7, 0.4])).sum(axis=1) == pytest.approx(1.0, abs=1e-4)


def test_an_average_is_no_surer_than_what_it_is_made_of() -> None:
    seen = lattice("30A12345", sharp=5.0)
    assert np.array_equal(average(seen[np.newaxis]), seen)
    assert np.allclose(average(np.stack([seen, seen])), seen, atol=1e-5)
    assert settle(combine([seen, seen], [1.0, 1.0])).probability > settle(seen).probability


@settings(max_examples=30, deadline=None)
@given(seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_an_average_is_a_lattice_between_its_parts(seeds: list[int]) -> None:
    parts = np.stack([lattice("51F67890", sharp=3.0, seed=seed) for seed in seeds])
    mean = np.exp(average(parts))
    assert np.allclose(mean.sum(axis=1), 1.0, atol=1e-4)
    assert (mean >= np.exp(parts).min(axis=0) - 1e-5).all()
    assert (mean <= np.exp(parts).max(axis=0) + 1e-5).all()


def test_one_certain_read_is_no_veto() -> None:
    certain = sparse(list("30A12845"), 0)
    voted = combine([certain, *[lattice("30A12345", sharp=12.0, seed=seed) for seed in range(4)]], [1.0] * 5)
    assert settle(voted).text == "30A12345"


@pytest.mark.parametrize("weights", [[], [1.0, 2.0], [-1.0], [0.0]])
def test_votes_need_weights(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        combine([lattice("30A12345")], weights)


def test_position_alternatives_keep_what_is_likely() -> None:
    log_probs = lattice("30A12345", noise=0.0)
    log_probs[2, ALPHABET.index("B")] = log_probs[2, ALPHABET.index("A")] - 1.0
    kept = position_alternatives(log_probs, "30A12845")
    assert len(kept) == 8
    assert [character for character, _ in kept[2]] == ["A", "B"]
    assert dict(kept[5])["8"] < 0.01
    log_probs[8, 5] = -1.0
    assert [character for character, _ in position_alternatives(log_probs, "30A12345")[8]] == ["", "5"]
