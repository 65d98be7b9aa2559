"""From the steps of a text recogniser to a lattice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.nets import ctc
from anpr.plates.lattice import settle
from anpr.records import ALPHABET, EMPTY

DICTIONARY = [*ALPHABET, *"-.Đaé"]


def steps(classes: list[tuple[int, float]]) -> np.ndarray:
    """Probabilities (steps, classes): each step's class and how sure it is."""
    result = np.zeros((len(classes), 1 + len(DICTIONARY)), np.float32)
    for row, (column, sure) in zip(result, classes, strict=True):
        row[:] = (1 - sure) / (len(row) - 1)
        row[column] = sure
    return result


def class_of(character: str) -> int:
    return 1 + DICTIONARY.index(character)


def text_of(rows: np.ndarray) -> str:
    return "".join(ALPHABET[row[:EMPTY].argmax()] for row in rows)


def read(probabilities: np.ndarray) -> np.ndarray:
    return ctc.characters(ctc.fold(probabilities, ctc.columns_of(DICTIONARY)))


def test_classes_share_the_columns_of_the_engine() -> None:
    columns = ctc.columns_of(DICTIONARY)
    assert columns[0] == EMPTY
    assert [columns[class_of(character)] for character in "0Z"] == [0, 35]
    assert [columns[class_of(character)] for character in "Đa"] == [ALPHABET.index("D"), ALPHABET.index("A")]
    assert [columns[class_of(character)] for character in "-.é"] == [ctc.OTHER] * 3


def test_folding_loses_no_probability() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(1 + len(DICTIONARY)), 7).astype(np.float32)
    folded = ctc.fold(probabilities, ctc.columns_of(DICTIONARY))
    assert folded.shape == (7, 38)
    assert np.allclose(folded.sum(axis=1), 1)
    d = ALPHABET.index("D")
    assert np.allclose(folded[:, d], probabilities[:, class_of("D")] + probabilities[:, class_of("Đ")])


@given(
    st.lists(
        st.tuples(st.sampled_from(ALPHABET), st.integers(1, 3), st.integers(0, 2), st.floats(0.6, 1.0)), max_size=12
    )
)
def test_any_text_is_found_whatever_the_runs_and_blanks(pieces: list[tuple[str, int, int, float]]) -> None:
    classes: list[tuple[int, float]] = []
    last = ""
    for character, run, blanks, sure in pieces:
        if character == last and classes[-1][0] != 0:
            classes.append((0, sure))  # equal neighbours must be parted, as the net does
        classes += [(class_of(character), sure)] * run + [(0, sure)] * blanks
        last = character
    assert text_of(read(steps(classes))) == "".join(character for character, *_ in pieces)


def test_separators_part_and_fall_away() -> None:
    rows = read(steps([(class_of(character), 0.9) for character in "1-1.1"]))
    assert text_of(rows) == "111"


def test_a_character_has_the_doubts_of_its_surest_step() -> None:
    probabilities = steps([(class_of("8"), 0.5), (class_of("8"), 0.7)])
    probabilities[1] = 0
    probabilities[1, [class_of("8"), class_of("B"), class_of("-"), 0]] = 0.7, 0.2, 0.04, 0.06
    (row,) = read(probabilities)
    assert row[[8, ALPHABET.index("B"), EMPTY]] == pytest.approx([0.7, 0.2, 0.1])


def test_a_lattice_settles_on_the_plate_behind_a_look_alike() -> None:
    probabilities = steps([(class_of(character), 0.9) for character in "30A-12345"])
    probabilities[0] = 0
    probabilities[0, [class_of("B"), class_of("3")]] = 0.7, 0.3
    log_probs = ctc.lattice(read(probabilities), slots=10)
    assert log_probs.shape == (10, 37)
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-5)
    settled = settle(log_probs)
    assert (settled.raw, settled.text) == ("B0A12345", "30A12345")


def test_a_line_without_characters_is_an_empty_lattice() -> None:
    log_probs = ctc.lattice(read(steps([(0, 1.0)] * 4)), slots=10)
    assert settle(log_probs).raw == ""
    assert settle(log_probs).validity < 1e-6


def test_a_higher_temperature_is_less_sure() -> None:
    rows = read(steps([(class_of(character), 0.9) for character in "30A12345"]))
    warm = settle(ctc.lattice(rows, slots=10, temperature=1.2))
    assert warm.text == "30A12345"
    assert warm.probability < settle(ctc.lattice(rows, slots=10)).probability
