"""Footage through the whole chain as fast as one core can, beside decoding alone.

Both take turns over the same short slices of the same clips, so that what else the machine does, and what the clips
show, weighs on both alike.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from anpr.clock import SystemClock
from anpr.engine.box import open_hub
from anpr.engine.pipeline import Stages, rehearse
from anpr.records import Event, Frame, Sighting
from anpr.replay.footage import Clip, Played, play
from anpr.replay.score import Score, score
from anpr.video.source import open_source
from bench.clips import Footage


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some seconds of footage, once through the whole chain and once only decoded."""

    frames: int
    seconds: float
    cpu_seconds: float
    decode_seconds: float
    decode_cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a pipeline made of the footage."""

    pipeline: str
    slices: tuple[Slice, ...]
    stage_ms: dict[str, float]
    """Milliseconds a frame by stage, of one thread's time; `source` is mostly decoding."""
    looks: float
    """Share of the frames in which plates were looked for."""
    scores: tuple[Score, ...]
    """Of each clip."""

    @property
    def frames_per_s(self) -> float:
        """End to end."""
        return statistics.median(part.frames / part.seconds for part in self.slices)

    @property
    def decode_frames_per_s(self) -> float:
        """Of decoding alone, with the pipeline's decoder settings."""
        return statistics.median(part.frames / part.decode_seconds for part in self.slices)

    @property
    def ratio(self) -> float:
        """End to end over decoding alone; 1 if all else were free."""
        return statistics.median(part.decode_seconds / part.seconds for part in self.slices)

    @property
    def cpu_ratio(self) -> float:
        """The same by processor time, which other work on the machine disturbs less."""
        return statistics.median(part.decode_cpu_seconds / part.cpu_seconds for part in self.slices)

    @property
    def cpu_ms(self) -> float:
        """Processor time a frame, end to end."""
        return 1000 * sum(part.cpu_seconds for part in self.slices) / sum(part.frames for part in self.slices)

    @property
    def decode_cpu_ms(self) -> float:
        """Processor time a frame of decoding alone."""
        return 1000 * sum(part.decode_cpu_seconds for part in self.slices) / sum(part.frames for part in self.slices)

    @property
    def capture(self) -> float:
        """Share of the vehicles with a readable plate that became a sighting; 1 of none."""
        return sum(score.captured for score in self.scores) / max(self.passed, 1) if self.passed else 1.0

    @property
    def exact(self) -> float:
        """Share of the same that were read without a mistake; 1 of none."""
        return sum(score.exact for score in self.scores) / max(self.passed, 1) if self.passed else 1.0

    @property
    def passed(self) -> int:
        """Vehicles with a readable plate."""
        return sum(score.passed for score in self.scores)


def measure(footage: Sequence[Footage], stages: Stages, *, slice_seconds: float) -> Speed:
    """Play every clip once, with a real store and a real publisher, in turns with decoding alone."""
    rehearse(stages)
    slices: list[Slice] = []
    scores: list[Score] = []
    seconds: dict[str, float] = {}
    decoded, looked_at = 0, 0
    for each in footage:
        played, judged, parts = _play(each, stages, slice_seconds)
        slices += parts
        scores.append(judged)
        for stage, spent in asdict(played.seconds).items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
        seconds["source"] -= sum(part.decode_seconds for part in parts)
        decoded += played.counters.total("frames_decoded")
        looked_at += played.counters.total("frames_inferred")
    return Speed(
        pipeline=stages.pipeline,
        slices=tuple(slices),
        stage_ms={stage: 1000 * spent / decoded for stage, spent in seconds.items()},
        looks=looked_at / decoded,
        scores=tuple(scores),
    )


@dataclass(slots=True)
class Turns:
    """Interrupts a replay after each slice to decode the same slice alone."""

    slice_seconds: float
    decode: Callable[[float], int]
    """Decodes up to a stream time; returns how many pictures that were."""
    slices: list[Slice] = field(default_factory=list)
    mark: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))

    def attend(self, frame: Frame) -> None:
        """A frame has gone through the chain."""
        if frame.pts_seconds + 1e-6 >= self.slice_seconds * (len(self.slices) + 1):
            self.turn(frame.pts_seconds)

    def turn(self, pts_seconds: float) -> None:
        """The slice ends with the frame of this time."""
        whole = time.perf_counter() - self.mark[0], time.process_time() - self.mark[1]
        wall, cpu = time.perf_counter(), time.process_time()
        frames = self.decode(pts_seconds)
        alone = time.perf_counter() - wall, time.process_time() - cpu
        if frames:
            self.slices.append(
                Slice(
                    frames=frames,
                    seconds=whole[0],
                    cpu_seconds=whole[1],
                    decode_seconds=alone[0],
                    decode_cpu_seconds=alone[1],
                )
            )
        self.mark = time.perf_counter(), time.process_time()


def _play(footage: Footage, stages: Stages, slice_seconds: float) -> tuple[Played, Score, list[Slice]]:
    clip, clock, events = Clip(footage.path, "bench"), SystemClock(), list[Event]()
    with (
        tempfile.TemporaryDirectory(prefix="anpr-bench-") as folder,
        open_source(clip.path, camera_id=clip.camera_id, clock=clock, options=stages.decode) as alone,
        open_hub(
            box="bench",
            store=Path(folder),
            endpoint="tcp://127.0.0.1:*",
            lists=(),
            clock=clock,
            on_event=events.append,
        ) as hub,
    ):
        pictures = iter(alone)
        turns = Turns(slice_seconds, lambda until_pts_seconds: _decode(pictures, until_pts_seconds))
        played = play(clip, stages, hub, site_id="bench", clock=clock, stop=threading.Event(), on_frame=turns.attend)
        hub.finish()
    sightings = (event.record for event in events if isinstance(event.record, Sighting))
    return played, score(sightings, footage.truth), turns.slices


def _decode(pictures: Iterator[Frame], until_pts_seconds: float) -> int:
    """Decode up to the picture of this time; how many there were."""
    count = 0
    for frame in pictures:
        count += 1
        if frame.pts_seconds + 1e-6 >= until_pts_seconds:
            break
    return count
