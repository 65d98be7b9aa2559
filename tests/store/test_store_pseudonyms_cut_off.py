"""Plates give way to pseudonyms whole or not at all, wherever it is cut off, and beside readers."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pseudonymised import A_DAY, DAYS, KEY, first_day, no_hits, problems, pseudonymise

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.plates.pseudonym import is_pseudonym
from anpr.records import Event, Hit
from anpr.store import Query, Store, checking, partitions
from anpr.store.bundle import verify_bundle, write_bundle
from anpr.store.checking import check
from anpr.store.durable import sync_folder
from anpr.store.holds import Hold, put_hold
from anpr.store.partitions import Partitions
from anpr.store.pseudonymising import Pseudonymising
from anpr.store.replacement import replacement_of
from anpr.store.signing import PUBLIC


class Crash(BaseException):
    """The power goes."""


def crash_at(store: Store, step: int, patch: pytest.MonkeyPatch) -> bool:
    """Whether it came to an end before the power went, at one of the durable steps."""
    left = step

    def step_of(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            result = function(*args, **options)
            left -= 1
            if left < 0:
                raise Crash
            return result

        return call

    with patch.context() as patched:
        patched.setattr(partitions, "sync_folder", step_of(sync_folder))
        patched.setattr(Path, "rename", step_of(Path.rename))
        patched.setattr(Partitions, "forget_rewriting", lambda *_: None)
        try:
            pseudonymise(store)
        except Crash:
            return False
    return True


def test_a_crash_at_any_step_leaves_all_plates_or_none(
    filled: Path, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = False
    outcomes: set[tuple[int, int]] = set()
    step = 0
    while not ended:
        folder = tmp_path / str(step)
        shutil.copytree(filled, folder)
        store = Store.open(folder, clock=clock, box="box-1")
        ended = crash_at(store, step, monkeypatch)
        store.close()
        assert problems(folder, clock) == [], step
        with Store.open(folder, clock=clock, box="box-1") as store:
            for _ in store.finish(choose=no_hits):
                pass
            hidden = sum(is_pseudonym(each.text) for each in store.search(Query(limit=100)).sightings)
            pictures = sum(1 for _ in store.evidence.path.glob("??/*.jpg"))
            outcomes.add((hidden, len(store.purges())))
            assert pictures == DAYS * A_DAY - hidden, step
            assert not list(store.partitions.path.glob(".*")), step
            pseudonymise(store)
            found = store.search(Query(limit=100)).sightings
            assert sum(is_pseudonym(each.text) for each in found) == A_DAY - 1, step
            assert len(store.purges()) == 1, step
        shutil.rmtree(folder)
        step += 1
    assert outcomes == {(0, 0), (A_DAY - 1, 1)}
    assert step > 12


def test_what_could_not_take_its_place_does_so_with_the_next_try(
    filled: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise StoreError("the disk is ill", place="x", cure="y")

    with Store.open(filled, clock=clock, box="box-1") as store:
        with monkeypatch.context() as patched:
            patched.setattr(store.partitions, "_open", fail)
            with pytest.raises(StoreError, match="the disk is ill"):
                pseudonymise(store)
        assert store.sighting("0-3").text == "30A00003"  # type: ignore[union-attr]
        pseudonymise(store)
        assert store.sighting("0-3").text == KEY.of("30A00003")  # type: ignore[union-attr]
        assert len(store.purges()) == 1
        assert store.unfinished
        for _ in store.finish(choose=no_hits):
            pass
        assert not list(store.partitions.path.glob(".*"))
        assert sum(1 for _ in store.evidence.path.glob("??/*.jpg")) == DAYS * A_DAY - (A_DAY - 1)
    assert problems(filled, clock) == []


@pytest.mark.parametrize("cut_off", [False, True])
def test_what_is_held_once_it_was_decided_keeps_its_plate(
    filled: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, cut_off: bool
) -> None:
    """Whoever made the hold was told that it covers the passage."""
    held = set[str]()

    def choose(txn: Any) -> Callable[[Event], bool]:
        return lambda event: isinstance(event.record, Hit) or event.record.id in held

    def work(store: Store) -> None:
        for _ in store.pseudonymise(store.partitions.all[0], choose=choose, reason="test", pseudonyms=KEY):
            pass

    decide = Pseudonymising._decide

    def decide_and_hold(self: Pseudonymising, *arguments: Any) -> Any:
        decided = decide(self, *arguments)
        if not held:
            held.add("0-3")
            hold = Hold(id="H1", at="", user="", reason="court", case="1/26", record="0-3")
            with self._root.writing() as txn:
                put_hold(txn, self._root.holds, hold)
            if cut_off:
                raise Crash
        return decided

    monkeypatch.setattr(Pseudonymising, "_decide", decide_and_hold)
    if cut_off:
        with Store.open(filled, clock=clock, box="box-1") as store, pytest.raises(Crash):
            work(store)
        assert list(filled.glob("days/.ready-*"))
    with Store.open(filled, clock=clock, box="box-1") as store:
        work(store)
        assert store.sighting("0-3").text == "30A00003"  # type: ignore[union-attr]
        assert sum(is_pseudonym(each.text) for each in store.search(Query(limit=100)).sightings) == A_DAY - 2
        assert not list(store.partitions.path.glob(".*"))
    assert problems(filled, clock) == []


def test_a_day_that_is_all_held_once_it_was_decided_is_told_to_have_its_plates(
    filled: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> Any:
        raise Crash

    with Store.open(filled, clock=clock, box="box-1") as store:
        with monkeypatch.context() as patched:
            patched.setattr(store.partitions, "replace", crash)
            with pytest.raises(Crash):
                pseudonymise(store)
        with store.root.writing() as txn:
            put_hold(txn, store.root.holds, Hold(id="H1", at="", user="", reason="court", case="1/26", plate="30A*"))
        all_of_it = store.pseudonymise(
            store.partitions.all[0], choose=lambda txn: lambda event: True, reason="test", pseudonyms=KEY
        )
        assert [each.purge.sightings for each in all_of_it if each.purge is not None] == [0, 0]
        assert not any(is_pseudonym(each.text) for each in store.search(Query(limit=100)).sightings)
    assert problems(filled, clock) == []


def test_a_day_that_is_about_to_be_written_anew_once_more_is_proved(
    filled: Path, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(txn: Any) -> Callable[[Event], bool]:
        return lambda event: isinstance(event.record, Hit) or event.record.id == "0-3"

    def crash(*_: object) -> Any:
        raise Crash

    with Store.open(filled, clock=clock, box="box-1") as store:
        for _ in store.pseudonymise(store.partitions.all[0], choose=some, reason="test", pseudonyms=KEY):
            pass
        monkeypatch.setattr(store.partitions, "replace", crash)
        with pytest.raises(Crash):
            pseudonymise(store)
    with Store.open(filled, clock=clock, read_only=True) as store:
        row, proof = store.evidence_of("0-2")
        replacement = replacement_of(store.root, store.partitions, proof.seq)
        write_bundle(tmp_path / "bundle", row, proof, store.evidence, replacement=replacement)
    assert verify_bundle(tmp_path / "bundle", keys=[filled / PUBLIC]).problems == ()
    assert problems(filled, clock) == []


def test_a_day_that_is_gone_is_not_brought_back(
    filled: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise StoreError("the disk is ill", place="x", cure="y")

    with Store.open(filled, clock=clock, box="box-1") as store:
        with monkeypatch.context() as patched:
            patched.setattr(store.partitions, "replace", fail)
            with pytest.raises(StoreError, match="the disk is ill"):
                pseudonymise(store)
        for _ in store.purge(store.partitions.all[0], choose=no_hits, reason="test"):
            pass
    with Store.open(filled, clock=clock, box="box-1") as store:
        assert [each.first_seq for each in store.partitions.all] == [A_DAY + 2, 2 * (A_DAY + 1) + 1]
        assert not list(store.partitions.path.glob(".ready-*"))
    assert problems(filled, clock) == []


def test_a_disk_that_fails_once_holds_nothing_up(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    """Without a restart: what was done before it failed is known."""
    failed, step = True, 0
    while failed:
        failed, step = False, step + 1
        left = step

        def fail_once(path: Path) -> None:
            nonlocal left, failed
            left -= 1
            if left == 0:
                failed = True
                raise OSError(errno.EIO, "the disk is ill")
            sync_folder(path)

        folder = shutil.copytree(filled, tmp_path / str(step))
        with pytest.MonkeyPatch.context() as patched, Store.open(folder, clock=clock, box="box-1") as store:
            patched.setattr(partitions, "sync_folder", fail_once)
            for _ in range(3):
                with suppress(StoreError):
                    pseudonymise(store)
            for _ in range(3):
                with suppress(StoreError):
                    if store.partitions.all[0].first_seq == 1:
                        for _ in store.purge(store.partitions.all[0], choose=no_hits, reason="test"):
                            pass
                    for _ in store.finish(choose=no_hits):
                        pass
            assert [each.what for each in store.purges()] == ["plates", "partition"], step
            assert store.purge_problems == (), step
            assert not list(store.partitions.path.glob(".*")), step
            assert store.partitions.all[0].first_seq > 1, step
        shutil.rmtree(folder)
    assert step > 8


def test_one_that_was_left_off_leaves_nothing_behind(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        slices = store.pseudonymise(store.partitions.all[0], choose=no_hits, reason="x", pseudonyms=KEY)
        assert any(each.doing == "counting pictures" for each in slices)
        slices.close()  # type: ignore[attr-defined]
        assert not list(store.partitions.path.glob(".*"))
        assert store.purges() == []


def test_a_disk_that_fills_leaves_all_as_it_was(
    filled: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(filled, clock=clock) as store:
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 1 << 10))  # type: ignore[attr-defined]
            with pytest.raises(StoreError, match="no room to write a day anew"):
                pseudonymise(store)
    with Store.open(filled, clock=clock, map_size_bytes=1 << 20) as store:
        monkeypatch.setattr(store.partitions, "_map_size_bytes", 1 << 16)
        with pytest.raises(StoreError):
            pseudonymise(store)
        assert not list(store.partitions.path.glob(".*"))
    assert problems(filled, clock) == []


def test_what_is_held_too_late_outlives_its_day_without_a_proof(filled: Path, clock: ManualClock) -> None:
    def held(txn: Any) -> Callable[[Event], bool]:
        return lambda event: event.record.id == "0-3"

    with Store.open(filled, clock=clock, box="box-1") as store:
        pseudonymise(store)
        for _ in store.purge(store.partitions.all[0], choose=held, reason="30 days"):
            pass
        kept = store.sighting("0-3")
        assert kept is not None
        assert kept.text == KEY.of("30A00003")
        with pytest.raises(StoreError, match="has no pictures"):
            store.evidence_of("0-3")
    assert problems(filled, clock) == []


# Beside readers

READER = """
import sys
from pathlib import Path
from anpr.clock import SystemClock
from anpr.store import Query, Store
with Store.open(Path(sys.argv[1]), clock=SystemClock(), read_only=True) as store:
    for line in sys.stdin:
        found = store.search(Query(plate=line.strip(), limit=100)).sightings
        store.make_columns()
        print(len(found), flush=True)
