"""A rule that is not asked would not have been true."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making_rules import rule_text, sighting

from anpr.records import Sighting
from anpr.rules.book import RuleBook
from anpr.rules.history import HotHistory
from anpr.rules.judgement import Judgement
from anpr.rules.memory import MemoryHistory
from anpr.rules.outlook import EVERYTHING, Facts

CONDITIONS = (
    '{ seen = { within = "1h" } }',
    '{ not = { seen = { within = "1h" } } }',
    '{ seen = { within = "1h", at_most_times = 1 } }',
    '{ kind = "car", any = [{ travel = { within = "30m", faster_than_kmh = 90 } }, { colour = "yellow" }] }',
    '{ any = [{ listed = {} }, { not = { colour = "white" } }] }',
    '{ all = [{ any = [{ dwell = { within = "2h", longer_than = "10m" } }, { vehicle_class = "truck" }] }] }',
    '{ not = { any = [{ colour = "yellow" }, { lookup = { from = "registry", known = true } }] } }',
    '{ convoy = { plates = 2, gap = "20m", cameras = 2, within = "2h" } }',
    '{ camera = "km3", not = { declared = { valid = true } } }',
)
PASSAGES = st.lists(
    st.builds(
        lambda minute, plate, camera, colour: (minute, plate, camera, colour),
        st.integers(0, 59),
        st.sampled_from(["98C-012.34", "30A-123.45", "30A-123.46"]),
        st.sampled_from(["km3", "km25", "km60"]),
        st.sampled_from(["white", "yellow", "unknown"]),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PASSAGES)
def test_what_is_not_asked_is_not_true(book: Callable[..., RuleBook], made: list[tuple[int, str, str, str]]) -> None:
    rules = book("\n".join(rule_text(when, name=f"rule-{at}") for at, when in enumerate(CONDITIONS)))
    history, hot = MemoryHistory(), HotHistory(keep_seconds=86_400.0)
    for number, (minute, plate, camera, colour) in enumerate(made):
        passage = sighting(
            plate, f"2026-05-20T10:{minute:02}:00", id=str(number), camera=camera, colour=colour, probability=0.99
        )
        history.add(passage)
        hot.add(passage)
        assert raised(rules, passage, history) == raised(rules, passage, hot) == true(rules, passage, history)


def raised(rules: RuleBook, passage: Sighting, history: MemoryHistory | HotHistory) -> set[str]:
    """What is raised by the rules that are asked."""
    return {each.hit.rule for each in rules.evaluate(passage, history=history)}


def true(rules: RuleBook, passage: Sighting, history: MemoryHistory) -> set[str]:
    """The rules that are true, all of them asked."""
    judgement = Judgement(passage, history=history, hits=(), known_seconds=passage.seen_seconds)
    return {each.rule.name for each in rules.rules if each.holds(judgement) is True}


def test_facts_leave_out_what_they_rule_out(book: Callable[..., RuleBook]) -> None:
    lookup = '{ lookup = { from = "registry", field = "fine", is = "yes" } }'
    rules = book("\n".join(rule_text(when, name=f"rule-{at}") for at, when in enumerate((*CONDITIONS, lookup))))
    nothing = Facts(listed=False, declared=False, passed_seconds=7201.0, peak_kmh=0.0, unregistered=("registry",))
    passage = sighting(camera="km25")

    def asked(facts: Facts) -> list[bool | None]:
        return [each.concerns(passage, facts) for each in rules.rules]

    assert asked(EVERYTHING) == [True, True, True, True, True, True, True, True, False, True]
    assert asked(nothing) == [False, True, True, False, False, None, True, False, False, None]
