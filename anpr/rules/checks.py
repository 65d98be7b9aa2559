"""What is wrong with rules beyond their form: names that lead nowhere, circles, and what a rule may not do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from anpr.rules.compile import asks_unreadable
from anpr.rules.grounds import EVIDENCE_PREDICATES, alerts, both, is_not_true, province_alone
from anpr.rules.language import SKIPPED_KINDS, Condition, Rule
from anpr.rules.message import mistakes

Path = tuple[str | int, ...]


class Mistake(NamedTuple):
    """One thing wrong with a rule, at a path within it."""

    path: Path
    what: str
    cure: str
    absent: tuple[Literal["rules", "zones"], str] | None = None
    """What it names that is not there."""


def check(rule: Rule, rules: Mapping[str, Rule], zones: Collection[str]) -> Iterator[Mistake]:
    """Everything that is wrong with one rule among `rules`, all by name."""
    for condition, path in conditions_of(rule):
        for where, zone in _zones_of(condition):
            if zone not in zones:
                yield Mistake((*path, *where), f"no zone {zone!r}", did_you_mean(zone, zones), ("zones", zone))
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
                yield Mistake((key, index), f"no rule {name!r}", did_you_mean(name, rules.keys()), ("rules", name))
            elif other.wait != rule.wait:
                what = f"rule {name!r} is judged at another time"
                yield Mistake((key, index), what, "give both the same wait, or neither")


def _province_alone(rule: Rule, rules: Mapping[str, Rule]) -> Iterator[Mistake]:
    """Plate province alone is never an ALERT, neither by a rule itself nor by what raises or suppresses it."""
    evidence = f"one of {', '.join(EVIDENCE_PREDICATES)}"
    for raiser, ways in alerts(rule, rules):
        if not province_alone(ways):
            continue
        if not raiser:
            cure = f"make it CHECK, or add {evidence}, not under not and on every way to be true"
            yield Mistake(("severity",), "the plate's province alone must not raise an ALERT", cure)
        else:
            what = f"rule {raiser!r} has no evidence beyond the plate's province to raise this one to ALERT"
            yield Mistake(("raises_with", (rule.raises_with or ()).index(raiser)), what, f"it needs {evidence}")
    for index, name in enumerate(rule.suppresses or ()):
        spared = is_not_true(rule)
        loud = [ways for _, ways in alerts(rules[name], rules)] if name in rules else []
        if any(not province_alone(ways) and province_alone(both([ways, spared])) for ways in loud):
            what = f"so the plate's province alone would decide whether rule {name!r} raises an ALERT"
            yield Mistake(("suppresses", index), what, f"rule {name!r} needs {evidence}, or is no ALERT")
