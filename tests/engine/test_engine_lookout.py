"""Files are looked at beside the hub's loop: one that does not even answer a look keeps nothing from being stored."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import pytest
from making_records import make_sighting
from making_rules import rule_text
from structlog.testing import capture_logs
from waiting import until

from anpr.clock import ManualClock
from anpr.config import load_site
from anpr.engine import lookout
from anpr.engine.attendant import Attendant
from anpr.engine.box import open_hub
from anpr.engine.hub import Hub
from anpr.engine.lookout import READING_SECONDS, SILENT_SECONDS, Followed, Lookout, Mark
from anpr.engine.messages import Passage
from anpr.health.service import ServiceManager
from anpr.metrics import Counters

SITE = """
[box]
id = "box"
[site]
id = "site"
[store]
path = "store"
[bus]
endpoint = "tcp://127.0.0.1:*"
[[cameras]]
id = "km25"
url = "rtsp://10.0.0.1/x"
[[lists]]
name = "stolen"
file = "share/stolen.csv"
[rules]
folder = "share/rules"
[[rules.lookups]]
name = "registry"
file = "share/registry.csv"
"""


class Things:
    """Two things, `a` and `b`, whose marks are numbers and whose content is the name with the mark; and their lookout.

    What is in `faults` is raised by the reading, what is in `moves` changes the mark meanwhile.
    """

    def __init__(self) -> None:
        self.marks = {"a": 1, "b": 1}
        self.faults: dict[str, Exception] = {}
        self.moves: dict[str, int] = {}
        self.marks_faults: dict[str, Exception] = {}
        self.blocked: threading.Event | None = None
        self.clock, self.counters = ManualClock(), Counters()
        self.lookout = Lookout(
            {name: Followed(self._mark_of(name), self._read_of(name), handled=_mark(1)) for name in self.marks},
            clock=self.clock,
            counters=self.counters,
            thread_name="looks",
            kind="thing ",
        )

    def _mark_of(self, name: str) -> Callable[[], Mark]:
        def mark() -> Mark:
            assert threading.current_thread() is not threading.main_thread()
            if self.blocked is not None and name == "b":
                assert self.blocked.wait(20.0)
            if name in self.marks_faults:
                raise self.marks_faults[name]
            return _mark(self.marks[name])

        return mark

    def _read_of(self, name: str) -> Callable[[], str]:
        def read() -> str:
            content = f"{name}{self.marks[name]}"
            self.marks |= {name: self.moves.pop(name)} if name in self.moves else {}
            if name in self.faults:
                raise self.faults[name]
            return content

        return read

    def wait_in_vain(self) -> None:
        """Until a look at `b`, which is blocked, is given up."""

        def look() -> None:
            self.clock.advance(1.0)
            assert self.lookout.turn() == ()

        until(lambda: self.lookout.silent, meanwhile=look)

    def answer(self) -> None:
        """Unblock `b`, and wait until it is followed again."""
        assert self.blocked is not None
        self.blocked.set()
        until(lambda: not self.lookout.silent, meanwhile=self.lookout.turn)

    def run(self, looks: int = 1) -> list[object]:
        """What so many looks bring."""
        found: list[object] = []
        for _ in range(looks):
            self.clock.advance(1.0)
            self.lookout.turn()
            until(
                lambda: not self.lookout.busy,
                meanwhile=lambda: found.extend(each.content or each.error for each in self.lookout.turn()),
            )
        return found


def _mark(number: int) -> Mark:
    return number, number, 0, 0


def test_what_changed_is_read_when_it_rests() -> None:
    things = Things()
    assert things.run(3) == []
    for things.marks["a"] in (2, 3, 4):
        assert things.run() == []
    assert things.run(3) == ["a4"]
    things.marks["a"] = 1
    assert things.run(3) == ["a1"], "what was in use before is no longer"


def test_a_hub_for_which_there_is_no_thread_goes_on_and_looks_later(monkeypatch: pytest.MonkeyPatch) -> None:
    things = Things()
    things.run()
    things.marks["a"] = 2

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        things.lookout.ask()
        assert things.run(3) == []
    assert [(each["event"], each["of"]) for each in logs] == [("files_not_looked_at", "looks")]
    assert sorted(map(str, things.run())) == ["a2", "b1"], "that all are to be read anew is not forgotten"


def test_what_changes_while_it_is_read_is_read_again_and_nothing_is_said_of_what_was_read() -> None:
    things = Things()
    things.marks["a"], things.moves["a"], things.faults["a"] = 2, 3, ValueError("half a file")
    assert things.run(2) == []
    things.faults.clear()
    assert things.run(2) == ["a3"]


def test_one_that_cannot_be_read_is_told_once_and_keeps_none_from_being_read() -> None:
    things = Things()
    fault = ValueError("bad")
    things.marks, things.faults["a"] = {"a": 2, "b": 2}, fault
    assert things.run(4) == [fault, "b2"]


def test_asked_for_all_is_read_at_once() -> None:
    things = Things()
    things.lookout.ask()
    assert things.run() == ["a1", "b1"]
    assert things.run() == []


def test_looks_are_apart_in_time() -> None:
    things = Things()
    things.run()
    things.clock.advance(lookout.LOOK_SECONDS * 0.9)
    things.lookout.turn()
    assert not things.lookout.busy
    things.clock.advance(lookout.LOOK_SECONDS * 0.2)
    things.lookout.turn()
    assert things.lookout.busy
    things.lookout.close()


def test_a_look_without_an_answer_is_told_once_and_its_end_too() -> None:
    things = Things()
    things.blocked = threading.Event()
    with capture_logs() as logs:
        things.wait_in_vain()
        assert things.run(int(SILENT_SECONDS) * 2) == []
        assert things.lookout.silent == ("thing b",)
        assert things.counters.counts == {("files_silent", ""): 1}
        assert [thread.name for thread in threading.enumerate()].count("looks") == 1
        things.marks["b"] = 2
        things.answer()
        assert things.run(3) == ["b2"]
    assert things.lookout.silent == ()
    assert [(each["event"], each["of"]) for each in logs] == [("files_silent", "thing b"), ("files_answer", "thing b")]


@pytest.mark.parametrize("asked", [False, True])
def test_while_one_does_not_answer_the_others_are_read(asked: bool) -> None:
    things = Things()
    assert things.run() == []
    things.blocked, things.marks["a"] = threading.Event(), 2
    assert not things.lookout.busy
    if asked:
        things.lookout.ask()
    things.wait_in_vain()
    assert things.run(3) == ["a2"]
    things.marks["a"] = 3
    assert things.run(3) == ["a3"]
    things.answer()
    assert things.run(3) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_a_look_loses_nothing_that_it_had_read() -> None:
    things = Things()
    assert things.run() == []
    things.marks["a"], things.marks_faults["b"] = 2, ValueError("a fault of the program")
    assert things.run(3) == []
    things.marks_faults.clear()
    assert things.run(3) == ["a2"]


def test_all_may_be_silent_and_nobody_looks_again_before_they_answer() -> None:
    blocked = threading.Event()

    def mark() -> Mark:
        assert blocked.wait(20.0)
        return _mark(1)

    clock = ManualClock()
    deaf = Lookout({name: Followed(mark, str) for name in "ab"}, clock=clock, counters=Counters(), thread_name="looks")
    for _ in range(300):
        clock.advance(1.0)
        assert deaf.turn() == ()
        time.sleep(0.0001)
    assert (deaf.silent, deaf.busy) == (("a", "b"), False)
    assert [thread.name for thread in threading.enumerate()].count("looks") == 2
    blocked.set()
    for thread in threading.enumerate():
        if thread.name == "looks":
            thread.join(20.0)
    deaf.turn()
    assert deaf.silent == ()


def test_what_the_file_system_could_not_read_is_read_again_later() -> None:
    things = Things()
    fault = OSError(errno.EIO, "the share was gone for a moment")
    things.marks["a"], things.faults["a"] = 2, fault
    assert things.run(int(3 * lookout.AGAIN_SECONDS)) == [fault], "told once"
    things.faults.clear()
    assert things.run(int(lookout.AGAIN_SECONDS) + 1) == ["a2"]
    assert things.run(int(2 * lookout.AGAIN_SECONDS)) == []


@pytest.mark.parametrize("changed", [False, True])
def test_a_reading_may_take_longer_than_a_look_and_counts_even_if_it_was_given_up(changed: bool) -> None:
    reads, go_on = threading.Event(), threading.Event()
    numbers, read = [2], []

    def slowly() -> int:
        read.append(numbers[0])
        reads.set()
        assert go_on.wait(20.0)
        return read[-1]

    clock = ManualClock()
    slow = Lookout(
        {"a": Followed(lambda: _mark(numbers[0]), slowly)}, clock=clock, counters=Counters(), thread_name="looks"
    )

    def turns(condition: Callable[[], bool]) -> list[object]:
        found: list[object] = []

        def look() -> None:
            clock.advance(0.5)
            found.extend(each.content for each in slow.turn())

        until(condition, meanwhile=look)
        return found

    turns(reads.is_set)
    slow.turn()
    clock.advance(READING_SECONDS - 1.0)
    slow.turn()
    assert slow.silent == ()
    clock.advance(1.0)
    slow.turn()
    assert slow.silent == ("a",)
    numbers[0] += changed
    go_on.set()
    turns(lambda: not slow.silent)
    begun_seconds = clock.monotonic_seconds()
    assert turns(lambda: clock.monotonic_seconds() > begun_seconds + 20.0 and not slow.busy) == [2 + changed]
    assert read == ([2, 3] if changed else [2])


class DeadShare:
    """Keeps whoever asks for the state of a file in a folder waiting, until it is `back`; and it must not be the
    thread of the test, which is the hub's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.back = threading.Event()
        self.waiting: set[str] = set()
        whole = os.stat

        def stat(path: object, *arguments: object, **options: object) -> os.stat_result:
            if str(path).startswith(str(folder)) and not self.back.is_set():
                assert threading.current_thread() is not threading.main_thread(), f"the hub waits for {path}"
                self.waiting.add(threading.current_thread().name)
                assert self.back.wait(60.0)
            return whole(path, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "stat", stat)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    share = tmp_path / "share"
    (share / "rules").mkdir(parents=True)
    (share / "stolen.csv").write_text("plate\n30A12345\n")
    (share / "registry.csv").write_text("plate,fines\n30A12345,2\n")
    (share / "rules/own.toml").write_text(rule_text('{ lookup = { from = "registry", field = "fines", over = 1 } }'))
    (tmp_path / "site.toml").write_text(SITE)
    return tmp_path


