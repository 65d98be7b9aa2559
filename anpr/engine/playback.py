"""Recordings played at the pace at which they were recorded."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import TypeVar

from anpr.clock import Clock
from anpr.records import Frame
from anpr.video.surface_frame import SurfaceFrame

PictureT = TypeVar("PictureT", Frame, SurfaceFrame)


def paced(frames: Iterable[PictureT], *, clock: Clock, stop: threading.Event) -> Generator[PictureT, None, None]:
    """Give out each frame no earlier than its stream time says, counted from the first; ends when `stop` is set.

    A frame's arrival is when it is given out. A consumer that is too slow gets the frames late, none is dropped.
    """
    start: float | None = None
    for frame in frames:
        now = clock.monotonic_seconds()
        if start is None:
            start = now - frame.pts_seconds
        if (wait_seconds := start + frame.pts_seconds - now) > 0:
            clock.wait(stop, wait_seconds)
        if stop.is_set():
            return
        yield replace(frame, arrival_seconds=clock.monotonic_seconds())
