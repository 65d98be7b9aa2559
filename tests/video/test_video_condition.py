"""Frozen, black, covered and blurred pictures are told; night, rain, fog and a quiet road are not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anpr.video.condition import ENTER_SECONDS, LEAVE_SECONDS, PictureWatch
from scripts.render.clip import ClipConfig, render_frames

Luma = NDArray[np.uint8]
CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "video"


def rendered(**changes: Any) -> Luma:
    """One picture of a rendered road."""
    config = ClipConfig(seconds=0.1, width_px=960, height_px=540, **changes)
    picture, _ = next(iter(render_frames(config)))
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


@pytest.fixture(scope="module")
def day() -> Luma:
    return rendered(seed=3)


def live(picture: Luma, *, seconds: float = 45.0, noise: float = 1.5, seed: int = 0) -> Iterator[Luma]:
    """A camera that looks at a road on which nothing moves: only its noise differs."""
    rng = np.random.default_rng(seed)
    height, width = picture.shape
    grain = rng.normal(0, noise, (2 * height, 2 * width)).astype(np.float32)
    for top, left in rng.integers(0, (height, width), (int(seconds), 2)):
        yield np.clip(picture + grain[top : top + height, left : left + width], 0, 255).astype(np.uint8)


def judged(pictures: Iterator[Luma], watch: PictureWatch, *, start: float = 0.0) -> list[tuple[float, str, float]]:
    """(moment, condition, for how long) of each change; one picture a second."""
    found = []
    for number, picture in enumerate(pictures):
        moment = start + number * 1.0
        if (lasted := watch.look(picture, moment)) is not None:
            found.append((moment, watch.condition, lasted))
    return found


def with_clock(picture: Luma, number: int) -> Luma:
    """`picture` with a running clock, as cameras draw it."""
    drawn = picture.copy()
    text = f"2026-01-01 00:{number // 60:02d}:{number % 60:02d}"
    return np.asarray(cv2.putText(drawn, text, (15, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.75, 255, 2), dtype=np.uint8)


FAULTS: dict[str, Callable[[Luma, int], Luma]] = {
    "frozen": with_clock,
    "black": lambda picture, number: with_clock(np.full_like(picture, 17), number),
    "covered": lambda picture, number: next(live(cv2.GaussianBlur(picture // 16 + 90, (0, 0), 40), seed=number)),  # type: ignore[arg-type]
    "blurred": lambda picture, number: next(live(cv2.GaussianBlur(picture, (0, 0), 4), noise=1.0, seed=number)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_picture_that_shows_nothing_is_told_within_half_a_minute_and_taken_back(day: Luma, fault: str) -> None:
    watch = PictureWatch()
    assert judged(live(day, seconds=20), watch) == []
    ((moment, condition, lasted),) = judged((FAULTS[fault](day, n) for n in range(40)), watch, start=20.0)
    assert condition == fault
    assert moment - 20.0 <= 30.0
    assert lasted == pytest.approx(ENTER_SECONDS, abs=1.0)
    ((moment, condition, lasted),) = judged(live(day, seconds=20, seed=1), watch, start=60.0)
    assert (condition, moment) == ("", 60.0 + LEAVE_SECONDS)
    assert lasted == LEAVE_SECONDS


def test_a_frozen_picture_is_told_in_time_though_the_encoder_shows_it_in_twelve_ways(day: Luma) -> None:
    watch = PictureWatch()
    assert judged(live(day, seconds=20), watch) == []
    ways = list(live(day, seconds=12, noise=1.0, seed=7))
    ((moment, condition, _),) = judged((ways[number % 12] for number in range(40)), watch, start=20.0)
    assert condition == "frozen"
    assert moment - 20.0 <= 30.0


def test_a_smeared_lens_is_told_by_day(day: Luma) -> None:
    watch = PictureWatch()
    assert judged(live(day, seconds=10), watch) == []
    passing = (np.roll(day, 9 * number, axis=0) for number in range(40))
    smeared = (np.asarray(cv2.GaussianBlur(picture, (0, 0), 40), dtype=np.uint8) for picture in passing)
    ((moment, condition, _),) = judged(smeared, watch, start=10.0)
    assert condition in ("blurred", "covered")
    assert moment - 10.0 <= 30.0


@pytest.mark.parametrize(
    "weather",
    [
        {"light": "night", "seed": 1},
        {"light": "night", "rain": 1.0, "seed": 2},
        {"light": "dusk", "rain": 0.5, "seed": 4},
        {"light": "day", "rain": 1.0, "seed": 5},
    ],
)
def test_a_quiet_night_and_rain_are_no_faults(weather: dict[str, Any]) -> None:
    picture = rendered(peak_per_second=0.01, **weather)
    assert judged(live(picture, noise=1.0), PictureWatch()) == []
    darker = (picture * 0.3).astype(np.uint8) + 11
    assert judged(live(darker, noise=1.0), PictureWatch()) == []


def test_a_short_whiteout_is_no_fault(day: Luma) -> None:
    watch = PictureWatch()
    glare = np.full_like(day, 250)
    pictures = [*live(day, seconds=10), *[glare] * 15, *live(day, seconds=10, seed=1)]
    assert judged(iter(pictures * 3), watch) == []


def test_interrupted_streams_begin_anew(day: Luma) -> None:
    watch = PictureWatch()
    for second in range(100):
        if second % 20 == 0:
            watch.reset()
        assert watch.look(day, float(second)) is None
    assert watch.condition == ""


@pytest.mark.parametrize("shape", [(1080, 1920), (1079, 1917), (120, 160), (40, 30)])
def test_every_size_can_be_looked_at_and_a_change_of_size_too(day: Luma, shape: tuple[int, int]) -> None:
    watch = PictureWatch()
    resized = np.asarray(cv2.resize(day, shape[::-1]), dtype=np.uint8)
    judged((day for _ in range(10)), watch)
    judged((resized for _ in range(50)), watch, start=10.0)
    assert watch.condition in ("frozen", "blurred")


def test_looking_costs_less_than_a_tenth_of_a_millisecond_a_picture(day: Luma) -> None:
    watch = PictureWatch()
    picture = np.asarray(cv2.resize(day, (1920, 1080)), dtype=np.uint8)
    costs = []
    for number in range(25 * 40):
        began = time.thread_time()
        watch.look(picture, number / 25)
        costs.append(time.thread_time() - began)
    assert sum(costs) / len(costs) < 0.5e-3  # 0.1 ms on an idle machine; tests may share theirs


@pytest.mark.parametrize("name", ["carpark-noplates", "expressway-us-noplates", "street-cn-plates"])
def test_real_footage_shows_something_and_blurred_it_does_not(name: str) -> None:
    path = CLIPS / f"{name}.mp4"
    if not path.exists():
        pytest.skip(f"no footage {path.name} here")
    pictures = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(pictures):
                pictures.append(frame.reformat(format="gray").to_ndarray())
    assert judged(iter(pictures), PictureWatch()) == []
    watch = PictureWatch()
    noisy = (next(live(pictures[n % len(pictures)], seconds=1, seed=n)) for n in range(40))
    assert judged(noisy, watch) == []
    blurred = (cv2.GaussianBlur(pictures[n % len(pictures)], (0, 0), 5) for n in range(40))
    judged(
        (next(live(np.asarray(each, np.uint8), seconds=1, seed=n)) for n, each in enumerate(blurred)), watch, start=40
    )
    assert watch.condition in ("blurred", "covered")
