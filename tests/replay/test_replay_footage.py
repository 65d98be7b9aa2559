"""Footage through the engine: what counts as footage, and what comes out."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from anpr import assets, cli
from anpr.clock import SystemClock
from anpr.config import load_pipeline, load_site
from anpr.engine.box import open_hub
from anpr.engine.pipeline import build_stages
from anpr.errors import MediaError
from anpr.records import Event, Frame, Sighting
from anpr.replay.footage import find_clips, play
from anpr.replay.score import score
from anpr.replay.summary import Summary
from anpr.replay.truth import load_truth

DEMO = assets.folder("configs") / "demo"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_folders_give_their_clips_and_their_images_in_natural_order(tmp_path: Path) -> None:
    for name in ("2.mp4", "10.MKV", "notes.txt", "a.jpg", "b.png"):
        touch(tmp_path / name)
    clips = find_clips([tmp_path])
    assert [clip.path.name for clip in clips] == [tmp_path.name, "2.mp4", "10.MKV"]


def test_cameras_are_named_after_their_clips_and_never_twice(tmp_path: Path) -> None:
    paths = [touch(tmp_path / name) for name in ("a/Cổng 1.mp4", "b/Cổng 1.mp4", "…….mp4")]
    assert [clip.camera_id for clip in find_clips(paths)] == ["C-ng-1", "C-ng-1-2", "clip"]


def test_a_clip_that_the_site_knows_is_its_cameras() -> None:
    site = load_site(DEMO / "site.toml")
    (clip,) = find_clips([DEMO / "expressway.mp4"], cameras=site.cameras)
    assert clip.camera_id == site.cameras[0].id


@pytest.mark.parametrize("name", ["none.mp4", "empty"])
def test_what_holds_no_footage_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match=name):
        find_clips([tmp_path / name])


@pytest.mark.parametrize("pipeline", ["cpu", "cpu-gated"])
def test_the_demo_clip_gives_its_vehicles_with_the_real_nets(tmp_path: Path, pipeline: str) -> None:
    stop, events = threading.Event(), list[Event]()
    stages = build_stages(load_pipeline(pipeline))
    (clip,) = find_clips([DEMO / "expressway.mp4"])

    def stop_after_five_seconds(frame: Frame) -> None:
        if frame.pts_seconds >= 5.0:
            stop.set()

    opened = open_hub(box="box", store=tmp_path, endpoint=None, lists=(), clock=SystemClock(), on_event=events.append)
    with opened as hub:
        played = play(clip, stages, hub, site_id="s", clock=SystemClock(), stop=stop, on_frame=stop_after_five_seconds)
        hub.finish()
        summary = Summary.of([played], events, seconds=1.0, latency_seconds=hub.latency_seconds, hub=hub.totals())
    assert summary.counts["frames_decoded"] == summary.frames > 50
    assert (summary.counts["frames_inferred"] < summary.frames) == (pipeline == "cpu-gated")
    assert summary.latency_ms["p50"] > 0
    assert score(summary.sightings, load_truth(DEMO / "expressway.truth.jsonl")).captured >= 2
    for sighting in (event.record for event in events if isinstance(event.record, Sighting)):
        assert sighting.models == stages.models
        assert sighting.pipeline == load_pipeline(pipeline).label


def test_the_command_prints_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((240, 320, 3), 90, np.uint8))
    monkeypatch.setattr(sys, "argv", ["anpr", "replay", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == 8
    assert told["sightings"] == []
    assert set(told["stage_ms"]) == {"source", "gate", "detect", "read", "track", "pictures", "emit"}


def test_a_clip_that_cannot_be_read_does_not_cost_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((240, 320, 3), 90, np.uint8))
    (tmp_path / "a.mp4").write_bytes(b"")
    good = [str(tmp_path / f"{number}.png") for number in range(3)]
    monkeypatch.setattr(sys, "argv", ["anpr", "replay", good[0], str(tmp_path / "a.mp4"), *good[1:], "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    captured = capsys.readouterr()
    assert caught.value.code == 1
    assert "a.mp4: the file is empty" in captured.err
    told = json.loads(captured.out)
    assert (told["frames"], told["counts"]["reads_failed.clip"]) == (3, 1)


def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((240, 320, 3), 90, np.uint8))
    terminal, other_end = os.openpty()
    command = [sys.executable, "-m", "anpr", "replay", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=other_end, text=True)
    os.close(other_end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way of saying that the other end has closed
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert b"4/4" in shown
    assert b"frames/s" in shown
    assert "0 sightings" in out
