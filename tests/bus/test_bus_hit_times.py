"""From the camera to a consumer's acknowledgement: what is timed, and what is counted as acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from bus_fakes import FakeLog, Town
from making_records import make_hit

from anpr.bus import hit_times
from anpr.bus.hit_times import HitTimes
from anpr.clock import ManualClock, SystemClock
from anpr.metrics import Histogram
from anpr.records import Event


def hit(seq: int, *, committed_seconds: float = 0.0) -> Event:
    return Event(box="b", epoch=1, seq=seq, committed_seconds=committed_seconds, record=make_hit(id=f"h{seq}"))


def timed(histogram: Histogram) -> tuple[int, float]:
    return sum(histogram.counts), histogram.sum


def test_a_hit_is_timed_from_its_picture_and_else_from_its_commit() -> None:
    clock = ManualClock(monotonic=100.0)
    times = HitTimes(["ioc", "mqtt"], clock=clock)
    times.begin(7, 99.5)
    times.sent("ioc", hit(7))
    times.sent("ioc", hit(9, committed_seconds=clock.wall - 3600.0))
    clock.advance(2.0)
    times.acknowledged("ioc", 8)
    assert timed(times.latencies["ioc"]) == (1, pytest.approx(2.5))
    times.acknowledged("ioc", 9)
    assert timed(times.latencies["ioc"]) == (2, pytest.approx(2.5 + 3602.0))
    times.acknowledged("ioc", 9)
    assert timed(times.latencies["ioc"])[0] == 2
    assert timed(times.latencies["mqtt"]) == (0, 0.0)


def test_a_clock_that_went_back_makes_no_hit_come_from_the_future() -> None:
    clock = ManualClock()
    times = HitTimes(["ioc"], clock=clock)
    times.sent("ioc", hit(1, committed_seconds=clock.wall + 86_400.0))
    clock.advance(1.0)
    times.acknowledged("ioc", 1)
    assert timed(times.latencies["ioc"]) == (1, pytest.approx(1.0))


def test_what_is_sent_anew_is_timed_once_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_times, "MOST_TIMED", 5)
    clock = ManualClock()
    times = HitTimes(["ioc"], clock=clock)
    for seq in range(1, 21):
        times.begin(seq, clock.monotonic)
        times.sent("ioc", hit(seq))
    times.forget("ioc")
    for seq in range(1, 21):
        times.sent("ioc", hit(seq, committed_seconds=clock.wall - 60.0))
    times.acknowledged("ioc", 20)
    assert timed(times.latencies["ioc"]) == (5, 0.0)  # the newest five are known to have begun just now


@pytest.fixture
def town() -> Iterator[Town]:
    with ExitStack() as opened:
        yield Town(opened, FakeLog())


def test_what_a_consumer_acknowledges_is_timed_and_counted(town: Town) -> None:
    clock = SystemClock()
    town.commit("ssh")
    subscriber = town.subscriber()
    town.bus.begin_hit(4, clock.monotonic_seconds() - 30.0)
    town.commit("hs")
    town.take(subscriber, 5)
    (standing,) = town.bus.standings
    assert (standing.acknowledged, standing.position) == (0, 0)
    assert timed(town.bus.hit_latencies["ioc"])[0] == 0
    subscriber.ack()
    town.until(lambda: (subscriber.take(), town.bus.standings[0].behind == 0)[1])
    (standing,) = town.bus.standings
    assert (standing.acknowledged, standing.position) == (5, 5)
    latency = town.bus.hit_latencies["ioc"]
    assert sum(latency.counts) == 2
    at = latency.bounds.index(60.0)
    assert latency.counts[at] == 1  # half a minute; the other one's commit is of 1970


def test_an_acknowledgement_whose_word_was_lost_counts_when_the_consumer_says_what_it_holds(town: Town) -> None:
    town.commit("hh")
    subscriber = town.subscriber()
    town.take(subscriber, 2)
    subscriber.ack()
    town.restart()
    town.until(lambda: (subscriber.take(), town.bus.standings[0].connected)[1])
    town.until(lambda: (subscriber.take(), town.bus.standings[0].behind == 0)[1])
    assert town.bus.standings[0].acknowledged == 2
