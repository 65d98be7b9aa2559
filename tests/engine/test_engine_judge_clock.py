"""Rules at a hub whose clock was wrong for a while: what lies ahead of the clock is told, and changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from judging import (
    CAMERAS,
    LATENESS,
    PLATES,
    STANDING,
    folder_in_memory,
    follow_clock,
    in_order,
    judge_of,
    listed_hits,
    play,
    rule_book,
    standing,
    timed_arrivals_of,
)
from making_records import make_sighting
from structlog.testing import capture_logs

from anpr.clock import ManualClock
from anpr.engine.hub import Hub
from anpr.engine.judge import Judge
from anpr.engine.messages import Passage
from anpr.errors import StoreError
from anpr.records import Hit, Sighting
from anpr.rules.book import RuleBook
from anpr.store import Store
from anpr.watch.matcher import Matcher

SEEDS = st.integers(0, 2**32)
HOUR, YEAR = 3600.0, 365 * 86_400.0
SHORT = LATENESS + 60.0
"""A leap that the traffic catches up with."""
LEAPS = st.sampled_from([SHORT, 2 * HOUR, YEAR])


class Coming(NamedTuple):
    """A sighting as it comes."""

    seconds: float
    """Since STANDING, truly."""
    error_seconds: float
    """Of the box's clock."""
    sighting: Sighting


def set_clock(clock: ManualClock, seconds: float, error_seconds: float = 0.0) -> None:
    clock.monotonic, clock.wall = seconds, STANDING + seconds + error_seconds


def play_by(clock: ManualClock, store: Store, judge: Judge, arrivals: Sequence[Coming]) -> None:
    before_seconds, before_error_seconds = arrivals[0][:2]
    for seconds, error_seconds, sighting in arrivals:
        if error_seconds != before_error_seconds:  # the clock was set right after the one before
            set_clock(clock, before_seconds, error_seconds)
            follow_clock(judge)
        before_seconds, before_error_seconds = seconds, error_seconds
        set_clock(clock, seconds, error_seconds)
        play(store, judge, [sighting])


def passage(number: int, seconds: float, **changes: object) -> Sighting:
    known = {"id": f"{number:032x}", "seen_seconds": STANDING + seconds, "probability": 0.98, "unreadable": ""}
    return make_sighting(**{**known, **changes})


def wrongly_dated(rng: random.Random, seconds: float, error_seconds: float) -> list[Coming]:
    """Vehicles that pass while the clock is wrong; those of which a revision comes after it was set right, too."""
    made = []
    for _ in range(rng.randint(1, 12)):
        seen_seconds = STANDING + seconds + error_seconds + rng.uniform(-20.0, 0.0)
        identity, text, camera_id = f"{rng.getrandbits(128):032x}", rng.choice(PLATES), rng.choice(CAMERAS)
        sighting = passage(
            0, 0.0, id=identity, text=text, camera_id=camera_id, seen_seconds=seen_seconds, state="preview", revision=0
        )
        made.append(Coming(seconds, error_seconds, sighting))
        if rng.random() < 0.5:
            final = msgspec.structs.replace(sighting, state=rng.choice(["final", "withdrawn"]), revision=1)
            made.append(Coming(seconds, rng.choice([0.0, error_seconds]), final))
    return sorted(made, key=lambda each: each.error_seconds == 0.0)


def of(store: Store, sightings: Sequence[Sighting]) -> dict[str, Hit]:
    """What stands of these sightings."""
    known = {sighting.id for sighting in sightings}
    return {hit.id: hit for hit in standing(store).values() if hit.sighting_id in known}


@settings(deadline=None, max_examples=20)
@given(SEEDS, LEAPS, st.integers(0, 99), st.integers(0, 99))
@example(3, YEAR, 20, 20)
def test_a_clock_that_was_ahead_changes_nothing_of_what_passes_right(
    seed: int, leap_seconds: float, leaps_at: int, restarts_at: int
) -> None:
    rng = random.Random(seed)
    right = [Coming(seconds, 0.0, sighting) for seconds, sighting in timed_arrivals_of(rng)]
    leaps_at %= len(right)
    wrong = wrongly_dated(rng, right[leaps_at - 1].seconds if leaps_at else 0.0, leap_seconds)
    arrivals = [*right[:leaps_at], *wrong, *right[leaps_at:]]
    restarts_at %= len(arrivals)
    if leap_seconds == SHORT:
        restarts_at = 0  # a box that starts when their time has come takes them for what has passed
    clock = ManualClock()
    with folder_in_memory() as name:
        for part in (arrivals[:restarts_at], arrivals[restarts_at:]):
            with Store.open(name, clock=ManualClock()) as store:
                if part:
                    set_clock(clock, part[0].seconds, part[0].error_seconds)
                    play_by(clock, store, judge_of(store, clock), part)
        sightings = [coming.sighting for coming in right]
        with Store.open(name, clock=ManualClock()) as store:
            assert of(store, sightings) == in_order(sightings)
            assert all(store.sighting(coming.sighting.id) for coming in wrong)


