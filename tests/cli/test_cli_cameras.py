"""`anpr cameras gaps` from a store; `anpr cameras probe` against a real server and against none."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from clips import write_clip
from making_records import make_gap
from typer.testing import CliRunner

from anpr.cli import application
from anpr.clock import ManualClock
from anpr.store import Store

SCRIPT = Path(__file__).parents[2] / "scripts" / "rtsp_server.py"
CANARY = "Kan4ri"


def test_gaps_are_shown_newest_first(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", clock=ManualClock()) as store:
        over = make_gap(id="g-2", camera_id="b", revision=1, state="final", from_seconds=1e9, until_seconds=1e9 + 125.0)
        store.append([], [], [over, make_gap()])
    runner = CliRunner()
    arguments = ["cameras", "gaps", "--store", str(tmp_path / "store")]
    shown = runner.invoke(application(), arguments)
    assert shown.exit_code == 0
    first, second = shown.stdout.splitlines()
    assert "until now" in first
    assert "offline, nothing listens there" in first
    assert "2 min 5 s" in second
    told = runner.invoke(application(), [*arguments, "--camera", "b", "--json"])
    assert json.loads(told.stdout)["id"] == "g-2"
    assert runner.invoke(application(), [*arguments, "--camera", "c"]).exit_code == 1


def test_a_camera_that_is_not_there_is_told_without_its_password() -> None:
    told = CliRunner().invoke(application(), ["cameras", "probe", f"rtsp://u:{CANARY}@127.0.0.1:9/x"])
    assert told.exit_code == 1
    assert "nothing listens there" in told.output
    assert CANARY not in told.output


def test_a_camera_tells_what_it_sends(tmp_path: Path) -> None:
    if subprocess.run(["/usr/bin/python3", SCRIPT, "--help"], capture_output=True, check=False).returncode:
        problem = "no GStreamer RTSP server here: run scripts/install_servers"
        pytest.fail(problem) if os.environ.get("ANPR_REQUIRE_SERVERS") == "1" else pytest.skip(problem)
    clip = write_clip(tmp_path / "clip.mp4", frames=75, key_every=25, width=320, height=240)
    command = ["/usr/bin/python3", str(SCRIPT), "--clip", str(clip), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        told = CliRunner().invoke(application(), ["cameras", "probe", address, "--seconds", "3", "--json"])
        server.kill()
    facts = json.loads(told.stdout)
    assert (facts["codec"], facts["size"]) == ("h264", "320x240")
    assert facts["frames_per_second"] == pytest.approx(25, rel=0.1)
    assert facts["key_frame_seconds"] == pytest.approx(1.0, abs=0.1)
    assert 0 < facts["first_picture_seconds"] < 5
    assert facts["megabits_per_second"] > 0
    assert told.exit_code == 1
    assert "320x240 is small" in facts["problems"][0]
