"""`anpr store set-aside` is killed, or the power cut, after any of its steps, and hubs are killed before, between and
after (S7, S10): no number is given twice, and nothing is lost but the damaged days, which can be put back.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.fault_matrix.damage_rows import FINDINGS_EXIT, cut_off, overwrite_heads, require_sound
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.records import LOG_TABLE, event_files, read_table
from scripts.fault_matrix.rig import START_SECONDS, Rig
from scripts.fault_matrix.rolling_rows import DAY_SECONDS
from scripts.fault_matrix.stepping import calls_of, stopped_after
from scripts.fault_matrix.storage_rows import (
    FAST,
    INPUT_OUTPUT_EXIT,
    LONGEST_LIFE_SECONDS,
    SHORTEST_LIFE_SECONDS,
    STARTED_SECONDS,
    volume_of,
)

DAYS = 2
"""That pass before one of them, or both, are damaged."""
DAY_BEGINS_SECONDS = 5.0
MOST_CUTS = 3
"""Of one and the same damage."""
LEAST_STEPS = 20
_WHY = ("--reason", "a rehearsal", "--case", "faults")


class _Aside:
    """What a row has damaged and had set aside, by its own ledger."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.numbers = set[int]()
        """Of the events in all damaged days."""
        self.copies = rig.folder / "copies"
        """Of the days before they were damaged."""
        self.copies.mkdir()
        self.damaged: dict[str, str] = {}
        """The SHA-256 of the present damaged files, by their days' names."""

    def damage(self, chance: random.Random) -> None:
        """One of the two newest days, or both."""
        self.damaged.clear()
        newest = event_files(self.rig.store)[-DAYS:]
        for path in chance.choice((newest, newest[:1], newest[1:])):
            shutil.copytree(path.parent, self.copies / path.parent.name, ignore=shutil.ignore_patterns("lock.mdb"))
            self.numbers |= {int.from_bytes(key, "big") for key in read_table(path.parent, LOG_TABLE)}
            chance.choice((cut_off, overwrite_heads))(path, chance)
            self.damaged[path.parent.name] = _sha256(path)
        os.sync()

    def require_moved(self) -> None:
        """The damaged files lie where the verb has put them, as they were."""
        for name, digest in self.damaged.items():
            aside = self.rig.store / "damaged" / name / "data.mdb"
            whole = aside.is_file() and _sha256(aside) == digest
            self.rig.require(whole, "the damaged file, as it was, in damaged/", name)
            self.rig.require(not (self.rig.store / "days" / name).exists(), "the damaged day to be none", name)

    def require_told(self, verb: str) -> None:
        """What the verb's JSON says of numbers that were not acknowledged is what the centre's ledger says, or more:
        the box may not have heard of the last acknowledgements."""
        acknowledged = self.rig.acknowledged()
        for day in json.loads(verb or "[]"):
            lacking = [seq for seq in self.numbers - acknowledged if day["first_seq"] <= seq <= day["last_seq"]]
            told = day["undelivered"].get("ioc", 0)
            self.rig.require(told >= len(lacking), "all told that was not acknowledged", f"{told} of {len(lacking)}")

    def put_back(self) -> None:
        """All that was damaged, from the copies."""
        for copy in self.copies.iterdir():
            shutil.copytree(copy, self.rig.store / "days" / copy.name)


