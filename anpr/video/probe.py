"""Looks at a camera for some seconds and says what it sends, and what will cause trouble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import av

from anpr.clock import Clock
from anpr.errors import StreamError
from anpr.metrics import Counters
from anpr.video.address import Address
from anpr.video.decode import DecodeOptions, Decoder
from anpr.video.facts import SourceFacts
from anpr.video.failures import translated
from anpr.video.names import Names
from anpr.video.rtsp import connect, facts_of
from anpr.video.timeline import Timeline

LONG_GROUP_SECONDS = 4.0
SLOW_START_SECONDS = 3.0
LOW_FRAME_RATE = 12.0
SMALL_HEIGHT = 720
_RATE_TOLERANCE = 0.2


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen of a camera."""

    facts: SourceFacts
    frames_per_second: float
    """Measured; `facts.frame_rate` is what the camera says."""
    megabits_per_second: float
    first_picture_seconds: float | None
    """From asking to the first picture; None if none came."""
    group_seconds: float | None
    """Between key frames, the longest; None if fewer than two were seen."""
    counts: Counters
    problems: tuple[str, ...]


def examine(location: str, *, camera_id: str, clock: Clock, seconds: float, options: DecodeOptions) -> Examination:
    """Connect once and look for `seconds`. Raises StreamAuthError or StreamError if there is nothing to see."""
    began = clock.monotonic_seconds()
    address = Names(Address.parse(location)).resolve()
    counters = Counters()
    failure: StreamError | None = None
    with closing(connect(address, camera_id=camera_id, options=options)) as container:
        stream = container.streams.video[0]
        facts = facts_of(container)
        decoder = Decoder(
            stream,
            camera_id=camera_id,
            options=options,
            counters=counters,
            timeline=Timeline(period_seconds=1.0 / (facts.frame_rate or 25.0)),
            wall_of=lambda pts_seconds: pts_seconds,
            facts=facts,
        )
        first: float | None = None
        places: list[float] = []
        keys: list[float] = []
        size_bytes = 0
        started = clock.monotonic_seconds()
        try:
            for packet in container.demux(stream):
                if not packet.size or clock.monotonic_seconds() - started > seconds:
                    break
                size_bytes += packet.size
                if packet.is_keyframe and packet.pts is not None and stream.time_base is not None:
                    keys.append(float(packet.pts * stream.time_base))
                for frame in decoder.decode(packet, arrival_seconds=clock.monotonic_seconds()):
                    places.append(frame.pts_seconds)
                    first = clock.monotonic_seconds() - began if first is None else first
        except av.error.FFmpegError as error:
            failure = translated(error, address, camera_id, connected=True)
        if failure is not None and not size_bytes:
            raise failure  # here, so that libav's error with the whole address is not its context
        lasted = clock.monotonic_seconds() - started
        facts = replace(decoder.facts)
    steps = [later - earlier for earlier, later in pairwise(places) if later > earlier]
    rate = 1.0 / median(steps) if steps else 0.0
    seen = Examination(
        facts=facts,
        frames_per_second=rate,
        megabits_per_second=size_bytes * 8e-6 / lasted if lasted > 0 else 0.0,
        first_picture_seconds=first,
        group_seconds=max((later - earlier for earlier, later in pairwise(keys)), default=None),
        counts=counters,
        problems=(),
    )
    broken = () if failure is None else (f"broke off after {lasted:.1f} s: {failure.problem}",)
    return replace(seen, problems=(*broken, *_problems(seen, seconds)))


def _problems(seen: Examination, seconds: float) -> Iterator[str]:
    if seen.first_picture_seconds is None:
        yield "packets, but no picture: wait for a key frame, or check its codec"
        return
    if seen.facts.codec not in ("h264", "hevc"):
        yield f"codec {seen.facts.codec}: set H.264 or H.265"
    if seen.facts.height < SMALL_HEIGHT:
        yield f"{seen.facts.width}x{seen.facts.height} is small: plates need 16 pixels of character height"
    if seen.frames_per_second < LOW_FRAME_RATE:
        yield f"{seen.frames_per_second:.1f} frames/s are few for moving vehicles: set 25"
    told = seen.facts.frame_rate
    if told and abs(seen.frames_per_second - told) > told * _RATE_TOLERANCE:
        yield f"says {told:g} frames/s and sends {seen.frames_per_second:.1f}"
    if seen.group_seconds is not None and seen.group_seconds > LONG_GROUP_SECONDS:
        yield f"a key frame every {seen.group_seconds:.1f} s only: set 1 or 2, damage lasts until the next"
    elif seen.group_seconds is None and seconds > 2 * LONG_GROUP_SECONDS:
        yield f"fewer than two key frames in {seconds:g} s: set one every second or two"
    if seen.first_picture_seconds > SLOW_START_SECONDS:
        yield f"the first picture took {seen.first_picture_seconds:.1f} s"
    for name in ("stream_gaps", "packets_corrupt", "packets_undecodable", "pictures_missing", "time_jumps"):
        if count := sum(n for (each, reason), n in seen.counts.counts.items() if each == name and reason != "ended"):
            yield f"{count} {name.replace('_', ' ')} in {seconds:g} s: is the network or the camera overloaded?"
