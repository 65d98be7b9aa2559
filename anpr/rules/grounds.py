"""On what grounds a rule is true: the plate's province, evidence about the vehicle, or neither.

A condition can become true, or false, in several ways; each way rests on some of its predicates. `any` has the ways of
each of its tables, a table the combined ways of all its predicates; under `not` they change places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple

from anpr.plates.patterns import is_pattern
from anpr.plates.provinces import CENTRAL_CODE
from anpr.rules.language import Condition, Declared, Lookup, Rule, Seen

PROVINCE_PREDICATES = ("code", "province", "province_before", "province_zone", "plate")
"""True of a vehicle for where it is registered."""
EVIDENCE_PREDICATES = ("listed", "seen", "order", "dwell", "travel", "convoy", "declared", "lookup")
"""True of a vehicle for what it did, or what somebody knows of it."""
_INCRIMINATING = ("test_older_than", "persons_more_than", "origin", "origin_zone", "contradicted_within")
"""What is asked of a declaration that speaks against the vehicle; that it has one, or a valid one, does not."""


class Grounds(NamedTuple):
    """What one way rests on."""

    province: bool
    """On the plate's province, be it that it is one or that it is not."""
    evidence: bool
    """On something else that is so of this vehicle; that something is not so, or not known, is none."""


Ways = frozenset[Grounds]
NOTHING = Grounds(province=False, evidence=False)
_ALWAYS: Ways = frozenset({NOTHING})
_NEVER: Ways = frozenset()


def is_true(rule: Rule) -> Ways:
    """Every way in which a rule is true."""
    return both([condition_true(rule.when), *map(condition_false, rule.unless)])


def is_not_true(rule: Rule) -> Ways:
    """Every way in which a rule is not true: none of them is evidence, since it may as well be unknown."""
    ways = either([condition_false(rule.when), *map(condition_true, rule.unless)])
    return frozenset(way._replace(evidence=False) for way in ways)


def alerts(rule: Rule, rules: Mapping[str, Rule]) -> Iterator[tuple[str, Ways]]:
    """Every way in which a rule among `rules` raises an ALERT, with the name of the rule that raises it so far; empty:
    it does itself."""
    own = is_true(rule)
    if rule.severity == "ALERT":
        yield "", own
    elif rule.raised_severity == "ALERT":
        for name in rule.raises_with or ():
            if name in rules:
                yield name, both([own, is_true(rules[name])])


def province_alone(ways: Ways) -> bool:
    """Whether one of the ways rests on the plate's province without evidence."""
    return Grounds(province=True, evidence=False) in ways


def both(parts: Iterable[Ways]) -> Ways:
    """Every way in which all of them are so."""
    return reduce(_and, parts, _ALWAYS)


def either(parts: Iterable[Ways]) -> Ways:
    """Every way in which one of them is so."""
    return reduce(frozenset.union, parts, _NEVER)


def condition_true(condition: Condition) -> Ways:
    """Every way in which a condition is true."""
    return both(true for true, _ in _parts(condition))


def condition_false(condition: Condition) -> Ways:
    """Every way in which it is false."""
    return either(false for _, false in _parts(condition))


def _parts(condition: Condition) -> Iterator[tuple[Ways, Ways]]:
    """Of everything that must be true: the ways in which it is true, and in which it is false."""
    for name, value in condition.predicates().items():
        match name:
            case "all_of":
                yield from ((condition_true(inside), condition_false(inside)) for inside in value)
            case "any_of":
                yield either(map(condition_true, value)), both(map(condition_false, value))
            case "negated":
                yield condition_false(value), condition_true(value)
            case _:
                yield frozenset({_if_true(name, value)}), frozenset({_if_false(name, value)})


def _if_true(name: str, value: Any) -> Grounds:
    evidence = name in EVIDENCE_PREDICATES
    province = name in PROVINCE_PREDICATES
    if isinstance(value, Seen):
        evidence = value.least > 0
    elif isinstance(value, Lookup):
        evidence = value.known is not False and value.none_of is None
    elif isinstance(value, Declared):
        province = value.origin_is_plate_province is not None
        evidence = value.valid is False or any(getattr(value, key) is not None for key in _INCRIMINATING)
    return Grounds(province, evidence)


def _if_false(name: str, value: Any) -> Grounds:
    """That something is not so is no evidence, unless it says that something else is."""
    evidence = isinstance(value, Seen) and value.least == 0
    if isinstance(value, Lookup):
        evidence = value.known is False or value.none_of is not None
    province = _if_true(name, value).province
    if name == "code":
        province = set(value) != {CENTRAL_CODE}
    elif name == "plate":
        province = any(map(is_pattern, value))
    return Grounds(province, evidence)


def _and(one: Ways, other: Ways) -> Ways:
    return frozenset(Grounds(a.province or b.province, a.evidence or b.evidence) for a in one for b in other)
