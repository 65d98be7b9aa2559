"""A disk that fills and a quota that is used up cost what is old, and nothing that somebody waits for."""

from __future__ import annotations

import os
from pathlib import Path

from keeping import Box, policy

from anpr.clock import ManualClock
from anpr.metrics import Counters
from anpr.store.checking import check
from anpr.store.disk import DiskWatch
from anpr.store.retention import MIB, Quota, Retention, Watermarks


class Filling:
    """A disk that is as full as it is told to be, less what the store has deleted."""

    def __init__(self, box: Box, used: int) -> None:
        self.box = box
        self.used = used

    def statvfs(self, _: Path) -> os.statvfs_result:
        used = self.used + 10 * self.box.pictures() + 10 * len(self.box.store.partitions.all)
        free = 1000 - used
        return os.statvfs_result((MIB, MIB, 1000, free, free, 0, 0, 0, 0, 255))

    def watch(self) -> None:
        self.box.keeper.disk = DiskWatch(
            self.box.folder,
            self.box.rules.disk,
            clock=self.box.clock,
            counters=self.box.store.counters,
            statvfs=self.statvfs,
        )


def test_a_filling_disk_costs_the_oldest_pictures_first_and_then_whole_days(tmp_path: Path, clock: ManualClock) -> None:
    retention = Retention(passages_days=30, passage_pictures_days=30)
    with Box(tmp_path / "store", clock, policy(retention=retention)) as box:
        for _ in range(6):
            box.see()
            box.see(hit=True)
            box.live(1.0)
        assert box.pictures() == 12
        disk = Filling(box, used=855 - 10 * box.pictures() - 10 * len(box.store.partitions.all))
        disk.watch()
        for _ in range(2):
            box.work()
        assert not {f"v{n}" for n in (1, 3, 5)} & set(box.pictured())
        assert len(box.pictured()) == 9  # three pictures of 10 MiB, and the level has ended
        assert len(box.ids()) == 12
        assert {each.what for each in box.store.purges()} == {"pictures"}
        disk.used += 200
        for _ in range(4):
            box.work()
        assert {f"v{n}" for n in (2, 4, 6, 8, 10, 11, 12)} <= set(box.pictured())
        assert box.keeper.nothing_to_purge
        assert len(box.store.partitions.all) == 2  # of today, and what is younger than a day
        assert box.ids() == {f"v{n}" for n in (2, 4, 6, 8, 10, 11, 12)}
        assert "nothing more may be purged" in "\n".join(box.keeper.problems())
        assert {each.reason for each in box.store.purges()} == {"disk"}
    assert check(box.folder, clock=clock).problems == []


def test_what_a_consumer_has_not_had_is_not_purged_early_but_in_time(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, policy(retention=Retention(passages_days=8, passage_pictures_days=8))) as box:
        box.keeper._consumers = ("ioc",)
        box.store.outbox.save_positions({"ioc": (0, 0)})
        box.see()
        box.live(2.5)
        Filling(box, used=900).watch()
        box.work()
        assert box.ids() == {"v1"}
        assert box.pictures() == 0
        box.store.outbox.save_positions({"ioc": (1, 1)})
        box.work()
        assert box.ids() == set()
    with Box(tmp_path / "other", clock, policy()) as box:
        box.keeper._consumers = ("ioc",)
        box.see()
        box.live(5.0)
        assert box.ids() == set()
        assert box.store.counters.counts["events_purged_undelivered", "ioc"] == 1


def test_a_quota_costs_the_oldest_pictures_of_its_class(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, policy(retention=Retention(hits_days=60))) as box:
        for _ in range(4):
            box.see()
            box.see(hit=True)
            box.live(1.0)
        size = sum(path.stat().st_size for path in box.store.evidence.path.glob("??/*.jpg")) / 8
        box.stop()
        box.rules = policy(quota=Quota(passage_pictures_gib=2.5 * size / (1 << 30)), retention=Retention(hits_days=60))
        box.start()
        box.work()
        assert box.pictures() == 4 + 2
        assert box.ids() == {f"v{n}" for n in range(1, 9)}
        assert {each.reason for each in box.store.purges()} == {"quota"}
        box.live(33.0)
        assert box.ids() == {"v2", "v4", "v6", "v8"}
        box.stop()
        box.rules = policy(quota=Quota(hit_pictures_gib=2.5 * size / (1 << 30)), retention=Retention(hits_days=60))
        box.start()
        box.work()
        assert box.ids() == {"v6", "v8"}
        assert box.pictures() == 2
    assert check(box.folder, clock=clock).problems == []


def test_a_full_disk_gives_up_its_reserve_before_the_store_is_opened(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, policy(disk=Watermarks(reserve_mib=1))) as box:
        box.work()
        assert box.keeper.disk.reserve.exists()
        disk = Filling(box, used=900)
    watch = DiskWatch(box.folder, box.rules.disk, clock=clock, counters=Counters(), statvfs=disk.statvfs)
    watch.make_room()
    assert watch.reserve.exists()
    disk.used = 990
    watch.make_room()
    assert not watch.reserve.exists()
    DiskWatch(tmp_path / "none", box.rules.disk, clock=clock, counters=Counters()).make_room()
