"""Time as a dependency: the wall clock dates sightings, the monotonic clock drives timers. Tests pass a ManualClock."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """What the rest of the package may ask of time."""

    def wall_seconds(self) -> float:
        """UTC, seconds since 1970, may step."""
        ...

    def monotonic_seconds(self) -> float:
        """Never goes back; its zero means nothing."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep until `event` is set or `seconds` have passed; True if it was set."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own clocks."""

    def wall_seconds(self) -> float:
        return time.time()

    def monotonic_seconds(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told to, or when somebody waits on it."""

    wall: float = 1_767_225_600.0
    monotonic: float = 0.0
    waits: list[float] = field(default_factory=list)

    def wall_seconds(self) -> float:
        return self.wall

    def monotonic_seconds(self) -> float:
        return self.monotonic

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        if event.is_set():
            return True
        self.advance(seconds)
        return False

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self.wall += seconds
        self.monotonic += seconds
