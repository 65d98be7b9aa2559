"""Which pictures are looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engine_fakes import HEIGHT, TEXTS, WIDTH, FakeDetector, fake_stages, frames

from anpr.config import load_pipeline
from anpr.engine.gate import Gate, GateOptions, lane_cells
from anpr.engine.messages import Passage
from anpr.engine.worker import Worker
from anpr.ops.window import Window
from anpr.records import Frame, Plate, Read
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import Attention, SpareOptions

GATED = GateOptions(
    motion=True,
    moved_cells_least=2,
    looks_per_second=8.0,
    reading_looks_per_second=12.5,
    following_looks_per_second=4.0,
)
GREY = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
ROAD = np.random.default_rng(1).integers(60, 120, (HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8)


def picture(index: int, *, fps: float = 25.0, car_at: int | None = None, seconds: float | None = None) -> Frame:
    luma = ROAD.copy()
    if car_at is not None:
        luma[car_at : car_at + 64, 96:192] = 220
    return Frame("cam", index, index / fps if seconds is None else seconds, 0.0, luma, GREY, GREY)


def learnt(options: GateOptions = GATED, **changes: Any) -> Gate:
    """A gate that has seen five seconds of an empty road."""
    gate = Gate(options, **changes)
    for index in range(125):
        gate.decide(picture(index))
    return gate


def test_a_gate_stands_open_unless_it_is_told_otherwise() -> None:
    gate = Gate(GateOptions())
    assert {gate.decide(frame) for frame in frames(50)} == {(True, "")}


def test_an_empty_road_is_looked_at_now_and_then() -> None:
    gate = learnt()
    verdicts = [gate.decide(picture(index)) for index in range(125, 225)]
    assert Counter(verdicts) == {(True, "relook"): 5, (False, "still"): 95}
    looks = [index for index, (look, _) in enumerate(verdicts) if look]
    assert set(np.diff(looks)) == {20}


def test_a_car_is_looked_at_as_soon_as_it_comes_and_then_at_the_pace() -> None:
    gate = learnt()
    looks = [gate.decide(picture(125 + step, car_at=4 * step)) for step in range(25)]
    first = next(index for index, (look, _) in enumerate(looks) if look)
    assert first <= 3
    assert looks[first] == (True, "moved")
    assert 6 <= sum(look for look, _ in looks) <= 8


@pytest.mark.parametrize(
    ("attention", "looks"), [("none", 1), ("following", 4), ("reading", 12)], ids=["none", "following", "reading"]
)
def test_what_a_vehicle_needs_sets_the_pace_whether_it_moves_or_not(attention: Attention, looks: int) -> None:
    gate = learnt()
    verdicts = [gate.decide(picture(index), attention=attention) for index in range(125, 150)]
    assert abs(sum(look for look, _ in verdicts) - looks) <= 1
    if attention != "none":
        assert {reason for look, reason in verdicts if look} == {attention}


@pytest.mark.parametrize("fps", [10.0, 12.0, 25.0, 29.97, 50.0])
def test_the_pace_holds_at_any_frame_rate(fps: float) -> None:
    gate = Gate(GateOptions(looks_per_second=8.0))
    looks = [gate.decide(picture(index, fps=fps))[0] for index in range(round(10 * fps))]
    assert 79 <= sum(looks) <= 81
    gaps = np.diff(np.flatnonzero(looks)) / fps
    assert gaps.max() <= 1 / 8 + 1 / fps + 1e-6


def test_motion_counts_only_inside_the_lanes() -> None:
    right = ((0.7, 0.0), (1.0, 0.0), (1.0, 1.0), (0.7, 1.0))
    left = ((0.0, 0.0), (0.65, 0.0), (0.65, 1.0), (0.0, 1.0))
    seen = {}
    for name, lane in (("right", right), ("left", left)):
        gate = learnt(lanes=(lane,))
        seen[name] = Counter(gate.decide(picture(125 + step, car_at=4 * step))[1] for step in range(25))
    assert seen["right"]["moved"] == 0
    assert seen["left"]["moved"] >= 6


def test_cells_of_lanes_and_of_what_the_camera_writes() -> None:
    whole = lane_cells((60, 120), (960, 1920), (), ignore_top=0.1)
    assert whole[:6].sum() == 0
    assert whole[6:].all()
    lanes = lane_cells((60, 120), (960, 1920), [((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))], ignore_top=0.0)
    assert lanes[32:59, 62:119].all()
    assert lanes[:29].sum() == lanes[:, :59].sum() == 0


def test_a_start_a_step_back_and_a_new_size_are_looked_at() -> None:
    gate = learnt()
    assert gate.decide(picture(0, seconds=1.0)) == (True, "start")
    for index in range(30, 100):
        gate.decide(picture(index))
    half = np.full((60, 80), 128, np.uint8)
    other = Frame("cam", 100, 4.0, 0.0, np.full((120, 160), 90, np.uint8), half, half)
    assert gate.decide(other) == (True, "moved")


def test_headlights_a_cloud_and_a_flash_do_not_blind_it() -> None:
    gate = learnt()
    for index in range(125, 250):
        luma = np.clip(ROAD * (1.0 + 0.4 * np.sin(index / 20)), 0, 255).astype(np.uint8)
        look, reason = gate.decide(Frame("cam", index, index / 25, 0.0, luma, GREY, GREY))
        assert not look or reason == "relook"
    assert [gate.decide(picture(index, car_at=64))[1] for index in range(250, 254)].count("moved") == 1


class CountingReader:
    """Wraps the fake reader to count what it is asked."""

    def __init__(self) -> None:
        self.inner = fake_stages().reader
        self.asked = 0

    def read(self, frame: Frame, plates: list[Plate]) -> list[Read]:
        self.asked += len(plates)
        return self.inner.read(frame, plates)


def gated_run(count: int, **changes: Any) -> tuple[Worker, list[Passage]]:
    passages: list[Passage] = []
    stages = fake_stages(gate=GATED, spare=SpareOptions(belief=0.999), **changes)
    worker = Worker(stages, Origin(site_id="s", camera_id="c", run_seconds=0.0), emit=passages.append)
    worker.run(frames(count, period=100))
    return worker, passages


def test_a_gated_loop_tells_the_same_vehicles_and_accounts_for_every_picture() -> None:
    reader = CountingReader()
    worker, passages = gated_run(400, reader=reader)
    counters = worker.counters
    finals = [passage.sighting.text for passage in passages if passage.sighting.state == "final"]
    assert finals == list(TEXTS.values()) * 2
    assert counters.total("frames_inferred") + counters.total("frames_gated") == 400
    assert counters.total("frames_inferred") == counters.total("looks") < 200
    assert {reason for name, reason in counters.counts if name == "frames_gated"} == {"still", "rate"}
    assert reader.asked + counters.total("reads_spared") == counters.total("plates_found")
    assert worker.seconds.gate > 0.0


def test_a_stage_that_raises_while_gated_is_accounted_for() -> None:
    class Failing:
        def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
            if frame.index > 150:
                raise RuntimeError("net")
            return []

    passages: list[Passage] = []
    stages = fake_stages(gate=GATED, detector=Failing())
    worker = Worker(stages, Origin(site_id="s", camera_id="c", run_seconds=0.0), emit=passages.append)
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for frame in frames(400):
            taken += 1
            yield frame

    with pytest.raises(RuntimeError, match="net"):
        worker.run(counted())
    counters = worker.counters
    assert taken == sum(counters.total(name) for name in ("frames_inferred", "frames_gated", "frames_dropped"))
    assert counters.counts["frames_dropped", "failed"] == 1


@pytest.mark.parametrize(("metres", "before"), [(10.8, "none"), (15.0, "following"), (15.0, "reading")])
def test_the_preset_gives_a_plate_three_looks_at_120_km_h(metres: float, before: Attention) -> None:
    options = GateOptions(**load_pipeline("cpu-gated").settings.gate.model_dump())
    shown = int(metres / (120 / 3.6) * 25) + 1
    for phase in range(50):
        gate = learnt(options)
        for index in range(125, 125 + phase):
            gate.decide(picture(index), attention=before)
        attention, looks = before, 0
        for step in range(shown):
            look, _ = gate.decide(picture(125 + phase + step, car_at=8 * step), attention=attention)
            found = look and (looks > 0 or gate.moving != ())  # before that, nobody knows where it is
            attention, looks = ("reading", looks + 1) if found else (attention, looks)
        assert looks >= 3


WINDOWED = GateOptions(
    motion=True, moved_cells_least=2, looks_per_second=8.0, reading_looks_per_second=12.5, whole_seconds=2.0
)


def test_without_whole_seconds_every_look_is_at_the_whole_picture() -> None:
    gate = learnt()
    for step in range(25):
        gate.decide(picture(125 + step, car_at=4 * step))
        assert gate.moving is None


def test_between_whole_looks_only_what_moves_is_looked_at() -> None:
    gate = learnt(WINDOWED)
    whole, parts = [], []
    for step in range(150):
        frame = picture(125 + step, car_at=4 * (step % 40))
        if gate.decide(frame)[0]:
            (whole if gate.moving is None else parts).append((frame.pts_seconds, step, gate.moving))
    assert 3 <= len(whole) <= 6
    assert max(later[0] - sooner[0] for sooner, later in pairwise(whole)) <= 2.2
    assert len(parts) > 3 * len(whole)
    for _, step, windows in parts:
        assert windows
        top = 4 * (step % 40)
        assert any(window.top <= top + 40 and window.bottom > top + 16 for window in windows)
        assert sum(window.area for window in windows) < 0.5 * WIDTH * HEIGHT


def test_a_vehicle_that_stands_is_looked_at_where_it_is_known_to_be() -> None:
    gate = learnt(WINDOWED)
    looks = []
    for step in range(100):
        look, _ = gate.decide(picture(125 + step), attention="reading")
        if look:
            looks.append(gate.moving)
    assert looks.count(()) > looks.count(None) > 0


def test_while_a_vehicle_is_read_new_ones_are_looked_for_at_the_pace_of_following() -> None:
    gate = learnt(replace(WINDOWED, following_looks_per_second=4.0))
    looks, searches = 0, 0
    for step in range(100):
        if gate.decide(picture(125 + step, car_at=4 * (step % 40)), attention="reading")[0]:
            looks, searches = looks + 1, searches + (gate.moving != ())
    assert looks in (50, 51)
    assert 15 <= searches <= 19


def test_a_picture_of_another_size_is_looked_at_as_a_whole() -> None:
    gate = learnt(WINDOWED)
    looks = [gate.moving for step in range(20) if gate.decide(picture(125 + step, car_at=4 * step))[0]]
    assert any(looks)
    small = np.ascontiguousarray(ROAD[: HEIGHT // 2])
    assert gate.decide(Frame("cam", 145, 5.9, 0.0, small, GREY[: HEIGHT // 4], GREY[: HEIGHT // 4]))[0]
    assert gate.moving is None


def test_a_worker_looks_at_the_moving_part_and_at_the_vehicles_it_knows() -> None:
    class Noting(FakeDetector):
        asked: list[Sequence[Window]]

        def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
            self.asked.append(windows)
            return super().detect(frame)

    noting = Noting()
    noting.asked = []
    stages = replace(fake_stages(detector=noting), gate=WINDOWED, spare=SpareOptions(belief=0.999))
    passages: list[Passage] = []
    worker = Worker(stages, Origin(site_id="s", camera_id="c", run_seconds=0.0), emit=passages.append)
    shown = list(frames(200))
    worker.run(shown)
    assert {passage.sighting.text for passage in passages} >= {next(iter(TEXTS.values()))}
    parts = [windows for windows in noting.asked if windows]
    assert len(parts) == worker.counters.total("partial_looks") > 5
    assert len(noting.asked) > len(parts)
