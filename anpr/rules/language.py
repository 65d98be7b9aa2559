"""The rule language as tables: what may be written, each key typed. The meaning of each is in docs/rules.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from anpr.config.fields import AsTuple, Fraction, Identifier, Table, mistake
from anpr.config.listing import Begin, DayHours, End
from anpr.config.ruling import Province, Seconds, Span
from anpr.config.times import Day
from anpr.errors import PlateError
from anpr.plates.forms import Kind
from anpr.plates.normalise import normalise
from anpr.plates.patterns import is_pattern, parse_pattern
from anpr.plates.provinces import codes
from anpr.records import Severity

Bound = Literal["in", "out"]
VehicleClass = Literal["car", "van", "bus", "truck", "trailer", "motorbike", "other"]
SeenColour = Literal["white", "yellow", "blue", "red"]
SeenDirection = Literal["approaching", "receding"]
SKIPPED_KINDS: tuple[Kind, ...] = ("military", "foreign")
"""Judged only by rules that allow them in words."""


def _code(code: str) -> str:
    if code not in codes():
        raise mistake(f"province code {code!r} was never assigned", 'two digits in quotes, like "98"')
    return code


def _plate(written: str) -> str:
    try:
        return parse_pattern(written).text if is_pattern(written) else normalise(written)
    except PlateError as error:
        raise mistake(error.problem, error.cure) from error


def _many(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)


_T = TypeVar("_T")
Many = Annotated[tuple[_T, ...], BeforeValidator(_many), Field(min_length=1)]
"""An array, or one value alone."""
Some = Annotated[tuple[_T, ...], BeforeValidator(_many)]
"""The same, and there may be none."""
Code = Annotated[str, AfterValidator(_code)]
Plates = Annotated[str, AfterValidator(_plate)]
"""A plate or a pattern, in the engine's form."""
Count = Annotated[int, Field(ge=1, le=10_000)]
Speed = Annotated[float, Field(gt=0.0, le=1000.0)]
Text = Annotated[str, Field(min_length=1, max_length=500)]


class Range(Table):
    """Both bounds are included."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min is None and self.max is None:
            raise mistake("neither min nor max is given", "like { min = 0.98 }")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise mistake(f"min {self.min:g} is above max {self.max:g}")
        return self


class Filters(Table):
    """Which past passages count."""

    camera: Many[Identifier] | None = None
    site: Many[Identifier] | None = None
    zone: Identifier | None = None
    bound: Bound | None = None
    direction: SeenDirection | None = None
    min_probability: Fraction | None = None
    other_camera: bool = False


class Seen(Filters):
    """The plate passed before, or passes later."""

    within: Span
    at_least: Span | None = None
    times: Count | None = None
    at_most_times: Annotated[int, Field(ge=0)] | None = None
    cameras: Count = 1
    later: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.at_least is not None and self.at_least >= self.within:
            raise mistake("at_least is not shorter than within, so nothing can be seen")
        if self.at_most_times is not None and self.at_most_times < self.least:
            raise mistake("at_most_times is below times")
        return self

    @property
    def least(self) -> int:
        """How many passages there must be."""
        return self.times if self.times is not None else 0 if self.at_most_times is not None else 1


class Order(Table):
    """The plate passed places in an order; the last is where it is now."""

    within: Span
    cameras: Annotated[tuple[Identifier, ...], AsTuple, Field(min_length=2)] | None = None
    zones: Annotated[tuple[Identifier, ...], AsTuple, Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.cameras is None) == (self.zones is None):
            raise mistake("give exactly one of cameras and zones")
        return self


class Dwell(Filters):
    """How long ago the most recent passage was that fits."""

    within: Span
    longer_than: Seconds | None = None
    shorter_than: Span | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.longer_than is None and self.shorter_than is None:
            raise mistake("neither longer_than nor shorter_than is given", 'like longer_than = "4h"')
        if self.longer_than is not None and self.longer_than >= self.within:
            raise mistake("longer_than is not shorter than within, so no passage is found")
        return self


class Travel(Filters):
    """How fast it would have driven from another camera."""

    within: Span
    faster_than_kmh: Speed | None = None
    slower_than_kmh: Speed | None = None
    clock_skew: Seconds = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.faster_than_kmh is None and self.slower_than_kmh is None:
            raise mistake("neither faster_than_kmh nor slower_than_kmh is given")
        return self


class Convoy(Table):
    """Plates that pass together, this one the last of them."""

    plates: Annotated[int, Field(ge=2, le=10)] = 3
    gap: Span
    cameras: Annotated[int, Field(ge=1, le=100)] = 3
    within: Span


class UnreadBefore(Filters):
    """An unreadable passage that may have been this vehicle's."""

    within: Span
    from_kmh: Speed
    to_kmh: Speed
    alike: Many[Literal["colour", "vehicle_class"]] | None = None
    """What must be the same, where it is known of both passages."""
    at_most: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Where more passages fit, the time says nothing."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.from_kmh >= self.to_kmh:
            raise mistake("from_kmh is not below to_kmh")
        return self


class Listed(Table):
    """A watch-list matched the passage."""

    list: Many[Identifier] | None = None
    exact: bool | None = None
    min_probability: Fraction | None = None
    severity: Many[Severity] | None = None
    without: Many[Literal["authority", "expiry", "reference", "reason"]] | None = None


class ListHits(Table):
    """How many hits a list has raised of late."""

    list: Identifier | None = None
    within: Span
    more_than: Annotated[int, Field(ge=0)]