"""


def test_who_has_the_old_day_open_sees_the_new_one_and_leaves_nothing_of_the_old(
    filled: Path, clock: ManualClock
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", READER, str(filled)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def ask(plate: str) -> int:
            print(plate, file=reader.stdin, flush=True)
            return int(reader.stdout.readline())  # type: ignore[union-attr]

        assert (ask("30A0*"), ask(KEY.of("30A00003"))) == (A_DAY, 0)
        with Store.open(filled, clock=clock, box="box-1") as store:
            pseudonymise(store)
        assert (ask("30A0*"), ask(KEY.of("30A00003")), ask("30A1*")) == (1, 1, A_DAY)
        reader.stdin.close()
        assert reader.wait(20) == 0
    content = b"".join(file.read_bytes() for file in first_day(filled).iterdir())
    assert b"30A00003" not in content
    assert (first_day(filled) / "columns").is_file()


WRITER = """
import sys
from pathlib import Path
from anpr.clock import ManualClock
from anpr.plates.pseudonym import Pseudonyms
from anpr.records import Hit
from anpr.store import Store
with Store.open(Path(sys.argv[1]), clock=ManualClock(wall=float(sys.argv[2])), box="box-1") as store:
    for _ in store.pseudonymise(
        store.partitions.all[0],
        choose=lambda txn: lambda event: isinstance(event.record, Hit),
        reason="test",
        pseudonyms=Pseudonyms(bytes(range(32))),
    ):
        pass
"""


def test_a_check_is_not_disturbed_by_a_box_that_is_at_it(
    filled: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_meanwhile(store: Store, finding: checking.Finding, *, pictures: bool) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        subprocess.run([sys.executable, "-c", WRITER, str(filled), str(clock.wall)], env=environment, check=True)
        check_events(store, finding, pictures=pictures)

    check_events = checking._check_events
    monkeypatch.setattr(checking, "_check_events", check_meanwhile)
    assert problems(filled, clock) == []
    monkeypatch.undo()
    assert first_day(filled).name.endswith(".1")
    assert problems(filled, clock) == []


def test_a_day_without_plates_goes_when_its_time_comes(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock, box="box-1") as store:
        pseudonymise(store)
        kept = store.evidence_of("0-0")
        for _ in store.purge(store.partitions.all[0], choose=no_hits, reason="30 days"):
            pass
        assert store.evidence_of("0-0") == kept
        assert [(each.what, each.kept) for each in store.purges()] == [("plates", 1), ("partition", 2)]
        assert store.sighting("0-3") is None
    finding = check(filled, clock=clock, pictures=True)
    assert finding.problems == []
    assert finding.counters.total("pseudonymised_checked") == 0
