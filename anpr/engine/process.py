"""A worker process: owns some cameras, each in a thread with its own decoder, nets and tracker.

It talks to the hub over one pipe: passages and reports go out; a word to stop, or the pipe's end, comes in. When it
stops it settles what is in view, sends it, and says `Ended`. Threads share nothing but the pipe, and all that is slow
(libav, onnxruntime, OpenCV) releases the interpreter, so cameras of one worker run side by side.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import structlog

from anpr import log
from anpr.clock import SystemClock
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.mailbox import pictures_of_camera
from anpr.engine.messages import CameraReport, Ended, Message, Passage, WorkerReport, encode
from anpr.engine.pipeline import Stages, rehearse
from anpr.engine.playback import paced
from anpr.engine.worker import Worker
from anpr.errors import AnprError
from anpr.metrics import Counters
from anpr.records import Frame
from anpr.tracking.sighting import Origin
from anpr.video.back_off import Reconnection
from anpr.video.condition import PictureWatch
from anpr.video.decode import DecodeOptions
from anpr.video.facts import SourceFacts
from anpr.video.rtsp import Gap, StreamState, Transition
from anpr.video.source import open_source

REPORT_SECONDS = 1.0
STOPPING_SECONDS = 0.02
"""How often a worker that stops looks whether its cameras are done."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
"""Before a loop that has crashed is started again; the pause doubles each time."""
STOP = b"stop"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker process is to do. Crosses to the process pickled, never on a command line."""

    site_id: str
    cameras: tuple[tuple[Camera, Pipeline], ...]
    build: Callable[[Pipeline], Stages]
    log_level: log.Level
    log_as_json: bool
    reconnection: Reconnection = field(default_factory=Reconnection)

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

    def __init__(
        self,
        camera: Camera,
        pipeline: Pipeline,
        *,
        assignment: Assignment,
        line: Line,
        before: CameraLoop | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        """`before` is the loop of this camera that has crashed: counting goes on from it, after `pause_seconds`."""
        self.crashed = False
        """True if something unforeseen ended the loop."""
        self.stop = threading.Event()
        self._camera = camera
        self._pipeline = pipeline
        self._pause_seconds = pause_seconds
        self._assignment = assignment
        self._line = line
        self._clock = SystemClock()
        self._log = structlog.get_logger().bind(camera=camera.id)
        self._state, self._reason = "starting", ""
        if before is not None:
            self._state, self._reason = before._state, before._reason
        self._facts = SourceFacts()
        self._picture_wall_seconds = 0.0
        self._watch = PictureWatch()
        self._condition_wall_seconds = 0.0
        self._since_wall_seconds = self._clock.wall_seconds()
        self._source_counters, self._loop_counters = Counters(), Counters()
        if before is not None:
            self._source_counters, self._loop_counters = before._source_counters, before._loop_counters
        self._decoding_since: float | None = None
        self._handling_since: float | None = None
        self._unpaced = 0
        """Pictures that were decoded and whose turn has not come: 1 while a recording waits for it."""
        self._worker: Worker | None = None
        self._since_seconds = self._clock.monotonic_seconds()
        self._thread = threading.Thread(target=self._run, name=f"camera-{camera.id}", daemon=True)

    def start(self) -> None:
        """Begin; `stop` ends it."""
        self._thread.start()

    def successor(self, pause_seconds: float) -> CameraLoop:
        """A loop that takes this one's place, which has crashed, after a pause. It has to be started."""
        return CameraLoop(
            self._camera,
            self._pipeline,
            assignment=self._assignment,
            line=self._line,
            before=self,
            pause_seconds=pause_seconds,
        )

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
        now = self._clock.monotonic_seconds()
        busy_since = [since for since in (self._decoding_since, self._handling_since) if since is not None]
        return CameraReport(
            camera_id=self._camera.id,
            state=self._state,
            busy_seconds=now - max(min(busy_since), self._since_seconds) if busy_since else 0.0,
            counts=tuple((name, reason, count) for (name, reason), count in counters.counts.items()),
            stage_seconds=worker.seconds.to_dict() if worker is not None else {},
            reason=self._reason,
            since_wall_seconds=self._since_wall_seconds,
            picture_wall_seconds=self._picture_wall_seconds,
            condition=self._watch.condition,
            condition_wall_seconds=self._condition_wall_seconds,
            width=self._facts.width,
            height=self._facts.height,
            codec=self._facts.codec,
        )

    def _run(self) -> None:
        if self.stop.wait(self._pause_seconds):
            return
        try:
            self._state = "starting"
            stages = self._assignment.build(self._pipeline)
            rehearse(stages)
            origin = Origin(
                site_id=self._assignment.site_id,
                camera_id=self._camera.id,
                run_seconds=self._clock.wall_seconds(),
                pipeline=stages.pipeline,
                models=stages.models,
            )
            self._worker = Worker(
                stages, origin, emit=self._send, counters=self._loop_counters, lanes=self._camera.lanes
            )
            if self._camera.file is not None:
                self._enter("running")
            pictures = pictures_of_camera(
                self._frames(stages.decode),
                stop=self.stop,
                on_drop=self._count_drop,
                silence_seconds=stages.track.jump_seconds,
            )
            self._worker.run(self._handled(pictures), stop=self.stop)
            self._enter("ended")
        except AnprError as error:
            self._log.error("camera_failed", problem=str(error))
            self._enter("failed", error.problem)  # foreseen, like a damaged recording: to start again would not help
        except Exception as error:  # noqa: BLE001  # the thread's last line: told here, and started anew
            self._log.exception("camera_crashed")
            self._source_counters.add("camera_crashes", reason=type(error).__name__)
            self.crashed = True
            self.stop.set()  # its decoding thread ends; a successor has its own
            self._enter("crashed", type(error).__name__)

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
            reconnection=self._assignment.reconnection,
            on_facts=self._on_facts,
        )
        with source:
            if recorded:
                self._on_facts(source.facts)
            decoded = self._decoded(source)
            pictures = paced(decoded, clock=self._clock, stop=self.stop) if recorded else decoded
            try:
                for frame in pictures:
                    self._unpaced -= 1
                    self._picture_wall_seconds = self._clock.wall_seconds()
                    self._look(frame)
                    yield frame
            finally:
                if self._unpaced:
                    self._count_drop("stopped")

    def _decoded(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """`frames`, and in `_decoding_since` since when the next is waited for; a recording's own pauses are none."""
        pictures = iter(frames)
        while True:
            self._decoding_since = self._clock.monotonic_seconds()
            frame = next(pictures, None)
            self._decoding_since = None
            if frame is None:
                return
            self._source_counters.add("frames_decoded")
            self._unpaced += 1
            yield frame

    def _handled(self, pictures: Iterable[Frame | None]) -> Iterator[Frame | None]:
        """`pictures`, and in `_handling_since` since when the loop is busy with one.

        With a None (what is in view is settled) wherever their size changes: places are in pixels.
        """
        shape: tuple[int, ...] | None = None
        for picture in pictures:
            self._handling_since = self._clock.monotonic_seconds()
            if picture is not None and shape not in (None, picture.luma.shape):
                yield None
            if picture is not None:
                shape = picture.luma.shape
            yield picture
            self._handling_since = None

    def _send(self, passage: Passage) -> None:
        self._line.send(passage)

    def _count_drop(self, reason: str) -> None:
        self._source_counters.add("frames_dropped", reason=reason)

    def _on_state(self, transition: Transition) -> None:
        if self.crashed:
            return
        if transition.state is StreamState.CONNECTING:
            self._watch.reset()
        self._enter(transition.state.value, transition.reason)

    def _on_gap(self, gap: Gap) -> None:
        self._log.warning(
            "camera_gap", from_seconds=gap.from_wall_seconds, to_seconds=gap.to_wall_seconds, reason=gap.reason
        )

    def _look(self, frame: Frame) -> None:
        lasted = self._watch.look(frame.luma, frame.pts_seconds)
        if lasted is None:
            return
        self._condition_wall_seconds = self._clock.wall_seconds() - lasted
        condition = self._watch.condition
        self._source_counters.add("picture_conditions", reason=condition or "good")
        self._log.warning("camera_picture", condition=condition or "good")
        self._tell()

    def _on_facts(self, facts: SourceFacts) -> None:
        if self._facts.width and facts != self._facts:
            self._log.warning("camera_changed", width=facts.width, height=facts.height, codec=facts.codec)
        self._facts = facts

    def _enter(self, state: str, reason: str = "") -> None:
        """Tell a change of state, to the log and at once to the hub."""
        self._state, self._reason, self._since_seconds = state, reason, self._clock.monotonic_seconds()
        self._since_wall_seconds = self._clock.wall_seconds()
        self._log.info("camera_state", state=state, **({"reason": reason} if reason else {}))
        self._tell()

    def _tell(self) -> None:
        with suppress(OSError):  # the hub is gone: the worker's main thread notices, and ends the process
            self._line.send(self.report())


def work(connection: Connection, assignment: Assignment) -> None:
    """The worker process's main function."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the whole group; the hub decides
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log.configure(level=assignment.log_level, as_json=assignment.log_as_json)
    cv2.setNumThreads(1)
    with closing(connection):
        line = Line(connection)
        _drive(line, assignment, stop)
    sys.stderr.flush()
    os._exit(0)  # a decoding thread may still wait for its camera: do not wait for it


def _drive(line: Line, assignment: Assignment, stop: threading.Event) -> None:
    """Run the cameras until they end or it is time to stop. A loop that crashes is started again; others go on."""
    loops = [CameraLoop(camera, pipeline, assignment=assignment, line=line) for camera, pipeline in assignment.cameras]
    pauses = [FIRST_PAUSE_SECONDS] * len(loops)
    for loop in loops:
        loop.start()
    stopping = False
    try:
        while any(loop.alive for loop in loops):
            told = line.told_to_stop(STOPPING_SECONDS if stopping else REPORT_SECONDS)
            if not stopping and (told or stop.is_set()):
                stopping = True
                for loop in loops:
                    loop.stop.set()
            if not stopping:
                _report(loops, line)
                for place, loop in enumerate(loops):
                    if loop.crashed and not loop.alive:
                        loops[place] = loop.successor(pauses[place])
                        pauses[place] = min(pauses[place] * 2, LONGEST_PAUSE_SECONDS)
                        loops[place].start()
        _report(loops, line)
        line.send(Ended())
    except OSError:
        return  # the hub is gone: nobody is left to tell


def _report(loops: Sequence[CameraLoop], line: Line) -> None:
    for loop in loops:
        line.send(loop.report())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    line.send(WorkerReport(usage.ru_utime + usage.ru_stime, pages * resource.getpagesize()))
