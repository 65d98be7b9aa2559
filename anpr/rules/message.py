"""Messages for an officer: templates over what a rule has found, checked when the rule is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from string import Formatter

from anpr.records import Sighting
from anpr.rules.language import Condition, Rule
from anpr.rules.wording import (
    CLASSES,
    COLOURS,
    DIRECTIONS,
    KINDS,
    NOTHING,
    Said,
    date_of,
    number,
    percent,
    same,
    time_of,
    word,
)

PASSAGE_FIELDS = (
    "plate",
    "text",
    "kind",
    "colour",
    "code",
    "province",
    "province_before",
    "probability",
    "camera",
    "site",
    "lane",
    "direction",
    "vehicle_class",
    "speed_kmh",
    "time",
    "date",
)
"""Known of every passage."""

PREDICATE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "listed": ("list", "listed", "list_match", "entry_reason", "authority", "reference"),
    "list_hits": ("list_hits", "list"),
    "seen": ("seen_camera", "seen_time", "seen_ago", "seen_count"),
    "order": ("order_cameras",),
    "dwell": ("dwell_camera", "dwell"),
    "travel": ("travel_camera", "travel_kmh", "travel_km", "travel_ago"),
    "convoy": ("companions",),
    "unread_before": ("unread_camera", "unread_ago", "unread_count"),
    "declared": ("declared_type", "declared_origin", "declared_until", "declared_persons", "declared_reference"),
}
"""What a true predicate tells; `declared` and `lookup` tell more by what they ask."""
_CONTRADICTION = ("contradicted_camera", "contradicted_province", "contradicted_ago")


def mistakes(rule: Rule) -> list[tuple[str, str, str]]:
    """What is wrong with the templates of a rule: (language, what, cure) of each mistake."""
    known, registers = _known(rule)
    found: list[tuple[str, str, str]] = []
    for language, template in (("vi", rule.message.vi), ("en", rule.message.en)):
        try:
            parts = [part for part in Formatter().parse(template) if part[1] is not None]
        except ValueError as error:
            found.append((language, f"the template is broken: {error}", "write {plate}; a brace itself is {{"))
            continue
        for _, name, form, conversion in parts:
            if form or conversion:
                found.append((language, f"{{{name}}} cannot be formatted", f"write {{{name}}} alone"))
            if name is None or name in known or name.partition(".")[0] in registers:
                continue
            close = difflib.get_close_matches(name, known, n=1)
            cure = f"did you mean {{{close[0]}}}?" if close else f"this rule has: {', '.join(sorted(known))}"
            found.append((language, f"no predicate of this rule tells {{{name}}}", cure))
    return found


def write(template: str, fields: Mapping[str, Said], language: int) -> str:
    """The message; `language` is 0 for Vietnamese, 1 for English. A field without a value is `?`."""
    return "".join([text + (fields.get(name, NOTHING)[language] if name else "") for text, name in _parts(template)])


@lru_cache(maxsize=1024)
def _parts(template: str) -> tuple[tuple[str, str], ...]:
    """(text, name of the field behind it, empty if there is none)."""
    return tuple((text, name or "") for text, name, _, _ in Formatter().parse(template))


def fields_of(sighting: Sighting) -> dict[str, Said]:
    """What every passage tells."""
    return {
        "plate": same(sighting.display or sighting.raw),
        "text": same(sighting.text),
        "kind": word(KINDS, sighting.kind),
        "colour": word(COLOURS, sighting.colour),
        "code": same(sighting.province_code),
        "province": same(sighting.province),
        "province_before": same(sighting.province_before),
        "probability": percent(sighting.probability),
        "camera": same(sighting.camera_id),
        "site": same(sighting.site_id),
        "lane": same(sighting.lane),
        "direction": word(DIRECTIONS, sighting.direction),
        "vehicle_class": word(CLASSES, sighting.vehicle_class),
        "speed_kmh": NOTHING if sighting.speed_kmh is None else number(sighting.speed_kmh),
        "time": time_of(sighting.seen_seconds),
        "date": date_of(sighting.seen_seconds),
    }


def _known(rule: Rule) -> tuple[set[str], set[str]]:
    """The fields that a rule's condition may tell, and its registers, any field of which may be told."""
    known, registers = set(PASSAGE_FIELDS), set()
    conditions: list[Condition] = [rule.when]
    for condition in conditions:
        conditions += [*(condition.any_of or ()), *(condition.all_of or ())]
        for name in condition.predicates():
            known.update(PREDICATE_FIELDS.get(name, ()))
        if condition.declared is not None and condition.declared.contradicted_within is not None:
            known.update(_CONTRADICTION)
        if condition.lookup is not None:
            registers.add(condition.lookup.source)
    return known, registers
