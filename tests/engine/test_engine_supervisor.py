"""Worker processes: they end, die, hang and are told to stop; sightings arrive all the same."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import pytest
from engine_fakes import (
    HEIGHT,
    PIPELINE,
    TEXTS,
    WIDTH,
    CollectingHub,
    FakeDetector,
    FakeReader,
    assert_balanced,
    fake_stages,
    frames,
    write_clip,
)
from waiting import until

from anpr.clock import ManualClock, SystemClock
from anpr.config.pipeline import Pipeline, Preset
from anpr.config.site import Camera
from anpr.engine import camera_loop
from anpr.engine import supervisor as supervisor_module
from anpr.engine.assignment import Assignment, Line
from anpr.engine.camera_loop import CameraLoop
from anpr.engine.messages import CameraReport, encode
from anpr.engine.pipeline import Stages
from anpr.engine.process import EXIT_DEVICE
from anpr.engine.supervisor import Supervisor
from anpr.ops.window import Window
from anpr.records import Frame, Plate, Read
from anpr.video.facts import SourceFacts
from anpr.video.rtsp import StreamState, Transition


class StuckDetector(FakeDetector):
    """Never comes back from the sixth frame."""

    def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
        if frame.index >= 5:
            time.sleep(600)
        return super().detect(frame, windows)


class BreakingDetector(FakeDetector):
    """Breaks at the camera's second frame."""

    def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
        if frame.index == 1 and frame.luma.shape == (HEIGHT, WIDTH):  # the rehearsal is larger
            raise RuntimeError("broken")
        return super().detect(frame, windows)


def breaking_stages(pipeline: Pipeline) -> Stages:
    """Nets that break while they are watching."""
    return fake_stages(pipeline, detector=BreakingDetector())


def stuck_stages(pipeline: Pipeline) -> Stages:
    """Nets that hang."""
    return fake_stages(pipeline, detector=StuckDetector())


def hang(connection: Connection, assignment: Assignment) -> None:
    """A worker that never says a word."""
    time.sleep(600)


def wait_for_the_hub(connection: Connection, assignment: Assignment) -> None:
    """A worker whose first report is that of a loop which had to wait for the hub."""
    for busy_seconds in (600.0, *[0.0] * 600):
        connection.send_bytes(encode(CameraReport("a", "streaming", busy_seconds, (), {})))
        time.sleep(1.0 if busy_seconds else 0.1)


def crash_between_reports(connection: Connection, assignment: Assignment) -> None:
    """A worker whose loop crashes, starts again and crashes anew before the next report, and then goes on."""
    for state, crashes in (("crashed", 1), ("crashed", 2), ("running", 2), ("running", 3)):
        counts = (("camera_crashes", "RuntimeError", crashes), ("frames_decoded", "", 7))
        connection.send_bytes(encode(CameraReport("a", state, 0.0, counts, {})))
    connection.recv_bytes()


def assignment(*cameras: Camera, build: Callable[[Pipeline], Stages] = fake_stages) -> Assignment:
    return Assignment(
        site_id="site",
        cameras=tuple((camera, PIPELINE) for camera in cameras),
        build=build,
        log_level="error",
        log_as_json=True,
    )


def camera(name: str, clip: Path) -> Camera:
    return Camera.model_validate({"id": name, "file": str(clip)})


def gone(pid: int) -> bool:
    """The process has ended; a zombie counts as gone only once reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def running(supervisor: Supervisor) -> Iterator[threading.Event]:
    """`supervisor` in a thread; stopped and joined at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        assert supervisor.pids == ()


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "short.mp4", frames=70)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", frames=4000)


def test_recordings_run_to_their_end_in_real_time_and_every_frame_is_accounted_for(short_clip: Path) -> None:
    hub = CollectingHub()
    supervisor = Supervisor([assignment(camera("a", short_clip), camera("b", short_clip))], hub, clock=SystemClock())
    started = time.monotonic()
    supervisor.run(threading.Event())
    assert time.monotonic() - started >= 70 / 25
    assert supervisor.restarts == 0
    for name in ("a", "b"):
        assert hub.finals(name) == list(TEXTS.values())
    counters = supervisor.counters
    assert counters.total("frames_decoded") == 140
    assert_balanced(counters)


