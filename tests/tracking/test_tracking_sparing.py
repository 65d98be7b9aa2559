"""Reads are spared where they cannot change the vote, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from simulated_traffic import WALL_SECONDS, plate_at, read_of, sure_lattice

from anpr.metrics import Counters
from anpr.records import Plate, Read, Sighting
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import SpareOptions
from anpr.tracking.tracker import Tracker

ORIGIN = Origin(site_id="north", camera_id="gate-1", run_seconds=WALL_SECONDS)
SPARING = SpareOptions(belief=0.999)


class Road:
    """A tracker that reads only what it asks to be read."""

    def __init__(self, sparing: SpareOptions = SPARING, *, fps: float = 12.5) -> None:
        self.counters = Counters()
        self.tracker = Tracker(ORIGIN, sparing=sparing, counters=self.counters)
        self.step, self.index = 1 / fps, 0
        self.told: list[Sighting] = []
        self.read: list[bool] = []

    def frame(self, *seen: tuple[Plate, str], certainty: float = 0.97) -> None:
        """Each plate with its text; a text that begins with '!' is why it cannot be read."""
        plates = [plate for plate, _ in seen]
        spared = self.tracker.spare(plates, pts_seconds=self.index * self.step)
        reads: list[Read | None] = []
        for (_, text), reason in zip(seen, spared, strict=True):
            unreadable = text[1:] if text.startswith("!") else ""
            lattice = sure_lattice("" if unreadable else text, certainty)
            reads.append(None if reason else read_of(lattice, unreadable=unreadable))
        self.read += [not reason for reason in spared]
        self._update(plates, reads)

    def _update(self, plates: Sequence[Plate], reads: Sequence[Read | None]) -> None:
        at = self.index * self.step
        update = self.tracker.update(
            pts_seconds=at, wall_seconds=WALL_SECONDS + at, plates=plates, reads=reads, frame_index=self.index
        )
        self.told += update.sightings
        self.index += 1

    def end(self) -> list[str]:
        self.told += self.tracker.flush().sightings
        return [sighting.text for sighting in self.told if sighting.state == "final"]


def coming(step: int, *, x: float = 600.0, width_px: float = 150.0) -> Plate:
    return plate_at(x, 200.0 + 12 * step, width_px=width_px)


def test_by_default_every_plate_is_read() -> None:
    road = Road(SpareOptions())
    for step in range(30):
        road.frame((coming(step), "30A12345"))
    assert all(road.read)
    assert road.tracker.attention == "reading"


def test_a_settled_vehicle_is_read_now_and_then_and_told_as_ever() -> None:
    road = Road()
    for step in range(50):
        road.frame((coming(step), "30A12345"))
    assert all(road.read[:3])
    assert 3 + 6 <= sum(road.read) <= 3 + 10
    assert road.counters.counts["reads_spared", "settled"] == road.read.count(False)
    assert road.tracker.attention == "following"
    assert road.end() == ["30A12345"]
    assert road.told[-1].frames == 50
    assert road.told[-1].reads == sum(road.read)


def test_an_unsure_vehicle_is_read_every_time() -> None:
    road = Road()
    for step in range(20):
        road.frame((coming(step), "30A12345"), certainty=0.12)
    assert all(road.read)
    assert road.tracker.attention == "reading"


def test_a_plate_that_grows_is_read_again_while_there_is_something_to_gain() -> None:
    road = Road(SpareOptions(belief=0.999, again_seconds=100.0))
    widths = [60 * 1.04**step for step in range(60)]
    for step, width in enumerate(widths):
        road.frame((coming(step, width_px=width), "30A12345"))
    grown = [width for width, read in zip(widths, road.read, strict=True) if read][3:]
    assert 3 <= len(grown) <= 6
    assert all(later >= 1.19 * earlier for earlier, later in pairwise(grown))
    assert max(grown) < 170  # a one-line plate of this width has the size beyond which nothing is gained


def test_a_track_that_becomes_another_vehicle_is_found_out() -> None:
    road = Road()
    for step in range(40):
        road.frame((coming(step % 20), "30A12345" if step < 20 else "51F67890"))
        road.told = [sighting for sighting in road.told if sighting.state == "final"]
    assert road.end() == ["30A12345", "51F67890"]


@pytest.mark.parametrize("again_seconds", [0.3, 0.5])
def test_a_follower_in_the_very_same_place_is_read_as_soon_as_the_text_changes(again_seconds: float) -> None:
    road = Road(SpareOptions(belief=0.999, again_seconds=again_seconds))
    for step in range(60):
        road.frame((coming(step // 4), "30A12345" if step < 30 else "51F67890"))
    changed = next(index for index in range(30, 60) if road.read[index])
    assert (changed - 30) * road.step <= again_seconds
    assert all(road.read[changed : changed + 3])
    assert road.end() == ["30A12345", "51F67890"]


def test_a_plate_that_might_be_anothers_is_read() -> None:
    road = Road(SpareOptions(belief=0.999, again_seconds=100.0))
    for step in range(10):
        road.frame((coming(step), "30A12345"))
    assert not any(road.read[3:])
    road.frame((coming(10, x=592.0), "30A12345"), (coming(10, x=610.0), "51F67890"))
    assert all(road.read[-2:])


def test_one_that_proves_to_be_of_no_known_vehicle_is_counted_and_read_next_time() -> None:
    road = Road()
    road._update([coming(0)], [None])
    assert road.counters.counts["plates_dropped", "not read"] == 1
    assert road.tracker.live_tracks == 0
    road.frame((coming(1), "30A12345"))
    assert road.read == [True]
    assert road.tracker.live_tracks == 1


def test_a_sign_that_stands_there_is_not_read_for_ever() -> None:
    road = Road()
    for _ in range(100):
        road.frame((coming(0), "!not a Vietnamese plate"))
    assert 24 <= sum(road.read) <= 24 + 16
    assert road.counters.counts["reads_spared", "still"] == road.read.count(False)
    assert road.tracker.attention == "none"


def test_a_vehicle_that_is_gone_needs_nothing() -> None:
    road = Road()
    for step in range(2):
        road.frame((coming(step), "30A12345"))
    assert road.tracker.attention == "reading"
    for _ in range(3):
        road.frame()
    assert road.tracker.live_tracks == 1
    assert road.tracker.attention == "none"


def test_what_is_too_far_to_read_is_followed_until_it_is_near() -> None:
    road = Road()
    for step in range(5):
        road.frame((coming(step), "!too small"))
    assert road.tracker.attention == "following"
    road.frame((coming(5), "30A12345"))
    assert road.tracker.attention == "reading"


@pytest.mark.parametrize(
    ("name", "value"),
    [("belief", 0.0), ("belief", 1.1), ("reads_least", 0), ("growth", 0.9), ("again_seconds", 0.0), ("still_reads", 0)],
)
def test_options_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        SpareOptions(**{name: value})


def test_spared_reads_change_no_sighting_of_a_busy_road() -> None:
    rng = np.random.default_rng(3)
    texts = [f"30A{rng.integers(10000, 99999)}" for _ in range(12)]
    roads = [Road(SpareOptions()), Road()]
    for road in roads:
        for step in range(12 * 15 + 40):
            seen = [
                (coming(step - 15 * number, x=300.0 + 500 * (number % 3)), text)
                for number, text in enumerate(texts)
                if 0 <= step - 15 * number < 40
            ]
            road.frame(*seen)
    assert sorted(roads[0].end()) == sorted(roads[1].end()) == sorted(texts)
    assert roads[1].counters.total("reads_spared") > 0.5 * len(roads[1].read)
