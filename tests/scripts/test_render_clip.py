"""Clips: the same seed gives the same pictures, the truth fits them, traffic keeps its rate and its distances."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from scripts.render.clip import ClipConfig, Scene, render_frames
from scripts.render.clip_file import write_clip
from scripts.render.light import light_of
from scripts.render.road import Camera, Road
from scripts.render.traffic import (
    MIN_HEADWAY_SECONDS,
    SIGHT_M,
    Passage,
    rate_per_second,
    sample_arrivals,
    sample_traffic,
)
from scripts.render.vehicles import build_vehicle, draw_vehicle

TINY = ClipConfig(seconds=2.0, width_px=320, height_px=180, fps=10, seed=5, peak_per_second=1.2)
SHARP = ClipConfig(
    seconds=6.0, width_px=1280, height_px=720, fps=5, seed=9, peak_per_second=1.0, cover_m=4.3, overlay=False
)


def traffic(seed: int, seconds: float = 60.0, peak_per_second: float = 0.42) -> tuple[Passage, ...]:
    road = Road.for_view("both", 2)
    return sample_traffic(np.random.default_rng(seed), road, seconds=seconds, peak_per_second=peak_per_second)


def test_same_seed_same_pictures_bit_for_bit() -> None:
    first = [(picture.tobytes(), plates) for picture, plates in render_frames(TINY)]
    again = Scene(TINY)
    assert len(first) == TINY.frames == 20
    for index in (7, 0, 19):
        picture, plates = again.frame(index)
        assert (picture.tobytes(), plates) == first[index]


def test_another_seed_gives_other_pictures() -> None:
    other = ClipConfig(seconds=2.0, width_px=320, height_px=180, fps=10, seed=6, peak_per_second=1.2)
    assert not np.array_equal(Scene(TINY).frame(3)[0], Scene(other).frame(3)[0])


def test_readable_plates_lie_in_the_picture_clockwise_from_their_top_left() -> None:
    scene = Scene(SHARP)
    readable = 0
    for index in range(0, SHARP.frames, 2):
        for plate in scene.frame(index)[1]:
            quad = np.array(plate.quad)
            assert cv2.contourArea(quad.astype(np.float32), oriented=True) > 0
            assert quad[0, 0] < quad[1, 0]
            assert quad[0, 1] < quad[3, 1]
            width, height = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
            assert (width / height > 3) == (plate.lines == 1)
            if plate.readable:
                readable += 1
                assert (quad >= 0).all()
                assert (quad <= (SHARP.width_px - 1, SHARP.height_px - 1)).all()
                assert plate.char_px >= 14
    assert readable >= 3


def test_a_plate_is_drawn_where_its_corners_say() -> None:
    camera = Camera.over_road((1280, 720), cover_m=4.3, near_m=27, height_m=6, x_m=0, yaw=0)
    passage = next(
        p
        for p in traffic(1)
        if p.plate.colour == "yellow" and p.lane.direction == "approaching" and p.kind != "motorbike"
    )
    vehicle = build_vehicle(passage.kind, passage.plate, np.random.default_rng(0), rear=False)
    layer = draw_vehicle(vehicle, camera, light_of("day"), x_m=0.3, y_m=30.0)
    bare = build_vehicle(passage.kind, passage.plate, np.random.default_rng(0), rear=False, plate_shown=False)
    without = draw_vehicle(bare, camera, light_of("day"), x_m=0.3, y_m=30.0)
    assert layer is not None
    assert without is not None
    rows, columns = np.nonzero(np.abs(layer.colour - without.colour).max(axis=2) > 12)
    found = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) + (layer.x, layer.y) * 2
    quad = camera.project(vehicle.plate_corners() + np.array([0.3, 30.0, 0.0]))[:, :2]
    expected = np.concatenate([quad.min(axis=0), quad.max(axis=0)])
    np.testing.assert_allclose(found, expected, atol=1.5)


def test_a_nearer_vehicle_hides_a_plate() -> None:
    scene = Scene(ClipConfig(seconds=30.0, width_px=320, height_px=180, fps=5, seed=2, peak_per_second=1.6))
    shares = {plate.hidden for index in range(0, 150, 6) for plate in scene.frame(index)[1]}
    assert 0.0 in shares
    assert max(shares) > 0.9


def test_projection_is_the_inverse_of_ground_at() -> None:
    camera = Camera.over_road((1920, 1080), cover_m=6.4, near_m=27, height_m=6, x_m=0.4, yaw=0)
    for row in (100.0, 540.0, 1079.0):
        point = np.array([0.4, camera.ground_at(row, 0.6), 0.6])
        np.testing.assert_allclose(camera.project(point)[:2], (959.5, row), atol=0.01)
    edge = camera.project(
        np.array([[0.0, camera.ground_at(1079.5, 0.6), 0.6], [1.0, camera.ground_at(1079.5, 0.6), 0.6]])
    )
    assert edge[1, 0] - edge[0, 0] == pytest.approx(300, rel=0.02)


def test_rates_follow_the_day_and_arrivals_the_rate() -> None:
    assert max(rate_per_second(hour, 0.42) for hour in np.arange(0, 24, 0.25)) == pytest.approx(0.42)
    daily = sum(rate_per_second(hour, 0.42) * 360 for hour in np.arange(0, 24, 0.1))
    assert daily == pytest.approx(15_000, rel=0.04)
    counts = [
        len(sample_arrivals(np.random.default_rng(seed), seconds=600, peak_per_second=0.42, start_hour=7.0))
        for seed in range(40)
    ]
    assert np.mean(counts) == pytest.approx(0.42 * 600, rel=0.05)
    assert np.std(counts) == pytest.approx(np.sqrt(0.42 * 600), rel=0.4)


@pytest.mark.parametrize("seed", range(6))
def test_followers_keep_their_distance(seed: int) -> None:
    passages = traffic(seed, seconds=120.0, peak_per_second=1.5)
    for lane in {p.lane.index for p in passages}:
        row = [p for p in passages if p.lane.index == lane]
        for leader, follower in pairwise(row):
            gap = follower.at_seconds - leader.at_seconds
            assert gap >= MIN_HEADWAY_SECONDS
            assert gap + SIGHT_M / follower.speed_mps - SIGHT_M / leader.speed_mps >= MIN_HEADWAY_SECONDS
    assert all(60 <= p.speed_kmh <= 120 for p in passages)


def test_plates_are_unique_and_fit_their_side() -> None:
    passages = traffic(3, seconds=200.0)
    assert len({p.plate.text for p in passages}) == len(passages)
    for passage in passages:
        if passage.kind != "motorbike":
            assert passage.plate.lines == (1 if passage.lane.direction == "approaching" else 2)
        if passage.plate.colour == "red":
            assert passage.plate.kind == "military"


def test_the_cast_comes() -> None:
    road = Road.for_view("both", 1)
    cast = ("truck", "bus", "blue", "red", "motorbike")
    passages = sample_traffic(np.random.default_rng(4), road, seconds=40, peak_per_second=0.5, cast=cast)
    inside = [p for p in passages if 0 <= p.at_seconds < 42]
    assert {"truck", "bus", "motorbike"} <= {p.kind for p in inside}
    assert {"blue", "red"} <= {p.plate.colour for p in inside}


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_file_decodes_and_its_truth_fits(tmp_path: Path, codec: str) -> None:
    path, truth = tmp_path / "clip.mp4", tmp_path / "clip.truth.jsonl"
    seen: list[int] = []
    write_clip(
        path, TINY, truth=truth, codec=codec, kbps=300, command="x", progress=lambda done, total: seen.append(done)
    )
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name == codec
        assert float(stream.average_rate or 0) == 10.0
    assert len(frames) == TINY.frames
    assert all(frame.pict_type != av.video.frame.PictureType.B for frame in frames)
    rows = [json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["type"] == "clip"
    assert rows[0]["seed"] == TINY.seed
    assert rows[0]["frames"] == len([row for row in rows if row["type"] == "frame"]) == TINY.frames
    vehicles = {row["id"]: row for row in rows if row["type"] == "vehicle"}
    for row in rows:
        for plate in row.get("plates", []):
            vehicle = vehicles[plate["vehicle"]]
            assert vehicle["first_shown"] <= row["index"] <= vehicle["last_shown"]
    assert seen == list(range(1, TINY.frames + 1))


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"width_px": 321}, {"rain": 2.0}, {"height_m": 40.0}])
def test_an_impossible_clip_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ClipConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("light", ["day", "dusk", "night"])
def test_every_light_renders_with_rain(light: str) -> None:
    config = ClipConfig(seconds=1.0, width_px=320, height_px=180, seed=1, light=light, rain=0.5, peak_per_second=2.0)  # type: ignore[arg-type]
    picture, _ = Scene(config).frame(10)
    assert picture.shape == (180, 320, 3)
    assert picture.std() > 5
