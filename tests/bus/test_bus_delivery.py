"""The reliable feed over real sockets: nothing is lost, whoever dies when."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from bus_fakes import IOC, FakeLog, Town, event_lane, seqs
from msgspec import structs

from anpr.bus import Consumer, DurableSubscriber, Gap, delivery
from anpr.bus.cursor import read_cursor
from anpr.bus.protocol import Position
from anpr.clock import SystemClock
from anpr.errors import BusError
from anpr.records import Event


def test_what_was_committed_before_is_sent_hits_first_and_what_comes_then(town: Town) -> None:
    before = town.commit("sshshs")
    subscriber = town.subscriber()
    first = town.take(subscriber, 6)
    assert seqs(first) == [3, 5, 1, 2, 4, 6]
    assert {event.seq: event for event in first if isinstance(event, Event)} == {event.seq: event for event in before}
    (after,) = town.commit("s")
    assert town.take(subscriber, 1) == [after]
    town.nothing(subscriber)


def test_what_is_acknowledged_does_not_come_again_and_the_rest_does(town: Town, tmp_path: Path) -> None:
    town.commit("ssssss")
    first = town.subscriber(cursor=tmp_path / "cursor")
    items = town.take(first, 4)
    assert isinstance(items[1], Event)
    first.ack(items[1])
    cursor = read_cursor(tmp_path / "cursor", consumer="ioc")
    assert cursor is not None
    assert (cursor.box, cursor.rest) == ("box-1", Position(2, "sighting.s-2.1"))
    first._context.destroy(linger=0)  # killed
    second = town.subscriber(cursor=tmp_path / "cursor")
    assert seqs(town.take(second, 4)) == [3, 4, 5, 6]


def test_only_what_was_given_out_is_acknowledged(town: Town) -> None:
    town.commit("ssss")
    first = town.subscriber()
    (item,) = town.take(first, 1)
    town.until(lambda: (first._hear(), len(first._waiting) == 3)[1])  # three more have arrived, and nobody took them
    first.ack()
    first.close()
    town.until(lambda: town.log.saved.get("ioc") == (1, 1) or town.log.saved.get("ioc", (0, 0))[1] == 1)
    second = town.subscriber()
    assert seqs(town.take(second, 3)) == [2, 3, 4]
    assert isinstance(item, Event)


def test_without_a_cursor_of_its_own_a_consumer_goes_on_where_the_box_knows(town: Town) -> None:
    town.commit("shs")
    first = town.subscriber()
    town.take(first, 3)
    first.ack()
    first.close()
    town.until(lambda: not town.bus.standings[0].connected)
    (standing,) = town.bus.standings
    assert standing.behind == 0
    town.commit("sh")
    assert town.bus.standings[0].behind == 2
    second = town.subscriber()
    assert seqs(town.take(second, 2)) == [5, 4]
    town.nothing(second)


def test_acknowledgements_survive_a_crash_of_the_box(town: Town) -> None:
    town.commit("ssss")
    subscriber = town.subscriber()
    items = town.take(subscriber, 4)
    assert isinstance(items[2], Event)
    subscriber.ack(items[2])
    town.until(lambda: (subscriber.take(), town.log.saved.get("ioc", (0, 0))[1] == 3)[1])
    subscriber._context.destroy(linger=0)
    town.restart()
    assert seqs(town.take(town.subscriber(), 1)) == [4]


def test_a_box_that_comes_back_sends_what_it_committed_and_told_nobody(town: Town) -> None:
    town.commit("ss")
    subscriber = town.subscriber()
    assert seqs(town.take(subscriber, 2)) == [1, 2]
    town.log.add("hs")  # committed, and killed before anybody was told
    town.restart()
    assert seqs(town.take(subscriber, 2)) == [3, 4]
    assert subscriber.counters.total("events_missed") == 0
    town.nothing(subscriber)


def test_events_that_are_not_kept_any_more_are_told(town: Town, tmp_path: Path) -> None:
    town.commit("sss")
    path = tmp_path / "cursor"
    first = town.subscriber(cursor=path)
    town.take(first, 1)
    first.ack()
    first.close()
    town.until(lambda: not town.bus.standings[0].connected)
    town.commit("sss")
    town.log.first = 5
    gap, *events = town.take(town.subscriber(cursor=path), 3)
    assert gap == Gap(box="box-1", epoch=1, first_seq=1, last_seq=4, reason="expired")
    assert seqs(events) == [5, 6]


def test_who_has_no_cursor_is_told_too_what_is_not_kept_any_more(town: Town) -> None:
    town.commit("sss")
    first = town.subscriber()
    town.take(first, 2)
    first.ack()
    first.close()
    town.until(lambda: not town.bus.standings[0].connected)
    town.commit("sss")
    town.log.first = 5
    gap, *events = town.take(town.subscriber(), 3)
    assert isinstance(gap, Gap)
    assert (gap.last_seq, gap.reason) == (4, "expired")
    assert seqs(events) == [5, 6]
    gap, *events = town.take(town.subscriber(after_seq=2), 3)
    assert gap == Gap(box="box-1", epoch=1, first_seq=3, last_seq=4, reason="expired")
    assert seqs(events) == [5, 6]


def test_what_expires_while_a_consumer_is_connected_is_told(town: Town) -> None:
    town.commit("s" * 20)
    subscriber = town.subscriber(window=4)
    town.take(subscriber, 1)
    town.commit("s" * 100)
    town.log.first = 111  # the consumer was slower than the retention
    found: list[Event | Gap] = []
    while not (found and isinstance(found[-1], Event) and found[-1].seq == 120):
        found += town.take(subscriber, 1)
        subscriber.ack()
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert (gap.last_seq, gap.reason) == (110, "expired")
    had = {item.seq for item in found if isinstance(item, Event)} | {1}
    assert had | set(range(gap.first_seq, gap.last_seq + 1)) == set(range(1, 121))


def test_an_event_that_cannot_be_sent_holds_up_nothing(town: Town) -> None:
    (bad,) = town.log.add("s")
    town.log.events[-1] = structs.replace(bad, record=structs.replace(bad.record, pts_seconds=float("nan")))
    with suppress(BusError):  # neither can the live feed
        town.bus.publish(town.log.events[-1])
    subscriber = town.subscriber()
    town.until(lambda: (subscriber.take(), town.bus.counters.total("events_undelivered"))[1])
    for _ in range(50):
        town.turn()
    assert town.bus.counters.total("events_undelivered") == 1
    town.commit("s")
    assert seqs(town.take(subscriber, 1)) == [2]


def test_a_long_drain_of_one_consumer_does_not_starve_another(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(opened, FakeLog(), consumers=(IOC, Consumer(name="mqtt", most_per_second=1e6)))
    ioc, mqtt = town.subscriber("ioc"), town.subscriber("mqtt")
    town.until(lambda: (ioc.take(), mqtt.take(), all(s.connected for s in town.bus.standings))[2])
    monkeypatch.setattr(delivery, "TURN_SECONDS", 1e-4)  # so slow a machine that one consumer fills the turn
    town.commit("s" * 100)
    delivery_of = town.bus._delivery
    assert delivery_of is not None
    monkeypatch.setattr(delivery_of, "_hear", lambda _now: False)
    for _ in range(4):
        town.turn()
    assert all(standing.in_flight for standing in town.bus.standings)


def test_a_lane_in_which_nothing_happens_does_not_grow_old(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    town.commit("ss")
    first = town.subscriber(cursor=path)
    town.take(first, 2)
    town.until(lambda: (first.take(), len(first._talk._arrived) == 1)[1])  # the box has said: no hits up to 2
    town.commit("s")
    town.take(first, 1)
    first.ack()
    first.close()
    cursor = read_cursor(path, consumer="ioc")
    assert cursor is not None
    assert (cursor.hits, cursor.rest.seq) == (Position(2, "sighting.s-2.1"), 3)
    town.until(lambda: not town.bus.standings[0].connected)
    town.log.first = 3
    town.commit("h")
    assert seqs(town.take(town.subscriber(cursor=path), 1)) == [4]


def test_any_kept_number_can_be_asked_for_again(town: Town) -> None:
    town.commit("shss")
    first = town.subscriber()
    town.take(first, 4)
    first.ack()
    first.close()
    again = town.subscriber(after_seq=1)
    assert seqs(town.take(again, 3)) == [2, 3, 4]


def test_a_new_consumer_may_begin_with_what_comes_next(opened: ExitStack) -> None:
    log = FakeLog()
    log.add("sss")
    town = Town(opened, log, consumers=(Consumer(name="late", from_oldest=False),))
    subscriber = town.subscriber("late")
    town.until(lambda: (subscriber.take(), town.bus.standings[0].connected)[1])
    town.commit("s")
    assert seqs(town.take(subscriber, 1)) == [4]


def test_the_newer_of_two_consumers_of_one_name_wins_and_the_older_is_told(town: Town) -> None:
    town.commit("s")
    first = town.subscriber()
    town.take(first, 1)
    second = town.subscriber()
    assert seqs(town.take(second, 1)) == [1]
    with pytest.raises(BusError, match="another consumer of this name has taken over"):
        town.take(first, 1)
    assert town.bus.counters.total("consumers_replaced") == 1


def test_an_unknown_consumer_is_refused(town: Town) -> None:
    with pytest.raises(BusError, match="knows no consumer of this name"):
        town.take(town.subscriber("stranger"), 1)
    assert town.bus.counters.counts["requests_refused", "unknown consumer"] == 1


def test_two_consumers_have_each_their_own_place(opened: ExitStack) -> None:
    town = Town(opened, FakeLog(), consumers=(IOC, Consumer(name="mqtt")))
    town.commit("sss")
    ioc, mqtt = town.subscriber("ioc"), town.subscriber("mqtt")
    town.take(ioc, 3)
    ioc.ack()
    town.take(mqtt, 1)
    mqtt.ack()
    town.until(lambda: (ioc.take(), mqtt._tell_progress(due=True), [s.behind for s in town.bus.standings] == [0, 2])[2])
    assert {standing.name: standing.behind for standing in town.bus.standings} == {"ioc": 0, "mqtt": 2}


def test_no_more_is_on_its_way_than_there_is_room_for_and_hits_have_some_of_their_own(town: Town) -> None:
    town.commit("s" * 100)
    subscriber = town.subscriber(window=16)
    town.until(lambda: (subscriber._link.turn() and subscriber._speak(new=True), town.bus.standings[0].connected)[1])
    for _ in range(20):
        town.turn()
    assert town.bus.standings[0].in_flight == 14
    town.commit("h")
    town.turn()
    assert town.bus.standings[0].in_flight == 15
    assert 101 in seqs(town.take(subscriber, 15))


def test_the_rate_holds_back_sightings_and_not_hits(opened: ExitStack) -> None:
    town = Town(opened, FakeLog(), consumers=(Consumer(name="ioc", most_per_second=40.0),))
    town.commit("s" * 60 + "h" * 40)
    clock = SystemClock()
    began = clock.monotonic_seconds()
    items = town.take(town.subscriber(), 100)
    assert [event_lane(item) for item in items[:40] if isinstance(item, Event)] == ["hits"] * 40
    assert clock.monotonic_seconds() - began > (60 - 10) / 40.0 * 0.9  # a quarter of a second's worth comes at once


def test_the_rate_holds_too_for_who_comes_again_and_again(opened: ExitStack) -> None:
    town = Town(opened, FakeLog(), consumers=(Consumer(name="ioc", most_per_second=20.0),))
    town.commit("s" * 200)
    clock = SystemClock()
    began = clock.monotonic_seconds()
    count = 0
    for _ in range(8):
        with town.subscriber() as subscriber:
            town.until(lambda subscriber=subscriber: subscriber.receive(0.001) is None and subscriber.last_seq)
            for _ in range(20):
                town.turn()
                count += subscriber.receive(0.001) is not None
            subscriber.ack()
    assert count <= 20 * (0.25 + clock.monotonic_seconds() - began) + 1


def test_a_consumer_that_is_silent_for_long_begins_anew(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "ALIVE_SECONDS", 0.01)
    town.commit("ss")
    subscriber = town.subscriber()
    town.take(subscriber, 2)
    town.until(lambda: not town.bus.standings[0].connected)
    monkeypatch.setattr(delivery, "SILENT_SECONDS", 30.0)
    town.commit("s")
    assert seqs(town.take(subscriber, 1)) == [3]  # and 1 and 2 do not come twice in one life
    subscriber.ack()
    town.until(lambda: (subscriber.take(), town.bus.standings[0].behind == 0)[1])


def test_a_failing_log_ends_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from anpr.bus import bus
    from anpr.errors import StoreError

    monkeypatch.setattr(bus, "RETRY_SECONDS", 0.05)
    subscriber = town.subscriber()
    town.until(lambda: (subscriber.take(), town.bus.standings[0].connected)[1])

    def refuse(*_: object, **__: object) -> tuple[Event, ...]:
        raise StoreError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(town.log, "read", refuse)
        town.commit("s")
        town.turn()
        assert town.bus.counters.total("deliveries_failed") >= 1
    assert seqs(town.take(subscriber, 1)) == [1]


def test_a_goodbye_when_the_box_stops_and_a_hello_when_it_is_back(town: Town) -> None:
    town.commit("s")
    subscriber = town.subscriber()
    town.take(subscriber, 1)
    subscriber.ack()
    town.bus._delivery.stop()  # type: ignore[union-attr]
    assert town.log.saves >= 1
    town.restart()
    town.commit("s", epoch=2)
    assert seqs(town.take(subscriber, 1)) == [2]


def test_with_asyncio_other_tasks_run_meanwhile(town: Town, tmp_path: Path) -> None:
    town.commit("sssh")
    subscriber = town.subscriber(cursor=tmp_path / "cursor")
    found: list[Event | Gap] = []

    async def consume() -> None:
        async for item in subscriber:
            found.append(item)
            subscriber.ack()

    async def main() -> None:
        task = asyncio.create_task(consume())
        for _ in range(2000):
            town.turn()
            await asyncio.sleep(0.001)
            if len(found) == 4:
                break
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seqs(found) == [4, 1, 2, 3]
    cursor = read_cursor(tmp_path / "cursor", consumer="ioc")
    assert cursor is not None
    assert (cursor.hits.seq, cursor.rest.seq) == (4, 3)


def test_a_wrong_window_and_a_damaged_cursor_are_told(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="window"):
        DurableSubscriber("tcp://127.0.0.1:1", "ioc", clock=SystemClock(), window=0)
    path = tmp_path / "cursor"
    path.write_text("half a cur")
    with pytest.raises(BusError, match="no cursor"):
        DurableSubscriber("tcp://127.0.0.1:1", "ioc", clock=SystemClock(), cursor=path)


def test_who_is_busy_for_long_is_connected_knows_how_far_the_box_is_and_does_not_fill_its_memory(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ALIVE_SECONDS", 0.001)
    town.commit("s" * 40)
    subscriber = town.subscriber(cursor=tmp_path / "cursor", window=16)
    (first,) = town.take(subscriber, 1)
    for _ in range(60):
        town.commit("s")
        newest = town.log.last_seq
        town.until(lambda newest=newest: subscriber.tell() or subscriber.last_seq == newest)
    assert [standing.connected for standing in town.bus.standings] == [True]
    assert len(subscriber._waiting) <= 32
    assert len(subscriber._talk._arrived) <= 33, "a lane in which nothing happens fills the memory"
    rest = town.take(subscriber, 99)
    assert [first, *rest] == town.log.events
    subscriber.ack()
    assert subscriber.counters.total("events_acknowledged") == 100
    town.until(lambda: subscriber.receive(0.001) or town.bus.standings[0].behind == 0)


def test_who_is_replaced_while_it_is_busy_is_told(town: Town) -> None:
    town.commit("s")
    busy = town.subscriber()
    town.take(busy, 1)
    newer = town.subscriber()
    town.take(newer, 1)
    with pytest.raises(BusError, match="taken over"):
        town.until(busy.tell)


def test_a_program_that_reads_nothing_for_long_lives_and_goes_on() -> None:
    """Not in this process: libzmq would end it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = Path(__file__).with_name("stalled_clients.py")
    ended = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
