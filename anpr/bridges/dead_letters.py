"""Where events go that a broker refuses for good: a file of JSON lines, on disk before the box may forget them."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from anpr.bridges.sink import Refused
from anpr.bus import Gap
from anpr.bus.events import encode
from anpr.clock import Clock
from anpr.records import Event


class DeadLetters:
    """The file is made with its first line; a half-written last line, left by a crash, is closed before the next."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path = path
        self._clock = clock

    def add(self, event: Event, refusal: Refused) -> None:
        """Keep an event with the reason. On disk when this returns; raises OSError."""
        why = {"reason": refusal.reason, "problem": refusal.problem}
        self._write(why | {"event": msgspec.Raw(encode(event)[1])})

    def add_gap(self, gap: Gap) -> None:
        """Keep the numbers of events that will never come. On disk when this returns; raises OSError."""
        self._write({"reason": gap.reason, "gap": asdict(gap)})

    def _write(self, line: dict[str, Any]) -> None:
        moment = datetime.fromtimestamp(self._clock.wall_seconds(), UTC).isoformat(timespec="milliseconds")
        text = msgspec.json.encode({"written": moment} | line) + b"\n"
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                text = b"\n" + text
            if file.write(text) != len(text):
                raise OSError("the disk took only a part of a line")
            os.fsync(file.fileno())
        if new:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
