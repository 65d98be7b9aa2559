"""What a box says of its consumers, of rules that were not asked, and of what waits in the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hub_fakes import matcher
from making_health import box_health
from making_records import make_sighting

from anpr.bus import Standing
from anpr.clock import ManualClock
from anpr.engine.hub import Hub
from anpr.engine.outward import clock_health, consumer_health
from anpr.engine.problems import LONG_WAIT_SECONDS, problems_of
from anpr.errors import StoreError
from anpr.health.report import BoxHealth, ConsumerHealth
from anpr.store import Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with Store.open(tmp_path, clock=clock, box="box") as opened:
        yield opened


def standing(store: Store, *, behind: int) -> Standing:
    position = store.last_seq - behind
    return Standing(name="ioc", connected=True, behind=behind, in_flight=0, position=position, acknowledged=position)


def test_what_waits_for_a_consumer_is_told_with_its_age_and_its_room(store: Store, clock: ManualClock) -> None:
    for number in range(3):
        store.append([make_sighting(id=f"s{number}")])
        clock.advance(100.0)
    health = consumer_health(standing(store, behind=2), store, clock)
    assert (health.behind, health.acknowledged, health.oldest_age_seconds) == (2, 1, pytest.approx(200.0, abs=0.01))
    assert health.waiting_bytes is not None
    assert health.waiting_bytes > 4096
    health = consumer_health(standing(store, behind=0), store, clock)
    assert (health.oldest_age_seconds, health.waiting_bytes) == (0.0, 0)


def test_a_store_that_cannot_say_leaves_it_open(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append([make_sighting()])

    def refuse(seq: int) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(store.outbox, "event_at", refuse)
    health = consumer_health(standing(store, behind=1), store, clock)
    assert (health.behind, health.oldest_age_seconds, health.waiting_bytes) == (1, None, None)


def well(**changes: object) -> BoxHealth:
    return msgspec.structs.replace(box_health(), rules=None, **changes)


def test_a_consumer_that_is_away_or_behind_is_a_problem(store: Store, clock: ManualClock) -> None:
    hub = Hub(store, matcher(), None, clock=clock)
    assert list(problems_of(well(), hub)) == []
    late = ConsumerHealth(name="ioc", connected=True, behind=7, oldest_age_seconds=LONG_WAIT_SECONDS + 60.0)
    away = ConsumerHealth(name="mqtt", connected=False, behind=3)
    busy = ConsumerHealth(name="nats", connected=True, behind=9, oldest_age_seconds=LONG_WAIT_SECONDS - 60.0)
    assert list(problems_of(well(consumers=(late, away, busy)), hub)) == [
        "consumer ioc is connected and behind: 7 events wait for it, the oldest for 6 minutes",
        "consumer mqtt is not connected, 3 events wait for it",
    ]


def test_rules_that_were_not_asked_by_a_fault_of_the_program_are_a_problem(store: Store, clock: ManualClock) -> None:
    hub = Hub(store, matcher(), None, clock=clock)
    hub._tell_fault(KeyError("x"))
    (problem,) = problems_of(well(), hub)
    assert problem.startswith("rules could not judge, 1 times since the start, by a fault of the program (KeyError)")


def test_the_machines_clock_is_told() -> None:
    said = clock_health()
    assert said is not None
    assert said.error_seconds >= 0.0
