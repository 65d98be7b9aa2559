"""Rules that change while the box runs: taken whole, with all that is remembered; a bad file changes nothing."""

from __future__ import annotations

import errno
import random
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import CAMERAS, LATENESS, STANDING, arrivals_of, listed_hits, play, standing
from making_records import make_sighting
from structlog.testing import capture_logs
from waiting import until

from anpr.clock import ManualClock
from anpr.config.ruling import Rules
from anpr.engine.judge import Judge
from anpr.engine.lookout import AGAIN_SECONDS
from anpr.engine.rule_keeper import THREAD_NAME, RuleKeeper
from anpr.errors import StoreError
from anpr.metrics import Counters
from anpr.records import Sighting
from anpr.rules.book import RuleBook
from anpr.rules.load import load_rules
from anpr.rules.lookups import Lookups
from anpr.rules.places import Place, Places
from anpr.store import Store

HEAD = 'vi = "v"\nen = "e"\nmessage = { vi = "{plate}", en = "{plate}" }\n'
SEEN = 'when = { seen = { within = "10m", other_camera = true } }'
SHORT = {"flood": 'when = { listed = {}, list_hits = { within = "1m", more_than = 1 } }\ncooldown = "20s"'}
LONG = {
    "flood": 'when = { listed = {}, list_hits = { within = "2m", more_than = 0 } }\ncooldown = "15s"',
    "seen-before": f'cooldown = "15s"\n{SEEN}',
    "again-here": 'cooldown = "1m"\ncooldown_per = "camera"\nwhen = { seen = { within = "5m", times = 2 } }',
    "way": 'when = { order = { within = "10m", cameras = ["a", "b", "c"] } }',
    "not-left": 'wait = "2m"\ncooldown = "3m"\n'
    'when = { camera = "gate", not = { seen = { within = "2m", camera = "a", later = true } } }',
    "unread": 'when = { unread_before = { within = "5m", from_kmh = 20, to_kmh = 150 } }',
}
OTHER_WAIT = LONG | {"not-left": LONG["not-left"].replace('wait = "2m"', 'wait = "3m"')}


def text_of(rules: dict[str, str], severity: str = "CHECK") -> str:
    each = (f'[[rules]]\nname = "{name}"\nseverity = "{severity}"\n{HEAD}{body}\n' for name, body in rules.items())
    return "\n".join(each)


PLACES = Places.of(
    Place(camera_id=camera, site_id="north", road="CT.07", km=float(km)) for km, camera in enumerate(CAMERAS)
)


def read(path: Path) -> RuleBook:
    return load_rules([path]).book(places=PLACES, registers=Lookups(ManualClock()))


@cache
def book_of(name: str) -> RuleBook:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.toml"
        file.write_text(text_of({"short": SHORT, "long": LONG, "other wait": OTHER_WAIT}[name]), encoding="utf-8")
        return read(file)


def fresh(name: str) -> RuleBook:
    return RuleBook(book_of(name).rules)


@contextmanager
def store() -> Iterator[Store]:
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="rules", dir=where) as name:
        with Store.open(name, clock=ManualClock()) as opened:
            yield opened


def in_small_blocks(opened: Store) -> AbstractContextManager[object]:
    """The store gives five passages at once."""
    whole = opened.passages

    def passages(*, from_seconds: float) -> Iterator[Any]:
        for block in whole(from_seconds=from_seconds):
            for begin in range(0, max(1, len(block.rows)), 5):
                yield block._replace(rows=block.rows[begin : begin + 5])

    return mock.patch.object(opened, "passages", passages)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 2**32),
    st.integers(5, 60),
    st.sampled_from([("short", "long"), ("long", "short"), ("long", "other wait"), ("short", "short")]),
)
def test_to_take_over_is_as_good_as_a_restart(seed: int, after: int, names: tuple[str, str]) -> None:
    """And meanwhile passages may come, be revised and be withdrawn."""
    before, then = names
    arrivals = arrivals_of(random.Random(seed), vehicles=40)
    with store() as opened, in_small_blocks(opened):
        judge = Judge(fresh(before), opened, lateness_seconds=LATENESS)
        play(opened, judge, arrivals[:after])
        taken_at = after
        for _ in judge.take_over(fresh(then)):
            play(opened, judge, arrivals[taken_at : taken_at + 1])
            taken_at += 1
        assert judge.book.versions == book_of(then).versions
        play(opened, judge, arrivals[taken_at:])
        went_on = standing(opened)
        assert judge.history.counters.counts == {}
    with store() as opened:
        play(opened, Judge(fresh(before), opened, lateness_seconds=LATENESS), arrivals[:taken_at])
        play(opened, Judge(fresh(then), opened, lateness_seconds=LATENESS), arrivals[taken_at:])
        assert went_on == standing(opened)


