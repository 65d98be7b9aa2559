"""What looks like a plate all day and is none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from anpr.records import ALPHABET, EMPTY, NO_PLATE, Plate, Read
from anpr.tracking.fixtures import AGAIN_SECONDS, FORGET_SECONDS, MOST, READS_LEAST, SECONDS_LEAST, Fixtures

STEP_SECONDS = 0.25


def plate(x: float = 500.0, y: float = 600.0, *, score: float = 0.4, width: float = 45.0) -> Plate:
    corners = [[x, y], [x + width, y], [x + width, y + width / 3], [x, y + width / 3]]
    return Plate(np.array(corners, np.float32), score, 1)


def read(unreadable: str = NO_PLATE) -> Read:
    lattice = np.full((10, len(ALPHABET) + 1), -5.0, np.float32)
    lattice[:, EMPTY] = 0.0
    return Read(lattice, "30A12345", "30A12345", 0.9, (), unreadable)


def watched(
    seconds: float, *, start: float = 0.0, fixtures: Fixtures | None = None, sign: Plate | None = None
) -> Fixtures:
    """After a place was seen for a time, and read whenever it was not hidden."""
    fixtures, sign = fixtures or Fixtures(), sign or plate()
    for step in range(round(seconds / STEP_SECONDS)):
        now = step * STEP_SECONDS
        if not fixtures.hides(sign, now):
            fixtures.learn([sign], [read()], now)
    return fixtures


def test_a_place_without_a_plate_is_known_after_a_while_and_read_at_leisure() -> None:
    fixtures, read_at = Fixtures(), []
    for step in range(round(20 / STEP_SECONDS)):
        now = step * STEP_SECONDS
        if not fixtures.hides(plate(x=500 + step % 3), now):
            read_at.append(now)
            fixtures.learn([plate(x=500 + step % 3)], [read()], now)
    known = [now for now in read_at if now > SECONDS_LEAST]
    assert len(read_at) - len(known) >= READS_LEAST
    assert all(later - sooner == AGAIN_SECONDS for sooner, later in pairwise(known))
    assert len(known) == pytest.approx((20 - SECONDS_LEAST) / AGAIN_SECONDS, abs=2)


def test_a_few_reads_in_a_moment_are_not_enough() -> None:
    fixtures = Fixtures()
    for frame in range(3 * READS_LEAST):
        assert not fixtures.hides(plate(), frame / 25)
        fixtures.learn([plate()], [read()], frame / 25)


def test_a_vehicle_in_front_of_it_is_not_hidden() -> None:
    fixtures = watched(10.0)
    assert fixtures.hides(plate(), 9.9)
    assert not fixtures.hides(plate(score=0.8), 9.9)
    assert not fixtures.hides(plate(x=530), 9.9)
    assert not fixtures.hides(plate(width=70), 9.9)


@pytest.mark.parametrize("verdict", ["", "too blurred", "cut off", "not a Vietnamese plate"])
def test_once_it_is_read_as_anything_else_it_is_none(verdict: str) -> None:
    fixtures = watched(10.0)
    fixtures.learn([plate()], [read(verdict)], 10.0)
    assert not fixtures.hides(plate(), 10.1)
    assert fixtures.hides(plate(), 13.0) is False


def test_what_was_not_read_teaches_nothing() -> None:
    fixtures = Fixtures()
    for step in range(100):
        fixtures.learn([plate()], [None], step * STEP_SECONDS)
    assert not fixtures.hides(plate(), 25.0)


def test_it_is_forgotten_in_time_and_when_the_stream_begins_anew() -> None:
    fixtures = watched(10.0)
    fixtures.learn([], [], 10.0 + FORGET_SECONDS)
    assert not fixtures.hides(plate(), 10.1 + FORGET_SECONDS)
    fixtures = watched(10.0)
    assert not fixtures.hides(plate(), 1.0)
    assert not fixtures.hides(plate(), 1.1)


def test_memory_is_bounded() -> None:
    fixtures = Fixtures()
    for number in range(3 * MOST):
        watched(5.0, fixtures=fixtures, sign=plate(x=60.0 * number))
    hidden = [fixtures.hides(plate(x=60.0 * number), 5.0) for number in range(3 * MOST)]
    assert sum(hidden) == MOST
    assert all(hidden[-MOST:])
