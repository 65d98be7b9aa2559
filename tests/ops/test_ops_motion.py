"""What moves, against a slow reference and against what only seems to move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anpr.ops import contract
from anpr.ops.contract import BACKGROUND, CELL_PX, DARK_LEVEL, LOOKED_AT, NOISE, UNITS

OPERATIONS = contract.load("cpu")
HEIGHT, WIDTH = 240, 384
SHAPE = (HEIGHT // CELL_PX, WIDTH // CELL_PX)
EVERYWHERE = np.ones(SHAPE, np.uint8)


class Road:
    """A textured road before a still camera, and what is learnt of it."""

    def __init__(self, *, noise: float = 2.0) -> None:
        self.rng = np.random.default_rng(5)
        self.noise = noise
        self.moved = np.zeros(SHAPE, np.uint8)
        self.ground = np.repeat(np.repeat(self.rng.uniform(60, 140, (HEIGHT // 8, WIDTH // 8)), 8, 0), 8, 1)
        first = self.levels(self.ground)
        self.scene = np.stack([first, np.full(SHAPE, 3.0, np.float32), first])
        for _ in range(150):
            self.show(self.ground)

    def levels(self, picture: NDArray[np.float64]) -> NDArray[np.float32]:
        grainy = picture + self.rng.normal(0.0, self.noise, picture.shape)
        levels = np.empty(SHAPE, np.float32)
        OPERATIONS.cell_levels(np.clip(grainy, 0, 255).astype(np.uint8), levels)
        return levels

    def show(self, picture: NDArray[np.float64], *, lanes: NDArray[np.uint8] = EVERYWHERE, look: bool = False) -> int:
        levels = self.levels(picture)
        moved = OPERATIONS.find_motion(levels, self.scene, lanes, self.moved, noise_factor=6.0, noise_least=0.5)
        if look:
            self.scene[LOOKED_AT] = levels
        return moved

    def with_car(self, x: int, y: int = 96, *, level: float = 40.0) -> NDArray[np.float64]:
        picture = self.ground.copy()
        picture[y : y + 80, x : x + 96] = level
        picture[y + 16 : y + 32, x + 16 : x + 80] = 200.0
        return picture


@pytest.fixture(scope="module")
def learnt() -> Road:
    return Road()


@pytest.fixture
def road(learnt: Road) -> Road:
    learnt.scene, kept = learnt.scene.copy(), learnt.scene
    learnt.rng = np.random.default_rng(6)
    yield learnt
    learnt.scene = kept


def reference(
    levels: NDArray[np.float32], scene: NDArray[np.float32], lanes: NDArray[np.uint8], factor: float
) -> tuple[int, NDArray[np.bool_]]:
    """The contract in NumPy: the count, and the cells that have changed."""
    difference = levels - scene[BACKGROUND]
    since = levels - scene[LOOKED_AT]
    difference, since = (np.abs(each - np.round(np.median(each) * 4) / 4) for each in (difference, since))
    changed = (difference > factor * scene[NOISE]) & (since > factor * scene[NOISE])
    windows = np.lib.stride_tricks.sliding_window_view(changed, (3, 3)).sum(axis=(2, 3))
    inner = (slice(1, -1), slice(1, -1))
    return int(((windows >= 5) & changed[inner] & (lanes[inner] > 0)).sum()), changed


def test_a_level_is_the_logarithm_of_a_cells_mean_and_rows_may_be_padded() -> None:
    padded = np.zeros((50, 128), np.uint8)
    padded[:, 100:] = 255
    padded[:, :16], padded[:, 16:32], padded[:, 32:48] = 0, 100, 200
    levels = np.full((3, 6), -1, np.float32)
    OPERATIONS.cell_levels(padded[:, :100], levels)
    expected = UNITS * np.log(np.array([0.0, 100.0, 200.0, 0.0, 0.0, 0.0]) + DARK_LEVEL)
    assert np.abs(levels - expected).max() < 0.01


@given(seed=st.integers(0, 2**32 - 1), lighter=st.floats(-30, 30), factor=st.floats(1, 8))
@settings(max_examples=40, deadline=None)
def test_it_counts_as_the_reference_does(seed: int, lighter: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(3, 20)), int(rng.integers(3, 30))
    shape = (rows, columns)
    background = rng.uniform(300, 500, shape)
    levels = (background + lighter + rng.normal(0, 2, shape)).astype(np.float32)
    levels[rows // 3 : 2 * rows // 3 + 1, columns // 4 : columns // 2] += 25
    scene = np.stack([background, rng.uniform(0.5, 3, shape), background + rng.normal(0, 2, shape)]).astype(np.float32)
    lanes = rng.integers(0, 2, shape).astype(np.uint8)
    expected, changed = reference(levels, scene, lanes, factor)
    before = scene.copy()
    moved = np.full(shape, 9, np.uint8)
    found = OPERATIONS.find_motion(levels, scene, lanes, moved, noise_factor=factor, noise_least=0.5)
    assert moved.sum() == found
    # The median is known to a quarter of a unit: cells at their very limit may fall either way.
    assert abs(found - expected) <= 2 + 0.1 * changed.sum()
    assert np.array_equal(scene[LOOKED_AT], before[LOOKED_AT])
    assert np.abs(np.median(scene[BACKGROUND] - before[BACKGROUND]) - lighter) < 3
    assert (scene[NOISE] >= 0.5).all()


def test_noise_alone_does_not_move(road: Road) -> None:
    assert sum(road.show(road.ground) for _ in range(100)) == 0


def test_a_car_moves_and_so_does_one_that_is_hardly_darker_than_the_road(road: Road) -> None:
    assert road.show(road.with_car(100)) > 10
    grey = road.ground.copy()
    grey[96:176, 100:196] = 100.0
    assert road.show(grey) > 10


def test_a_car_moves_only_inside_the_lanes(road: Road) -> None:
    lanes = EVERYWHERE.copy()
    lanes[:, : 200 // CELL_PX] = 0
    assert road.show(road.with_car(64), lanes=lanes) == 0
    assert road.show(road.with_car(240), lanes=lanes) > 5


def test_a_car_that_was_looked_at_moves_again_only_when_it_goes_on(road: Road) -> None:
    assert road.show(road.with_car(100), look=True) > 10
    assert [road.show(road.with_car(100)) for _ in range(50)] == [0] * 50
    assert road.show(road.with_car(132)) > 5


def test_a_car_that_stops_and_leaves_much_later_moves(road: Road) -> None:
    for _ in range(600):
        road.show(road.with_car(100), look=True)
    assert road.show(road.ground) > 10


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.3, 1.6])
def test_light_that_changes_everywhere_does_not_move_and_does_not_hide_a_car(road: Road, gain: float) -> None:
    assert road.show(road.ground * gain) == 0
    assert road.show(road.with_car(100) * gain) > 10


def test_rain_does_not_move_but_a_car_in_it_does(road: Road) -> None:
    def rain(picture: NDArray[np.float64]) -> NDArray[np.float64]:
        wet = picture.copy()
        for _ in range(8):
            x, y = road.rng.integers(0, WIDTH), road.rng.integers(0, HEIGHT - 30)
            wet[y : y + 30, x : x + 2] += 60
        return wet

    moved = [road.show(rain(road.ground)) for _ in range(200)]
    assert np.mean([count > 3 for count in moved]) < 0.03
    assert road.show(rain(road.with_car(100))) > 10


def test_what_sways_is_learnt(road: Road) -> None:
    phases = iter(range(10_000))

    def swaying() -> NDArray[np.float64]:
        picture = road.ground.copy()
        picture[32:96, 250:330] += 15 * np.sin(next(phases) * 0.7)
        return picture

    early = [road.show(swaying()) for _ in range(50)]
    for _ in range(300):
        road.show(swaying())
    late = [road.show(swaying()) for _ in range(50)]
    assert max(early) > 3
    assert max(late) == 0
    assert road.show(road.with_car(60)) > 10
