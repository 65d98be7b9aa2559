"""The whole chain against a real RTSP server on loopback: camera, worker process, hub's end of the pipe."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from engine_fakes import PIPELINE, TEXTS, CollectingHub, assert_balanced, fake_stages, write_clip

from anpr.clock import SystemClock
from anpr.config.fields import Context
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.assignment import Assignment
from anpr.engine.coverage import Ledger
from anpr.engine.messages import CameraReport, WorkerReport
from anpr.engine.pipeline import Stages
from anpr.engine.supervisor import Supervisor
from anpr.records import CoverageGap
from anpr.video.decode import DecodeOptions

SCRIPT = Path(__file__).parents[2] / "scripts" / "rtsp_server.py"
PASSWORD = "p@ss:w/rd"


def impatient_stages(pipeline: Pipeline) -> Stages:
    """Fake nets, and a camera that is given up soon."""
    return fake_stages(pipeline, decode=DecodeOptions(open_timeout_seconds=2.0, read_timeout_seconds=1.0))


@contextmanager
def server(clip: Path, *, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port of a running server, and its process."""
    command = ["/usr/bin/python3", str(SCRIPT), "--clip", str(clip), "--port", str(port), "--path", "/main"]
    command += ["--user", "guard", "--password", PASSWORD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().strip().removesuffix("/main").rpartition(":")[2]), process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Listener:
    """An attendant that keeps the coverage ledger of camera `a` alone."""

    sockets = ()

    def __init__(self) -> None:
        self.gaps: list[CoverageGap] = []
        self.ledger = Ledger(["a"], site_id="site", clock=SystemClock(), take=self.gaps.append)
        self.ledger.begin(alive_seconds=None)

    def heard(self, worker: str, report: CameraReport | WorkerReport) -> None:
        if isinstance(report, CameraReport):
            self.ledger.hear(report)

    def died(self, worker: str, cameras: Sequence[str], reason: str) -> None:
        self.ledger.lose(cameras, reason)

    def started(self, worker: str, cameras: Sequence[str]) -> None: ...

    def ended(self, worker: str) -> None: ...

    def turn(self, ready: Collection[object]) -> None: ...

    def stopping(self) -> None: ...


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_camera_is_watched_and_recovers_when_its_server_was_gone(
    tmp_path: Path, codec: Literal["libx264", "libx265"]
) -> None:
    if subprocess.run(["/usr/bin/python3", SCRIPT, "--help"], capture_output=True, check=False).returncode:
        problem = "no GStreamer RTSP server here: run scripts/install_servers"
        pytest.fail(problem) if os.environ.get("ANPR_REQUIRE_SERVERS") == "1" else pytest.skip(problem)
    clip = write_clip(tmp_path / "clip.mp4", frames=200, codec=codec)
    hub, stop = CollectingHub(), threading.Event()
    with server(clip) as (port, process):
        camera = Camera.model_validate(
            {"id": "a", "url": f"rtsp://127.0.0.1:{port}/main", "user": "guard", "password": "${PASSWORD}"},
            context=Context(tmp_path, {"PASSWORD": PASSWORD}),
        )
        assignment = Assignment(
            site_id="site",
            cameras=((camera, PIPELINE),),
            build=impatient_stages,
            log_level="info",
            log_as_json=True,
        )
        listener = Listener()
        supervisor = Supervisor([assignment], hub, clock=SystemClock(), attendant=listener)
        thread = threading.Thread(target=supervisor.run, args=(stop,))
        thread.start()
        try:
            wait_until(lambda: len(hub.finals()) >= 2)
            process.kill()
            process.wait()
            killed_seconds = time.time()
            wait_until(lambda: supervisor.reports["a"].state in ("offline", "connecting"))
            before = len(hub.finals())
            with server(clip, port=port):
                back_seconds = time.time()
                wait_until(lambda: len(hub.finals()) >= before + 2)
                stop.set()
                thread.join(30)
        finally:
            stop.set()
            thread.join(30)
    assert not thread.is_alive()
    assert set(hub.finals()) <= set(TEXTS.values())
    assert supervisor.restarts == 0
    counters = supervisor.counters
    assert counters.total("connections_lost") == 1
    assert_balanced(counters)
    begun, over = [gap for gap in listener.gaps if gap.reason == "offline"]
    assert begun.state == "preview"
    assert begun.from_seconds == pytest.approx(killed_seconds, abs=2.0)
    assert over.until_seconds - back_seconds <= 5.0