@settings(deadline=None, max_examples=12)
@given(SEEDS, st.sampled_from([2 * HOUR, YEAR, STANDING - 1000.0]), st.integers(0, 99), st.booleans())
def test_a_clock_that_was_behind_changes_nothing_of_what_passes_right(
    seed: int, behind_seconds: float, sets_at: int, restarts: bool
) -> None:
    """1970 too, on a box that knew better before it was started."""
    rng = random.Random(seed)
    right = [Coming(seconds, 0.0, sighting) for seconds, sighting in timed_arrivals_of(rng)]
    sets_at %= len(right)
    wrong = wrongly_dated(rng, right[sets_at].seconds, -behind_seconds)
    clock = ManualClock()
    sightings = [coming.sighting for coming in right]
    with folder_in_memory() as name:
        with Store.open(name, clock=ManualClock()) as store:
            set_clock(clock, 0.0)
            judge = judge_of(store, clock)
            if sets_at:
                play_by(clock, store, judge, right[:sets_at])
            if not restarts:
                play_by(clock, store, judge, [*wrong, *right[sets_at:]])
                assert of(store, sightings) == in_order(sightings)
                return
        set_clock(clock, right[sets_at].seconds, -behind_seconds)
        with Store.open(name, clock=ManualClock()) as store:
            play_by(clock, store, judge_of(store, clock), [*wrong, *right[sets_at:]])
            assert of(store, sightings) == in_order(sightings)


