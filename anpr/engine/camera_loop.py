"""A camera's thread in a worker process: decodes, has the pictures looked at, tells how it fares.

What does the looking differs: a loop of the camera's own on the processor, here, or a GPU that many cameras share, in
`anpr.engine.surface_loop`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

import structlog

from anpr.clock import SystemClock
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.assignment import Assignment, Line
from anpr.engine.follower import Follower, StageSeconds
from anpr.engine.mailbox import pictures_of_camera
from anpr.engine.messages import CameraReport
from anpr.engine.pipeline import rehearse
from anpr.engine.playback import paced
from anpr.engine.worker import Worker
from anpr.errors import AnprError
from anpr.metrics import Counters
from anpr.records import Frame
from anpr.tracking.sighting import Origin
from anpr.video.condition import PictureWatch
from anpr.video.decode import DecodeOptions
from anpr.video.facts import SourceFacts
from anpr.video.rtsp import Gap, StreamState, Transition
from anpr.video.source import Source, SourceOf, open_source
from anpr.video.surface_frame import SurfaceFrame

PictureT = TypeVar("PictureT", Frame, SurfaceFrame)


class CameraThread(ABC, Generic[PictureT]):
    """One camera in its thread, from opening to its last sighting, wherever its pictures are decoded and looked at."""

    def __init__(
        self,
        camera: Camera,
        pipeline: Pipeline,
        *,
        assignment: Assignment,
        line: Line,
        before: CameraThread[PictureT] | None = None,
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
        self._unpaced = 0
        """Pictures that were decoded and whose turn has not come: 1 while a recording waits for it."""
        self._seconds: StageSeconds | None = None
        self._since_seconds = self._clock.monotonic_seconds()
        self._thread = threading.Thread(target=self._run, name=f"camera-{camera.id}", daemon=True)

    def start(self) -> None:
        """Begin; `stop` ends it."""
        self._thread.start()

    @abstractmethod
    def successor(self, pause_seconds: float) -> CameraThread[PictureT]:
        """A loop that takes this one's place, which has crashed, after a pause. It has to be started."""

    @abstractmethod
    def _play(self) -> None:
        """Take the camera's pictures to their end, or until `stop` is set, and settle what is in view."""

    @abstractmethod
    def _open(self, **common: Any) -> SourceOf[PictureT]:
        """The camera's source; `common` is what every source is told."""

    @abstractmethod
    def _handled_since(self) -> float | None:
        """Monotonic time since when one picture has been worked on; None if none is."""

    @abstractmethod
    def _planes(self, picture: PictureT) -> Frame:
        """The picture in the host's memory, to judge its condition."""

    @property
    def alive(self) -> bool:
        """False once everything of this camera has been sent."""
        return self._thread.is_alive()

    def report(self) -> CameraReport:
        """How the loop fares now."""
        counters = Counters()
        counters.merge(dict(self._source_counters.counts))
        counters.merge(dict(self._loop_counters.counts))
        now = self._clock.monotonic_seconds()
        busy_since = [since for since in (self._decoding_since, self._handled_since()) if since is not None]
        return CameraReport(
            camera_id=self._camera.id,
            state=self._state,
            busy_seconds=now - max(min(busy_since), self._since_seconds) if busy_since else 0.0,
            counts=tuple((name, reason, count) for (name, reason), count in counters.counts.items()),
            stage_seconds=self._seconds.to_dict() if self._seconds is not None else {},
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
            self._play()
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

    def _pictures(self) -> Generator[PictureT, None, None]:
        """The camera's pictures, counted; runs in the thread that decodes."""
        recorded = self._camera.file is not None
        source = self._open(
            location=self._camera.address(),
            camera_id=self._camera.id,
            clock=self._clock,
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

    def _decoded(self, frames: Iterable[PictureT]) -> Iterator[PictureT]:
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

    def _origin(self, pipeline: str, models: tuple[str, ...]) -> Origin:
        """What its sightings say of where they come from."""
        return Origin(
            site_id=self._assignment.site_id,
            camera_id=self._camera.id,
            run_seconds=self._clock.wall_seconds(),
            pipeline=pipeline,
            models=models,
        )

    def _begin(self, follower: Follower[PictureT]) -> None:
        """Everything is ready."""
        self._seconds = follower.seconds
        if self._camera.file is not None:
            self._enter("running")

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

    def _look(self, picture: PictureT) -> None:
        if not self._watch.due(picture.pts_seconds):
            return
        lasted = self._watch.look(self._planes(picture).luma, picture.pts_seconds)
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


class CameraLoop(CameraThread[Frame]):
    """A camera on the processor: its own decoder, nets and tracker, one picture after the other."""

    _busy_since: float | None = None
    _options: DecodeOptions

    def successor(self, pause_seconds: float) -> CameraLoop:
        return CameraLoop(
            self._camera,
            self._pipeline,
            assignment=self._assignment,
            line=self._line,
            before=self,
            pause_seconds=pause_seconds,
        )

    def _play(self) -> None:
        stages = self._assignment.build(self._pipeline)
        rehearse(stages)
        self._options = stages.decode
        worker = Worker(
            stages,
            self._origin(stages.pipeline, stages.models),
            emit=self._line.send,
            counters=self._loop_counters,
            lanes=self._camera.lanes,
        )
        self._begin(worker.follower)
        pictures = pictures_of_camera(
            self._pictures(), stop=self.stop, on_drop=self._count_drop, silence_seconds=stages.track.jump_seconds
        )
        worker.run(self._handled(pictures), stop=self.stop)

    def _open(self, **common: Any) -> Source:
        return open_source(options=self._options, **common)

    def _handled_since(self) -> float | None:
        return self._busy_since

    def _planes(self, picture: Frame) -> Frame:
        return picture

    def _handled(self, pictures: Iterable[Frame | None]) -> Iterator[Frame | None]:
        """`pictures`, and in `_busy_since` since when the loop is busy with one.

        With a None (what is in view is settled) wherever their size changes: places are in pixels.
        """
        shape: tuple[int, ...] | None = None
        for picture in pictures:
            self._busy_since = self._clock.monotonic_seconds()
            if picture is not None and shape not in (None, picture.luma.shape):
                yield None
            if picture is not None:
                shape = picture.luma.shape
            yield picture
            self._busy_since = None
