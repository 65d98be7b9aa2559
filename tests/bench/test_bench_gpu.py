"""What bench.gpu plays, and how it spreads it over processes."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import get_args

import av
import pytest
from clips import write_clip

from anpr.config import load_pipeline
from anpr.errors import DeviceError, VideoError
from bench.clips import lengthened, transcoded
from bench.gpu import nets
from bench.gpu_sessions import Kind, Load, Stations, pictures_of


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_clip_is_strung_together_without_a_gap(tmp_path: Path, codec: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", codec=codec, frames=30, b_frames=2)
    long = lengthened(clip, tmp_path / "long.mp4", seconds=3.0)
    with av.open(str(long)) as container:
        times = [round(frame.time * 25) for frame in container.decode(video=0) if frame.time is not None]
    assert len(times) == 90
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {1}
    assert lengthened(tmp_path / "gone.mp4", long, seconds=9.0) == long
    assert list(tmp_path.glob("part-*")) == []


def test_a_clip_comes_in_another_codec(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=10)
    with av.open(str(transcoded(clip, tmp_path / "clip.hevc.mp4", "libx265"))) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
        assert len(list(container.decode(video=0))) == 10


def test_time_goes_on_when_a_clip_begins_again_and_live_pictures_take_it(tmp_path: Path) -> None:
    clip, stop = write_clip(tmp_path / "clip.mp4", frames=10), threading.Event()
    for live in (False, True):
        some = itertools.islice(pictures_of(clip, "cam", None, stop, live=live), 15)
        found = [(picture.pts_seconds, picture.arrival_seconds) for picture in some]
        assert [round(25 * pts) for pts, _ in found] == list(range(15))
        if live:
            assert all(arrival - found[0][1] >= pts - 0.001 for pts, arrival in found)
    stop.set()
    assert list(pictures_of(clip, "cam", None, stop, live=False)) == []


def test_loads_of_several_processes_are_one() -> None:
    one = Load(2, 1.0, 50, 1, 0.5, [1.0, 2.0], Counter({"detect": 0.1}))
    both = one.join(Load(3, 1.25, 75, 0, 0.25, [3.0], Counter({"detect": 0.15})))
    assert (both.sessions, both.frames, both.dropped, both.cores) == (5, 125, 1, 0.75)
    assert both.frames_per_s == 100.0
    assert both.latency(0.5) == 2.0
    assert both.stage_us("detect") == pytest.approx(2000)
    assert Load().frames_per_s == Load().latency(0.95) == 0.0


def test_a_process_whose_device_does_not_open_is_told() -> None:
    with pytest.raises(DeviceError, match="GPU 99"):
        Stations(load_pipeline("gpu-t4"), 99, apart=2)


def test_nets_that_do_not_start_are_told_and_cost_no_other_figure(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"ratio_h264": 0.9}
    assert nets(load_pipeline("gpu-t4"), 99, figures) == []
    assert figures == {"ratio_h264": 0.9}
    assert "cuda: GPU 99" in capsys.readouterr().err


@pytest.mark.slow
def test_sessions_are_spread_over_processes_which_a_broken_clip_leaves_alive(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=10)
    stations = Stations(load_pipeline("cpu"), None, apart=2)
    try:
        with pytest.raises(VideoError, match="no such file"):
            stations.run("decode", tmp_path / "gone.mp4", 3, seconds=0.1, settle_seconds=0.0)
        for kind in get_args(Kind):
            for _ in range(10):  # the first pictures wait for what numba has kept
                load = stations.run(kind, clip, 3, seconds=0.3, settle_seconds=0.0)
                assert load.sessions == 3
                if load.frames:
                    break
            assert load.frames > 0
            assert bool(load.stage_seconds["detect"]) is (kind != "decode")
        os.kill(stations._far[0][0].pid, signal.SIGKILL)
        with pytest.raises(DeviceError, match=r"a worker has ended \(-9\)"):
            stations.run("decode", clip, 2, seconds=0.1, settle_seconds=0.0)
    finally:
        stations.close()
    assert multiprocessing.active_children() == []
