"""Agreement of lattices, scores of pairs, and the assignment against brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_traffic import lattice_of, noise_lattice, plate_at, sure_lattice

from anpr.tracking.association import agreement, assign, pair_score, same_text
from anpr.tracking.motion import Motion, spot_of


def evidence(first, second) -> float:
    return float(agreement(np.exp(first)[None], np.exp(second)[None])[0, 0])


def test_one_text_agrees_another_does_not():
    assert evidence(sure_lattice("30A12345"), sure_lattice("30A12345")) > 12
    assert evidence(sure_lattice("30A12345"), sure_lattice("30A67890")) < -6
    assert evidence(sure_lattice("30A12345"), sure_lattice("29C67890")) < -10


def test_one_misread_character_does_not_break_agreement():
    assert evidence(sure_lattice("30A12345"), sure_lattice("30A1Z345")) > 6


def test_sharing_a_province_says_less_than_sharing_the_number():
    province = evidence(sure_lattice("30A12345"), sure_lattice("30AXXXXX"))
    number = evidence(sure_lattice("30A12345"), sure_lattice("YYY12345"))
    assert number > province


def test_noise_says_little():
    rng = np.random.default_rng(5)
    for _ in range(20):
        assert abs(evidence(sure_lattice("30A12345"), noise_lattice(rng))) < 4.5


@given(seed=st.integers(0, 2**32 - 1))
def test_agreement_is_symmetric(seed):
    rng = np.random.default_rng(seed)
    first, second = lattice_of("30A12345", rng), lattice_of("30B12845", rng)
    assert evidence(first, second) == pytest.approx(evidence(second, first), abs=1e-3)


def test_agreement_of_many_is_that_of_each_pair():
    rng = np.random.default_rng(1)
    beliefs = np.exp(np.stack([lattice_of(text, rng) for text in ("30A12345", "29C54321", "51F00001")]))
    reads = np.exp(np.stack([lattice_of(text, rng) for text in ("30A12345", "51F00001")]))
    together = agreement(beliefs, reads)
    assert together.shape == (3, 2)
    for row in range(3):
        for column in range(2):
            one = agreement(beliefs[row : row + 1], reads[column : column + 1])[0, 0]
            assert together[row, column] == pytest.approx(one, abs=1e-4)


def test_one_text_in_two_votes():
    doubtful = np.log(0.6 * np.exp(sure_lattice("30A12845")) + 0.4 * np.exp(sure_lattice("30A12345")))
    assert same_text(sure_lattice("30A12345"), sure_lattice("30A12345"))
    assert same_text(sure_lattice("30A12345"), doubtful)
    assert not same_text(sure_lattice("30A12345"), sure_lattice("30A12346")), "the next one of a fleet"
    assert not same_text(sure_lattice("30A12345"), sure_lattice("30A1234")), "an old plate of four digits"
    assert not same_text(sure_lattice("30A12345"), noise_lattice(np.random.default_rng(1)))


def score(seconds: float, x: float, y: float, *, text: float = 0.0, missed: int = 0, lines: bool = True) -> float:
    """Of a plate at (x, y) so long after one was seen twice standing at (500, 500)."""
    motion = Motion(spot_of(plate_at(500, 500).quad), 0.0)
    motion.correct(spot_of(plate_at(500, 500).quad), 0.04)
    spot = spot_of(plate_at(x, y).quad)
    return pair_score(motion.predict(0.04 + seconds), spot, same_lines=lines, text_evidence=text, missed=missed)


def test_a_tight_prediction_outweighs_one_misread_frame():
    assert score(0.04, 502, 501, text=-9.0) > 0


def test_after_a_gap_the_text_decides():
    assert score(0.9, 520, 620, text=12.0, missed=20) > 0
    assert score(0.9, 520, 620, text=-9.0, missed=20) < 0


def test_each_doubt_lowers_the_score():
    assert score(0.04, 502, 501) > score(0.04, 502, 501, lines=False)
    assert score(0.04, 502, 501) > score(0.04, 502, 501, missed=1) > score(0.04, 502, 501, missed=2)
    assert score(0.04, 502, 501, missed=50) == score(0.04, 502, 501, missed=1000)
    assert score(0.04, 1500, 501) < 0


def best_by_brute_force(scores) -> float:
    rows, columns = len(scores), len(scores[0])
    if rows > columns:
        scores, rows, columns = [list(each) for each in zip(*scores, strict=True)], columns, rows
    return max(sum(max(scores[r][c], 0.0) for r, c in enumerate(order)) for order in permutations(range(columns), rows))


@given(st.data())
def test_assignment_is_the_best_there_is(data):
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    one = st.one_of(st.floats(-20, 20), st.sampled_from([-1.0, 0.0, 5.0]))
    scores = data.draw(
        st.lists(st.lists(one, min_size=columns, max_size=columns), min_size=rows, max_size=rows), label="scores"
    )
    pairs = assign(scores)
    assert len({row for row, _ in pairs}) == len(pairs) == len({column for _, column in pairs})
    assert all(scores[row][column] > 0 for row, column in pairs)
    assert sum(scores[row][column] for row, column in pairs) == pytest.approx(best_by_brute_force(scores))


def test_assignment_gives_up_a_favourite_for_the_better_whole():
    assert assign([[10.0, 9.0], [9.5, -5.0]]) == [(0, 1), (1, 0)]
