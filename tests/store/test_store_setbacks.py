"""What cannot be done is told, passed over, and tried again later: all else goes in its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keeping import NO_RESERVE, Box, policy

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Store
from anpr.store.keeper import Keeper
from anpr.store.partition import Partition
from anpr.store.retention import DAY_SECONDS, Retention
from anpr.store.setbacks import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Setbacks

DAYS = 4


@pytest.fixture
def box(memory: Path, clock: ManualClock) -> Iterator[Box]:
    """Some days, whose pictures are all due."""
    rules = policy(retention=Retention(passages_days=30, passage_pictures_days=2), disk=NO_RESERVE)
    with Box(memory / "store", clock, rules) as box:
        for _ in range(DAYS):
            box.see()
            box.keeper.note()
            clock.advance(DAY_SECONDS)
        clock.advance(2 * DAY_SECONDS)
        yield box


def bad_days(patch: pytest.MonkeyPatch, *days: int) -> list[int]:
    """Have these days fail when their pictures are to go; the days that it was tried with."""
    tried: list[int] = []
    thin = Store.thin

    def failing(self: Store, partition: Partition, **options: Any) -> Any:
        day = self.partitions.all.index(partition)
        tried.append(day)
        for step in thin(self, partition, **options):
            if day in days:
                raise StoreError("a stored record is damaged", place=str(partition.path), cure="restore it")
            yield step

    patch.setattr(Store, "thin", failing)
    return tried


def turn(box: Box, seconds: int) -> None:
    for _ in range(seconds):
        box.clock.advance(1.0)
        box.keeper.turn(1.0)


def test_a_day_that_fails_is_passed_over_and_tried_again_with_pauses(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        tried = bad_days(patched, 0, 2)
        turn(box, 200)
        assert box.pictured() == ["v1", "v3"]
        problems = list(box.keeper.problems())
        for problem, day in zip(problems, (0, 2), strict=True):
            assert f"pictures of {box.store.partitions.all[day].name}" in problem
            assert "a stored record is damaged" in problem
        before = len(tried)
        turn(box, 3600)
        assert 2 * 3600 / LONGEST_PAUSE_SECONDS - 2 <= len(tried) - before < 2 * 3600 / LONGEST_PAUSE_SECONDS + 8
        assert set(tried[before:]) == {0, 2}
    turn(box, int(LONGEST_PAUSE_SECONDS))
    assert box.pictured() == []
    assert list(box.keeper.problems()) == []


def test_what_is_no_more_due_is_no_more_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_days(monkeypatch, 0)
    box.live(0.02)
    assert box.keeper.failed
    box.keeper.policy = policy(retention=Retention(), disk=NO_RESERVE)
    box.live(0.02)
    assert not box.keeper.failed


def test_done_at_once_it_goes_on_after_each_failure_and_tells_all(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Keeper) -> None:
        raise StoreError("its folder cannot be read", place="damaged", cure="chown it")

    tried = bad_days(monkeypatch, 0, 2)
    monkeypatch.setattr(Keeper, "_aside_job", fail)
    keeper = Keeper(box.store, box.rules, clock=box.clock, synchronised=lambda: True)
    assert [(each.what, each.first_seq) for each in keeper.run()] == [("pictures", 2), ("pictures", 4)]
    assert box.pictured() == ["v1", "v3"]
    assert tried == [0, 1, 2, 3]
    problems = list(keeper.problems())
    assert [sum(part in each for each in problems) for part in ("folder cannot be read", "record is damaged")] == [1, 2]
    assert keeper.failed


def test_pauses_grow_until_it_is_done(clock: ManualClock) -> None:
    setbacks = Setbacks(clock=clock)
    for pause in (FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS):
        setbacks.note("a", "it is ill")
        clock.advance(pause - 1.0)
        assert setbacks.wait("a")
        clock.advance(1.0)
        assert not setbacks.wait("a")
        assert list(setbacks) == [("a", "it is ill")]
    for _ in range(20):
        setbacks.note("a", "it is ill")
    clock.advance(LONGEST_PAUSE_SECONDS)
    assert not setbacks.wait("a")
    setbacks.note("b", "it is dead", for_good=True)
    clock.advance(1e9)
    assert setbacks.wait("b")
    setbacks.forget("a")
    setbacks.note("a", "again")
    clock.advance(FIRST_PAUSE_SECONDS)
    assert not setbacks.wait("a")
    setbacks.forget_others(["b"])
    assert [name for name, _ in setbacks] == ["b"]
