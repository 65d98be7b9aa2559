"""When, where and for what a list holds."""

from __future__ import annotations

from dataclasses import dataclass

from anpr.config.listing import ListHead
from anpr.config.times import MINUTES_PER_DAY, Hours
from anpr.plates.provinces import VIETNAM_TIME

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_OFFSET_SECONDS = VIETNAM_TIME.utcoffset(None).total_seconds()
_THURSDAY = 3
"""1970-01-01."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A limit that is empty or None does not limit."""

    valid_from_seconds: float | None = None
    """UTC seconds since 1970."""
    valid_until_seconds: float | None = None
    """First moment at which it no longer holds."""
    days: frozenset[int] = frozenset()
    """Of the week in Viet Nam, Monday is 0."""
    hours: tuple[Hours, ...] = ()
    """Those over midnight belong to the day on which they begin."""
    sites: frozenset[str] = frozenset()
    directions: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    @classmethod
    def of(cls, head: ListHead) -> Limits:
        """The limits that a list's head states."""
        return cls(
            valid_from_seconds=head.valid_from,
            valid_until_seconds=head.valid_until,
            days=frozenset(_DAYS.index(day) for day in head.days),
            hours=head.hours,
            sites=frozenset(head.sites),
            directions=frozenset(head.directions),
            kinds=frozenset(head.kinds),
        )

    def hold_at(self, seconds: float) -> bool:
        """Whether validity, days and hours include a wall time."""
        if self.valid_from_seconds is not None and seconds < self.valid_from_seconds:
            return False
        if self.valid_until_seconds is not None and seconds >= self.valid_until_seconds:
            return False
        if not self.days and not self.hours:
            return True
        day, minute = divmod((seconds + _OFFSET_SECONDS) / 60, MINUTES_PER_DAY)
        today = self._on(int(day))
        if not self.hours:
            return today
        yesterday = self._on(int(day) - 1)
        for hours in self.hours:
            if hours.overnight:
                if (today and minute >= hours.from_minute) or (yesterday and minute < hours.until_minute):
                    return True
            elif today and hours.from_minute <= minute < hours.until_minute:
                return True
        return False

    def _on(self, day: int) -> bool:
        """`day` counts from 1970-01-01."""
        return not self.days or (day + _THURSDAY) % 7 in self.days

    def describe(self) -> str:
        """For a person: `fri 22:00-05:00, site km12, approaching, car`; empty if there are none but the validity."""
        parts = [" ".join([*(_DAYS[day] for day in sorted(self.days)), *map(str, self.hours)])]
        parts += [f"site {site}" for site in sorted(self.sites)]
        parts += [*sorted(self.directions), *sorted(self.kinds)]
        return ", ".join(filter(None, parts))
