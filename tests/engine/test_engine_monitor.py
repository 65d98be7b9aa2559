"""What the health report says of reports that workers send; and its Prometheus form."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from anpr.clock import ManualClock
from anpr.config.site import Camera
from anpr.engine.coverage import Ledger
from anpr.engine.hub import Hub
from anpr.engine.messages import CameraReport, WorkerReport
from anpr.engine.monitor import Monitor
from anpr.errors import StoreError
from anpr.health.exposition import expose
from anpr.health.report import decode, encode
from anpr.metrics import Counters, Histogram
from anpr.records import CoverageGap
from anpr.store import Store
from anpr.watch.limits import Limits
from anpr.watch.lists import WatchList
from anpr.watch.matcher import Matcher


class Box:
    """A monitor with two cameras of one worker, whose reports come as `run` says."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.clock = clock
        self.gaps: list[CoverageGap] = []
        self.hub = Hub(store, Matcher(()), None, clock=clock)
        cameras = [Camera.model_validate({"id": name, "url": f"rtsp://10.0.0.1/{name}"}) for name in ("a", "b")]
        self.ledger = Ledger(["a", "b"], site_id="site", clock=clock, take=self.gaps.append)
        self.monitor = Monitor(cameras, box="box", site="site", hub=self.hub, ledger=self.ledger, clock=clock, cores=2)
        self.monitor.started("worker-0", ["a", "b"])
        self.sums: dict[str, dict[str, float]] = {"a": {}, "b": {}}
        self.cpu_seconds = 3.0

    def run(self, seconds: int, *, cpu: float = 0.5, state: str = "streaming", **rates: float) -> None:
        """Reports once a second; `rates` are counts per second of each camera."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.cpu_seconds += cpu
            for name, sums in self.sums.items():
                for count, rate in rates.items():
                    sums[count] = sums.get(count, 0.0) + rate
                counts = tuple((*count.partition("__")[::2], int(total)) for count, total in sums.items())
                facts = {"picture_wall_seconds": self.clock.wall, "width": 1920, "height": 1080, "codec": "h264"}
                report = CameraReport(name, state, 0.0, counts, {}, **facts)
                self.monitor.heard("worker-0", report)
                self.ledger.hear(report)
            self.monitor.heard("worker-0", WorkerReport(self.cpu_seconds, 200 << 20))
            self.monitor.look()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    clock = ManualClock()
    with Store.open(tmp_path / "store", clock=clock, box="box") as store:
        yield Box(store, clock)


def test_rates_ages_and_capacity_are_those_of_the_last_time(box: Box) -> None:
    assert not box.monitor.ready
    box.run(40, cpu=0.4, frames_decoded=25, frames_inferred=25, sightings__final=0.5)
    health = box.monitor.report()
    camera = health.cameras[0]
    assert (camera.state, camera.up, camera.width, camera.codec) == ("streaming", True, 1920, "h264")
    assert camera.frames_per_second == pytest.approx(25.0)
    assert camera.sightings_per_minute == pytest.approx(30.0, rel=0.05)
    assert camera.last_frame_age_seconds == 0.0
    assert (health.verdict, health.problems, health.ready) == ("ok", (), True)
    assert health.capacity.cpu_ms_per_frame == pytest.approx(8.0, rel=0.1)
    assert health.capacity.cameras == 8  # 2 cores, 85 % usable, 0.2 cores a camera
    assert health.workers[0].memory_bytes == 200 << 20


def test_dropped_pictures_do_not_make_a_camera_look_cheap(box: Box) -> None:
    box.run(30, cpu=1.9, frames_decoded=25, frames_inferred=15, frames_dropped__overload=10)
    health = box.monitor.report()
    assert health.cameras[0].dropped_share == pytest.approx(0.4)
    assert health.cameras[0].drops == {"overload": 300}
    assert health.verdict == "degraded"
    assert "drops 40% of its pictures" in health.problems[0]
    assert health.capacity.cameras == 1


def test_a_box_that_drops_most_pictures_does_not_watch(box: Box) -> None:
    box.run(15, frames_decoded=25, frames_inferred=25)
    box.run(15, frames_decoded=25, frames_inferred=5, frames_dropped__overload=20)
    assert [(gap.camera_id, gap.reason) for gap in box.gaps] == [("a", "overload"), ("b", "overload")]
    assert "camera a is not watched: overload" in box.monitor.report().problems
    box.run(30, frames_decoded=25, frames_inferred=25)
    assert [gap.state for gap in box.gaps] == ["preview", "preview", "final", "final"]


def test_a_camera_that_comes_back_and_still_drops_most_pictures_is_not_watched(box: Box) -> None:
    box.run(15, frames_decoded=25, frames_inferred=5, frames_dropped__overload=20)
    box.run(1, state="offline")
    box.run(15, frames_decoded=25, frames_inferred=5, frames_dropped__overload=20)
    assert [gap.reason for gap in box.gaps if gap.camera_id == "a" and gap.revision == 0] == [
        "overload",
        "offline",
        "overload",
    ]
    assert "camera a is not watched: overload" in box.monitor.report().problems


def test_what_was_dropped_before_a_camera_was_lost_is_not_held_against_it(box: Box) -> None:
    box.run(15, frames_decoded=25, frames_inferred=5, frames_dropped__overload=20)
    box.run(1, state="offline")
    box.run(4, frames_decoded=25, frames_inferred=25)
    assert [gap.reason for gap in box.gaps if gap.camera_id == "a" and gap.revision == 0] == ["overload", "offline"]
    assert box.ledger.open_gap("a") is None


def test_a_store_that_cannot_be_asked_is_told_with_what_was_known(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.run(3, frames_decoded=25)
    known = box.monitor.report().store
    assert not known.failing

    def refuse(_: object) -> int:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(type(box.hub.store), "last_seq", property(refuse))
    health = box.monitor.report()
    assert health.verdict == "failing"
    assert "the store refuses" in health.problems[0]
    assert (health.store.failing, health.store.map_used_share) == (True, known.map_used_share)


def test_damaged_pictures_are_not_watched_either(box: Box) -> None:
    box.run(15, frames_decoded=25, frames_inferred=25, frames_tainted__gap=25)
    assert {gap.reason for gap in box.gaps} == {"damaged"}


def test_a_death_is_told_and_takes_no_count_away(box: Box) -> None:
    box.run(10, frames_decoded=25, frames_inferred=25)
    box.monitor.died("worker-0")
    health = box.monitor.report()
    assert health.workers[0].deaths == 1
    assert health.workers[0].cpu_seconds == pytest.approx(8.0)
    assert (health.cameras[0].state, health.cameras[0].last_frame_age_seconds) == ("failed", None)
    assert "worker-0 has died and is started again" in health.problems
    box.sums = {"a": {}, "b": {}}
    box.monitor.started("worker-0", ["a", "b"])
    box.run(4, frames_decoded=25, frames_inferred=25)
    assert box.monitor.counters("a").total("frames_decoded") == 350
    assert box.monitor.report().cameras[0].frames_per_second == pytest.approx(25.0)


def test_a_clock_that_was_set_is_counted(box: Box) -> None:
    box.run(3, frames_decoded=25)
    box.clock.wall -= 3600
    box.run(3, frames_decoded=25)
    assert box.monitor.report().clock_steps == 1


def test_the_report_survives_its_own_json(box: Box) -> None:
    box.run(3, frames_decoded=25)
    box.ledger.lose(["b"], "exit code -9")
    health = box.monitor.report()
    assert health.cameras[1].gap is not None
    assert decode(encode(health)) == health


def test_prometheus_reads_it_and_finds_every_count(box: Box) -> None:
    box.run(10, frames_decoded=25, frames_inferred=20, frames_dropped__overload=5, connections_lost__silence=1)
    box.ledger.lose(["b"], "exit code -9")
    box.hub.latencies.add(0.03)
    text = expose(
        box.monitor.report(),
        cameras={name: box.monitor.counters(name) for name in ("a", "b")},
        hub=box.hub.totals(),
        latency=box.hub.latencies,
        commit=box.hub.store.commit_seconds,
        hits=box.hub.hit_latencies,
    ).decode()
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["anpr_frames_decoded_total", "", "a"] == 250
    assert samples["anpr_frames_dropped_total", "a", "overload"] == 50
    assert samples["anpr_camera_reconnects_total", "a", "silence"] == 10
    assert samples["anpr_camera_up", "a"] == 1
    assert samples["anpr_camera_watched", "b"] == 0
    assert samples["anpr_camera_last_frame_timestamp_seconds", "a"] == box.clock.wall
    assert samples["anpr_event_latency_seconds_bucket", "0.05"] == 1
    assert samples["anpr_event_latency_seconds_bucket", "0.025"] == 0
    assert samples["anpr_event_latency_seconds_count",] == 1
    assert len({line.split("{")[0].split()[0] for line in text.splitlines() if not line.startswith("#")}) > 20


def test_a_refused_and_an_expired_list_are_told(tmp_path: Path) -> None:
    clock = ManualClock()
    refused: dict[str, str] = {}
    with Store.open(tmp_path / "store", clock=clock, box="box") as store:
        limits = Limits(valid_until_seconds=clock.wall + 10)
        watch_list = WatchList("stolen", "1", (), purpose="theft", limits=limits, bad_rows=2)
        hub = Hub(store, Matcher((watch_list,)), None, clock=clock)
        ledger = Ledger([], site_id="site", clock=clock, take=hub.take_gap)
        monitor = Monitor(
            [], box="box", site="site", hub=hub, ledger=ledger, clock=clock, cores=2, refused_lists=refused
        )
        assert monitor.report().problems == ()
        refused["stolen"] = "5 of 10 active plates would vanish"
        clock.advance(10)
        health = monitor.report()
    (listed,) = health.lists
    assert (listed.purpose, listed.left_out, listed.refused) == ("theft", 2, refused["stolen"])
    assert health.verdict == "degraded"
    assert [problem.partition(":")[0] for problem in health.problems] == [
        "list stolen keeps its old content, a new file was refused (anpr watch check tells more)",
        "list stolen has expired",
    ]
    text = expose(health, cameras={}, hub=Counters(), latency=Histogram(), commit=Histogram(), hits={}).decode()
    assert 'anpr_config_last_reload_success{of="list stolen"} 0.0' in text
    assert 'anpr_watchlist_rows_left_out{list="stolen"} 2.0' in text