def cut_setting_aside(rig: Rig, cut: Callable[[], None]) -> None:
    """Days are damaged, set aside and damaged again; `cut` is done while the verb stands still after a step."""
    chance, aside, clock_days = random.Random(rig.times), _Aside(rig), 0
    verb = [sys.executable, "-m", "anpr", "store", "set-aside", *_WHY, "--json", "--store", str(rig.store)]
    calls, steps = list[str](), iter(range(0))
    rounds = refused = lived = 0
    rig.start(rate=FAST)
    while rig.outcome.times < rig.times:
        for _ in range(DAYS):
            clock_days += 1
            _begin_day(rig, clock_days)
        rig.kill()
        rounds += 1
        newest = max(entry["seq"] for entry in rig.told())
        aside.damage(chance)
        for _ in range(min(chance.randint(1, MOST_CUTS), rig.times - rig.outcome.times) if calls else 0):
            with stopped_after(verb, calls, next(steps)) as stopped:
                if stopped:
                    cut()
            _after_cut(rig)
            rig.outcome.times += stopped
            if _try_hub(rig):
                lived += 1
                break
            refused += 1
        done, made = calls_of(verb)
        if len(made) > len(calls):
            calls, steps = made, _rounds(len(made), chance)
        ended = done.returncode in (0, FINDINGS_EXIT)
        rig.require(ended, "the days set aside at last", f"{done.returncode}: {done.stderr[-300:]}")
        aside.require_moved()
        aside.require_told(done.stdout)
        if rig.outcome.problems:
            return
        rig.require_kept(set_aside=aside.numbers)
        began = time.monotonic()
        rig.recovered_in(rig.start(rate=FAST))
        first = min(entry["seq"] for entry in rig.told(since=began))
        rig.require(first > newest, "numbers that were never given", f"{first} after {newest}")
        time.sleep(chance.uniform(SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS))
        rig.kill()
        rig.require_kept(set_aside=aside.numbers)
        rig.recovered_in(rig.start(rate=FAST))
        if rig.outcome.problems:
            return
    rig.require_within(rig.outcome.recovered_s, STARTED_SECONDS, "a hub to tell something after its start")
    rig.require(len(calls) >= LEAST_STEPS, "many steps", len(calls))
    rig.close_books(set_aside=aside.numbers)
    require_sound(rig, "--pictures")
    rig.outcome.notes |= {"damaged": rounds, "steps": len(calls), "refused": refused, "lived_on": lived}
    rig.outcome.notes["set_aside"] = len(aside.numbers)
    aside.put_back()
    rig.require_kept()
    rig.start(rate=FAST)
    rig.stop()
    rig.require_kept()


def cut_power(rig: Rig) -> None:
    """Nothing more reaches the device from one moment to the next."""
    cut_setting_aside(rig, volume_of(rig).cut_power)


def _after_cut(rig: Rig) -> None:
    if rig.volume is not None:
        rig.volume.turn_on()


def _rounds(count: int, chance: random.Random) -> Iterator[int]:
    """All steps in an order of chance, again and again."""
    while True:
        yield from chance.sample(range(count), count)


def _begin_day(rig: Rig, number: int) -> None:
    """Have the box live on the next day, until something of it is stored."""
    before = len(event_files(rig.store))
    rig.set_clock(number * DAY_SECONDS)
    begun = rig.until(lambda: len(event_files(rig.store)) > before, DAY_BEGINS_SECONDS)
    since = time.monotonic()
    if begun is None or rig.until(lambda: rig.told(since=since), DAY_BEGINS_SECONDS) is None:
        raise RuntimeError(f"no new day begins: {rig.last_words()}")


def _try_hub(rig: Rig) -> bool:
    """Start a hub on what a cut has left: whether it lives, until it is killed; it may refuse in one line."""
    began = rig.begin(rate=FAST)
    rig.until(lambda: rig.told(since=began) or not rig.lives(), START_SECONDS)
    lives = rig.lives()
    rig.kill()
    if not lives:
        rig.require(rig.exit_code == INPUT_OUTPUT_EXIT, f"exit code {INPUT_OUTPUT_EXIT}", rig.exit_code)
        rig.require(str(rig.store) in rig.last_words(), "a line that names the place", rig.last_words())
    return lives


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_MUST = (
    "a hub refuses a damaged day with exit code 74; asked for again, the verb comes to its end; no number is given"
    " twice, no event of another day is lost, consumers go on; with copies of the days put back, nothing at all is lost"
)

ROWS = (
    Fault(
        name="set-aside-killed", code="S7", run_rig=lambda rig: cut_setting_aside(rig, lambda: None),
        needs=("strace",), quick=True, times=50,
        does="`anpr store set-aside` is killed with -9 after any of its writes; hubs are killed before, between, after",
        must=_MUST,
    ),
    Fault(
        name="power-cut-set-aside", code="S10", run_rig=cut_power, needs=("strace", "volume"), volume_mib=384,
        times=40, does="the power of the store's disk is cut after any of its writes", must=_MUST,
    ),
)  # fmt: skip