def test_a_killed_worker_is_started_again_and_the_other_does_not_notice(long_clip: Path) -> None:
    hub = CollectingHub()
    supervisor = Supervisor(
        [assignment(camera("a", long_clip)), assignment(camera("b", long_clip))],
        hub,
        clock=SystemClock(),
        first_pause_seconds=0.1,
    )
    with running(supervisor):
        until(lambda: bool(hub.finals("a")) and bool(hub.finals("b")))
        victim, other = supervisor.pids
        os.kill(victim, signal.SIGKILL)
        until(lambda: supervisor.restarts == 1)
        before = len(hub.finals("a"))
        until(lambda: len(hub.finals("a")) > before)
        assert other in supervisor.pids
        assert gone(victim)
        assert supervisor.restarts == 1
        assert hub.settled == ["a"]


def test_stopping_settles_what_is_in_view_and_leaves_no_process(long_clip: Path) -> None:
    hub = CollectingHub()
    supervisor = Supervisor([assignment(camera("a", long_clip))], hub, clock=SystemClock())
    with running(supervisor):
        until(lambda: bool(hub.passages))
        pids = supervisor.pids
    assert hub.passages[-1].sighting.state == "final"
    assert all(gone(pid) for pid in pids)
    assert_balanced(supervisor.counters)


def test_a_worker_that_is_told_by_sigterm_drains_too(short_clip: Path) -> None:
    hub = CollectingHub()
    supervisor = Supervisor([assignment(camera("a", short_clip))], hub, clock=SystemClock())
    with running(supervisor):
        until(lambda: bool(hub.passages))
        os.kill(supervisor.pids[0], signal.SIGTERM)
        until(lambda: not supervisor.pids)
    assert hub.passages[-1].sighting.state == "final"
    assert supervisor.restarts == 0


class CrashingReader(FakeReader):
    """Breaks on its first picture with a plate, whichever process or loop it is in."""

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        if plates:
            raise RuntimeError("broken")
        return []


def crashing_stages(pipeline: Pipeline) -> Stages:
    """Nets that work for one pipeline and break for the other."""
    return fake_stages(pipeline, reader=CrashingReader()) if pipeline.name == "broken" else fake_stages(pipeline)


def test_a_loop_that_crashes_is_started_again_and_its_neighbour_does_not_notice(long_clip: Path) -> None:
    hub = CollectingHub()
    both = replace(
        assignment(build=crashing_stages),
        cameras=((camera("a", long_clip), PIPELINE), (camera("b", long_clip), Pipeline.of(Preset(), name="broken"))),
    )
    supervisor = Supervisor([both], hub, clock=SystemClock())
    with running(supervisor):
        until(lambda: supervisor.counters.total("camera_crashes") >= 2)
        until(lambda: len(hub.finals("a")) >= 2)
        assert supervisor.restarts == 0
        assert len(hub.settled) >= 2
        assert set(hub.settled) == {"b"}
    assert_balanced(supervisor.counters)


def test_what_each_crash_left_open_is_settled_also_between_two_reports(short_clip: Path) -> None:
    hub = CollectingHub()
    work = crash_between_reports
    supervisor = Supervisor([assignment(camera("a", short_clip))], hub, clock=SystemClock(), work=work)
    with running(supervisor):
        until(lambda: hub.settled == ["a"] * 3)
    assert supervisor.restarts == 0


class LiveSource:
    """A camera that never ends by itself and tells its states, as an RtspSource does."""

    def __init__(self, *, stop: threading.Event, on_state: Callable[[Transition], None]) -> None:
        self.facts = SourceFacts(width=WIDTH, height=HEIGHT)
        self.closed = threading.Event()
        self._stop = stop
        self._on_state = on_state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._on_state(Transition(StreamState.CLOSED, "", 0.0))
        self.closed.set()

    def __iter__(self) -> Iterator[Frame]:
        self._on_state(Transition(StreamState.STREAMING, "", 0.0))
        yield from frames(3)
        self._stop.wait(30.0)


