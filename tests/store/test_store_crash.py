"""A page that kills who reads it does so once: the next start names the day, and what cures it."""

from __future__ import annotations

import faulthandler
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from damaging import PAGE_BYTES, days_of, wipe

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Store
from anpr.store.aside import set_aside
from anpr.store.checking import check
from anpr.store.crash import MOST_SECONDS, NOTE, look_after_crash, noting_crash

BOX = Path(__file__).with_name("killed_reader.py")
ROW = b"reader 89abcdef"
"""In the log of events only: LMDB comes to its last page after others."""


def start(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(BOX), str(folder)], capture_output=True, text=True, check=False)


def test_it_dies_once_and_then_says_which_day_and_what_cures_it(folder: Path, clock: ManualClock) -> None:
    assert start(folder).stdout == "read\n"
    day = days_of(folder)[1]
    wipe(day, ROW)
    assert start(folder).returncode == -signal.SIGABRT
    assert "Aborted" in (folder / NOTE).read_text()
    for _ in range(2):
        again = start(folder)
        assert again.returncode == 1
        assert f"{day / 'data.mdb'}: is damaged" in again.stderr
        assert "anpr store set-aside" in again.stderr
    (told,) = set_aside(folder, reason="the disk failed", case="17/2026", clock=clock)
    assert told.day == day.name
    healed = start(folder)
    assert healed.stdout.endswith("read\n")
    assert "store_looked_through" in healed.stdout
    assert (folder / NOTE).read_bytes() == b""
    assert start(folder).stdout == "read\n"


def test_a_check_does_not_die_of_it(folder: Path, clock: ManualClock) -> None:
    wipe(days_of(folder)[1], ROW)
    command = [sys.executable, "-m", "anpr", "store", "check", "--store", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"✖ {days_of(folder)[1] / 'data.mdb'}: " in done.stdout


def test_what_a_running_box_takes_away_meanwhile_is_not_missed(
    folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = days_of(folder)[0]

    def damage(looked: Path) -> str:
        if looked != day:
            return ""
        day.rename(day.with_name(f".gone-{day.name}"))
        return "No such file or directory"

    monkeypatch.setattr("anpr.store.wholeness.damage_of", damage)
    assert not [each for each in check(folder, clock=clock).problems if "No such file" in each]


def test_of_the_file_of_no_day_only_a_backup_cures(folder: Path, clock: ManualClock) -> None:
    (folder / NOTE).write_text("Fatal Python error: Aborted\n")
    data = folder / "data.mdb"
    data.write_bytes(data.read_bytes()[: 2 * PAGE_BYTES])
    with pytest.raises(StoreError, match="restore the last backup") as told:
        Store.open(folder, clock=clock)
    assert "set-aside" not in str(told.value)


def test_after_a_death_far_from_the_store_nothing_is_looked_through(folder: Path, clock: ManualClock) -> None:
    (folder / NOTE).write_text(
        "Fatal Python error: Aborted\n\nCurrent thread 0x7 (most recent call first):\n"
        '  File "/opt/anpr/lib/python3.11/site-packages/anpr/engine/attendant.py", line 90 in turn\n'
    )
    with structlog.testing.capture_logs() as logs:
        look_after_crash(folder, clock=clock)
    assert [(each["event"], each["files"]) for each in logs] == [("store_crashed", 0)]
    assert (folder / NOTE).read_bytes() == b""


def test_a_start_looks_no_longer_than_it_may_and_the_next_goes_on(
    folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / NOTE).write_text("Fatal Python error: Bus error\n\nCurrent thread 0x7 (most recent call first):\n")
    looked: list[str] = []

    def slow(path: Path) -> str:
        looked.append(path.name)
        clock.advance(0.6 * MOST_SECONDS)
        return ""

    monkeypatch.setattr("anpr.store.crash.damage_of", slow)
    with structlog.testing.capture_logs() as logs:
        look_after_crash(folder, clock=clock)
    assert looked == [folder.name, days_of(folder)[0].name]
    assert [each["event"] for each in logs] == ["store_crashed", "store_looked_through"]
    assert (logs[0]["said"], logs[1]["left"]) == ("Fatal Python error: Bus error", 2)
    look_after_crash(folder, clock=clock)
    assert looked[2:] == [each.name for each in days_of(folder)[1:]]
    assert (folder / NOTE).read_bytes() == b""
    look_after_crash(folder, clock=clock)
    assert len(looked) == 4


def test_a_store_that_is_not_there_yet_and_a_disk_that_is_full_stop_nobody(
    tmp_path: Path, own_fault_handler: None
) -> None:
    with noting_crash(tmp_path / "new" / "store"):
        assert faulthandler.is_enabled()
    assert (tmp_path / "new" / "store" / NOTE).read_bytes() == b""
    (tmp_path / "file").write_bytes(b"")
    with structlog.testing.capture_logs() as logs, noting_crash(tmp_path / "file" / "store"):
        pass
    assert [each["event"] for each in logs] == ["crash_not_noted"]


@pytest.fixture
def own_fault_handler() -> Iterator[None]:
    """pytest's own is put back, as far as stderr goes."""
    was = faulthandler.is_enabled()
    yield
    if was:
        faulthandler.enable()
