"""Turns a rule as it is written into closures, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from anpr.rules.company import convoy, unread_before
from anpr.rules.contract import Past
from anpr.rules.declarations import Declarations
from anpr.rules.declared import declared
from anpr.rules.judgement import Deep, DeepTest, Finding, Judgement
from anpr.rules.language import SKIPPED_KINDS, Condition, Rule
from anpr.rules.listing import list_hits, listed
from anpr.rules.logic import Truth, both, either, opposite
from anpr.rules.lookups import Registers, lookup
from anpr.rules.outlook import Facts, Outlook, outlook
from anpr.rules.passage import STANDING, Ground, Passage, PassageTest, passage_tests
from anpr.rules.past import dwell, order, seen, travel


@dataclass(frozen=True, slots=True)
class Sources:
    """Where rules find what the passage itself does not tell."""

    ground: Ground
    registers: Registers
    declarations: Declarations | None = None
    """None: the box has none, and every predicate over them is unknown."""


Make = Callable[[Any, Sources], Deep]


def _grounded(make: Callable[[Any, Ground], Deep]) -> Make:
    return lambda predicate, sources: make(predicate, sources.ground)


_DEEP: Mapping[str, Make] = {
    "listed": _grounded(listed),
    "declared": lambda predicate, sources: declared(predicate, sources.ground, sources.declarations),
    "seen": _grounded(seen),
    "dwell": _grounded(dwell),
    "order": _grounded(order),
    "travel": _grounded(travel),
    "list_hits": _grounded(list_hits),
    "convoy": _grounded(convoy),
    "unread_before": _grounded(unread_before),
    "lookup": lambda predicate, sources: lookup(predicate, sources.registers),
}
"""In the order in which they are asked: what is in memory first, other machines last."""
_RANKS = {name: rank for rank, name in enumerate(_DEEP)}
DEEP_PREDICATES = frozenset(_DEEP)


class Parts(NamedTuple):
    """A condition's predicates, all of which must be true."""

    passage: tuple[PassageTest, ...]
    """Those that the passage alone answers."""
    deep: tuple[Deep, ...]
    rank: int
    """Of the dearest of them."""

    def whole(self) -> DeepTest:
        """The condition as one test."""
        tests: list[DeepTest] = [deep.test for deep in self.deep]
        if self.passage:
            alone = both(self.passage)
            tests.insert(0, lambda judgement: alone(judgement.sighting))
        return both(tests)

    def tell(self, judgement: Judgement, finding: Finding) -> None:
        """Note what the predicates found; the condition is true."""
        for deep in self.deep:
            deep.tell(judgement, finding)


def parts_of(condition: Condition, sources: Sources) -> Parts:
    """The parts of a condition, cheap ones first."""
    passage = list(passage_tests(condition, sources.ground))
    asked = condition.predicates()
    deep = [(_RANKS[name], make(asked[name], sources)) for name, make in _DEEP.items() if name in asked]
    for inside in condition.all_of or ():
        parts = parts_of(inside, sources)
        passage += parts.passage
        deep += [(parts.rank, each) for each in parts.deep]
    if condition.any_of is not None:
        branches = [parts_of(inside, sources) for inside in condition.any_of]
        if any(branch.deep for branch in branches):
            deep.append((max(branch.rank for branch in branches), _any_deep(branches)))
        else:
            passage.append(either([both(branch.passage) for branch in branches]))
    if condition.negated is not None:
        parts = parts_of(condition.negated, sources)
        if parts.deep:
            deep.append((parts.rank, Deep(opposite(parts.whole()), _tell_nothing)))
        else:
            passage.append(opposite(both(parts.passage)))
    deep.sort(key=lambda ranked: ranked[0])
    return Parts(tuple(passage), tuple(each for _, each in deep), max((rank for rank, _ in deep), default=0))


def _any_deep(branches: list[Parts]) -> Deep:
    wholes = [(branch.whole(), branch) for branch in branches]

    def tell(judgement: Judgement, finding: Finding) -> None:
        for whole, branch in wholes:
            if whole(judgement) is True:
                branch.tell(judgement, finding)

    return Deep(either([whole for whole, _ in wholes]), tell)


def _tell_nothing(_judgement: Judgement, _finding: Finding) -> None:
    pass