def test_a_dead_share_does_not_keep_the_hub_from_storing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = load_site(folder / "site.toml", environment=None)
    clock = ManualClock(wall=1_790_000_000.0)
    with ExitStack() as opened:
        hub = opened.enter_context(
            open_hub(box="b", store=site.store.path, endpoint=None, lists=site.lists, rules_of=site, clock=clock)
        )
        service = ServiceManager(clock=clock)
        attendant = opened.enter_context(closing(Attendant(site, hub, clock=clock, cores=1, service=service)))
        share = DeadShare(folder / "share", monkeypatch)
        opened.callback(share.back.set)
        with capture_logs() as logs:
            for number in range(100):
                hub.take(Passage(make_sighting(id=f"{number:032x}", evidence=()), (), clock.monotonic))
                clock.advance(1.0)
                hub.tick()
                attendant.turn(())
            clock.advance(1.0)
            hub.tick()
        assert hub.store.sighting(f"{99:032x}") is not None
        until(lambda: share.waiting == {"anpr-lists", "anpr-rules", "anpr-rule-data"})
        assert {each["of"] for each in logs if each["event"] == "files_silent"} == {
            "list stolen", "rules", "register registry"
        }  # fmt: skip
        assert hub.totals().total("files_silent") == 3
        assert len(attendant.monitor.report().silent_files) == 3
        problems = attendant.monitor.report().problems
        assert "the file of rules does not answer (a network share?): its changes are not seen" in problems
        share.back.set()
        (folder / "share/stolen.csv").write_text("plate\n30A12345\n51D12345\n")

        def turn() -> None:
            clock.advance(1.0)
            attendant.turn(())

        until(lambda: len(hub.matcher.lists[0].entries) > 1, meanwhile=turn)
        assert not any("does not answer" in each for each in attendant.monitor.report().problems)


