"""Stories of a box: vehicles, hits, holds, restarts, wrong clocks. What must stay stays, and in the end all goes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from keeping import QUICK, Box, policy

from anpr.clock import ManualClock
from anpr.store.checking import check
from anpr.store.holds import Hold, drop_hold, put_hold
from anpr.store.retention import DAY_SECONDS

STEPS = 24


@dataclass
class Seen:
    """A vehicle, and what the story knows of it."""

    name: str
    true_seconds: float
    hit: bool
    held: str = ""
    may_be_gone: bool = False
    """It was old enough, and not held, at some time."""


class Story:
    """A box and the true time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = ManualClock(wall=1_800_000_000.0 + self.chance.choice((0.0, 0.0, -30 * 365 * DAY_SECONDS)))
        self.box = Box(folder, self.clock, policy())
        self.true_seconds = 1_800_000_000.0
        self.seen: list[Seen] = []
        self.holds = 0
        self.box.right = self.clock.wall == self.true_seconds

    def step(self) -> None:
        what = self.chance.choice(
            ("see", "see", "see", "hold", "release", "live", "live", "set_clock", "restart", "put_right")
        )
        getattr(self, what)()
        self.judge()

    def see(self) -> None:
        hit = self.chance.random() < 0.3
        self.seen.append(Seen(self.box.see(hit=hit).id, self.true_seconds, hit))

    def hold(self) -> None:
        free = [each for each in self.seen if not each.held and self.box.store.sighting(each.name) is not None]
        if free:
            self.holds += 1
            each = self.chance.choice(free)
            each.held = f"H{self.holds}"
            made = Hold(id=each.held, at="", user="", reason="r", case="c", record=each.name)
            with self.box.store.root.writing() as txn:
                put_hold(txn, self.box.store.root.holds, made)

    def release(self) -> None:
        held = [each for each in self.seen if each.held]
        if held:
            each = self.chance.choice(held)
            with self.box.store.root.writing() as txn:
                drop_hold(txn, self.box.store.root.holds, each.held)
            each.held = ""

    def live(self, days: float | None = None) -> None:
        days = self.chance.uniform(0.1, 3.0) if days is None else days
        before = self.clock.monotonic
        self.box.live(days)
        self.true_seconds += self.clock.monotonic - before

    def set_clock(self) -> None:
        self.clock.wall += self.chance.choice((-400.0, -2.0, -0.5, 0.5, 2.0, 40.0, 400.0)) * DAY_SECONDS
        self.box.right = False

    def put_right(self) -> None:
        self.clock.wall = self.true_seconds
        self.box.right = True

    def restart(self) -> None:
        off_seconds = self.chance.choice((10.0, 3600.0, 5 * DAY_SECONDS))
        self.box.stop()
        self.true_seconds += off_seconds
        self.clock.wall += self.chance.choice((0.0, off_seconds))
        self.clock.monotonic = 0.0
        self.box.right = False
        self.box.start()

    def judge(self) -> None:
        """What must be there is there, with its picture."""
        there = set(self.box.pictured())
        for each in self.seen:
            age_days = (self.true_seconds - each.true_seconds) / DAY_SECONDS
            days = QUICK.hits_days if each.hit else QUICK.passages_days
            if not each.held and age_days >= days:
                each.may_be_gone = True
            assert each.name in there or each.may_be_gone, (each, age_days)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_what_must_stay_stays_and_all_goes_in_the_end(tmp_path: Path, seed: int) -> None:
    story = Story(tmp_path / "store", seed)
    with story.box:
        for _ in range(STEPS):
            story.step()
        while any(each.held for each in story.seen):
            story.release()
        story.put_right()
        story.box.work()
        story.live(QUICK.hits_days + 2.5)
        story.judge()
        assert story.box.ids() == set()
        assert story.box.pictures() == 0
    assert check(story.box.folder, clock=story.clock).problems == []