def test_a_live_cameras_crash_stays_told_when_its_source_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[LiveSource] = []

    def open_fake(
        *_: object, stop: threading.Event, on_state: Callable[[Transition], None], **__: object
    ) -> LiveSource:
        sources.append(LiveSource(stop=stop, on_state=on_state))
        return sources[-1]

    monkeypatch.setattr(camera_loop, "open_source", open_fake)
    live = Camera.model_validate({"id": "live", "url": "rtsp://127.0.0.1:9/none"})
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        loop = CameraLoop(live, PIPELINE, assignment=assignment(build=breaking_stages), line=Line(theirs))
        loop.start()
        until(lambda: loop.crashed and not loop.alive)
        assert sources[0].closed.wait(60.0)
        assert (loop.report().state, loop.report().reason) == ("crashed", "RuntimeError")
        assert not loop.successor(1.0).stop.is_set()


@dataclass
class DeadProcess:
    """What is left of a worker."""

    exitcode: int

    def join(self, _seconds: float) -> None:
        pass

    def kill(self) -> None:
        pass


@pytest.mark.parametrize(
    ("exit_code", "by_us", "divided"),
    [(-9, False, False), (-9, True, True), (-11, False, True), (EXIT_DEVICE, False, False)],
)
def test_only_a_worker_that_died_of_itself_or_hung_is_divided(
    short_clip: Path, exit_code: int, by_us: bool, divided: bool
) -> None:
    both = assignment(camera("c", short_clip), camera("d", short_clip))
    supervisor = Supervisor([both], CollectingHub(), clock=ManualClock(), start_seconds=0.0 if by_us else 60.0)
    (slot,) = supervisor._slots
    for _ in range(3):
        slot.process, slot.killed, slot.heard_seconds = DeadProcess(exit_code), False, -1.0  # type: ignore[assignment]
        supervisor._care(slot, 0.0)
        supervisor._bury(slot, EOFError())
    assert (len(supervisor._slots) > 1) is divided


@pytest.mark.parametrize(("silent_seconds", "killed"), [(50.0, False), (70.0, True)])
def test_a_camera_that_is_silent_for_as_long_as_its_pipeline_allows_kills_nobody(
    silent_seconds: float, killed: bool
) -> None:
    patient = Pipeline.of(Preset.model_validate({"decode": {"read_timeout_seconds": 40.0}}), name="patient")
    away = Camera.model_validate({"id": "away", "url": "rtsp://127.0.0.1:9/none"})
    supervisor = Supervisor([replace(assignment(), cameras=((away, patient),))], CollectingHub(), clock=ManualClock())
    (slot,) = supervisor._slots
    slot.process = DeadProcess(0)  # type: ignore[assignment]
    slot.reports["away"] = CameraReport("away", "streaming", silent_seconds, (), {})
    supervisor._care(slot, 0.0)
    assert slot.killed is killed


def die(connection: Connection, assignment: Assignment) -> None:
    """A worker that dies at once if camera `d` is among its own, and else only reports."""
    cameras = [each.id for each, _ in assignment.cameras]
    for name in cameras:
        connection.send_bytes(encode(CameraReport(name, "running", 0.0, (), {})))
    if "d" in cameras:
        os.kill(os.getpid(), signal.SIGSEGV)
    connection.recv_bytes()


def test_a_camera_that_kills_its_worker_is_alone_in_the_end(short_clip: Path) -> None:
    hub = CollectingHub()
    both = assignment(camera("c", short_clip), camera("d", short_clip))
    supervisor = Supervisor([both], hub, clock=SystemClock(), first_pause_seconds=0.02, work=die)

    def alone() -> bool:
        return [[each.id for each, _ in slot.assignment.cameras] for slot in supervisor._slots] == [["c"], ["d"]]

    with running(supervisor):
        until(alone, seconds=80.0)
        until(lambda: "c" in supervisor.reports)
        steady, deaths = supervisor._slots[0].process, supervisor.restarts
        assert steady is not None
        until(lambda: supervisor.restarts > deaths)
        assert steady.pid in supervisor.pids


def test_a_recording_that_pauses_for_minutes_does_not_hang(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "pause.mkv", frames=60, pause_before=30, pause_seconds=120.0)
    hub = CollectingHub()
    supervisor = Supervisor([assignment(camera("a", clip))], hub, clock=SystemClock(), hang_seconds=1.0)
    with running(supervisor):
        until(lambda: supervisor.counters.total("frames_inferred") >= 29)
        time.sleep(3.0)
        assert supervisor.restarts == 0
        assert len(supervisor.pids) == 1
        assert supervisor.reports["a"].busy_seconds < 1.0


