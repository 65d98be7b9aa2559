"""On what grounds a rule is true, over generated conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from anpr.rules.grounds import alerts, both, condition_false, condition_true, is_not_true, province_alone
from anpr.rules.language import Condition, Rule

Truth = bool | None


@dataclass(frozen=True)
class World:
    """What is so of a vehicle."""

    code: str = "20"
    approaching: bool = True
    listed: bool = False
    seen: bool = False
    known: Truth = False
    """Whether a register has it; None: it does not answer."""
    status: str = ""


def atom(name: str, world: World) -> Truth:
    """Whether a predicate of `ATOMS` is true."""
    lost = None if not world.known or not world.status else world.status == "lost"
    truths: Mapping[str, Truth] = {
        "code": world.code == "98",
        "plates": world.code == "98",
        "zone": world.code in ("98", "99"),
        "direction": world.approaching,
        "listed": world.listed,
        "seen": world.seen,
        "not seen": not world.seen,
        "known": world.known,
        "not known": None if world.known is None else not world.known,
        "lost": lost,
        "not lost": None if lost is None else not lost,
    }
    return truths[name]


ATOMS: Mapping[str, dict[str, Any]] = {
    "code": {"code": "98"},
    "plates": {"plate": "98*"},
    "zone": {"province_zone": "z"},
    "direction": {"direction": "approaching"},
    "listed": {"listed": {}},
    "seen": {"seen": {"within": "6h"}},
    "not seen": {"seen": {"within": "6h", "at_most_times": 0}},
    "known": {"lookup": {"from": "r", "known": True}},
    "not known": {"lookup": {"from": "r", "known": False}},
    "lost": {"lookup": {"from": "r", "field": "status", "is": ["lost"]}},
    "not lost": {"lookup": {"from": "r", "field": "status", "is_not": ["lost"]}},
}
Tree = tuple[Any, ...]
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.sampled_from(sorted(ATOMS)).map(lambda name: ("atom", name)),
    lambda inside: st.one_of(
        st.tuples(st.just("all"), st.lists(inside, min_size=1, max_size=3)),
        st.tuples(st.just("any"), st.lists(inside, min_size=1, max_size=3)),
        st.tuples(st.just("not"), inside),
    ),
    max_leaves=7,
)


def written(tree: Tree) -> dict[str, Any]:
    """A tree as a rule file writes it."""
    match tree:
        case ("atom", name):
            return ATOMS[name]
        case ("not", inside):
            return {"not": written(inside)}
        case (both_or_any, inside):
            return {both_or_any: [written(each) for each in inside]}
    raise AssertionError(tree)


def truth_of(tree: Tree, world: World) -> Truth:
    """Whether a tree is true."""
    match tree:
        case ("atom", name):
            return atom(name, world)
        case ("not", inside):
            truth = truth_of(inside, world)
            return None if truth is None else not truth
        case ("all", inside):
            truths = [truth_of(each, world) for each in inside]
            return False if False in truths else None if None in truths else True
        case ("any", inside):
            truths = [truth_of(each, world) for each in inside]
            return True if True in truths else None if None in truths else False
    raise AssertionError(tree)


def rule_of(when: Tree, unless: list[Tree], **more: Any) -> Rule:
    return Rule.model_validate(
        {
            "name": "rule",
            "vi": "rule",
            "en": "rule",
            "severity": "ALERT",
            "when": written(when),
            "unless": [written(each) for each in unless],
            "message": {"vi": "-", "en": "-"},
            **more,
        }
    )


def fires(when: Tree, unless: list[Tree], world: World) -> bool:
    return truth_of(when, world) is True and all(truth_of(each, world) is False for each in unless)


UNREMARKABLE = [
    World(approaching=approaching, known=known) for approaching, known in product((True, False), (False, None))
]
"""Nothing speaks against these vehicles."""


@given(when=TREES, unless=st.lists(TREES, max_size=2))
def test_no_rule_that_is_accepted_alerts_of_the_province_alone(when: Tree, unless: list[Tree]) -> None:
    rule = rule_of(when, unless)
    ((_, ways),) = alerts(rule, {"rule": rule})
    if not province_alone(ways):
        for world in UNREMARKABLE:
            assert len({fires(when, unless, replace(world, code=code)) for code in ("20", "98", "99")}) == 1


@given(when=TREES, unless=st.lists(TREES, max_size=1), other=TREES, silencer=TREES)
def test_nor_do_several_rules_together(when: Tree, unless: list[Tree], other: Tree, silencer: Tree) -> None:
    raised = rule_of(when, unless, severity="INFO", raises_with=["other"])
    rules = {"rule": raised, "other": rule_of(other, [], name="other")}
    ((_, ways),) = alerts(raised, rules)
    ways = both([ways, is_not_true(rule_of(silencer, []))])
    if not province_alone(ways):
        for world in UNREMARKABLE:
            worlds = [replace(world, code=code) for code in ("20", "98", "99")]
            raises = {
                fires(when, unless, each) and truth_of(other, each) is True and truth_of(silencer, each) is not True
                for each in worlds
            }
            assert len(raises) == 1


@given(tree=TREES)
def test_not_turns_the_ways_round(tree: Tree) -> None:
    condition = Condition.model_validate(written(tree))
    opposite = Condition.model_validate({"not": written(tree)})
    assert condition_true(opposite) == condition_false(condition)
    assert condition_false(opposite) == condition_true(condition)


@given(tree=TREES)
def test_with_evidence_on_every_way_a_rule_may_ask_for_the_province(tree: Tree) -> None:
    rule = rule_of(("all", [tree, ("atom", "code"), ("atom", "listed")]), [])
    ((_, ways),) = alerts(rule, {"rule": rule})
    assert not province_alone(ways)
    assert ways
