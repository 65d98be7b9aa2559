"""One camera, from its pictures to its sightings: the loop that the whole engine is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from anpr.engine.follower import Follower, StageSeconds
from anpr.engine.gate import Gate, Lane
from anpr.engine.messages import Passage
from anpr.engine.pipeline import Stages
from anpr.metrics import Counters
from anpr.ops.window import Window
from anpr.records import Frame, Plate, Read
from anpr.tracking.sighting import Origin


class Worker:
    """Runs `Stages` over the frames of one camera, one after the other, and hands out each sighting."""

    def __init__(
        self,
        stages: Stages,
        origin: Origin,
        *,
        emit: Callable[[Passage], None],
        counters: Counters | None = None,
        lanes: Sequence[Lane] = (),
    ) -> None:
        """`emit` is called in the loop's own thread. Motion counts inside `lanes`; without any, everywhere."""
        self.counters = counters if counters is not None else Counters()
        self.finished_seconds = time.monotonic()
        """When the loop last finished a picture."""
        self.follower: Follower[Frame] = Follower(
            origin,
            track=stages.track,
            spare=stages.spare,
            pictures=stages.pictures,
            emit=emit,
            bring_home=lambda frame: frame,
            counters=self.counters,
        )
        self._stages = stages
        self._gate = Gate(stages.gate, lanes=lanes)

    @property
    def seconds(self) -> StageSeconds:
        """Where the loop's time went."""
        return self.follower.seconds

    def run(self, frames: Iterable[Frame | None], *, stop: threading.Event | None = None) -> None:
        """Process `frames` to their end, or until `stop` is set; then settle what is still in view.

        None among the frames means that the source has fallen silent: what is in view is settled then. If the source or
        a stage raises, what is in view is settled first and the error is raised again.
        """
        arrival_seconds = 0.0
        mark = time.perf_counter()
        try:
            for frame in frames:
                self.seconds.source += time.perf_counter() - mark
                if frame is None:
                    self.follower.settle(time.monotonic())
                    mark = time.perf_counter()
                    continue
                try:
                    self.step(frame)
                except BaseException:
                    self.counters.add("frames_dropped", reason="failed")
                    raise
                arrival_seconds = frame.arrival_seconds
                self.finished_seconds = time.monotonic()
                if stop is not None and stop.is_set():
                    break
                mark = time.perf_counter()
        finally:
            self.follower.settle(arrival_seconds or time.monotonic())

    def step(self, frame: Frame) -> None:
        """One picture: if it is worth a look, detect, read, track, tell."""
        clock = time.perf_counter
        arrived = clock()
        look, reason = self._gate.decide(frame, attention=self.follower.attention)
        started = clock()
        self.seconds.gate += started - arrived
        if not look:
            self.follower.pass_over(reason)
            return
        found = self._stages.detector.detect(frame, self._windows(frame.pts_seconds))
        plates = self.follower.sift(found, pts_seconds=frame.pts_seconds)
        detected = clock()
        reads = self._read(frame, plates)
        self.seconds.detect += detected - started
        self.seconds.read += clock() - detected
        self.counters.merge(self._stages.counters.take())
        self.follower.take(frame, plates, reads, reason=reason)

    def _windows(self, pts_seconds: float) -> Sequence[Window]:
        """The parts of the picture in which plates are looked for; none is the whole."""
        moving = self._gate.moving
        windows = () if moving is None else (*moving, *self.follower.places(pts_seconds))
        if windows:
            self.counters.add("partial_looks")
        return windows

    def _read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read | None]:
        """A read of each plate that needs one."""
        wanted = self.follower.wanted(plates, pts_seconds=frame.pts_seconds)
        chosen = [plate for plate, want in zip(plates, wanted, strict=True) if want]
        reads = iter(self._stages.reader.read(frame, chosen))
        return [next(reads) if want else None for want in wanted]
