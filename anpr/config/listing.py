"""What is said of a watch-list as a whole: in the site file's `[[lists]]`, or at the head of a JSON list."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from anpr.config.fields import AsTuple, Identifier, Table, mistake
from anpr.config.times import Day, Hours, parse_hours, parse_moment
from anpr.plates.forms import Kind
from anpr.records import Severity

MAX_TEXT = 500
"""Characters of a text for people."""
FALSE_HITS_PER_DAY = 1.0


def _seconds(value: Any, *, end_of_day: bool) -> float:
    try:
        if not isinstance(value, str | date):
            raise ValueError(value)
        return parse_moment(value, end_of_day=end_of_day)
    except ValueError as error:
        raise mistake(f"no date: {str(value)[:40]!r}", "like 2026-03-31 or 2026-03-31T18:00+07:00") from error


def _begin(value: Any) -> float | None:
    return None if value is None else _seconds(value, end_of_day=False)


def _end(value: Any) -> float | None:
    return None if value is None else _seconds(value, end_of_day=True)


def _hours(value: Any) -> Hours:
    try:
        if not isinstance(value, str):
            raise ValueError(value)
        return parse_hours(value)
    except ValueError as error:
        raise mistake(f"no hours: {str(value)[:40]!r}", 'like "06:00-22:00", or "22:00-05:00" over midnight') from error


Text = Annotated[str, Field(max_length=MAX_TEXT)]
Begin = Annotated[float | None, BeforeValidator(_begin)]
"""A day or a moment, as UTC seconds since 1970."""
End = Annotated[float | None, BeforeValidator(_end)]
"""The same; a day is included."""
DayHours = Annotated[Hours, BeforeValidator(_hours)]


class ListHead(Table):
    """What holds for a list as a whole. Where a limit is empty, there is none."""

    purpose: Text = ""
    """What it is for: told with its hits."""
    authority: Text = ""
    """Who answers for it; an entry may name its own."""
    severity: Severity = "ALERT"
    """Of its entries that name none."""
    owner: Text = ""
    """Who keeps it up to date."""
    note: Text = ""
    valid_from: Begin = None
    valid_until: End = None
    days: Annotated[tuple[Day, ...], AsTuple] = ()
    """Of the week, in Viet Nam. Hours over midnight belong to the day on which they begin."""
    hours: Annotated[tuple[DayHours, ...], AsTuple] = ()
    sites: Annotated[tuple[Identifier, ...], AsTuple] = ()
    directions: Annotated[tuple[Literal["approaching", "receding"], ...], AsTuple] = ()
    """Of the vehicle, seen from the camera."""
    kinds: Annotated[tuple[Kind, ...], AsTuple] = ()
    """Of plates."""
    false_hits_per_day: Annotated[float, Field(ge=0.0, le=1e6)] = FALSE_HITS_PER_DAY
    """How many of its hits a day may be of other vehicles."""

    def under(self, other: ListHead | None) -> ListHead:
        """The same, with what `other` gives put over it."""
        given = other.model_fields_set & ListHead.model_fields.keys() if other is not None else ()
        return self.model_copy(update={key: getattr(other, key) for key in given})

    @model_validator(mode="after")
    def _check_validity(self) -> Self:
        if self.valid_from is not None and self.valid_until is not None and self.valid_until <= self.valid_from:
            raise mistake("the list ends before it begins", "exchange valid_from and valid_until, or correct the year")
        return self
