"""Whether the wall clock may be believed, so that nothing is ever deleted because a clock was wrong.

The box counts the time that it has lived through (monotonic) from the last moment at which the clock was known to be
right, and compares. A clock that is more than a day from that, either way, is believed again only when a time service
keeps it, or when a person has confirmed it. What is old is reckoned so that every doubt makes it younger:

    now   the earlier of the wall clock and the time lived through
    until when something was written   the later of the two
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from anpr.clock import Clock
from anpr.kernel_clock import kernel_clock
from anpr.store.retention import DAY_SECONDS

MOST_JUMP_SECONDS = DAY_SECONDS
"""Of the clock, against the time that the box has lived through."""

_MOST_APART_SECONDS = 2.0


class TrustedClock:
    """The box's idea of the time for retention. Use from one thread."""

    def __init__(self, clock: Clock, *, lived_seconds: float, synchronised: Callable[[], bool] | None = None) -> None:
        """`lived_seconds`: of the life before; 0: there was none. `synchronised`: whether a time service says that the
        clock is right; None asks the kernel."""
        self.sure = False
        """Whether a time service, or a person just now, vouches for the clock."""
        self._clock = clock
        self._synchronised = synchronised or (lambda: kernel_says_right(clock))
        self._since_seconds = clock.monotonic_seconds()
        self._anchor_seconds = lived_seconds or clock.wall_seconds()

    def __repr__(self) -> str:
        return f"TrustedClock(jump={self.jump_seconds:.0f}s, sure={self.sure})"

    @property
    def lived_seconds(self) -> float:
        """Wall time, reckoned by the time lived through since the clock was last known to be right."""
        return self._anchor_seconds + self._clock.monotonic_seconds() - self._since_seconds

    @property
    def jump_seconds(self) -> float:
        """How far the wall clock is ahead of the time lived through; behind if negative."""
        return self._clock.wall_seconds() - self.lived_seconds

    @property
    def trusted(self) -> bool:
        """Whether anything may be deleted because of its age."""
        return abs(self.jump_seconds) <= MOST_JUMP_SECONDS

    @property
    def doubt(self) -> str:
        """What there is to doubt, for a person."""
        days = self.jump_seconds / DAY_SECONDS
        return (
            f"the clock is {abs(days):.1f} days {'ahead of' if days > 0 else 'behind'} what the box has lived through"
        )

    @property
    def now_seconds(self) -> float:
        """Not later than it truly is, if the clock is trusted."""
        return min(self._clock.wall_seconds(), self.lived_seconds)

    @property
    def latest_seconds(self) -> float:
        """Not earlier than it truly is, if the clock is trusted."""
        return max(self._clock.wall_seconds(), self.lived_seconds)

    def turn(self) -> float | None:
        """Ask the time service; if it keeps the clock, how far the time lived through was behind it."""
        self.sure = self._synchronised()
        return self.confirm() if self.sure else None

    def confirm(self) -> float:
        """The wall clock is right now; how far the time lived through was behind it."""
        moved_seconds = self.jump_seconds
        self._anchor_seconds = self._clock.wall_seconds()
        self._since_seconds = self._clock.monotonic_seconds()
        self.sure = True
        return moved_seconds


class Age(msgspec.Struct, frozen=True):
    """Until when a partition was written, as far as the box could tell when it noted this."""

    until_seconds: float
    last_seq: int
    """Its newest event then; what came later makes it younger."""
    sure: bool
    """Whether somebody vouched for the clock; if not, it may have been wrong by as much as is believed."""

    @property
    def latest_seconds(self) -> float:
        """Nothing up to `last_seq` was written later."""
        return self.until_seconds if self.sure else self.until_seconds + MOST_JUMP_SECONDS

    def after_doubt(self, now_seconds: float, moved_seconds: float) -> Age:
        """The same, once the clock is known to be right and the time lived through was `moved_seconds` behind.

        It cannot have been written later than now; and if nobody had vouched for the clock that was set forward, it
        may have been written just now.
        """
        if not self.sure and moved_seconds > MOST_JUMP_SECONDS:
            return Age(now_seconds, self.last_seq, True)
        return Age(min(self.until_seconds, now_seconds), self.last_seq, self.sure)


def kernel_says_right(clock: Clock) -> bool:
    """Whether a time service keeps the kernel's clock, and `clock` shows the kernel's time (adjtimex(2))."""
    kernel = kernel_clock()
    if kernel is None or not kernel.synchronised:
        return False
    return abs(clock.wall_seconds() - kernel.wall_seconds) <= _MOST_APART_SECONDS
