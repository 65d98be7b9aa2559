"""The parts of the benchmark of many cameras that need no cameras."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_records import make_sighting
from prometheus_client.samples import Sample
from waiting import until

from anpr.clock import SystemClock
from anpr.config import load_pipeline
from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.ops.quads import box_iou
from anpr.records import Frame
from anpr.video.decode import DecodeOptions
from anpr.video.source import open_source
from bench.box import Heard, Load, Metrics, latencies_ms
from bench.clips import beginning, demo, excerpt
from bench.fast_alpr import PlateFinder, plugged, share_among
from bench.full_speed import Turns
from bench.processes import cpu_seconds, pss_bytes, tree
from bench.streams import greatest, per_stream_mb


def make_load(**changes: Any) -> Load:
    facts: dict[str, Any] = {
        "pipeline": "cpu",
        "streams": 4,
        "seconds": 10.0,
        "expected": 1000.0,
        "decoded": 1000,
        "dropped": 0,
        "troubles": (),
        "latency_ms": (80.0, 120.0),
        "waiting_ms": (1.0, 2.0),
        "cores": 1.0,
        "server_cores": 0.1,
        "pss_mb": 500.0,
        "capacity": 9,
    }
    return Load(**(facts | changes))


@given(bound=st.integers(0, 70), guess=st.integers(-3, 90), most=st.integers(1, 64))
def test_the_search_finds_the_bound_and_asks_nothing_twice(bound: int, guess: int, most: int) -> None:
    asked: list[int] = []

    def sustains(number: int) -> bool:
        asked.append(number)
        return number <= bound

    assert greatest(sustains, guess=guess, most=most) == min(bound, most)
    assert len(asked) == len(set(asked))
    assert all(1 <= number <= most for number in asked)


@pytest.mark.parametrize(("bound", "questions"), [(9, 2), (8, 2), (10, 4), (12, 6), (5, 6)])
def test_a_good_guess_needs_few_questions(bound: int, questions: int) -> None:
    asked: list[int] = []
    greatest(lambda number: asked.append(number) is None and number <= bound, guess=9, most=64)
    assert len(asked) <= questions


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, ""),
        ({"dropped": 1}, ""),
        ({"dropped": 2}, "drops 0.2%"),
        ({"decoded": 850}, "watches 85.0%"),
        ({"latency_ms": (100.0,) * 10 + (900.0,) * 10}, "late by 900 ms"),
        ({"latency_ms": ()}, ""),
        ({"troubles": ("1 workers died",), "dropped": 500}, "1 workers died"),
    ],
)
def test_what_counts_as_sustained(changes: dict[str, Any], verdict: str) -> None:
    load = make_load(**changes)
    assert load.verdict == verdict
    assert load.sustained == (verdict == "")


def test_memory_of_a_further_stream_is_a_slope() -> None:
    cores = len(os.sched_getaffinity(0))
    loads = [make_load(streams=cores + n, pss_mb=400.0 + 30 * n) for n in (0, 3, 7)]
    fewer_workers = make_load(streams=cores - 1, pss_mb=90.0)
    assert per_stream_mb([*loads, fewer_workers]) == pytest.approx(30.0)
    assert per_stream_mb(loads[:1]) == 0.0


def heard(camera: str, *, pts: float, waited: float, settled_after: float, event_after: float, **more: Any) -> Heard:
    """A passage whose best picture was sent at 1000 + pts; its preview was settled and heard so much later."""
    seen = 1000.0 + pts + waited
    last = seen + settled_after
    facts = {"state": "preview", "revision": 0} | more
    sighting = make_sighting(camera_id=camera, pts_seconds=pts, seen_seconds=seen, last_seconds=last, **facts)
    return Heard(sighting, last + event_after)


def test_latency_counts_from_the_picture_that_settled_and_the_wait_before_it() -> None:
    some = [
        heard("a", pts=0.0, waited=0.0, settled_after=0.0, event_after=0.05),
        heard("a", pts=5.0, waited=0.2, settled_after=0.4, event_after=0.05),
        heard("b", pts=5.0, waited=3.0, settled_after=0.0, event_after=0.07),  # its only one: nothing to compare with
        heard("a", pts=6.0, waited=0.1, settled_after=0.0, event_after=1.2, state="final"),
    ]
    latency, waiting = latencies_ms(some, since_wall_seconds=0.0)
    assert latency == pytest.approx([50.0, 250.0, 70.0])
    assert waiting == pytest.approx([0.0, 200.0, 0.0])
    latency, _ = latencies_ms(some, since_wall_seconds=1002.0)
    assert latency == pytest.approx([250.0, 70.0])
    assert latencies_ms([], since_wall_seconds=0.0)[0].size == 0


def test_metrics_are_summed_over_the_labels_that_are_not_asked_for() -> None:
    samples = [
        Sample("anpr_frames_dropped_total", {"camera": "a", "reason": "overload"}, 3.0),
        Sample("anpr_frames_dropped_total", {"camera": "b", "reason": "overload"}, 4.0),
        Sample("anpr_frames_dropped_total", {"camera": "b", "reason": "stopped"}, 1.0),
    ]
    metrics = Metrics(tuple(samples))
    assert metrics.total("anpr_frames_dropped_total") == 8
    assert metrics.total("anpr_frames_dropped_total", reason="overload") == 7
    assert metrics.total("anpr_frames_decoded_total") == 0
    assert Metrics.ask("127.0.0.1:1").samples == ()


def test_an_excerpt_has_the_frames_and_the_truth_of_its_seconds(tmp_path: Path) -> None:
    short = excerpt(demo(), tmp_path / "short.mp4", seconds=2.0)
    with open_source(short.path, camera_id="a", clock=SystemClock()) as source:
        assert sum(1 for _ in source) == 50
    assert short.seconds == pytest.approx(2.0)
    assert [frame.index for frame in short.truth.frames] == list(range(50))


@given(seconds=st.floats(0.0, 40.0))
def test_the_beginning_of_a_truth_knows_only_what_it_shows(seconds: float) -> None:
    truth = beginning(TRUTH, seconds=seconds)
    readable = {plate.vehicle for frame in truth.frames for plate in frame.plates if plate.readable}
    assert {vehicle.id for vehicle in truth.vehicles if vehicle.first_readable is not None} == readable
    assert all(v.last_readable < len(truth.frames) for v in truth.vehicles if v.last_readable is not None)


TRUTH = demo().truth


def frame(pts_seconds: float) -> Frame:
    grey = np.zeros((4, 4), np.uint8)
    return Frame("a", 0, pts_seconds, pts_seconds, grey, grey[:2, :2], grey[:2, :2])


def test_slices_end_where_decoding_alone_takes_its_turn() -> None:
    ends: list[float] = []

    def decode(pts_seconds: float) -> int:
        ends.append(pts_seconds)
        time.sleep(0.2)
        return 10

    turns = Turns(1.0, decode)
    for number in range(35):
        turns.attend(frame(number / 10))
    assert ends == [1.0, 2.0, 3.0]
    assert [part.frames for part in turns.slices] == [10, 10, 10]
    assert all(part.decode_seconds >= 0.2 for part in turns.slices)
    assert all(part.seconds < 0.2 for part in turns.slices)


def test_what_processes_cost() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = 1\\nwhile True: x += 1'])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as parent:
        try:
            until(lambda: len(list(tree(parent.pid))) == 2 and cpu_seconds(parent.pid) >= 0.2)
            _, child = tree(parent.pid)
            assert cpu_seconds(child) <= cpu_seconds(parent.pid)
            assert 1e6 < pss_bytes(child) < pss_bytes(parent.pid)
        finally:
            os.killpg(parent.pid, 9)
    assert list(tree(parent.pid)) == [parent.pid]
    assert cpu_seconds(parent.pid) == 0.0
    assert pss_bytes(parent.pid) == 0


def test_fast_alpr_is_given_the_plates_that_our_detector_finds() -> None:
    model = ModelFolder.load(load_pipeline("cpu").settings.detector.model, "detector")
    ours, theirs = Detector.open(model, DetectorOptions()), PlateFinder.open(model, DetectorOptions().threshold)
    compared = 0
    with open_source(demo().path, camera_id="a", clock=SystemClock(), options=DecodeOptions()) as source:
        for number, one in enumerate(source):
            if number == 120:
                break
            if number % 20:
                continue
            found = theirs.find(np.repeat(one.luma[:, :, None], 3, axis=2))
            for plate in ours.detect(one):
                if plate.score > 0.8:
                    compared += 1
                    assert max(box_iou(plate.to_xyxy(), box) for _, box in found) > 0.7
    assert compared >= 2


def test_the_rival_is_given_a_text_if_any_frame_had_it() -> None:
    assert share_among(["30A12345", "29D112345"], {"30A12345", "29Đ1-123.45", "X"}) == 1.0
    assert share_among(["30A12345", "30A99999"], {"30A12345"}) == 0.5
    assert share_among([], {"30A12345"}) == 1.0


def test_without_fast_alpr_it_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_alpr", None)
    with pytest.raises(ImportError, match="fast_alpr"):
        plugged(load_pipeline("cpu"))
