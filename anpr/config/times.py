"""Times as people write them in site files and watch-lists: days and moments in Viet Nam, hours of a day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from anpr.plates.provinces import VIETNAM_TIME

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

MINUTES_PER_DAY = 1440
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?")
_HOURS = re.compile(r"([0-9]{2}):([0-9]{2})\s*[-–]\s*([0-9]{2}):([0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day, in Vietnamese time."""

    from_minute: int
    """Of the day, 0 to 1439."""
    until_minute: int
    """First minute that is out of it, 1 to 1440; not after `from_minute`: it ends on the next day."""

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.from_minute, self.until_minute))

    @property
    def overnight(self) -> bool:
        """Whether it goes on into the next day."""
        return self.until_minute <= self.from_minute


def parse_hours(written: str) -> Hours:
    """The hours of `22:00-05:00`, which go on into the next day, or of `08:00-24:00`. Raises ValueError."""
    match = _HOURS.fullmatch(written.strip())
    if match is None:
        raise ValueError(written)
    from_hour, from_minute, until_hour, until_minute = map(int, match.groups())
    hours = Hours(from_hour * 60 + from_minute, until_hour * 60 + until_minute)
    wrong = max(from_minute, until_minute) > 59 or hours.from_minute >= MINUTES_PER_DAY
    if wrong or not 0 < (hours.until_minute or MINUTES_PER_DAY) <= MINUTES_PER_DAY:
        raise ValueError(written)
    hours = Hours(hours.from_minute, hours.until_minute or MINUTES_PER_DAY)
    if hours.from_minute == hours.until_minute:
        raise ValueError(written)
    return hours


def parse_moment(written: str | date, *, end_of_day: bool = False) -> float:
    """UTC seconds since 1970 of `2026-03-31`, `2026-03-31T18:00+07:00` or `2026-03-31 18:00`. Raises ValueError.

    A day is a day in Viet Nam, and begins it unless `end_of_day`: then the next day begins. A moment without an offset
    is Vietnamese time. What the calendar cannot hold is its nearest end: `9999-12-31` is written for ever.
    """
    if isinstance(written, date):
        written = written.isoformat()
    if _DAY.fullmatch(written):
        day = datetime.fromisoformat(written).replace(tzinfo=VIETNAM_TIME)
        return _within(_epoch(day) + _DAY_SECONDS * end_of_day)
    if not _MOMENT.fullmatch(written):
        raise ValueError(written)
    moment = datetime.fromisoformat(written)
    return _within(_epoch(moment if moment.tzinfo else moment.replace(tzinfo=VIETNAM_TIME)))


def write_moment(seconds: float) -> str:
    """The moment as `parse_moment` reads it, in Vietnamese time, whole seconds."""
    return (_EPOCH + timedelta(seconds=round(seconds))).astimezone(VIETNAM_TIME).isoformat()


def _epoch(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds()


def _within(seconds: float) -> float:
    """The nearest moment that is in the calendar both in UTC and in Viet Nam."""
    return min(max(seconds, _FIRST_SECONDS), _LAST_SECONDS)


_FIRST_SECONDS = _epoch(datetime.min.replace(tzinfo=UTC))
_LAST_SECONDS = _epoch(datetime.max.replace(microsecond=0, tzinfo=VIETNAM_TIME))
