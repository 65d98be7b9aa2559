"""How long a bridge waits before it tries a broker again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 60.0
LONGEST_ASKED_SECONDS = 3600.0
"""Of what a broker asks for, more than this is not believed."""


@dataclass(slots=True)
class BackOff:
    """Waits that double, each shortened by chance down to its half, so that bridges do not all come back at once."""

    first_seconds: float = FIRST_SECONDS
    longest_seconds: float = LONGEST_SECONDS
    chance: random.Random = field(default_factory=random.Random, repr=False)
    _full_seconds: float = field(default=0.0, repr=False)

    def next_seconds(self, *, asked_seconds: float | None = None) -> float:
        """The wait before the next try: never less than the broker asked for, but at most an hour."""
        full = min(self._full_seconds or self.first_seconds, self.longest_seconds)
        self._full_seconds = full * 2
        wait = full * self.chance.uniform(0.5, 1.0)
        return wait if asked_seconds is None else max(wait, min(asked_seconds, LONGEST_ASKED_SECONDS))

    def reset(self) -> None:
        """All went well: begin anew with the shortest wait."""
        self._full_seconds = 0.0
