"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnection:
    """How soon a camera that is away is tried again. Settings only."""

    first_seconds: float = 0.5
    longest_seconds: float = 3.0
    """While it has not been away for long: with its start and its first key frame it is back within five seconds."""
    short_outage_seconds: float = 600.0
    longest_after_seconds: float = 30.0
    """When it has been away for longer than that."""
    refused_seconds: float = 60.0
    """After a refused password: some cameras lock the account after a few tries."""

    def __post_init__(self) -> None:
        if not 0 < self.first_seconds <= self.longest_seconds <= self.longest_after_seconds:
            raise ValueError(f"the waits must be positive and rise, got {self}")


@dataclass(slots=True)
class BackOff:
    """Waits that double from the first to the longest, each shortened by chance down to its half, so that cameras that
    went away together do not all come back at once."""

    settings: Reconnection = field(default_factory=Reconnection)
    chance: random.Random = field(default_factory=random.Random, repr=False)
    _next_seconds: float = field(default=0.0, repr=False)

    def next_seconds(self, *, away_seconds: float = 0.0) -> float:
        """The wait before the next try of what has been away for `away_seconds`."""
        settings = self.settings
        short = away_seconds < settings.short_outage_seconds
        longest = settings.longest_seconds if short else settings.longest_after_seconds
        full = min(self._next_seconds or settings.first_seconds, longest)
        self._next_seconds = min(full * 2, longest)
        return full * self.chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """All went well: begin anew with the shortest wait."""
        self._next_seconds = 0.0