@pytest.fixture
def store() -> Iterator[Store]:
    with folder_in_memory() as name, Store.open(name, clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    set_clock(clock, 0.0)
    return clock


def rules_of(store: Store, sighting: Sighting) -> set[str]:
    return {hit.rule for hit in store.hits_of(sighting.id) if hit.rule and hit.state != "withdrawn"}


def ahead(number: int = 90) -> Coming:
    return Coming(5.0, YEAR, passage(number, YEAR + 5.0, text="51F67890", camera_id="a"))


def test_nothing_is_late_and_rules_that_skip_the_late_speak_after_the_clock_was_set_back(
    store: Store, clock: ManualClock
) -> None:
    first, second = passage(1, 0.0, camera_id="b"), passage(2, 10.0, camera_id="c")
    judge = judge_of(store, clock)
    with capture_logs() as logs:
        play_by(clock, store, judge, [Coming(0.0, 0.0, first), ahead(), Coming(10.0, 0.0, second)])
    assert judge.counters.total("passages_late") == 0
    assert judge.counters.total("passages_ahead") == 1
    assert rules_of(store, second) >= {"seen-before", "seen-in-time"}
    told = [log for log in logs if log["event"] == "passages_ahead"]
    assert [(log["log_level"], log["ahead_seconds"]) for log in told] == [("warning", round(YEAR))]
    assert judge.history.passages == 2
    assert judge.health.memory_seconds == 10.0


def test_the_memory_is_whole_after_a_restart_with_passages_ahead(store: Store, clock: ManualClock) -> None:
    known = [Coming(float(number), 0.0, passage(number, float(number))) for number in range(5)]
    play_by(clock, store, judge_of(store, clock), [*known, ahead()])
    set_clock(clock, 10.0)
    again = judge_of(store, clock)
    assert again.history.passages == 5
    assert again.history.newest_seconds == STANDING + 4.0
    set_clock(clock, YEAR + 10.0)
    assert (
        judge_of(store, clock).history.newest_seconds == STANDING + YEAR + 5.0
    )  # has it passed, it is one like others


def test_a_revision_of_a_passage_ahead_is_judged_and_not_remembered(store: Store, clock: ManualClock) -> None:
    seen = passage(90, YEAR + 5.0, text="29A00001", camera_id="a", state="preview", revision=0)
    final = msgspec.structs.replace(seen, state="final", revision=1)
    gone = msgspec.structs.replace(seen, state="withdrawn", revision=2)
    judge = judge_of(store, clock)
    play_by(clock, store, judge, [Coming(5.0, YEAR, seen), Coming(6.0, 0.0, final)])
    assert rules_of(store, seen) == {"stolen"}
    assert judge.history.passages == 0
    play_by(clock, store, judge, [Coming(7.0, 0.0, gone)])
    assert rules_of(store, seen) == set()
    assert not judge.history.list_hits("stolen", 0.0, 2 * STANDING)
    assert judge.counters.total("passages_ahead") == 3  # remembered once, and two revisions


def test_a_rule_that_waits_is_due_by_the_clock_where_nobody_passes(store: Store, clock: ManualClock) -> None:
    seen = passage(1, 0.0, camera_id="gate")
    judge = judge_of(store, clock)
    play(store, judge, [seen])
    for seconds, due in ((179.0, False), (181.0, True)):  # two minutes, and twice the lateness
        set_clock(clock, seconds)
        assert not judge.clock_was_set
        assert judge.is_due == due
    store.append([], judge.judge_due())
    assert rules_of(store, seen) == {"not-left"}
    assert not judge.is_due


def test_without_a_clock_only_passages_tell_the_time(store: Store) -> None:
    judge = judge_of(store)
    play(store, judge, [passage(1, 0.0, camera_id="gate"), ahead().sighting, passage(2, 10.0)])
    assert not judge.clock_was_set
    assert judge.counters.counts["passages_late", ""] == 1
    assert judge.history.newest_seconds == STANDING + YEAR + 5.0


def test_a_hit_that_a_clock_ahead_called_forth_is_withdrawn(store: Store, clock: ManualClock) -> None:
    seen, left = passage(1, 0.0, camera_id="gate"), passage(2, 60.0, camera_id="a")
    end = passage(3, 400.0, text="51F67890", camera_id="b")
    judge = judge_of(store, clock)
    play(store, judge, [seen])
    set_clock(clock, 1.0, HOUR)
    assert not judge.clock_was_set
    store.append([], judge.judge_due())
    assert rules_of(store, seen) == {"not-left"}
    play_by(clock, store, judge, [Coming(60.0, 0.0, left), Coming(400.0, 0.0, end)])
    assert rules_of(store, seen) == set()


def test_other_rules_take_over_only_when_the_clock_was_followed(store: Store, clock: ManualClock) -> None:
    """The memory that they have read then is that of the present."""
    few = RuleBook([each for each in rule_book().rules if each.rule.name == "again-here"])
    judge = Judge(few, store, lateness_seconds=LATENESS, clock=clock)
    known = [Coming(float(number), 0.0, passage(number, float(number))) for number in range(5)]
    play_by(clock, store, judge, [*known, ahead()])
    before = judge.take_over(RuleBook(rule_book().rules))
    next(before)
    set_clock(clock, 10.0)
    assert judge.clock_was_set
    following = judge.follow_clock()
    next(following)
    for _ in range(3):
        next(before)
    assert judge.book is few
    for _ in following:
        next(before)
    for _ in before:
        pass
    assert len(judge.book) == len(rule_book())
    assert (judge.history.passages, judge.history.newest_seconds) == (5, STANDING + 4.0)
    assert not judge.clock_was_set


# In the hub


def hub_of(store: Store, clock: ManualClock) -> Hub:
    return Hub(store, Matcher([]), None, clock=clock, judge=judge_of(store, clock))


def test_the_hub_follows_the_clock_before_it_has_anything_judged(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = passage(1, 0.0, camera_id="b"), passage(2, 10.0, camera_id="c")
    hub = hub_of(store, clock)
    assert hub.judge is not None
    hub.take(Passage(first, (), 0.0))
    hub.finish()
    set_clock(clock, 5.0, YEAR)
    hub.take(Passage(ahead().sighting, (), 0.0))
    hub.tick()
    set_clock(clock, 10.0)
    hub.take(Passage(second, (), 0.0))

    def fail(**_: object) -> None:
        raise StoreError("the disk hangs", place="store")

    with monkeypatch.context() as patched:
        patched.setattr(store, "passages", fail)
        hub.tick()
        assert hub.failing
        assert hub.backlog == 1  # it waits; what was judged before is committed
    set_clock(clock, 12.0)
    hub.tick()
    hub.finish()
    assert rules_of(store, second) >= {"seen-before", "seen-in-time"}
    assert hub.totals().total("passages_ahead") == 1


def test_the_hub_has_rules_that_wait_judge_by_the_clock(store: Store, clock: ManualClock) -> None:
    seen = passage(1, 0.0, camera_id="gate")
    hub = hub_of(store, clock)
    hub.take(Passage(seen, (), 0.0))
    hub.tick()
    set_clock(clock, 181.0)
    hub.tick()
    hub.finish()
    assert rules_of(store, seen) == {"not-left"}


@pytest.mark.parametrize("last", ["ahead", "right", "behind"])
def test_what_was_left_open_is_settled_whatever_the_clock_showed(store: Store, clock: ManualClock, last: str) -> None:
    """A passage two years ahead lies in the store, one is left open at a wrong or at the right time."""
    store.append([passage(9, 2 * YEAR)], [])
    seconds = {"ahead": YEAR, "right": 0.0, "behind": 1000.0 - STANDING}[last]
    left = passage(1, seconds, state="preview", revision=0)
    store.append([left, passage(2, seconds + 100.0)], [])
    set_clock(clock, 200.0)
    hub = hub_of(store, clock)
    hub.recover()
    hub.finish()
    known = store.sighting(left.id)
    assert known is not None
    assert known.state == "final"
    assert hub.counters.total("passages_settled_after_a_death") == 1
    assert not listed_hits(left)
