"""How full a disk is, and the reserve that keeps commits going."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_disks import needs_root, told_by

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.metrics import Counters
from anpr.store.disk import HYSTERESIS_PERCENT, LEVELS, LOOK_SECONDS, DiskWatch, Level
from anpr.store.retention import MIB, Watermarks

NO_RESERVE = Watermarks(reserve_mib=0)


class Disk:
    """A disk of 1000 blocks of 1 MiB that says what it is told to say."""

    def __init__(self) -> None:
        self.used = 0
        self.used_inodes = 0

    def statvfs(self, _path: Path) -> os.statvfs_result:
        free = 1000 - self.used
        return os.statvfs_result(
            (MIB, MIB, 1000, free, free, 1000, 1000 - self.used_inodes, 1000 - self.used_inodes, 0, 255)
        )


def watch_of(disk: Disk, path: Path, marks: Watermarks = NO_RESERVE) -> DiskWatch:
    return DiskWatch(path, marks, clock=ManualClock(), counters=Counters(), statvfs=disk.statvfs)


@pytest.mark.parametrize(
    ("used", "level"),
    [(0, "ok"), (849, "ok"), (850, "early"), (919, "early"), (920, "sparing"), (970, "reserve"), (1000, "reserve")],
)
def test_each_level_begins_at_its_mark(used: int, level: Level, tmp_path: Path) -> None:
    disk = Disk()
    watch = watch_of(disk, tmp_path)
    disk.used = used
    assert watch.look() == (level != "ok")
    assert watch.level == level
    assert watch.use.percent == used / 10
    assert [each for each in LEVELS if watch.is_at_least(each)] == list(LEVELS[: LEVELS.index(level) + 1])


def test_a_level_ends_some_way_below_its_mark_and_each_change_is_counted(tmp_path: Path) -> None:
    disk = Disk()
    watch = watch_of(disk, tmp_path)
    seen: list[Level] = []
    for used in (860, 845, 829, 925, 905, 899, 980, 955, 949, 100):
        disk.used = used
        watch.look()
        seen.append(watch.level)
    assert seen == ["early", "early", "ok", "sparing", "sparing", "early", "reserve", "reserve", "sparing", "ok"]
    counters = watch._counters.counts
    assert {reason: counters["disk_levels", reason] for reason in LEVELS} == {
        "ok": 2,
        "early": 2,
        "sparing": 2,
        "reserve": 1,
    }


@given(st.lists(st.integers(0, 1000), max_size=30))
def test_the_level_is_never_below_its_mark_and_never_far_above_it(story: list[int]) -> None:
    disk = Disk()
    watch = watch_of(disk, Path("/nowhere"))
    marks = (0.0, NO_RESERVE.early_percent, NO_RESERVE.sparing_percent, NO_RESERVE.reserve_percent)
    for used in story:
        disk.used = used
        watch.look()
        reached = sum(used / 10 >= mark for mark in marks) - 1
        with_slack = sum(used / 10 >= mark - HYSTERESIS_PERCENT for mark in marks) - 1
        assert reached <= LEVELS.index(watch.level) <= with_slack


def test_files_run_out_as_bytes_do(tmp_path: Path) -> None:
    disk = Disk()
    watch = watch_of(disk, tmp_path)
    disk.used, disk.used_inodes = 100, 930
    watch.look()
    assert (watch.level, watch.use.scarce, watch.use.percent) == ("sparing", "inodes", 93.0)


def test_it_looks_once_a_second(tmp_path: Path) -> None:
    disk, clock = Disk(), ManualClock()
    watch = DiskWatch(tmp_path, NO_RESERVE, clock=clock, counters=Counters(), statvfs=disk.statvfs)
    assert not watch.turn()
    disk.used = 999
    assert not watch.turn()
    assert watch.level == "ok"
    clock.advance(LOOK_SECONDS)
    assert watch.turn()


def test_the_reserve_is_really_allocated_given_up_and_made_again(tmp_path: Path) -> None:
    disk = Disk()
    watch = watch_of(disk, tmp_path, Watermarks(reserve_mib=2))
    assert not watch.reserve_held
    watch.look()
    assert watch.reserve_held
    assert watch.reserve.stat().st_blocks * 512 >= 2 * MIB
    disk.used = 975
    watch.look()
    assert not watch.reserve.exists()
    assert not watch.reserve_held
    assert watch.hits_keep_pictures
    disk.used = 999
    watch.look()
    assert watch.hits_keep_pictures is False
    disk.used = 960
    watch.look()
    assert not watch.reserve.exists()  # the level has not ended yet
    disk.used = 900
    watch.look()
    assert watch.reserve_held
    assert watch._counters.counts["disk_reserves_released", ""] == 1


def test_a_small_disk_is_not_spent_on_the_reserve(tmp_path: Path) -> None:
    watch = watch_of(Disk(), tmp_path, Watermarks(reserve_mib=400))
    watch.look()
    assert watch.reserve_held
    assert watch.reserve.stat().st_size == 50 * MIB
    assert watch.level == "ok"


def test_a_reserve_that_was_given_up_still_counts_as_used(tmp_path: Path) -> None:
    disk = Disk()
    watch = watch_of(disk, tmp_path, Watermarks(reserve_mib=20))
    disk.used = 940  # and 20 MiB of the reserve are lacking
    watch.look()
    assert watch.use.percent == 96.0
    assert watch.reserve_held
    disk.used = 940
    watch.look()
    assert watch.use.percent == 94.0


def test_without_room_there_is_no_reserve_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    watch = watch_of(Disk(), tmp_path, Watermarks(reserve_mib=2))
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    watch.look()
    assert not watch.reserve_held
    assert not watch.reserve.exists()
    assert watch._counters.counts["disk_reserves_failed", ""] == 1
    monkeypatch.undo()
    watch.look()
    assert watch.reserve_held


def test_a_disk_that_cannot_be_asked_is_an_error_of_the_store(tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path / "gone", NO_RESERVE, clock=ManualClock(), counters=Counters())
    with pytest.raises(StoreError, match="No such file"):
        watch.look()


@needs_root
def test_on_a_really_full_disk_old_days_go_and_make_room(tmp_path: Path) -> None:
    told = told_by(Path(__file__).with_name("full_disk_purge.py"), tmp_path)
    assert told["refused"]  # a commit, by a disk without one free block
    assert "reserve" in told["levels"]
    assert told["level"] == "ok"
    assert 0 < told["pictures"] < told["before"]
    assert told["pictured_hits"] == told["hits"] == 16
    assert told["reasons"] == ["disk"]
    assert told["failures"] == 0
    assert told["reserve_held"]
    assert told["stores_again"]
    assert told["problems"] == []
