"""What is wrong with rules beyond their form: names that lead nowhere, circles, and what a rule may not do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from anpr.rules.compile import asks_unreadable
from anpr.rules.language import SKIPPED_KINDS, Condition, Rule
from anpr.rules.message import mistakes

PROVINCE_PREDICATES = ("code", "province", "province_before", "province_zone", "plate")
"""True of a vehicle for where it is registered."""
EVIDENCE_PREDICATES = ("listed", "seen", "order", "dwell", "travel", "convoy", "declared", "lookup")
"""True of a vehicle for what it did, or what somebody knows of it."""

Path = tuple[str | int, ...]


class Mistake(NamedTuple):
    """One thing wrong with a rule, at a path within it."""

    path: Path
    what: str
    cure: str


def check(rule: Rule, rules: Mapping[str, Rule], zones: Collection[str]) -> Iterator[Mistake]:
    """Everything that is wrong with one rule among `rules`, all by name."""
    for condition, path in conditions_of(rule):
        for where, zone in _zones_of(condition):
            if zone not in zones:
                yield Mistake((*path, *where), f"no zone {zone!r}", did_you_mean(zone, zones))
        later = condition.seen if condition.seen and condition.seen.later else None
        if later is not None and (rule.wait or 0.0) < later.within:
            cure = "give the rule a wait of at least the same length"
            yield Mistake((*path, "seen", "within"), "later looks further ahead than the rule waits", cure)
    kinds = rule.when.kind
    if kinds is not None and set(kinds) <= set(SKIPPED_KINDS) - set(rule.allow_kinds or ()):
        cure = f"add allow_kinds = {list(kinds)}".replace("'", '"')
        yield Mistake(("when", "kind"), "rules skip these kinds, so this one is never true", cure)
    if asks_unreadable(rule.when):
        if rule.confirmations is not None:
            yield Mistake(("confirmations",), "unreadable passages cannot confirm each other", "use unread_before")
        if rule.cooldown is not None and rule.cooldown_per == "plate":
            yield Mistake(("cooldown",), "an unreadable plate has no cooldown", 'add cooldown_per = "camera"')
    for language, what, cure in mistakes(rule):
        yield Mistake(("message", language), what, cure)
    yield from _relations(rule, rules)
    yield from _province_alone(rule, rules)


def circle(rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """Names of rules that raise or suppress each other in a circle; empty if none do."""
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> tuple[str, ...]:
        if name in way:
            return (*way[way.index(name) :], name)
        if name in done or name not in rules:
            return ()
        rule = rules[name]
        for other in (*(rule.raises_with or ()), *(rule.suppresses or ())):
            found = follow(other, (*way, name))
            if found:
                return found
        done.add(name)
        return ()

    return next((found for name in rules if (found := follow(name, ()))), ())


def conditions_of(rule: Rule) -> Iterator[tuple[Condition, Path]]:
    """Every condition of a rule with its path."""
    yield from _inside(rule.when, ("when",))
    for index, condition in enumerate(rule.unless):
        yield from _inside(condition, ("unless", index))


def did_you_mean(given: str, known: Collection[str]) -> str:
    """The cure for a name that leads nowhere."""
    close = difflib.get_close_matches(given, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"


def _inside(condition: Condition, path: Path) -> Iterator[tuple[Condition, Path]]:
    yield condition, path
    for key, inside in (("any", condition.any_of), ("all", condition.all_of)):
        for index, each in enumerate(inside or ()):
            yield from _inside(each, (*path, key, index))
    if condition.negated is not None:
        yield from _inside(condition.negated, (*path, "not"))


def _zones_of(condition: Condition) -> Iterator[tuple[Path, str]]:
    """Every zone that a condition names itself, with its path."""
    for key in ("province_zone", "zone"):
        name = getattr(condition, key)
        if name is not None:
            yield (key,), name
    for key in ("seen", "dwell", "travel", "unread_before"):
        filters: Any = getattr(condition, key)
        if filters is not None and filters.zone is not None:
            yield (key, "zone"), filters.zone
    if condition.order is not None:
        for index, name in enumerate(condition.order.zones or ()):
            yield ("order", "zones", index), name
    if condition.declared is not None and condition.declared.origin_zone is not None:
        yield ("declared", "origin_zone"), condition.declared.origin_zone


def _relations(rule: Rule, rules: Mapping[str, Rule]) -> Iterator[Mistake]:
    for key, names in (("raises_with", rule.raises_with), ("suppresses", rule.suppresses)):
        for index, name in enumerate(names or ()):
            other = rules.get(name)
            if other is None:
                yield Mistake((key, index), f"no rule {name!r}", did_you_mean(name, rules.keys()))
            elif other.wait != rule.wait:
                what = f"rule {name!r} is judged at another time"
                yield Mistake((key, index), what, "give both the same wait, or neither")


def _province_alone(rule: Rule, rules: Mapping[str, Rule]) -> Iterator[Mistake]:
    """Plate province alone is never an ALERT."""
    if not _rests_on_province(rule.when):
        return
    cure = f"make it CHECK, or add one of {', '.join(EVIDENCE_PREDICATES)}"
    if rule.severity == "ALERT":
        yield Mistake(("severity",), "the plate's province alone must not raise an ALERT", cure)
    if rule.raised_severity != "ALERT":
        return
    for index, name in enumerate(rule.raises_with or ()):
        other = rules.get(name)
        if other is not None and any(not evidence for _, evidence in _ways(other.when)):
            what = f"rule {name!r} has no evidence beyond the plate's province to raise this one to ALERT"
            yield Mistake(("raises_with", index), what, f"it needs one of {', '.join(EVIDENCE_PREDICATES)}")


def _rests_on_province(condition: Condition) -> bool:
    return (True, False) in _ways(condition)


def _ways(condition: Condition) -> set[tuple[bool, bool]]:
    """Every way in which a condition becomes true: (by the plate's province, by other evidence)."""
    asked = condition.predicates()
    evidence = [name for name in EVIDENCE_PREDICATES if name in asked]
    if evidence == ["seen"] and condition.seen is not None and condition.seen.least == 0:
        evidence = []
    ways = {(any(name in asked for name in PROVINCE_PREDICATES), bool(evidence))}
    for inside in condition.all_of or ():
        ways = _and(ways, _ways(inside))
    if condition.any_of is not None:
        ways = _and(ways, {way for inside in condition.any_of for way in _ways(inside)})
    return ways


def _and(one: set[tuple[bool, bool]], other: set[tuple[bool, bool]]) -> set[tuple[bool, bool]]:
    return {(a or c, b or d) for a, b in one for c, d in other}
