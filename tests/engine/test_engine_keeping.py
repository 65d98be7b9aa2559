"""The hub and the keeper of its store: pictures are spared in time, commits go on when the disk is full."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from making_records import make_hit, make_jpeg, make_sighting
from small_disks import needs_root, told_by

from anpr.bus import BusOptions, Consumer, DurableSubscriber
from anpr.bus.gap import Gap
from anpr.clock import ManualClock, SystemClock
from anpr.config import load_site
from anpr.config.site import Bus, BusConsumer, Camera, Storage
from anpr.engine.box import open_hub
from anpr.engine.coverage import Ledger
from anpr.engine.hub import KEEPING_SECONDS, Hub
from anpr.engine.keep_options import consumers_of, policy_of
from anpr.engine.messages import Passage, Picture
from anpr.engine.monitor import Monitor
from anpr.errors import StoreError
from anpr.records import Event, Sighting
from anpr.store import Store
from anpr.store.disk import DiskWatch
from anpr.store.keeper import Keeper
from anpr.store.retention import DAY_SECONDS, MIB, Policy, Retention, Watermarks
from anpr.store.trust import TrustedClock
from anpr.watch.lists import WatchList, read_csv
from anpr.watch.matcher import Matcher

POLICY = Policy(disk=Watermarks(reserve_mib=0))


class Full:
    """A disk of 1000 MiB that is as full as it is told to be."""

    def __init__(self) -> None:
        self.used = 0

    def statvfs(self, _: Path) -> os.statvfs_result:
        free = 1000 - self.used
        return os.statvfs_result((MIB, MIB, 1000, free, free, 0, 0, 0, 0, 255))


class Bench:
    """A hub whose disk may be filled."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.clock = clock
        self.store = store
        self.disk = Full()
        self.events: list[Event] = []
        self.keeper = Keeper(store, POLICY, clock=clock, synchronised=lambda: True)
        self.keeper.disk = DiskWatch(
            store.path, POLICY.disk, clock=clock, counters=store.counters, statvfs=self.disk.statvfs
        )
        entries, _ = read_csv(b"plate,reason\n30A12345,stolen\n")
        lists = (WatchList(name="stolen", version="1", entries=entries),)
        self.hub = Hub(store, Matcher(lists), None, clock=clock, keeper=self.keeper, on_event=self.events.append)

    def see(self, name: str, text: str = "51F67890", **changes: Any) -> None:
        """A vehicle passes."""
        lattice = tuple(((letter, 0.999),) for letter in text)
        sighting = make_sighting(
            id=name, text=text, raw=text, alternatives=((text, 0.99),), lattice=lattice, evidence=(), **changes
        )
        self.hub.take(Passage(sighting, (Picture("overview", make_jpeg(name)),), self.clock.monotonic))
        for _ in range(3):
            self.clock.advance(1.1)
            self.hub.tick()

    def sighting(self, name: str) -> Sighting:
        found = self.store.sighting(name)
        assert found is not None
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = ManualClock()
    with Store.open(tmp_path / "store", clock=clock, box="box") as store:
        yield Bench(store, clock)


def test_while_there_is_room_all_pictures_are_stored(bench: Bench) -> None:
    bench.disk.used = 910
    bench.see("first")
    bench.see("plain")
    assert bench.store.evidence.has(bench.sighting("plain").evidence[0].sha256)
    assert bench.hub.counters.total("pictures_not_stored") == 0


def test_on_a_nearly_full_disk_only_hits_keep_their_pictures(bench: Bench) -> None:
    bench.see("first")
    bench.disk.used = 930
    bench.clock.advance(2.0)
    bench.hub.tick()
    bench.see("plain")
    bench.see("hit", "30A12345")
    assert bench.sighting("plain").evidence == ()
    assert bench.store.hits_of("plain") == ()
    (hit,) = bench.store.hits_of("hit")
    assert hit.evidence == bench.sighting("hit").evidence != ()
    assert bench.store.evidence.has(hit.evidence[0].sha256)
    assert bench.hub.counters.counts["pictures_not_stored", "no hit"] == 1
    bench.disk.used = 0
    bench.see("back")  # the level is seen to be over while it is stored
    bench.see("after")
    assert bench.store.evidence.has(bench.sighting("after").evidence[0].sha256)