@dataclass(slots=True, eq=False)
class CompiledRule:
    """A rule, ready to be asked."""

    rule: Rule
    version: str
    sources: Sources
    from_seconds: float = field(init=False)
    until_seconds: float = field(init=False)
    skipped_kinds: frozenset[str] = field(init=False)
    judges_unreadable: bool = field(init=False)
    needs_hits: bool = field(init=False)
    parts: Parts = field(init=False)
    _outlook: Outlook = field(init=False)
    _standing: PassageTest | None = field(init=False)
    _other: PassageTest | None = field(init=False)
    """The passage's predicates that are not standing ones."""
    _unless: DeepTest | None = field(init=False)
    _deep: tuple[DeepTest, ...] = field(init=False)
    _least: float = field(init=False)
    unknown: tuple[str, str] = field(init=False)
    """What is counted when it is unknown whether the rule is true."""

    def __post_init__(self) -> None:
        rule = self.rule
        self.from_seconds = -inf if rule.valid_from is None else rule.valid_from
        self.until_seconds = inf if rule.valid_until is None else rule.valid_until
        self.skipped_kinds = frozenset(SKIPPED_KINDS) - frozenset(rule.allow_kinds or ())
        self.judges_unreadable = asks_unreadable(rule.when)
        self.needs_hits = needs_hits(rule.when)
        others = {name: value for name, value in rule.when.predicates().items() if name not in STANDING}
        self.parts = parts_of(Condition.model_construct(**others), self.sources)
        self._deep = tuple(deep.test for deep in self.parts.deep)
        self._least = rule.min_probability
        self.unknown = "rules_unknown", rule.name
        self._other = both(self.parts.passage) if self.parts.passage else None
        self._outlook = outlook(rule.when, self.sources.ground)
        tests = passage_tests(rule.when, self.sources.ground, names=STANDING)
        self._standing = both(tests) if tests else None
        exempt = [parts_of(condition, self.sources).whole() for condition in rule.unless]
        self._unless = either(exempt) if exempt else None

    def concerns(self, passage: Passage, facts: Facts) -> Truth:
        """Whether the rule may be true of passages that stand like this one and of which the same is known."""
        if not (passage.kind not in self.skipped_kinds if passage.text else self.judges_unreadable):
            return False
        return self._outlook((passage, facts))

    def alone(self, passage: Passage) -> Truth:
        """Whether a passage that the rule concerns satisfies it, as far as the passage alone tells."""
        if not self.from_seconds <= passage.seen_seconds < self.until_seconds:
            return False
        if passage.probability < self._least and passage.text:
            return False
        return True if self._other is None else self._other(passage)

    def holds(self, judgement: Judgement) -> Truth:
        """Whether the condition is true of a passage that the rule concerns, and no exemption is."""
        passage = judgement.sighting  # what `alone` asks, without the call: most rules end here
        if not self.from_seconds <= passage.seen_seconds < self.until_seconds:
            return False
        if passage.probability < self._least and passage.text:
            return False
        if self._other is not None and (truth := self._other(passage)) is not True:
            return truth
        for test in self._deep:
            truth = test(judgement)
            if truth is not True:
                return truth
        if self._unless is None:
            return True
        exempt = self._unless(judgement)
        return None if exempt is None else not exempt

    def confirmed(self, judgement: Judgement) -> bool:
        """Whether enough passages of the plate satisfy what the passage alone answers."""
        wanted = self.rule.confirmations
        if wanted is None:
            return True
        cameras = {judgement.sighting.camera_id}
        count = 1
        for past in judgement.past(wanted.within):
            if self._satisfies(past):
                cameras.add(past.camera_id)
                count += 1
        return count >= wanted.sightings and len(cameras) >= wanted.cameras

    def _satisfies(self, past: Past) -> bool:
        return (
            past.probability >= self.rule.min_probability
            and (self._standing is None or self._standing(past) is True)
            and (self._other is None or self._other(past) is True)
        )


def needs_hits(condition: Condition) -> bool:
    """Whether a condition can be true only of what a watch-list matched."""
    if condition.listed is not None or any(needs_hits(inside) for inside in condition.all_of or ()):
        return True
    return condition.any_of is not None and all(needs_hits(inside) for inside in condition.any_of)


def asks_unreadable(condition: Condition) -> bool:
    """Whether a condition asks for unreadable passages in words."""
    if condition.readable is False or condition.unreadable is not None:
        return True
    return any(asks_unreadable(inside) for inside in (*(condition.any_of or ()), *(condition.all_of or ())))
