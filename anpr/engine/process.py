"""A worker process: owns some cameras, each in a thread with its own decoder, nets and tracker.

It talks to the hub over one pipe: passages and reports go out; a word to stop, or the pipe's end, comes in. When it
stops it settles what is in view, sends it, and says `Ended`. Threads share nothing but the pipe, and all that is slow
(libav, onnxruntime, OpenCV) releases the interpreter, so cameras of one worker run side by side.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection

import cv2
import structlog

from anpr import log
from anpr.clock import SystemClock
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.mailbox import newest
from anpr.engine.messages import CameraReport, Ended, Message, Passage, encode
from anpr.engine.pipeline import Stages, rehearse
from anpr.engine.playback import paced
from anpr.engine.worker import Worker
from anpr.errors import AnprError
from anpr.metrics import Counters
from anpr.records import Frame
from anpr.tracking.sighting import Origin
from anpr.video.decode import DecodeOptions
from anpr.video.rtsp import Gap, Transition
from anpr.video.source import open_source

REPORT_SECONDS = 1.0
STOPPING_SECONDS = 0.02
"""How often a worker that stops looks whether its cameras are done."""
STOP = b"stop"

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker process is to do. Crosses to the process pickled, never on a command line."""

    site_id: str
    cameras: tuple[tuple[Camera, Pipeline], ...]
    build: Callable[[Pipeline], Stages]
    log_level: log.Level
    log_as_json: bool

    @property
    def live(self) -> bool:
        """Whether a camera of it never ends by itself: then a worker that ends without being told to has died."""
        return any(camera.url is not None for camera, _ in self.cameras)


class Line:
    """The worker's end of the pipe; any of its threads may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send `message` to the hub, waiting while the hub is busy."""
        data = encode(message)
        with self._lock:
            self._connection.send_bytes(data)

    def told_to_stop(self, seconds: float) -> bool:
        """Wait up to `seconds` for the word to stop; a hub that is gone means it too."""
        try:
            return self._connection.poll(seconds) and self._connection.recv_bytes() == STOP
        except (EOFError, OSError):
            return True


