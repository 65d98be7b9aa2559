"""Simulated traffic: every vehicle exactly one sighting with the right text, at every frame rate, both ways."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from simulated_traffic import WALL_SECONDS, Seen, Traffic, Vehicle, feed, newest, random_traffic, run

from anpr.metrics import Counters
from anpr.tracking.sighting import Origin
from anpr.tracking.tracker import Tracker

ORIGIN = Origin(site_id="north", camera_id="gate-1", run_seconds=WALL_SECONDS)
SECONDS = 25.0


def texts(updates) -> Counter[str]:
    return Counter(sighting.text for sighting in newest(updates))


@pytest.mark.parametrize("coming", [True, False], ids=["approaching", "receding"])
@pytest.mark.parametrize("fps", [12.5, 25.0])
@pytest.mark.parametrize("seed", range(4))
def test_every_vehicle_is_one_sighting_with_its_text(seed, fps, coming):
    traffic = random_traffic(seed, fps=fps, seconds=SECONDS, coming=coming)
    updates = run(Tracker(ORIGIN), traffic.frames(SECONDS))
    assert len(traffic.shown) > 15
    assert texts(updates) == Counter(traffic.shown.keys())
    expected = "approaching" if coming else "receding"
    assert {sighting.direction for sighting in newest(updates) if sighting.frames > 2} == {expected}


@pytest.mark.parametrize("coming", [True, False], ids=["approaching", "receding"])
@pytest.mark.parametrize("seed", range(8))
def test_at_five_frames_a_second_too(seed, coming):
    """Few reads each, so the reader is spared sure misreads here: what is tested is who belongs to whom."""
    traffic = random_traffic(seed, fps=5.0, seconds=SECONDS, coming=coming)
    traffic.misreads, traffic.flickers = 0.0, 0.02
    sightings = newest(run(Tracker(ORIGIN), traffic.frames(SECONDS)))
    assert Counter(sighting.text for sighting in sightings) == Counter(traffic.shown.keys())
    assert all(abs(sighting.frames - traffic.shown[sighting.text]) <= 1 for sighting in sightings)


@pytest.mark.parametrize("fps", [5.0, 12.5, 25.0])
def test_vehicles_that_cannot_be_read_are_sightings_too(fps):
    vehicles = [Vehicle(f"30A0000{i}", (-1.9, 1.9)[i % 2], 20.0 + i, 1.5 * i, blurred=True) for i in range(8)]
    traffic = Traffic(vehicles, fps, np.random.default_rng(4), misses=0.05, flickers=0.0)
    sightings = newest(run(Tracker(ORIGIN), traffic.frames(16.0)))
    assert [(sighting.text, sighting.unreadable) for sighting in sightings] == [("", "blurred")] * 8
    assert sorted(sighting.frames for sighting in sightings) == sorted(traffic.shown.values())


@pytest.mark.parametrize("fps", [5.0, 12.5, 25.0])
def test_a_close_follower_with_a_similar_plate_stays_its_own_vehicle(fps):
    vehicles = [Vehicle("30A12345", 0.0, 33.0, 0.0), Vehicle("30A12354", 0.0, 33.0, 0.45)]
    traffic = Traffic(vehicles, fps, np.random.default_rng(8), misses=0.0, flickers=0.0, misreads=0.0)
    assert texts(run(Tracker(ORIGIN), traffic.frames(3.0))) == Counter(["30A12345", "30A12354"])


@pytest.mark.parametrize("fps", [5.0, 12.5, 25.0])
def test_overtaking_side_by_side(fps):
    vehicles = [Vehicle("30A12345", -1.9, 17.0, 0.0), Vehicle("29C98765", 1.9, 33.0, 0.4)]
    traffic = Traffic(vehicles, fps, np.random.default_rng(8), flickers=0.0)
    assert texts(run(Tracker(ORIGIN), traffic.frames(3.0))) == Counter(["30A12345", "29C98765"])


def test_both_directions_in_one_picture():
    both = random_traffic(1, fps=12.5, seconds=SECONDS, lanes=(-2.0,))
    both.vehicles += random_traffic(2, fps=12.5, seconds=SECONDS, lanes=(2.0,), coming=False).vehicles
    updates = run(Tracker(ORIGIN), both.frames(SECONDS))
    assert texts(updates) == Counter(both.shown.keys())
    assert {sighting.direction for sighting in newest(updates)} == {"approaching", "receding"}


def test_a_short_hiding_does_not_break_a_track_and_a_long_one_is_mended():
    counters = Counters()
    slow = [
        Vehicle("30A12345", 0.0, 8.0, 0.0, hidden=(0.6, 1.2)),
        Vehicle("29C98765", 1.9, 6.0, 0.0, hidden=(0.8, 2.6)),
    ]
    traffic = Traffic(slow, 12.5, np.random.default_rng(8), flickers=0.0)
    sightings = newest(run(Tracker(ORIGIN, counters=counters), traffic.frames(9.0)))
    assert Counter(sighting.text for sighting in sightings) == Counter(["30A12345", "29C98765"])
    assert {sighting.text: sighting.frames for sighting in sightings} == traffic.shown
    assert counters.total("tracks_joined") == 1
    mended = next(sighting for sighting in sightings if sighting.text == "29C98765")
    assert mended.revision >= 1


def test_the_same_frames_give_the_same_sightings_bit_for_bit():
    frames = list(random_traffic(6, fps=12.5, seconds=SECONDS).frames(SECONDS))
    first, second = (run(Tracker(ORIGIN), frames) for _ in range(2))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)


def cycles(frames: list[Seen], seconds: float, count: int):
    """The same stretch of traffic again and again."""
    for cycle in range(count):
        for seen in frames:
            index = cycle * len(frames) + seen.index
            yield replace(seen, index=index, pts_seconds=seen.pts_seconds + cycle * seconds)


def test_a_hundred_thousand_frames_leave_the_state_as_small_as_a_thousand():
    stretch = list(random_traffic(3, fps=25.0, seconds=4.0, lanes=(0.0,)).frames(4.0))
    empty = [Seen(100 + index, 4.0 + index / 25, [], [], []) for index in range(900)]
    tracker, sizes, told = Tracker(ORIGIN), [], 0
    for number, seen in enumerate(cycles([*stretch, *empty], 40.0, 100)):
        told += len(feed(tracker, seen).sightings)
        if number % 1000 == 60:
            sizes.append(len(pickle.dumps(tracker)))
    assert number + 1 == 100_000
    assert told >= 200
    assert max(sizes) <= 1.02 * sizes[1], "the tracker's whole state, pickled"


def test_a_car_parked_for_twenty_minutes_is_one_track_of_flat_size():
    parked = Vehicle("30A12345", -1.9, 1e-9, -(40.0 - 22.0) / 1e-9)
    traffic = Traffic([parked], 5.0, np.random.default_rng(1), misses=0.1, flickers=0.0)
    tracker, sizes, told = Tracker(ORIGIN), [], []
    for seen in traffic.frames(1200.0):
        # Now and then a truck stands before it for six seconds.
        hidden = seen.index % 900 > 870
        told += feed(tracker, replace(seen, plates=[], reads=[]) if hidden else seen).sightings
        if seen.index in (800, 5900):
            sizes.append(len(pickle.dumps(tracker)))
    assert tracker.live_tracks == 1
    assert [sighting.state for sighting in told] == ["preview"]
    assert sizes[1] <= 1.05 * sizes[0]
    (final,) = tracker.flush().sightings
    assert (final.revision, final.state, final.text, final.direction) == (1, "final", "30A12345", "unknown")
    assert final.frames > 5000
    assert len(final.lattice) == 8
