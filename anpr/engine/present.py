"""Until when there is a past: what lies ahead of the box's clock has not happened, whatever a passage says.

A clock that was wrong for an hour and was set right leaves passages behind that are dated hours or years ahead. Rules
take none of them for what has passed, or the time for what they say.
"""

from __future__ import annotations

import math

from anpr.clock import Clock

AHEAD_SECONDS = 5.0
"""So far ahead of the clock a passage may be in any case: time services set a clock back by less without a word."""


class Present:
    """The present of the rules, by the box's clock; without a clock there is none, and passages are their own clock."""

    __slots__ = ("_clock", "_offset_seconds", "allowance_seconds", "lateness_seconds")

    def __init__(self, clock: Clock | None, *, lateness_seconds: float) -> None:
        self.lateness_seconds = lateness_seconds
        self.allowance_seconds = max(lateness_seconds, AHEAD_SECONDS)
        """What is so little ahead of the clock counts as having passed."""
        self._clock = clock
        self._offset_seconds = 0.0
        self.accept()

    @property
    def until_seconds(self) -> float:
        """The wall time from which on passages lie ahead; infinite without a clock."""
        return math.inf if self._clock is None else self._clock.wall_seconds() + self.allowance_seconds

    def ahead_seconds(self, seen_seconds: float) -> float:
        """How far a passage lies ahead of the clock; 0 if it has passed."""
        until_seconds = self.until_seconds
        return seen_seconds - until_seconds + self.allowance_seconds if seen_seconds >= until_seconds else 0.0

    @property
    def whole_until_seconds(self) -> float:
        """The wall time before which whatever passed has come; minus infinity without a clock, which cannot say."""
        return -math.inf if self._clock is None else self._clock.wall_seconds() - self.lateness_seconds

    def moved_seconds(self) -> float:
        """By how much the clock has been set since it was last accepted, forward if positive; 0 if by no more than is
        allowed for, and then it is accepted."""
        if self._clock is None:
            return 0.0
        offset_seconds = self._clock.wall_seconds() - self._clock.monotonic_seconds()
        moved_seconds = offset_seconds - self._offset_seconds
        if abs(moved_seconds) > self.allowance_seconds:
            return moved_seconds
        self._offset_seconds = offset_seconds
        return 0.0

    def accept(self) -> None:
        """Take the clock as it is now."""
        if self._clock is not None:
            self._offset_seconds = self._clock.wall_seconds() - self._clock.monotonic_seconds()
