"""The vote: better than its reads, and honest about how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_traffic import lattice_of, noise_lattice, plate_at, random_text, read_of, sure_lattice

from anpr.tracking.look import Look, Moment, quality, smoothed
from anpr.tracking.vote import effective_looks, switch, vote


def looks_of(*lattices, weights=None) -> list[Look]:
    return [
        Look(plate_at(0, 0), read_of(each), 1.0 if weights is None else weights[i], i, Moment(i, i / 25, i / 25, False))
        for i, each in enumerate(lattices)
    ]


def log_softmax(logits):
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def test_the_vote_is_right_far_more_often_than_a_single_read():
    rng = np.random.default_rng(11)
    single = voted = 0
    for _ in range(120):
        text = random_text(rng)
        looks = looks_of(*(lattice_of(text, rng, sharpness=4.6, misreads=0.06) for _ in range(9)))
        single += looks[0].read.text == text
        voted += vote(looks).settled.text == text
    assert voted >= 118
    assert single < 95


def test_a_confident_minority_does_not_outvote_and_certainty_beats_count():
    doubtful = np.log(0.55 * np.exp(sure_lattice("30A12B45")) + 0.45 * np.exp(sure_lattice("30A12345")))
    sure = sure_lattice("30A12345", 0.995)
    assert vote(looks_of(doubtful, doubtful, doubtful, sure, sure)).settled.text == "30A12345"
    wrong = sure_lattice("30A12845", 0.999)
    assert vote(looks_of(sure, sure, sure, wrong)).settled.text == "30A12345"


def test_a_read_of_something_else_loses_its_voice():
    right, other = sure_lattice("30A12345"), sure_lattice("99C98765")
    assert vote(looks_of(right, right, right, other)).settled.probability > 0.97


def test_repeating_one_doubt_does_not_make_it_a_certainty():
    doubtful = np.log(0.7 * np.exp(sure_lattice("30A12345", 0.999)) + 0.3 * np.exp(sure_lattice("30A12845", 0.999)))
    once = vote(looks_of(doubtful)).settled.probability
    often = vote(looks_of(*[doubtful] * 16)).settled.probability
    assert once == pytest.approx(0.7, abs=0.05)
    assert 0.9 < often < 0.985, "sixteen dependent looks count as four"


@pytest.mark.parametrize("reads", [1, 4, 16])
def test_reads_that_err_together_do_not_make_the_vote_overconfident(reads):
    rng = np.random.default_rng(reads)
    probabilities, right = [], []
    for _ in range(150):
        text = random_text(rng)
        common = rng.normal(0.0, 1.1, (10, 37))
        common[np.arange(10), sure_lattice(text).argmax(axis=1)] += 5.0
        looks = looks_of(*(log_softmax(common + rng.normal(0.0, 0.8, (10, 37))) for _ in range(reads)))
        settled = vote(looks).settled
        probabilities.append(settled.probability)
        right.append(settled.text == text)
    assert np.mean(probabilities) < np.mean(right) + 0.05


def test_the_lattice_kept_is_that_of_the_vote():
    ballot = vote(looks_of(sure_lattice("30A12345"), sure_lattice("30A12845")))
    assert len(ballot.positions) == 8
    assert {character for character, _ in ballot.positions[5][:2]} == {"3", "8"}
    assert ballot.log_probs.shape == (10, 37)
    assert np.exp(ballot.log_probs).sum(axis=1) == pytest.approx(1.0, abs=1e-4)


def test_quality_falls_with_size_blur_and_damage():
    sharp, blurred = read_of(sure_lattice("30A12345", 0.98)), read_of(sure_lattice("30A12345", 0.5))
    good = quality(sharp, size_px=80, tainted=False)
    assert 0.9 < good <= 1.0
    assert quality(sharp, size_px=25, tainted=False) < 0.3 * good
    assert quality(blurred, size_px=80, tainted=False) < 0.5 * good
    assert quality(sharp, size_px=80, tainted=True) < 0.2 * good
    assert quality(read_of(noise_lattice(np.random.default_rng(0))), size_px=1, tainted=True) > 0


@given(st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=24))
def test_effective_looks_lie_between_one_and_the_root_of_the_number(weights):
    looks = effective_looks(sum(weights), sum(weight * weight for weight in weights))
    assert 1.0 - 1e-9 <= looks <= len(weights) ** 0.5 + 1e-9


@given(seed=st.integers(0, 2**32 - 1))
def test_smoothed_rows_remain_probabilities(seed):
    rows = np.exp(smoothed(lattice_of("30A12345", np.random.default_rng(seed)))).sum(axis=1)
    assert rows == pytest.approx(1.0, abs=1e-3)


def test_a_switch_of_text_is_found_where_it_is():
    a, b = sure_lattice("30A12345"), sure_lattice("51F67890")
    assert switch(looks_of(a, a, a, b, b)) == 3
    assert switch(looks_of(a, a, b, b, b, b)) == 2


def test_no_switch_where_there_is_none():
    a, b = sure_lattice("30A12345"), sure_lattice("51F67890")
    rng = np.random.default_rng(2)
    assert switch(looks_of(a, a, a, a)) is None
    assert switch(looks_of(a, a, b, a, a)) is None, "one misread frame in the middle"
    assert switch(looks_of(a, a, a, b)) is None, "one misread frame at the end"
    assert switch(looks_of(a, a, a)) is None
    for _ in range(50):
        assert switch(looks_of(*(lattice_of("30A12345", rng, misreads=0.1) for _ in range(12)))) is None