def test_a_picture_that_cannot_be_stored_costs_no_hit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    bench.disk.used = 930
    bench.see("first")
    monkeypatch.setattr(bench.store.evidence, "put", refuse)
    bench.see("hit", "30A12345")
    (hit,) = bench.store.hits_of("hit")
    assert hit.evidence == bench.sighting("hit").evidence == ()
    assert bench.hub.counters.counts["pictures_not_stored", "disk full"] == 1
    assert not bench.hub.failing


def test_a_disk_that_fills_at_a_stroke_is_noticed_by_what_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        bench.disk.used = 1000
        raise StoreError("the disk is full")

    bench.see("first")
    monkeypatch.setattr(bench.store.evidence, "put", refuse)
    bench.see("plain")
    assert bench.keeper.disk.level == "reserve"
    assert bench.sighting("plain").evidence == ()
    assert bench.hub.counters.counts["store_failures", ""] == 1


def test_a_commit_that_is_due_goes_before_the_keeper(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[float] = []

    def turn(most_seconds: float) -> float:
        turns.append(bench.clock.monotonic)
        assert most_seconds == KEEPING_SECONDS
        assert bench.hub._group.due_in_seconds is None or bench.hub._group.due_in_seconds > 0.0
        return 0.0

    monkeypatch.setattr(bench.keeper, "turn", turn)
    for number in range(40):
        sighting = make_sighting(id=f"s{number}", evidence=(), text="")
        bench.hub.take(Passage(sighting, (), bench.clock.monotonic))
        bench.hub.tick()
        bench.clock.advance(0.003)
    assert len(turns) > 10


def test_what_the_site_file_says_is_what_is_kept(tmp_path: Path) -> None:
    assert policy_of(Storage(path=str(tmp_path))) == Policy()  # type: ignore[arg-type]
    written = {
        "path": str(tmp_path),
        "retention": {"passages_days": 7, "passage_pictures_days": 5, "hits_days": 90, "audit_days": 800},
        "disk": {
            "early_percent": 70.0,
            "sparing_percent": 80.0,
            "reserve_percent": 90.0,
            "reserve_mib": 8,
            "youngest_days": 2,
        },
        "quota": {"passage_pictures_gib": 1.5, "hit_pictures_gib": 2.0},
    }
    policy = policy_of(Storage.model_validate(written))
    assert policy.retention.hits_days == 90
    assert policy.disk.youngest_days == 2
    assert policy.quota.hit_pictures_gib == 2.0
    bus = Bus(endpoint="ipc:///a", reliable_endpoint="ipc:///b", consumers=(BusConsumer(name="ioc"),))
    assert consumers_of(bus) == ("ioc",)


@needs_root
def test_on_a_really_full_disk_nothing_is_lost_and_it_recovers_by_itself(tmp_path: Path) -> None:
    told = told_by(Path(__file__).with_name("full_disk_hub.py"), tmp_path)
    assert told["calm"] == {"reserve_held": True, "pictures": 60, "level": "ok"}
    # The disk is full at a stroke: what the reserve gives up carries on, and hits are told.
    assert told["fast"]["committed"] == told["fast"]["taken"] == 260
    assert told["fast"]["hits"] == 26
    assert told["fast"]["backlog"] == 0
    assert told["fast"]["reserve_held"] is False
    # Not one block is left: it waits, and goes on by itself.
    assert told["full"]["failing"] is True
    assert told["full"]["level"] == "reserve"
    assert told["free"] == {"failing": False, "backlog": 0, "level": "ok", "reserve_held": True}
    assert told["levels"] == ["ok", "reserve", "ok", "early", "sparing", "reserve"]
    assert told["slow"]["failing"] is False
    assert told["committed"] == told["found"] == told["taken"]
    assert told["hits"] == -(-told["taken"] // 10)
    assert told["missing"] == 0
    assert told["counts"]["pictures_not_stored.no hit"] > 100
    assert 0 < told["hits_with_pictures"] < told["hits"]


class LateClock:
    """The system's clock, but for the wall time: days may pass at once."""

    def __init__(self) -> None:
        self.days = 0.0
        self._system = SystemClock()

    def wall_seconds(self) -> float:
        return self._system.wall_seconds() + self.days * DAY_SECONDS

    def monotonic_seconds(self) -> float:
        return self._system.monotonic_seconds()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return self._system.wait(event, seconds)


def test_a_consumer_that_was_away_too_long_is_told_what_it_will_not_get(tmp_path: Path) -> None:
    clock = LateClock()
    policy = Policy(retention=Retention(passages_days=2, passage_pictures_days=2), disk=Watermarks(reserve_mib=0))
    bus = BusOptions(
        endpoint=f"ipc://{tmp_path}/live", reliable_endpoint=f"ipc://{tmp_path}/sure", consumers=(Consumer(name="ioc"),)
    )
    hits = [make_hit(id="h3", sighting_id="s3")]
    with open_hub(
        box="box", store=tmp_path / "store", endpoint=None, bus=bus, lists=(), keep=policy, clock=clock
    ) as hub:
        assert hub.keeper is not None
        hub.keeper.trust = TrustedClock(clock, lived_seconds=0.0, synchronised=lambda: True)
        for number in range(1, 5):
            hub.store.append([make_sighting(id=f"s{number}", evidence=())], hits if number == 3 else [])
        hub.keeper.note()
        clock.days = 2.9
        hub.keeper.note()
        hub.take(Passage(make_sighting(id="s5", evidence=()), (), 0.0))
        hub.finish()
        assert [purge.kept for purge in hub.keeper.run()] == [2]
        assert hub.store.counters.counts["events_purged_undelivered", "ioc"] == 5
        assert hub.store.outbox.first_seq == 6
        with DurableSubscriber(f"ipc://{tmp_path}/sure", "ioc", clock=SystemClock()) as subscriber:
            found: list[Event | Gap] = []
            give_up_seconds = clock.monotonic_seconds() + 20.0
            while len(found) < 2:
                assert clock.monotonic_seconds() < give_up_seconds, found
                hub.tick()
                item = subscriber.receive(0.005)
                if item is not None:
                    found.append(item)
                    subscriber.ack()
    gap, event = found
    assert isinstance(gap, Gap)
    assert (gap.first_seq, gap.last_seq, gap.reason) == (1, 5, "expired")
    assert isinstance(event, Event)
    assert (event.seq, event.record.id) == (6, "s5")


def test_the_boxes_health_tells_of_its_disk_and_its_clock(bench: Bench) -> None:
    cameras = (Camera(id="a", url="rtsp://h/1"),)
    ledger = Ledger(["a"], site_id="s", clock=bench.clock, take=bench.hub.take_gap)
    monitor = Monitor(cameras, box="b", site="s", hub=bench.hub, ledger=ledger, clock=bench.clock, cores=2)
    bench.see("first")
    health = monitor.report()
    assert health.keeping is not None
    assert (health.keeping.disk_level, health.keeping.reserve_held, health.keeping.clock_trusted) == ("ok", True, True)
    assert not [problem for problem in health.problems if "disk" in problem or "clock" in problem]
    bench.disk.used = 960
    bench.keeper.trust = TrustedClock(bench.clock, lived_seconds=1.0, synchronised=lambda: False)
    bench.see("second")
    health = monitor.report()
    assert health.keeping is not None
    assert (health.keeping.disk_level, health.keeping.disk_percent) == ("sparing", 96.0)
    assert not health.keeping.clock_trusted
    told = "\n".join(health.problems)
    assert "96 % full: pictures of passages without a hit are not stored" in told
    assert "days ahead of what the box has lived through: nothing is purged" in told
    assert health.verdict == "degraded"


def test_rules_that_look_back_further_than_passages_are_kept_are_told_of(tmp_path: Path) -> None:
    rule = """
    [[rules]]
    name = "again"
    vi = "Lại qua"
    en = "Passed again"
    severity = "CHECK"
    message = { vi = "{plate}", en = "{plate} passed again" }
    when = { seen = { within = "48h" } }
    """
    site_text = """
    [box]
    id = "box"
    [site]
    id = "site"
    [store]
    path = "store"
    [bus]
    endpoint = "ipc:///tmp/none"
    [rules]
    folder = "rules.toml"
    [[cameras]]
    id = "cam"
    url = "rtsp://10.0.0.1/x"
    """
    (tmp_path / "rules.toml").write_text(rule, encoding="utf-8")
    (tmp_path / "site.toml").write_text(site_text, encoding="utf-8")
    site = load_site(tmp_path / "site.toml")
    for days, told in ((1, True), (3, False)):
        keep = Policy(retention=Retention(passages_days=days, passage_pictures_days=days), disk=POLICY.disk)
        with structlog.testing.capture_logs() as logs:
            opened = open_hub(
                box="box",
                store=site.store.path,
                endpoint=None,
                lists=(),
                rules_of=site,
                keep=keep,
                clock=SystemClock(),
            )
            with opened as hub:
                assert hub.judge is not None
        assert ("rules_look_back_too_far" in {each["event"] for each in logs}) == told
