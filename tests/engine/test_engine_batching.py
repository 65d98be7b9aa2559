"""Scheduling of many cameras before one device, with simulated decoders and devices."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from engine_fakes import FakeDevice, assert_balanced, frames
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr.config.pipeline import Pictures
from anpr.engine.batching import RAISE_SECONDS, Batcher, Item, Passenger
from anpr.engine.follower import Follower
from anpr.engine.gate import GateOptions
from anpr.engine.inbox import ROOM, Inbox
from anpr.engine.messages import Passage
from anpr.engine.simulation import Clock, Outcome, Scenario, SimulatedDevice, simulate
from anpr.errors import DeviceError, DeviceMemoryError
from anpr.metrics import Counters
from anpr.nets.batch_reader import Found
from anpr.records import Frame, Plate, Read
from anpr.tracking.options import TrackOptions
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import SpareOptions
from anpr.video.surface_frame import SurfaceFrame, brought_home, surface_frame_of

GATED = GateOptions(looks_per_second=8.0, reading_looks_per_second=12.5, following_looks_per_second=4.0)


def passenger(camera_id: str = "cam", **changes: Any) -> tuple[Passenger, list[Passage]]:
    passages: list[Passage] = []
    options: dict[str, Any] = {"gate": GateOptions(), "spare": SpareOptions()} | changes
    follower: Follower[SurfaceFrame] = Follower(
        Origin(site_id="site", camera_id=camera_id, run_seconds=0.0),
        track=TrackOptions(),
        spare=options["spare"],
        pictures=Pictures(),
        emit=options.pop("emit", passages.append),
        bring_home=brought_home,
        counters=Counters(),
    )
    return Passenger(camera_id, follower, gate=options["gate"], spare=options["spare"]), passages


def surfaces(count: int, camera_id: str = "cam", **options: Any) -> list[SurfaceFrame]:
    return [surface_frame_of(frame) for frame in frames(count, camera_id=camera_id, **options)]


def finals(passages: Sequence[Passage]) -> list[str]:
    return [passage.sighting.text for passage in passages if passage.sighting.state == "final"]


def in_order(outcome: Outcome) -> bool:
    return all(done == sorted(done) for done in outcome.processed.values())


@settings(max_examples=25, deadline=None)
@given(
    cameras=st.integers(1, 40),
    most=st.integers(1, 32),
    live=st.booleans(),
    picture_seconds=st.sampled_from([1e-5, 1e-3, 1e-2]),
    tick_seconds=st.sampled_from([0.0, 0.005, 0.05]),
)
def test_any_load_keeps_each_cameras_order_and_bounds_what_waits(
    cameras: int, most: int, live: bool, picture_seconds: float, tick_seconds: float
) -> None:
    device = SimulatedDevice(most=most, picture_seconds=picture_seconds)
    outcome = simulate(Scenario(cameras=cameras, live=live, seconds=1.0), device, tick_seconds=tick_seconds)
    assert in_order(outcome)
    assert outcome.waiting_most <= cameras * ROOM
    assert max(map(len, device.batches)) <= most
    done = sum(map(len, outcome.processed.values()))
    assert 0 <= outcome.decoded - sum(outcome.dropped.values()) - done <= cameras * ROOM
    assert done > 0


def test_no_camera_starves_before_a_device_that_is_too_slow() -> None:
    outcome = simulate(Scenario(cameras=60, engines=7), SimulatedDevice(most=16, picture_seconds=0.001))
    counts = [len(done) for done in outcome.processed.values()]
    assert min(counts) >= 0.9 * max(counts)
    assert sum(outcome.dropped.values()) > 1000
    assert outcome.waiting_most <= 60 * ROOM
    assert outcome.latency(1.0) <= (ROOM + 1) * 60 * 0.00107 + 0.02  # what is looked at is never old


def test_a_fast_device_leaves_the_decoder_the_limit_and_adds_little_latency() -> None:
    alone = 7 * 771
    outcome = simulate(Scenario(cameras=177, engines=7, live=False, seconds=1.0), SimulatedDevice(picture_seconds=4e-5))
    assert outcome.frames_per_s >= 0.95 * alone
    assert not outcome.dropped
    live = simulate(Scenario(cameras=177, engines=7, seconds=1.0), SimulatedDevice(picture_seconds=4e-5))
    assert live.frames_per_s >= 0.98 * 177 * 25
    assert live.latency(0.95) <= 0.02
    assert not live.dropped


def test_one_decoder_that_breaks_leaves_the_others_alone() -> None:
    device = SimulatedDevice()
    outcome = simulate(Scenario(cameras=8, fails_after={3: 10}), device)
    assert outcome.processed["camera-3"] == list(range(10))
    assert {len(done) for name, done in outcome.processed.items() if name != "camera-3"} <= {99, 100}
    assert "camera-3" not in device.aboard
    assert len(device.aboard) == 7


def test_a_full_memory_halves_the_batches_and_loses_nothing() -> None:
    device = SimulatedDevice(most=32, memory_pictures=5)
    outcome = simulate(Scenario(cameras=40, engines=7, live=False, seconds=1.0), device)
    assert max(map(len, device.batches)) == 5
    assert in_order(outcome)
    assert not outcome.dropped
    every = [index for done in outcome.processed.values() for index in done]
    assert len(every) == sum(map(len, device.batches))


def test_larger_batches_are_tried_again_after_a_while() -> None:
    clock = Clock()
    device = SimulatedDevice(most=8, memory_pictures=2, clock=clock)
    batcher = Batcher(device, monotonic=clock)
    first, _ = passenger()
    batch = [Item(first, picture) for picture in surfaces(8)]
    batcher.process(batch)
    assert batcher.limit == 2
    device.memory_pictures = 100
    clock.spend(RAISE_SECONDS + 1)
    batcher.process(batch[:1])
    clock.spend(RAISE_SECONDS + 1)
    batcher.process(batch[:1])
    assert batcher.limit == 8


def test_a_picture_that_does_not_fit_alone_is_dropped_and_counted() -> None:
    one, _ = passenger()
    batcher = Batcher(SimulatedDevice(memory_pictures=0))
    batcher.process([Item(one, picture) for picture in surfaces(3)])
    assert one.counters.counts == {("frames_dropped", "device memory"): 3}
    assert one.error is None


def test_reads_that_do_not_fit_drop_their_picture() -> None:
    class Narrow(FakeDevice):
        def read(self, found: Sequence[Found]) -> list[tuple[Plate, Read | None]]:
            raise DeviceMemoryError("full")

    one, passages = passenger()
    Batcher(Narrow(most=4)).process([Item(one, picture) for picture in surfaces(4)])
    assert one.counters.counts["frames_dropped", "device memory"] == 4
    assert passages == []


def test_a_device_that_fails_is_told_and_its_pictures_are_counted() -> None:
    one, _ = passenger()
    batcher = Batcher(SimulatedDevice(fails_at_batch=1))
    batcher.process([Item(one, picture) for picture in surfaces(2)])
    with pytest.raises(DeviceError, match="illegal address"):
        batcher.process([Item(one, picture) for picture in surfaces(5)[2:]])
    assert one.counters.counts["frames_inferred", ""] == 2
    assert one.counters.counts["frames_dropped", "failed"] == 3


def test_what_one_camera_cannot_tell_ends_its_part_alone() -> None:
    def refuse(passage: Passage) -> None:
        raise OSError("no room for pictures")

    broken, _ = passenger("broken", emit=refuse)
    whole, passages = passenger("whole")
    batcher = Batcher(FakeDevice(most=4))
    for one, two in zip(surfaces(40, "broken"), surfaces(40, "whole"), strict=True):
        batcher.process([Item(broken, one), Item(whole, two)])
    batcher.process([Item(broken, "end"), Item(whole, "end")])
    assert isinstance(broken.error, OSError)
    assert whole.error is None
    assert finals(passages) == ["30A12345"]
    dropped = broken.counters.counts["frames_dropped", "failed"]
    assert dropped + broken.counters.total("frames_inferred") == 40


@pytest.mark.parametrize("gate", [GateOptions(), GATED], ids=["open", "gated"])
@pytest.mark.parametrize("most", [1, 3, 32])
def test_batches_of_any_size_tell_the_same_sightings(gate: GateOptions, most: int) -> None:
    spare = SpareOptions(belief=0.999) if gate.active else SpareOptions()
    names = [f"cam-{number}" for number in range(4)]
    people = {name: passenger(name, gate=gate, spare=spare) for name in names}
    batcher, inbox = Batcher(FakeDevice(most=most), gate=gate), Inbox(tick_seconds=0.0)
    seats = {name: inbox.join(one) for name, (one, _) in people.items()}
    streams = {name: surfaces(80, name) for name in names}
    for index in range(80):
        for name in names:
            assert inbox.put(seats[name], streams[name][index]) is None
        while inbox.waiting:
            batch = inbox.take(batcher.limit, patience_seconds=0.0)
            batcher.process(batch)
            inbox.taken(batch)
    for seat in seats.values():
        inbox.close(seat)
    batch = inbox.take(32, patience_seconds=0.0)
    batcher.process(batch)
    inbox.taken(batch)
    assert all(seat.left.is_set() for seat in seats.values())
    told = {name: [passage.sighting for passage in passages] for name, (_, passages) in people.items()}
    for name, (one, passages) in people.items():
        assert finals(passages) == ["30A12345", "51F67890"]
        looked_at = one.counters.total("frames_inferred") + one.counters.total("frames_gated")
        assert looked_at == 80
        assert [each.pts_seconds for each in told[name]] == [each.pts_seconds for each in told["cam-0"]]


def test_a_camera_whose_gate_must_know_more_has_one_picture_in_a_batch() -> None:
    gated, _ = passenger("gated", gate=GATED)
    free, _ = passenger("free")
    inbox = Inbox(tick_seconds=0.0)
    for one in (gated, free):
        seat = inbox.join(one)
        for picture in surfaces(3, one.camera_id):
            inbox.put(seat, picture)
    first = Counter(item.passenger.camera_id for item in inbox.take(8, patience_seconds=0.0))
    assert first == {"gated": 1, "free": 3}


def test_the_oldest_of_too_many_pictures_makes_room() -> None:
    one, _ = passenger()
    inbox = Inbox(tick_seconds=0.0)
    seat = inbox.join(one)
    given = surfaces(ROOM + 2)
    dropped = [inbox.put(seat, picture) for picture in given]
    assert dropped == [None] * ROOM + given[:2]
    assert [item.picture for item in inbox.take(8, patience_seconds=0.0)] == given[2:]


def test_a_new_size_settles_what_was_in_view() -> None:
    one, passages = passenger()
    inbox, batcher = Inbox(tick_seconds=0.0), Batcher(FakeDevice())
    seat = inbox.join(one)
    grey = np.full((60, 80), 128, np.uint8)
    small = surface_frame_of(Frame("cam", 10, 0.4, 0.0, np.full((120, 160), 40, np.uint8), grey, grey))
    for picture in [*surfaces(10), small]:
        inbox.put(seat, picture)
        batch = inbox.take(8, patience_seconds=0.0)
        batcher.process(batch)
    assert [item.picture for item in batch] == ["settle", small]
    assert finals(passages) == ["30A12345"]


def test_a_recording_waits_for_room_and_loses_nothing() -> None:
    one, _ = passenger()
    inbox = Inbox(tick_seconds=0.0)
    seat = inbox.join(one, waits=True)
    given = surfaces(50)

    def put_all() -> None:
        for picture in given:
            assert inbox.put(seat, picture) is None
        inbox.close(seat)

    thread = threading.Thread(target=put_all)
    thread.start()
    taken: list[Any] = []
    while "end" not in taken:
        batch = inbox.take(2, patience_seconds=1.0)
        assert inbox.waiting <= ROOM + 1
        taken += [item.picture for item in batch]
        inbox.taken(batch)
    thread.join(30)
    assert taken == [*given, "end"]
    assert seat.left.is_set()


def test_everyone_who_puts_is_told_what_ended_the_taking() -> None:
    one, _ = passenger()
    inbox = Inbox(tick_seconds=0.0)
    seat = inbox.join(one, waits=True)
    told: list[BaseException] = []

    def put_for_ever() -> None:
        try:
            for picture in surfaces(20):
                inbox.put(seat, picture)
        except DeviceError as error:
            told.append(error)

    thread = threading.Thread(target=put_for_ever)
    thread.start()
    inbox.fail(DeviceError("gone"))
    thread.join(30)
    assert not thread.is_alive()
    assert str(told[0]) == "gone"
    assert inbox.drop(seat) <= ROOM
    assert seat.left.is_set()


def test_pictures_of_a_closed_seat_are_given_back() -> None:
    one, _ = passenger()
    inbox = Inbox(tick_seconds=0.0)
    seat = inbox.join(one)
    first, second = surfaces(2)
    inbox.put(seat, first)
    assert inbox.drop(seat) == 1
    assert inbox.put(seat, second) is second
    assert [item.picture for item in inbox.take(8, patience_seconds=0.0)] == ["end"]


def test_a_batch_waits_a_tick_for_further_cameras_and_no_longer() -> None:
    clock = Clock()
    inbox = Inbox(tick_seconds=0.02, monotonic=lambda: clock.seconds)
    (one, _), (two, _) = passenger("one"), passenger("two")
    seats = inbox.join(one), inbox.join(two)
    inbox.put(seats[0], surfaces(1, "one")[0])
    timer = threading.Timer(0.005, lambda: inbox.put(seats[1], surfaces(1, "two")[0]))
    timer.start()
    assert {item.passenger.camera_id for item in inbox.take(8, patience_seconds=1.0)} == {"one", "two"}
    timer.join()
    inbox.put(seats[0], surfaces(1, "one")[0])
    assert [item.passenger.camera_id for item in inbox.take(8, patience_seconds=1.0)] == ["one"]


def test_counts_of_a_loop_balance() -> None:
    one, _ = passenger()
    batcher = Batcher(FakeDevice(most=4, memory_pictures=1, fails_at_batch=30))
    pictures = surfaces(40)
    one.counters.add("frames_received", 40)
    one.counters.add("frames_decoded", 40)
    while batcher.process([Item(one, pictures.pop(0)) for _ in range(4)]) is None and len(pictures) > 12:
        pass
    with pytest.raises(DeviceError):
        batcher.process([Item(one, picture) for picture in pictures[:4]])
    never = 40 - one.counters.total("frames_inferred") - one.counters.total("frames_dropped")
    one.counters.add("frames_dropped", never, reason="stopped")
    assert_balanced(one.counters)