def test_a_silent_worker_is_killed_and_replaced(short_clip: Path) -> None:
    supervisor = Supervisor(
        [assignment(camera("a", short_clip))],
        CollectingHub(),
        clock=SystemClock(),
        start_seconds=0.5,
        first_pause_seconds=0.05,
        work=hang,
    )
    with running(supervisor):
        until(lambda: bool(supervisor.pids))
        first = supervisor.pids[0]
        until(lambda: supervisor.restarts >= 1)
        assert gone(first)


def test_a_loop_that_is_stuck_is_killed_though_its_process_talks(short_clip: Path) -> None:
    supervisor = Supervisor(
        [assignment(camera("a", short_clip), build=stuck_stages)],
        CollectingHub(),
        clock=SystemClock(),
        hang_seconds=2.5,
        first_pause_seconds=60.0,
    )
    with running(supervisor):
        until(lambda: bool(supervisor.pids))
        pid = supervisor.pids[0]
        until(lambda: gone(pid))
        assert supervisor.counters.total("frames_inferred") <= 5


def test_a_damaged_recording_ends_its_camera_and_leaves_the_others_alone(short_clip: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"no video")
    hub = CollectingHub()
    supervisor = Supervisor([assignment(camera("a", short_clip), camera("b", damaged))], hub, clock=SystemClock())
    supervisor.run(threading.Event())
    assert supervisor.failed_cameras == {"b"}
    assert supervisor.restarts == 0
    assert hub.finals("a") == list(TEXTS.values())


def test_workers_that_ignore_the_word_to_stop_are_killed(short_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "DRAIN_SECONDS", 0.3)
    supervisor = Supervisor([assignment(camera("a", short_clip))], CollectingHub(), clock=SystemClock(), work=hang)
    with running(supervisor):
        until(lambda: bool(supervisor.pids))
        pid = supervisor.pids[0]
    assert gone(pid)


def test_while_the_hub_is_full_workers_wait_and_nothing_is_lost(short_clip: Path) -> None:
    hub = CollectingHub()
    supervisor = Supervisor([assignment(camera("a", short_clip))], hub, clock=SystemClock())
    hub.full = True
    with running(supervisor):
        time.sleep(3.0)
        assert hub.passages == []
        hub.full = False
        until(lambda: len(hub.finals("a")) == 2)
    assert hub.finals("a") == list(TEXTS.values())


def test_a_loop_that_had_to_wait_for_the_hub_does_not_hang(short_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "CATCH_UP_SECONDS", 60.0)
    hub = CollectingHub()
    supervisor = Supervisor(
        [assignment(camera("a", short_clip))], hub, clock=SystemClock(), hang_seconds=30.0, work=wait_for_the_hub
    )
    hub.full = True
    with running(supervisor):
        until(lambda: bool(supervisor.pids))
        pids = supervisor.pids
        time.sleep(1.0)
        hub.full = False
        until(lambda: bool(supervisor.reports) and supervisor.reports["a"].busy_seconds == 0.0)
        assert supervisor.pids == pids
        os.kill(pids[0], signal.SIGKILL)


def test_a_terminal_that_hangs_up_ends_no_worker(long_clip: Path) -> None:
    hub = CollectingHub()
    supervisor = Supervisor([assignment(camera("a", long_clip))], hub, clock=SystemClock())
    with running(supervisor):
        until(lambda: bool(hub.passages))
        (pid,) = supervisor.pids
        os.kill(pid, signal.SIGHUP)
        before = len(hub.passages)
        until(lambda: len(hub.passages) > before)
        assert supervisor.pids == (pid,)


def test_a_worker_of_a_live_camera_that_ends_without_being_told_is_started_again() -> None:
    hub = CollectingHub()
    away = Camera.model_validate({"id": "away", "url": "rtsp://127.0.0.1:9/none"})
    supervisor = Supervisor([assignment(away)], hub, clock=SystemClock(), first_pause_seconds=0.1)
    with running(supervisor):
        until(lambda: "away" in supervisor.reports)
        (victim,) = supervisor.pids
        os.kill(victim, signal.SIGTERM)
        until(lambda: supervisor.restarts == 1)
        until(lambda: bool(supervisor.pids) and victim not in supervisor.pids)
    assert not supervisor.pids
