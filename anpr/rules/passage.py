"""Predicates over one passage: asked of the sighting that is judged, and of past ones alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import inf
from operator import attrgetter
from typing import Any, get_args

from anpr.config.times import MINUTES_PER_DAY, Day, Hours
from anpr.plates.grammar import parse
from anpr.plates.patterns import Pattern
from anpr.plates.provinces import MERGER, VIETNAM_TIME
from anpr.records import Sighting
from anpr.rules.contract import Past
from anpr.rules.language import Condition, Range
from anpr.rules.logic import Truth
from anpr.rules.places import Places
from anpr.rules.zones import Zone, codes_of

Passage = Sighting | Past
PassageTest = Callable[[Passage], Truth]

MERGER_SECONDS = datetime(MERGER.year, MERGER.month, MERGER.day, tzinfo=VIETNAM_TIME).timestamp()
_OFFSET_SECONDS = 7 * 3600
_DAYS = get_args(Day)
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What predicates stand on: the zones and the map."""

    zones: Mapping[str, Zone]
    places: Places


STANDING = frozenset({"kind", "readable", "camera", "site", "direction", "bound", "colour", "vehicle_class"})
"""Predicates whose answer depends only on what `standing` tells of a passage: many passages share it."""


def standing(passage: Passage) -> tuple[str, ...]:
    """What the standing predicates ask of a passage."""
    return (
        passage.kind if passage.text else "unreadable",
        passage.camera_id,
        passage.site_id,
        passage.direction,
        passage.colour,
        passage.vehicle_class,
    )


def passage_tests(
    condition: Condition, ground: Ground, *, names: Collection[str] | None = None
) -> tuple[PassageTest, ...]:
    """The predicates of a condition that one passage alone answers, the cheapest first; only `names` if given."""
    asked = condition.predicates()
    wanted = asked.keys() if names is None else asked.keys() & set(names)
    return tuple(make(asked[name], ground) for name, make in _MAKERS.items() if name in wanted)


def _among(attribute: str, *, unknown: str | None = None) -> Callable[[tuple[str, ...], Ground], PassageTest]:
    """Is an attribute one of some values? Unknown while it is `unknown`."""
    value_of = attrgetter(attribute)

    def make(values: tuple[str, ...], _ground: Ground) -> PassageTest:
        wanted = frozenset(values)

        def test(passage: Passage) -> Truth:
            value = value_of(passage)
            return None if value == unknown else value in wanted

        return test

    return make


def _range(attribute: str) -> Callable[[Range, Ground], PassageTest]:
    value_of = attrgetter(attribute)

    def make(bounds: Range, _ground: Ground) -> PassageTest:
        least = -inf if bounds.min is None else bounds.min
        most = inf if bounds.max is None else bounds.max

        def test(passage: Passage) -> Truth:
            value = value_of(passage)
            return None if value is None else least <= value <= most

        return test

    return make


def _probability(bounds: Range, ground: Ground) -> PassageTest:
    within = _range("probability")(bounds, ground)
    return lambda passage: within(passage) if passage.text else None


def _readable(wanted: bool, _ground: Ground) -> PassageTest:
    return lambda passage: bool(passage.text) is wanted


def _zone(name: str, ground: Ground) -> PassageTest:
    holds = ground.zones[name].holds_place
    return lambda passage: holds(passage.camera_id, passage.site_id, passage.seen_seconds)


def _direction(wanted: str, _ground: Ground) -> PassageTest:
    def test(passage: Passage) -> Truth:
        return None if passage.direction == "unknown" else passage.direction == wanted

    return test


def _bound(wanted: str, ground: Ground) -> PassageTest:
    bound_of = ground.places.bound

    def test(passage: Passage) -> Truth:
        bound = bound_of(passage.camera_id, passage.direction)
        return None if bound is None else bound == wanted

    return test


def _plate(patterns: tuple[str, ...], _ground: Ground) -> PassageTest:
    fits = tuple(Pattern(text).matches for text in patterns)

    def test(passage: Passage) -> Truth:
        text = passage.text
        return any(fit(text) for fit in fits) if text else None

    return test


def _province(names: tuple[str, ...], _ground: Ground) -> PassageTest:
    before, after = codes_of(names, after=False), codes_of(names, before=False)

    def test(passage: Passage) -> Truth:
        code = passage.province_code
        return code in (before if passage.seen_seconds < MERGER_SECONDS else after) if code else None

    return test


def _province_before(names: tuple[str, ...], _ground: Ground) -> PassageTest:
    wanted = codes_of(names, after=False)

    def test(passage: Passage) -> Truth:
        return passage.province_code in wanted if passage.province_code else None

    return test


def _province_zone(name: str, ground: Ground) -> PassageTest:
    holds = ground.zones[name].holds_code

    def test(passage: Passage) -> Truth:
        code = passage.province_code
        return holds(code, passage.seen_seconds) if code else None

    return test


def _series(values: tuple[str, ...], _ground: Ground) -> PassageTest:
    wanted = frozenset(value.upper().replace("Đ", "D") for value in values)

    def test(passage: Passage) -> Truth:
        return series_of(passage.text, passage.kind) in wanted if passage.text else None

    return test


def _time(spans: tuple[Hours, ...], _ground: Ground) -> PassageTest:
    minutes = tuple(
        minute
        for span in spans
        for minute in range(span.from_minute, span.until_minute + MINUTES_PER_DAY * span.overnight)
    )
    wanted = frozenset(minute % MINUTES_PER_DAY for minute in minutes)
    return lambda passage: int(passage.seen_seconds + _OFFSET_SECONDS) // 60 % MINUTES_PER_DAY in wanted


def _weekday(days: tuple[str, ...], _ground: Ground) -> PassageTest:
    wanted = frozenset(_DAYS.index(day) for day in days)
    return lambda passage: (int(passage.seen_seconds + _OFFSET_SECONDS) // 86400 + _EPOCH_WEEKDAY) % 7 in wanted


_MAKERS: Mapping[str, Callable[[Any, Ground], PassageTest]] = {
    "kind": _among("kind", unknown=""),
    "readable": _readable,
    "unreadable": _among("unreadable"),
    "camera": _among("camera_id"),
    "site": _among("site_id"),
    "direction": _direction,
    "vehicle_class": _among("vehicle_class", unknown=""),
    "speed_kmh": _range("speed_kmh"),
    "lane": _among("lane", unknown=""),
    "code": _among("province_code", unknown=""),
    "colour": _among("colour", unknown="unknown"),
    "province_before": _province_before,
    "province": _province,
    "probability": _probability,
    "bound": _bound,
    "province_zone": _province_zone,
    "zone": _zone,
    "time": _time,
    "weekday": _weekday,
    "plate": _plate,
    "series": _series,
}
"""In the order in which they are asked."""

PASSAGE_PREDICATES = frozenset(_MAKERS)


def series_of(text: str, kind: str) -> str:
    """The series of a plate: `A`, `LD`, `B1`, `NG`; Đ as D."""
    return text[2:3] if kind == "car" else _series_of(text, kind)


@lru_cache(maxsize=4096)
def _series_of(text: str, kind: str) -> str:
    return next((reading.series for reading in parse(text) if reading.kind == kind), "")