def test_the_memory_is_read_in_blocks_where_the_new_rules_look_further_back() -> None:
    arrivals = arrivals_of(random.Random(3), vehicles=60)
    with store() as opened, in_small_blocks(opened):
        judge = Judge(fresh("short"), opened, lateness_seconds=LATENESS)
        play(opened, judge, arrivals[:40])
        known = judge.history.passages
        steps = sum(1 for _ in judge.take_over(fresh("long")))
        assert steps > 2
        assert judge.history.passages >= known
        assert sum(1 for _ in judge.take_over(fresh("short"))) == 0, "the longer memory serves the shorter look"


def test_what_comes_late_while_the_memory_is_read_is_not_forgotten() -> None:
    def passage(number: int, **changes: Any) -> Sighting:
        told = {"text": f"30A{10000 + number}", "camera_id": "a", "probability": 0.98, "revision": 0} | changes
        return make_sighting(id=f"{number:032x}", **({"seen_seconds": STANDING + 10.0 * number} | told))

    with store() as opened, in_small_blocks(opened):
        judge = Judge(fresh("short"), opened, lateness_seconds=LATENESS)
        play(opened, judge, map(passage, range(30)))
        meanwhile = [
            passage(100, seen_seconds=STANDING + 11.0),
            passage(3, revision=1, text="51F67890"),
            passage(4, revision=1, state="withdrawn"),
            passage(101, seen_seconds=STANDING + 270.0),
        ]
        for _ in judge.take_over(fresh("long")):
            play(opened, judge, meanwhile[:1])
            del meanwhile[:1]
        assert not meanwhile
        again = Judge(fresh("long"), opened, lateness_seconds=LATENESS)
        known, expected = (
            sorted((past.id, past.text, past.seen_seconds) for past in each.history.since(STANDING))
            for each in (judge, again)
        )
        assert known == expected
        assert len(known) == 31


def test_a_store_that_fails_leaves_the_old_rules() -> None:
    arrivals = arrivals_of(random.Random(4))
    with store() as opened:
        judge = Judge(fresh("short"), opened, lateness_seconds=LATENESS)
        play(opened, judge, arrivals[:30])
        book, history = judge.book, judge.history
        with mock.patch.object(opened, "hits_since", side_effect=StoreError("no")), pytest.raises(StoreError):
            list(judge.take_over(fresh("long")))
        assert judge.book is book
        play(opened, judge, arrivals[30:])
        assert history.counters.counts == {}


class FakeHub:
    """What a keeper asks of a hub; what is judged is committed at once."""

    def __init__(self, store: Store, judge: Judge) -> None:
        self.store = store
        self.judge: Judge | None = judge
        self.counters = Counters()
        self.fails = 0

    def commit(self) -> None:
        if self.fails:
            self.fails -= 1
            raise StoreError("the disk is full", place="store")


