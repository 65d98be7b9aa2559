"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class BackOff:
    """Waits that double from `first_seconds` to `longest_seconds`, each shortened by chance down to its half, so that
    cameras that went away together do not all come back at once."""

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    chance: random.Random = field(default_factory=random.Random, repr=False)
    _next_seconds: float = field(default=0.0, repr=False)

    def next_seconds(self) -> float:
        """The wait before the next try."""
        full = self._next_seconds or self.first_seconds
        self._next_seconds = min(full * 2, self.longest_seconds)
        return full * self.chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """All went well: begin anew with the shortest wait."""
        self._next_seconds = 0.0
