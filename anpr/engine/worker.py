"""One camera, from its pictures to its sightings: the loop that the whole engine is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from anpr.engine.gate import Gate, Lane
from anpr.engine.messages import Passage
from anpr.engine.pictures import pictures_of
from anpr.engine.pipeline import Stages
from anpr.metrics import Counters
from anpr.records import Frame, Plate, Read, Sighting
from anpr.tracking.sighting import Origin
from anpr.tracking.tracker import Tracker, Update


@dataclass(slots=True)
class StageSeconds:
    """Where the time of a loop goes."""

    source: float = 0.0
    """Waiting for the next picture; for a recording this is decoding."""
    gate: float = 0.0
    """Deciding whether a picture is looked at."""
    detect: float = 0.0
    read: float = 0.0
    track: float = 0.0
    pictures: float = 0.0
    emit: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Seconds by stage."""
        return asdict(self)


class Worker:
    """Runs `Stages` over the frames of one camera and hands out each sighting with its pictures.

    The newest best frame of every live track is held until its sighting has been told; frames share their memory with
    the decoder, so holding one costs its planes only.
    """

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
        self.seconds = StageSeconds()
        self.finished_seconds = time.monotonic()
        """When the loop last finished a picture."""
        self._stages = stages
        self._emit = emit
        self._tracker = Tracker(origin, options=stages.track, sparing=stages.spare, counters=self.counters)
        self._gate = Gate(stages.gate, lanes=lanes)
        self._best: dict[int, Frame] = {}
        """The frame that shows each track's plate best."""

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
                    self._tell(self._tracker.flush(), time.monotonic())
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
            self._tell(self._tracker.flush(), arrival_seconds or time.monotonic())

    def step(self, frame: Frame) -> None:
        """One picture: if it is worth a look, detect, read, track, tell."""
        clock = time.perf_counter
        arrived = clock()
        look, reason = self._gate.decide(frame, attention=self._tracker.attention)
        started = clock()
        self.seconds.gate += started - arrived
        if not look:
            self.counters.add("frames_gated", reason=reason)
            return
        plates = self._stages.detector.detect(frame)
        detected = clock()
        reads = self._read(frame, plates)
        read = clock()
        update = self._tracker.update(
            pts_seconds=frame.pts_seconds,
            wall_seconds=frame.wall_seconds,
            plates=plates,
            reads=reads,
            frame_index=frame.index,
            tainted=frame.tainted,
        )
        tracked = clock()
        self.seconds.detect += detected - started
        self.seconds.read += read - detected
        self.seconds.track += tracked - read
        self.counters.add("frames_inferred")
        if reason:
            self.counters.add("looks", reason=reason)
        self.counters.add("plates_found", len(plates))
        self.counters.merge(self._stages.counters.take())
        for track, _ in update.pictures:
            self._best[track] = frame
        self._tell(update, frame.arrival_seconds)

    def _read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read | None]:
        """A read of each plate that needs one."""
        spared = self._tracker.spare(plates, pts_seconds=frame.pts_seconds)
        wanted = [plate for plate, reason in zip(plates, spared, strict=True) if not reason]
        reads = iter(self._stages.reader.read(frame, wanted))
        return [None if reason else next(reads) for reason in spared]

    def _tell(self, update: Update, arrival_seconds: float) -> None:
        """Send the sightings of `update` with their pictures, and let go of the frames no longer needed."""
        for track, other in update.joined:
            self._best[other] = self._best.pop(track)
        for sighting in update.sightings:
            self._send(sighting, arrival_seconds)
        for track in update.closed:
            self._best.pop(track, None)

    def _send(self, sighting: Sighting, arrival_seconds: float) -> None:
        clock = time.perf_counter
        started = clock()
        frame = self._best.get(sighting.track)
        pictures = () if frame is None else pictures_of(frame, sighting.quad, self._stages.pictures)
        encoded = clock()
        self._emit(Passage(sighting, pictures, arrival_seconds))
        self.seconds.pictures += encoded - started
        self.seconds.emit += clock() - encoded
