"""The motion filter against an exact pinhole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_traffic import quad_of

from anpr.tracking.motion import Motion, spot_of


def seen_from(distance_m: float):
    return spot_of(quad_of(-1.9, distance_m, 1).astype(np.float32))


@pytest.mark.parametrize("fps", [5.0, 12.5, 25.0])
@pytest.mark.parametrize("speed_m", [60 / 3.6, 120 / 3.6, -60 / 3.6, -120 / 3.6])
def test_after_two_frames_the_third_is_foreseen_within_a_plate(fps, speed_m):
    start = 38.0 if speed_m > 0 else 16.0
    first, second, third = (seen_from(start - speed_m * frame / fps) for frame in range(3))
    motion = Motion(first, 0.0)
    motion.correct(second, 1 / fps)
    foreseen = motion.predict(2 / fps)
    off = np.hypot(foreseen.x - third.x, foreseen.y - third.y) / third.size
    went = np.hypot(third.x - second.x, third.y - second.y) / third.size
    assert off < max(0.5, 0.25 * went)
    assert foreseen.size == pytest.approx(third.size, rel=0.2)


def test_a_car_coming_near_is_foreseen_better_than_by_constant_picture_speed():
    first, second, third = (seen_from(38.0 - 33.0 * frame / 5) for frame in range(3))
    motion = Motion(first, 0.0)
    motion.correct(second, 0.2)
    naive = abs(2 * second.y - first.y - third.y)
    assert abs(motion.predict(0.4).y - third.y) < 0.5 * naive


def test_uncertainty_grows_with_seconds_whatever_the_frames_between():
    motion = Motion(seen_from(25.0), 10.0)
    near, far = motion.predict(10.04), motion.predict(10.4)
    assert far.variance_y > near.variance_y
    assert far.variance_x > near.variance_x
    assert far.variance_log_size > near.variance_log_size
    assert motion.predict(10.4) == far, "asking changes nothing"


@given(distance_m=st.floats(15, 39), seconds=st.floats(0, 2))
def test_density_is_highest_where_the_plate_is_foreseen(distance_m, seconds):
    motion = Motion(seen_from(distance_m), 0.0)
    motion.correct(seen_from(distance_m), 0.1)
    foreseen = motion.predict(0.1 + seconds)
    here = spot_of(np.array([(0, 0), (40, 0), (40, 20), (0, 20)], np.float32))
    there = type(here)(foreseen.x, foreseen.y, foreseen.size)
    assert foreseen.log_density(there) >= foreseen.log_density(here)


def test_log_density_is_that_of_three_normal_distributions():
    foreseen = Motion(seen_from(20.0), 0.0).predict(0.2)
    there = seen_from(18.0)
    deviations = (
        (there.x - foreseen.x) / foreseen.size,
        (there.y - foreseen.y) / foreseen.size,
        np.log(there.size / foreseen.size),
    )
    variances = (
        foreseen.variance_x / foreseen.size**2,
        foreseen.variance_y / foreseen.size**2,
        foreseen.variance_log_size,
    )
    expected = sum(-0.5 * (d * d / v + np.log(2 * np.pi * v)) for d, v in zip(deviations, variances, strict=True))
    assert foreseen.log_density(there) == pytest.approx(expected, abs=1e-3)


def test_standing_still_is_seen_as_such():
    motion = Motion(seen_from(20.0), 0.0)
    for frame in range(1, 10):
        motion.correct(seen_from(20.0), frame / 25)
    assert motion.speed_sizes < 0.01


def test_spot_of_a_tilted_quad_and_of_one_without_area():
    tilted = spot_of(np.array([(10, 0), (20, 10), (10, 20), (0, 10)], np.float32))
    assert (tilted.x, tilted.y, tilted.size) == pytest.approx((10, 10, np.sqrt(200)))
    assert spot_of(np.zeros((4, 2), np.float32)).size == 1.0