def test_a_box_starts_with_its_copies_while_the_share_is_dead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "share/rules").rename(folder / "rules")
    (folder / "site.toml").write_text(SITE.replace("share/rules", "rules"))
    site = load_site(folder / "site.toml", environment=None)
    clock = ManualClock(wall=1_790_000_000.0)

    def opened_box() -> AbstractContextManager[Hub]:
        return open_hub(box="b", store=site.store.path, endpoint=None, lists=site.lists, rules_of=site, clock=clock)

    with opened_box():
        pass
    monkeypatch.setattr("anpr.config.signature.ANSWER_SECONDS", 0.05)
    share = DeadShare(folder / "share", monkeypatch)
    with capture_logs() as logs, opened_box() as hub:
        service = ServiceManager(clock=clock)
        with closing(Attendant(site, hub, clock=clock, cores=1, service=service)) as attendant:
            assert [len(each.entries) for each in hub.matcher.lists] == [1]
            assert {each["event"] for each in logs} >= {"list_stands_in", "rule_data_stands_in"}
            refused = [each for each in attendant.monitor.report().problems if "does not answer" in each]
            assert [each.partition(" ")[0] for each in refused] == ["register", "list"]
            share.back.set()

            def turn() -> None:
                clock.advance(1.0)
                attendant.turn(())

            until(lambda: not attendant.lists.refused and hub.judge and not hub.judge.refused_data, meanwhile=turn)


def test_a_dead_share_does_not_keep_the_box_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    things = Things()
    things.blocked = threading.Event()
    monkeypatch.setattr(lookout, "CLOSE_SECONDS", 0.05)
    things.clock.advance(1.0)
    things.lookout.turn()
    things.lookout.close()
    assert not things.lookout.busy
    assert {each.daemon for each in threading.enumerate() if each.name == "looks"} == {True}
    things.blocked.set()
