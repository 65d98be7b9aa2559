"""Rules at the hub: the order of arrival does not matter within the lateness, nor does a restart or a kill."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from judging import (
    LATENESS,
    STANDING,
    arrivals_of,
    folder_in_memory,
    in_order,
    judge_of,
    listed_hits,
    play,
    rule_book,
    standing,
)
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.records import Hit, Sighting
from anpr.store import Store

SEEDS = st.integers(0, 2**32)


@settings(deadline=None, max_examples=25)
@given(SEEDS)
@example(1220).via("a passage that waits to be judged moves when it is revised")
@example(676).via("nobody passes for so long that what a waiting passage asks of is forgotten")
def test_any_order_within_the_lateness_gives_the_hits_of_the_order_of_time(seed: int) -> None:
    arrivals = arrivals_of(random.Random(seed))
    with folder_in_memory() as name, Store.open(name, clock=ManualClock()) as store:
        play(store, judge_of(store), arrivals)
        assert standing(store) == in_order(arrivals)


@settings(deadline=None, max_examples=12)
@given(SEEDS, st.integers(1, 60))
def test_a_restart_in_the_middle_changes_nothing(seed: int, after: int) -> None:
    arrivals = arrivals_of(random.Random(seed))
    with folder_in_memory() as name:
        for part in (arrivals[:after], arrivals[after:]):
            with Store.open(name, clock=ManualClock()) as store:
                play(store, judge_of(store), part)
        with Store.open(name, clock=ManualClock()) as store:
            assert standing(store) == in_order(arrivals)


def test_the_cases_above_have_hits_of_every_rule_and_every_kind_of_change() -> None:
    rules: set[str] = set()
    states: set[str] = set()
    again = late = 0
    for seed in range(16):
        arrivals = arrivals_of(random.Random(seed))
        with folder_in_memory() as name, Store.open(name, clock=ManualClock()) as store:
            judge = judge_of(store)
            play(store, judge, arrivals)
            hits = [event.record for event in store.events(limit=100_000) if isinstance(event.record, Hit)]
        rules |= {hit.rule for hit in hits if hit.rule}
        states |= {hit.state for hit in hits if hit.rule}
        again += judge.counters.total("passages_judged_again")
        late += judge.counters.total("passages_late")
    assert rules == {each.rule.name for each in rule_book().rules if not each.rule.dry_run}
    assert states == {"preview", "final", "withdrawn"}
    assert again > 50
    assert late == 0


def test_a_killed_box_goes_on_as_if_it_had_lived(tmp_path: Path) -> None:
    """kill -9 at a moving moment; what was not committed comes again, as from a recording."""
    arrivals = arrivals_of(random.Random(7), vehicles=60)
    program = Path(__file__).with_name("killed_judge.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for life in range(6):
        player = subprocess.Popen(
            [sys.executable, program, tmp_path, "7", "60"], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert player.stdout is not None
        for _ in range(3 + 5 * life):
            player.stdout.readline()
        player.send_signal(signal.SIGKILL)
        player.wait()
        player.stdout.close()
    with Store.open(tmp_path, clock=ManualClock()) as store:
        known = {sighting_id for sighting_id in {each.id for each in arrivals} if store.sighting(sighting_id)}
        assert 0 < len(known) < len({each.id for each in arrivals})
        play(store, judge_of(store), arrivals)
        assert standing(store) == in_order(arrivals)


def passage(number: int, seconds: float, **changes: object) -> Sighting:
    return make_sighting(id=f"{number:032x}", seen_seconds=STANDING + seconds, **changes)


def told(store: Store, rule: str) -> list[tuple[str, int]]:
    return [
        (event.record.state, event.record.revision)
        for event in store.events(limit=1000)
        if isinstance(event.record, Hit) and event.record.rule == rule
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path, clock=ManualClock())


def test_a_hit_on_a_preview_is_revised_and_withdrawn_under_one_id(store: Store) -> None:
    before = passage(1, 0.0, camera_id="b")
    seen = passage(2, 60.0, state="preview", revision=0)
    final = msgspec.structs.replace(seen, state="final", revision=1)
    other = msgspec.structs.replace(seen, state="final", revision=2, text="51F67890")
    with store:
        play(store, judge_of(store), [before, seen, final, other])
        assert told(store, "seen-before") == [("preview", 0), ("final", 1), ("withdrawn", 2)]
        assert len({hit.id for hit in store.hits_of(seen.id) if hit.rule == "seen-before"}) == 1


def test_a_late_passage_raises_hits_on_the_passages_after_it_and_takes_others_back(store: Store) -> None:
    first, second = passage(1, 0.0, camera_id="b"), passage(2, 10.0, camera_id="c")
    third = passage(3, 20.0, camera_id="a")
    with store:
        judge = judge_of(store)
        play(store, judge, [first, third])
        assert told(store, "seen-before") == [("final", 1)]
        play(store, judge, [second])
        assert told(store, "seen-before") == [("final", 1), ("final", 1), ("withdrawn", 2)]  # the cooldown of 15 s
        assert judge.counters.counts["passages_judged_again", ""] == 1


@pytest.mark.parametrize(("rule", "hits"), [("seen-before", 1), ("seen-in-time", 0)])
def test_what_is_too_late_is_counted_and_judged_by_the_rules_own_policy(store: Store, rule: str, hits: int) -> None:
    with store:
        judge = judge_of(store)
        play(store, judge, [passage(1, 0.0, camera_id="b"), passage(2, 400.0, text="51F67890")])
        play(store, judge, [passage(3, 400.0 - LATENESS - 1.0)])
        assert judge.counters.total("passages_late") == 1
        assert len(told(store, rule)) == hits


def test_a_revision_that_was_judged_is_not_judged_again(store: Store) -> None:
    made = [passage(1, 0.0, camera_id="b"), passage(2, 5.0)]
    with store:
        judge = judge_of(store)
        play(store, judge, made)
        assert judge.judge(made[1], ()) == ()
        assert judge.history.passages == 2


def test_a_dry_run_is_counted_and_told_to_nobody(store: Store) -> None:
    with store:
        judge = judge_of(store)
        play(store, judge, [passage(1, 0.0, camera_id="b"), passage(2, 5.0)])
        assert judge.counters.counts["rules_would_hit", "dry"] == 1
        assert told(store, "dry") == []


def test_hits_of_a_withdrawn_passage_are_withdrawn_those_of_waiting_rules_too(store: Store) -> None:
    seen = passage(1, 0.0, camera_id="gate", direction="approaching")
    with store:
        judge = judge_of(store)
        play(store, judge, [seen, passage(2, 5000.0, text="51F67890")])
        assert told(store, "not-left") == [("final", 1)]
        play(store, judge, [msgspec.structs.replace(seen, state="withdrawn", revision=2)])
        assert told(store, "not-left") == [("final", 1), ("withdrawn", 2)]
        assert not judge.history.raised("not-left", seen.text, 0.0, 1e12)


def test_a_rule_that_raises_an_error_silences_itself_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store:
        judge = judge_of(store)
        broken = next(each for each in judge.book.rules if each.rule.name == "seen-before")

        def fail(*_: object) -> bool:
            raise ZeroDivisionError("division by zero")

        monkeypatch.setattr(type(broken), "holds", _failing_for(broken, fail, type(broken).holds))
        play(store, judge, [passage(1, 0.0, camera_id="b"), passage(2, 5.0)])
        assert told(store, "seen-before") == []
        assert told(store, "seen-in-time") == [("final", 1)]
        assert judge.totals().counts["rules_failed", "seen-before"] == 1  # not asked of the first passage
        assert judge.book.failing == {"seen-before": "ZeroDivisionError: division by zero"}


def _failing_for(broken: object, fail: object, real: object) -> object:
    def holds(self: object, judgement: object) -> object:
        return fail() if self is broken else real(self, judgement)  # type: ignore[operator]

    return holds


def test_list_hits_are_counted_by_the_list(store: Store) -> None:
    def marked(sightings: Sequence[Sighting]) -> list[tuple[Hit, ...]]:
        return [listed_hits(sighting) for sighting in sightings]

    made = [passage(number, number * 10.0, text=f"29A0000{number}") for number in range(5)]
    assert all(marked(made))
    with store:
        judge = judge_of(store)
        play(store, judge, made)
        assert judge.history.list_hits("stolen", STANDING, STANDING + 30.0) == 4
        play(store, judge, [msgspec.structs.replace(made[1], text="51F67890", revision=2)])
        assert judge.history.list_hits("stolen", STANDING, STANDING + 30.0) == 3