class Declared(Table):
    """The newest declaration of the plate."""

    type: Many[Identifier] | None = None
    within: Span | None = None
    valid: bool | None = None
    test_within: Span | None = None
    test_older_than: Span | None = None
    persons_more_than: Annotated[int, Field(ge=0)] | None = None
    origin: Many[Province] | None = None
    origin_zone: Identifier | None = None
    origin_is_plate_province: bool | None = None
    contradicted_within: Span | None = None


Value = str | float | bool
_TESTS = ("known", "is", "is_not", "over", "under", "older_than", "differs_from")


class Lookup(Table):
    """What an external register says of the plate."""

    source: Identifier = Field(alias="from")
    field: Identifier | None = None
    known: bool | None = None
    one_of: Many[Value] | None = Field(None, alias="is")
    none_of: Many[Value] | None = Field(None, alias="is_not")
    over: float | None = None
    under: float | None = None
    older_than: Seconds | None = None
    differs_from: Literal["colour", "vehicle_class", "kind"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = self.model_fields_set - {"source", "field"}
        if len(given) != 1:
            raise mistake(f"{len(given)} tests where one is needed", f"one of {', '.join(_TESTS)}")
        if (self.field is None) != (self.known is not None):
            raise mistake("known stands without a field, every other test with one")
        return self


class Condition(Table):
    """Predicates, which must all be true."""

    kind: Many[Kind] | None = None
    colour: Many[SeenColour] | None = None
    series: Many[Text] | None = None
    plate: Many[Plates] | None = None
    code: Many[Code] | None = None
    province: Many[Province] | None = None
    province_before: Many[Province] | None = None
    province_zone: Identifier | None = None
    probability: Range | None = None
    readable: bool | None = None
    unreadable: Many[Text] | None = None
    camera: Many[Identifier] | None = None
    site: Many[Identifier] | None = None
    zone: Identifier | None = None
    lane: Many[Text] | None = None
    direction: SeenDirection | None = None
    bound: Bound | None = None
    speed_kmh: Range | None = None
    vehicle_class: Many[VehicleClass] | None = None
    time: Many[DayHours] | None = None
    weekday: Many[Day] | None = None
    listed: Listed | None = None
    list_hits: ListHits | None = None
    seen: Seen | None = None
    order: Order | None = None
    dwell: Dwell | None = None
    travel: Travel | None = None
    convoy: Convoy | None = None
    unread_before: UnreadBefore | None = None
    declared: Declared | None = None
    lookup: Lookup | None = None
    any_of: Annotated[tuple[Condition, ...], AsTuple, Field(min_length=1)] | None = Field(None, alias="any")
    all_of: Annotated[tuple[Condition, ...], AsTuple, Field(min_length=1)] | None = Field(None, alias="all")
    negated: Condition | None = Field(None, alias="not")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise mistake("a condition without a predicate would be true of every passage", "add one")
        return self

    def predicates(self) -> dict[str, Any]:
        """What is asked, by its name in `model_fields`, in the order of this class."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    def parts(self) -> tuple[Condition, ...]:
        """The conditions inside this one."""
        return (*(self.any_of or ()), *(self.all_of or ()), *((self.negated,) if self.negated else ()))


class Message(Table):
    """Templates for an officer."""

    vi: Text
    en: Text


class Confirmations(Table):
    """How often the passage must be seen before a rule speaks."""

    sightings: Count = 1
    cameras: Count = 1
    within: Span


class Rule(Table):
    """One rule as it is written."""

    name: Identifier
    vi: Text
    en: Text
    severity: Severity
    when: Condition
    unless: Annotated[tuple[Condition, ...], AsTuple] = ()
    message: Message
    valid_from: Begin = None
    valid_until: End = None
    enabled: bool = True
    dry_run: bool = False
    min_probability: Fraction = 0.9
    allow_kinds: Many[Literal["military", "foreign"]] | None = None
    cooldown: Span | None = None
    cooldown_per: Literal["plate", "camera", "rule"] = "plate"
    confirmations: Confirmations | None = None
    wait: Span | None = None
    raises_with: Many[Identifier] | None = None
    raised_severity: Severity = "ALERT"
    suppresses: Many[Identifier] | None = None
    silent: bool = False
    late: Literal["judge", "skip"] = "judge"

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.valid_from is not None and self.valid_until is not None and self.valid_from >= self.valid_until:
            raise mistake(f"rule {self.name!r} ends before it begins", "valid_until comes after valid_from")
        return self

    def conditions(self) -> tuple[Condition, ...]:
        """Every condition of the rule, also those inside others."""
        found = [self.when, *self.unless]
        for condition in found:
            found.extend(condition.parts())
        return tuple(found)


class Period(Table):
    """What belongs to a zone for a time."""

    begin: Begin = Field(None, alias="from")
    end: End = Field(None, alias="until")
    provinces: Many[Province] = ()
    provinces_before: Many[Province] = ()
    codes: Many[Code] = ()
    sites: Many[Identifier] = ()
    cameras: Many[Identifier] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.begin is not None and self.end is not None and self.begin >= self.end:
            raise mistake("the period ends before it begins", "until comes after from")
        if not any((self.provinces, self.provinces_before, self.codes, self.sites, self.cameras)):
            raise mistake("the period holds nothing", "give provinces, provinces_before, codes, sites or cameras")
        return self


class ZoneText(Table):
    """One zone as it is written."""

    name: Identifier
    vi: Text
    en: Text
    periods: Annotated[tuple[Period, ...], AsTuple] = ()


class RuleFile(Table):
    """A file of rules and zones."""

    rules: Annotated[tuple[Rule, ...], AsTuple] = ()
    zones: Annotated[tuple[ZoneText, ...], AsTuple] = ()