class Box:
    """A keeper of a folder of rules, and its clock."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.file = folder / "rules" / "own.toml"
        self.file.parent.mkdir()
        self.write({"seen": f'cooldown = "1h"\n{SEEN}'})
        self.judge = Judge(
            read(self.file.parent), store, lateness_seconds=LATENESS, reload=lambda: read(self.file.parent)
        )
        self.hub = FakeHub(store, self.judge)
        self.clock = ManualClock()
        rules = Rules.model_validate({"folder": str(self.file.parent)})
        self.keeper = RuleKeeper(rules, self.hub, clock=self.clock)
        self.seconds = STANDING
        self.logs: list[dict[str, object]] = []
        self.run()

    def write(self, rules: dict[str, str], severity: str = "CHECK") -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text_of(rules, severity), encoding="utf-8")
        fresh.replace(self.file)

    def run(self, looks: int = 4) -> None:
        with capture_logs() as logs:
            for _ in range(looks):
                self.clock.advance(1.0)
                self.keeper.turn()
                until(lambda: not self.keeper.busy, meanwhile=self.turn)
        self.logs = list(logs)  # type: ignore[arg-type]

    def turn(self) -> None:
        self.clock.advance(0.01)
        self.keeper.turn()

    def events(self) -> list[object]:
        return [each["event"] for each in self.logs]

    def passes(self, plate: str, camera: str) -> list[str]:
        """The severities of what the rules raise."""
        self.seconds += 20.0
        number = round(self.seconds)
        sighting: Sighting = make_sighting(
            id=f"{number:032x}", text=plate, camera_id=camera, seen_seconds=self.seconds, probability=0.98
        )
        hits = self.judge.judge(sighting, listed_hits(sighting))
        self.hub.store.append([sighting], hits)
        return [hit.severity for hit in hits]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with store() as opened:
        yield Box(tmp_path, opened)


def test_unchanged_rules_are_read_once_and_said_nothing_of(box: Box) -> None:
    book = box.judge.book
    box.run()
    assert box.judge.book is book
    assert box.events() == []
    assert not box.hub.counters.counts


def test_changed_rules_judge_the_next_passage_and_know_those_before(box: Box) -> None:
    assert box.passes("30A12345", "a") == []
    box.write({"seen": f'cooldown = "1h"\n{SEEN}'}, severity="INFO")
    box.run()
    assert box.events() == ["rules_reloaded"]
    assert (box.logs[0]["rules"], box.logs[0]["difference"]) == (1, "+0 −0 ~1")
    assert box.hub.counters.counts == {("rules_reloaded", ""): 1}
    assert box.passes("30A12345", "b") == ["INFO"], "the passage before the change is remembered"


def test_a_cooldown_goes_on(box: Box) -> None:
    box.passes("30A12345", "a")
    assert box.passes("30A12345", "b") == ["CHECK"]
    box.write({"seen": f'cooldown = "2h"\n{SEEN}'}, severity="INFO")
    box.run()
    assert box.passes("30A12345", "c") == []
    assert box.judge.totals().counts["rules_cooling", "seen"] == 1


def test_a_longer_cooldown_holds_for_what_was_raised_before(box: Box) -> None:
    box.write({"seen": f'cooldown = "1m"\n{SEEN}'})
    box.run()
    box.passes("30A12345", "a")
    assert box.passes("30A12345", "b") == ["CHECK"]
    box.judge.history.raised_marks.keep_seconds = 60.0  # what a box has that began with this rule
    box.seconds += 1800.0
    for camera in ("a", "b", "a", "b"):
        box.passes("51F67890", camera)
    box.write({"seen": f'cooldown = "2h"\n{SEEN}'})
    box.run()
    box.passes("30A12345", "a")
    assert box.passes("30A12345", "b") == []


def test_a_cooldown_of_another_kind_holds_for_what_was_raised_before(box: Box) -> None:
    box.passes("30A12345", "a")
    assert box.passes("30A12345", "b") == ["CHECK"]
    box.write({"seen": f'cooldown = "1h"\ncooldown_per = "camera"\n{SEEN}'})
    box.run()
    box.passes("51F67890", "a")
    assert box.passes("51F67890", "b") == []
    assert box.passes("51F67890", "c") == ["CHECK"]


def test_a_rule_that_looks_further_back_sees_what_the_old_rules_had_forgotten(box: Box) -> None:
    box.passes("30A12345", "a")
    box.seconds += 3 * 3600.0
    assert box.passes("30A12345", "b") == []
    box.write({"seen": SEEN.replace("10m", "6h").replace("true", "true, times = 2")})
    box.run()
    assert box.passes("30A12345", "c") == ["CHECK"]


def test_added_and_removed_rules(box: Box) -> None:
    box.write({"here": 'when = { camera = "gate" }'})
    box.run()
    assert box.logs[0]["difference"] == "+1 −1 ~0"
    assert box.passes("30A12345", "gate") == ["CHECK"]
    assert box.passes("30A12345", "b") == []


@pytest.mark.parametrize("bad", ["[[rules]]\nname = 7\n", "not toml", "", '[[rules]]\nname = "30A12345"\n'])
def test_a_bad_file_leaves_the_old_rules_and_is_told_until_it_is_corrected(box: Box, bad: str) -> None:
    box.file.write_text(bad)
    box.run()
    assert box.events() == ["rules_refused"]
    assert "own.toml" in str(box.logs[0]["problem"])
    assert box.judge.health.refused
    assert box.hub.counters.counts == {("rules_refused", "file"): 1}
    box.passes("30A12345", "a")
    assert box.passes("30A12345", "b") == ["CHECK"]
    box.run()
    assert box.events() == [], "told once"
    box.write({"seen": f'cooldown = "1h"\n{SEEN}'})
    box.run()
    assert box.events() == ["rules_reloaded"]
    assert box.judge.health.refused == ""


def test_a_folder_that_is_gone_leaves_the_old_rules(box: Box) -> None:
    box.file.unlink()
    box.run()
    assert box.events() == ["rules_refused"]
    assert len(box.judge.book) == 1
    box.file.parent.rmdir()
    box.run()
    assert len(box.judge.book) == 1


def test_a_fault_of_the_program_leaves_the_old_rules(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> RuleBook:
        raise RuntimeError("30A12345")

    monkeypatch.setitem(globals(), "read", fail)
    box.keeper.lookout.ask()
    box.run()
    assert box.events() == ["rules_refused"]
    assert box.hub.counters.counts == {("rules_refused", "failure"): 1}
    assert box.judge.health.refused == "a fault of the program: RuntimeError"


def test_files_are_read_only_when_they_are_at_rest(box: Box) -> None:
    for number in range(3):
        with box.file.open("a") as file:
            file.write(f"# {number}\n[[rul")
        box.run(1)
        assert box.events() == []


def test_while_the_store_refuses_the_old_rules_judge(box: Box) -> None:
    box.hub.fails = 2
    box.write({"here": 'when = { camera = "gate" }'})
    box.run()
    assert box.events() == ["rules_wait", "rules_wait", "rules_reloaded"]
    assert box.judge.book.versions.keys() == {"here"}


def test_good_files_that_could_not_be_read_for_a_moment_are_taken(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    box.write({"here": 'when = { camera = "gate" }'})
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", fail)
        box.run()
    assert "Input/output error" in box.judge.refused
    box.run(int(AGAIN_SECONDS) + 1)
    assert (box.events(), box.judge.refused) == (["rules_reloaded"], "")


def test_asked_for_they_are_read_at_once(box: Box) -> None:
    box.keeper.lookout.ask()
    box.keeper.turn()
    assert box.keeper.busy
    box.run(1)
    assert box.events() == ["rules_reloaded"]
    assert box.logs[0]["difference"] == "+0 −0 ~0"


def test_a_site_without_rules_has_nothing_to_follow(tmp_path: Path) -> None:
    with store() as opened:
        hub = FakeHub(opened, Judge(fresh("short"), opened, lateness_seconds=LATENESS))
        hub.judge = None
        keeper = RuleKeeper(None, hub, clock=ManualClock())
        keeper.lookout.ask()
        keeper.turn()
        assert not keeper.busy
        keeper.lookout.close()
    assert THREAD_NAME == "anpr-rules"
