"""The whole chain against a real RTSP server on loopback: camera, worker process, hub's end of the pipe."""

import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import pytest
from engine_fakes import PIPELINE, TEXTS, CollectingHub, assert_balanced, fake_stages, write_clip
from rtsp_servers import need_server, port_of, server
from waiting import until

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

PASSWORD = "p@ss:w/rd"


def impatient_stages(pipeline: Pipeline) -> Stages:
    """Fake nets, and a camera that is given up soon."""
    return fake_stages(pipeline, decode=DecodeOptions(open_timeout_seconds=2.0, read_timeout_seconds=1.0))


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
    need_server()
    clip = write_clip(tmp_path / "clip.mp4", frames=200, codec=codec)
    hub, stop = CollectingHub(), threading.Event()
    guarded = ("--path", "/main", "--user", "guard", "--password", PASSWORD)
    with server(clip, *guarded) as (address, process):
        camera = Camera.model_validate(
            {"id": "a", "url": address, "user": "guard", "password": "${PASSWORD}"},
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
            until(lambda: len(hub.finals()) >= 2)
            process.kill()
            process.wait()
            killed_seconds = time.time()
            until(lambda: supervisor.reports["a"].state in ("offline", "connecting"))
            before = len(hub.finals())
            with server(clip, *guarded, port=port_of(address)):
                back_seconds = time.time()
                until(lambda: len(hub.finals()) >= before + 2)
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