class CameraLoop:
    """One camera in its thread, from opening to its last sighting."""

    def __init__(self, camera: Camera, pipeline: Pipeline, *, assignment: Assignment, line: Line) -> None:
        self.crashed = False
        """True if something unforeseen ended the loop."""
        self.stop = threading.Event()
        self._camera = camera
        self._pipeline = pipeline
        self._assignment = assignment
        self._line = line
        self._clock = SystemClock()
        self._log = structlog.get_logger().bind(camera=camera.id)
        self._state = "starting"
        self._source_counters, self._loop_counters = Counters(), Counters()
        self._worker: Worker | None = None
        self._since_seconds = self._clock.monotonic_seconds()
        self._thread = threading.Thread(target=self._run, name=f"camera-{camera.id}", daemon=True)

    def start(self) -> None:
        """Begin; `stop` ends it."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once everything of this camera has been sent."""
        return self._thread.is_alive()

    def report(self) -> CameraReport:
        """How the loop fares now."""
        counters = Counters()
        counters.merge(dict(self._source_counters.counts))
        counters.merge(dict(self._loop_counters.counts))
        worker = self._worker
        finished = worker.finished_seconds if worker is not None else self._since_seconds
        return CameraReport(
            camera_id=self._camera.id,
            state=self._state,
            idle_seconds=time.monotonic() - max(finished, self._since_seconds),
            counts=tuple((name, reason, count) for (name, reason), count in counters.counts.items()),
            stage_seconds=worker.seconds.to_dict() if worker is not None else {},
        )

    def _run(self) -> None:
        try:
            stages = self._assignment.build(self._pipeline)
            rehearse(stages)
            origin = Origin(
                site_id=self._assignment.site_id,
                camera_id=self._camera.id,
                run_seconds=self._clock.wall_seconds(),
                pipeline=stages.pipeline,
                models=stages.models,
            )
            self._worker = Worker(stages, origin, emit=self._send, counters=self._loop_counters)
            if self._camera.file is not None:
                self._enter("running")
            pictures = newest(
                self._frames(stages.decode),
                stop=self.stop,
                on_drop=self._count_drop,
                silence_seconds=stages.track.jump_seconds,
            )
            self._worker.run(pictures, stop=self.stop)
            self._enter("ended")
        except AnprError as error:
            self._state = "failed"  # foreseen, like a damaged recording: to start again would not help
            self._log.error("camera_failed", problem=str(error))
        except Exception:  # noqa: BLE001  # the thread's last line: told here, and the worker starts anew
            self._state, self.crashed = "crashed", True
            self._log.exception("camera_crashed")

    def _frames(self, options: DecodeOptions) -> Generator[Frame, None, None]:
        """The camera's pictures, counted; runs in the thread that decodes."""
        recorded = self._camera.file is not None
        source = open_source(
            self._camera.address(),
            camera_id=self._camera.id,
            clock=self._clock,
            options=options,
            counters=self._source_counters,
            start_wall_seconds=self._clock.wall_seconds() if recorded else None,
            stop=self.stop,
            on_state=self._on_state,
            on_gap=self._on_gap,
        )
        with source:
            pictures = paced(source, clock=self._clock, stop=self.stop) if recorded else iter(source)
            for frame in pictures:
                self._source_counters.add("frames_decoded")
                yield frame

    def _send(self, passage: Passage) -> None:
        self._line.send(passage)

    def _count_drop(self, reason: str) -> None:
        self._source_counters.add("frames_dropped", reason=reason)

    def _on_state(self, transition: Transition) -> None:
        self._enter(transition.state.value, transition.reason)

    def _on_gap(self, gap: Gap) -> None:
        self._log.warning(
            "camera_gap", from_seconds=gap.from_wall_seconds, to_seconds=gap.to_wall_seconds, reason=gap.reason
        )

    def _enter(self, state: str, reason: str = "") -> None:
        self._state, self._since_seconds = state, self._clock.monotonic_seconds()
        self._log.info("camera_state", state=state, **({"reason": reason} if reason else {}))


def work(connection: Connection, assignment: Assignment) -> None:
    """The worker process's main function. Exits with 1 if a camera's loop crashed."""
    _die_with_parent()
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the whole group; the hub decides
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log.configure(level=assignment.log_level, as_json=assignment.log_as_json)
    cv2.setNumThreads(1)
    with closing(connection):
        line = Line(connection)
        crashed = _drive(line, assignment, stop)
    sys.stderr.flush()
    os._exit(1 if crashed else 0)  # a decoding thread may still wait for its camera: do not wait for it


def _drive(line: Line, assignment: Assignment, stop: threading.Event) -> bool:
    """Run the cameras until they end, one crashes, or it is time to stop; True if one crashed."""
    loops = [CameraLoop(camera, pipeline, assignment=assignment, line=line) for camera, pipeline in assignment.cameras]
    for loop in loops:
        loop.start()
    stopping = False
    try:
        while any(loop.alive for loop in loops):
            told = line.told_to_stop(STOPPING_SECONDS if stopping else REPORT_SECONDS)
            if not stopping and (told or stop.is_set() or any(loop.crashed for loop in loops)):
                stopping = True
                for loop in loops:
                    loop.stop.set()
            if not stopping:
                _report(loops, line)
        _report(loops, line)
        line.send(Ended())
    except OSError:
        return True  # the hub is gone: nobody is left to tell
    return any(loop.crashed for loop in loops)


def _report(loops: Sequence[CameraLoop], line: Line) -> None:
    for loop in loops:
        line.send(loop.report())


def _die_with_parent() -> None:
    """Linux kills this process when the hub's process ends, however it ends."""
    parent = parent_process()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is None or os.getppid() != parent.pid:
        sys.exit(1)
