"""When a new partition begins: with a new day, and not each time that a clock goes to and fro.

A later day than the newest partition's begins one, and so does one that is more than a day earlier: a clock that was
wrong for long has been put right. A clock that goes back over midnight begins none. However a clock leaps, no more than
MOST_A_DAY begin in a day that the box lives through: the newest goes on meanwhile. Nothing depends on the days' names:
numbers order partitions, and how old one is the keeper notes.
"""

from __future__ import annotations

from collections import deque
from datetime import date, timedelta

from anpr.clock import Clock

MOST_A_DAY = 4
LIVED_SECONDS = 86_400.0

_STEPS_BACK = (timedelta(0), timedelta(days=-1))


class Rolling:
    """Of a store that is open for writing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=MOST_A_DAY)
        """Monotonic times at which partitions began, the newest of them."""

    def is_over(self, newest: date, day: date) -> bool:
        """Whether a partition is to begin on `day` after one that began on the day `newest`."""
        if day - newest in _STEPS_BACK:
            return False
        return len(self._begun) < MOST_A_DAY or self._clock.monotonic_seconds() - self._begun[0] >= LIVED_SECONDS

    def note(self) -> None:
        """One begins now."""
        self._begun.append(self._clock.monotonic_seconds())
