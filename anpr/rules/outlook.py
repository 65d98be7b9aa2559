"""Which rules may be true of a passage at all, by a few facts that many passages share.

A rule that needs what there is not (a list's hit, a declaration, an earlier passage), or that stands elsewhere, is not
asked: which rules are left is found once for all passages of which the same is known.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

from anpr.rules.language import Condition
from anpr.rules.logic import Truth, both, either, opposite
from anpr.rules.passage import STANDING, Ground, Passage, passage_tests

MARGIN_SECONDS = 0.001
"""By which a wall time may be rounded."""


class Facts(NamedTuple):
    """What is known before any rule is asked."""

    listed: bool
    """A watch-list matched the passage."""
    declared: bool
    """There may be a declaration of the plate."""
    passed_seconds: float
    """The plate did not pass within so many seconds before."""
    peak_kmh: float
    """It came here from another camera no faster than the next of the speeds that rules ask for."""
    unregistered: tuple[str, ...]
    """Registers that have nothing on the plate."""


EVERYTHING = Facts(listed=True, declared=True, passed_seconds=0.0, peak_kmh=inf, unregistered=())
"""Nothing is known that would exclude a rule."""
Case = tuple[Passage, Facts]
Outlook = Callable[[Case], Truth]
"""False: the condition is not true of any such passage; None: it is unknown, or not true; True: it may be true."""


def outlook(condition: Condition, ground: Ground) -> Outlook:
    """What the facts alone say of a condition."""
    tests = [_of_passage(test) for test in passage_tests(condition, ground, names=STANDING)]
    if condition.zone is not None:
        ever_holds = ground.zones[condition.zone].ever_holds_place
        tests.append(lambda case: ever_holds(case[0].camera_id, case[0].site_id))
    if condition.listed is not None:
        tests.append(lambda case: case[1].listed)
    if condition.declared is not None:
        tests.append(lambda case: case[1].declared)
    if condition.lookup is not None:
        source, nothing = condition.lookup.source, None if condition.lookup.field else not condition.lookup.known
        tests.append(lambda case: nothing if source in case[1].unregistered else True)
    if condition.travel is not None and condition.travel.faster_than_kmh is not None:
        kmh = condition.travel.faster_than_kmh
        tests.append(lambda case: kmh <= case[1].peak_kmh)
    span = passed_within(condition)
    if span < inf:
        tests.append(lambda case: case[1].passed_seconds < span + MARGIN_SECONDS)
    tests += [outlook(inside, ground) for inside in condition.all_of or ()]
    if condition.any_of is not None:
        tests.append(either([outlook(inside, ground) for inside in condition.any_of]))
    if condition.negated is not None and _stands(condition.negated):
        tests.append(opposite(outlook(condition.negated, ground)))
    return both(tests) if tests else lambda _: True


def passed_within(condition: Condition) -> float:
    """Within how many seconds before the plate must have passed for these predicates, those inside left out, to be
    true; infinite if it need not have."""
    spans = [each.within for each in (condition.order, condition.dwell, condition.travel) if each]
    seen, convoy = condition.seen, condition.convoy
    if seen is not None and not seen.later and seen.least:
        spans.append(seen.within)
    if convoy is not None and convoy.cameras > 1:
        spans.append(convoy.within)
    return min(spans, default=inf)


def _of_passage(test: Callable[[Passage], Truth]) -> Outlook:
    return lambda case: test(case[0])


def _stands(condition: Condition) -> bool:
    """Whether what the facts say of a condition is the whole answer."""
    inside = {"any_of", "all_of", "negated"}
    return condition.predicates().keys() <= STANDING | inside and all(_stands(each) for each in condition.parts())
