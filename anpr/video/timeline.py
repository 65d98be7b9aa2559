"""Stream time that never goes back, made from time stamps that may."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

JUMP_SECONDS = 1.0
"""A stamp that falls back by more than this began a new count (loop, splice, wrap); by less, it is only unsteady."""


@dataclass(slots=True)
class Timeline:
    """Places time stamps on one axis that starts at 0; one Timeline lives as long as its source, over reconnections."""

    period_seconds: float = 0.04
    """How far to step where no time stamp helps."""
    last_seconds: float | None = None
    """Where the last picture was placed."""
    jumps: int = 0
    """Backward jumps that were bridged."""
    leaps: int = 0
    """Forward jumps that were bridged."""
    longest_step_seconds: float = math.inf
    """A greater step forward is no pause but a jump. A recording may pause for as long as it likes."""
    index: int = 0
    """Number of the next picture."""
    _offset: float | None = field(default=None, repr=False)
    _pause: float = field(default=0.0, repr=False)

    def place(self, stamp_seconds: float | None) -> float:
        """The place of the next picture, given its time stamp or None; never less than the one before."""
        last = self.last_seconds
        if last is None:
            value = 0.0
        elif stamp_seconds is None or self._offset is None:
            value = last + max(self.period_seconds, self._pause)
        else:
            value = stamp_seconds + self._offset
            if value < last - JUMP_SECONDS:
                self.jumps += 1
                self._offset = None
                value = last + self.period_seconds
            elif value > last + self.longest_step_seconds:
                self.leaps += 1
                self._offset = None
                value = last + self.period_seconds
            value = max(value, last)
        if stamp_seconds is not None and self._offset is None:
            self._offset = value - stamp_seconds
        self._pause = 0.0
        self.last_seconds = value
        self.index += 1
        return value

    def resume(self, pause_seconds: float) -> None:
        """A new count of time stamps begins, `pause_seconds` after the last picture."""
        self._offset = None
        self._pause = max(pause_seconds, 0.0)
