"""The hot memory answers as a plain list of passages would, whatever came in which order, and stays bounded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making_records import make_hit, make_sighting

from anpr.clock import ManualClock
from anpr.ops.passages import id_bytes, unpack_id
from anpr.plates.packed import LONGEST_PACKED, pack, unpack
from anpr.records import ALPHABET, Sighting
from anpr.rules.contract import Past
from anpr.rules.glance import glance_at
from anpr.rules.history import HotHistory
from anpr.rules.marks import Marks
from anpr.store import Store

PLATES = ("", "30A12345", "30A12346", "98C01234", "TM1234")
CAMERAS = ("a", "b", "c")


def past_of(sighting: Sighting) -> Past:
    return Past(**{name: getattr(sighting, name) for name in Past.__struct_fields__})


def plain(sightings: list[Sighting], from_seconds: float, until_seconds: float, **wanted: str) -> list[Past]:
    """What a history must answer."""
    found = [
        past_of(sighting)
        for sighting in sightings
        if from_seconds <= sighting.seen_seconds <= until_seconds
        and all(getattr(sighting, name) == value for name, value in wanted.items())
    ]
    return sorted(found, key=lambda past: (past.seen_seconds, past.id))


MADE = st.builds(
    lambda number, changes: make_sighting(id=f"{number:032x}", **changes),
    st.integers(0, 2**128 - 1),
    st.fixed_dictionaries(
        {
            "text": st.sampled_from(PLATES),
            "camera_id": st.sampled_from(CAMERAS),
            "site_id": st.sampled_from(["north", "south"]),
            "seen_seconds": st.integers(0, 400).map(float),
            "probability": st.integers(0, 1_000_000).map(lambda millionths: millionths / 1e6),
            "province_code": st.sampled_from(["", "30", "98", "80"]),
            "colour": st.sampled_from(["white", "blue"]),
            "direction": st.sampled_from(["approaching", "unknown"]),
            "unreadable": st.sampled_from(["", "blurred"]),
            "lane": st.sampled_from(["", "left"]),
            "vehicle_class": st.sampled_from(["", "truck"]),
            "speed_kmh": st.one_of(st.none(), st.sampled_from([81.3, 120.0])),
        }
    ),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(MADE, st.booleans()), max_size=40, unique_by=lambda pair: pair[0].id),
    st.integers(-1, 401),
    st.integers(-1, 401),
)
def test_answers_are_those_of_a_plain_list(
    made: list[tuple[Sighting, bool]], from_seconds: int, until_seconds: int
) -> None:
    history = HotHistory(keep_seconds=500.0, most_passages=1000)
    for sighting, _ in made:
        history.add(sighting)
        history.of_plate(sighting.text, 0.0, 400.0)  # what was asked before may not stay the answer
    for sighting, gone in made:
        if gone:
            history.remove(sighting)
    left = [sighting for sighting, gone in made if not gone]
    assert history.passages == len(left)
    assert history.plates == len({sighting.text for sighting in left} - {""})
    for plate in PLATES[1:]:
        for begin in (max(from_seconds, 200), from_seconds):
            known = history.of_plate(plate, float(begin), float(until_seconds))
            assert list(known) == plain(left, begin, until_seconds, text=plate)
    for camera in CAMERAS:
        known = history.at_camera(camera, float(from_seconds), float(until_seconds))
        assert list(known) == plain(left, from_seconds, until_seconds, camera_id=camera)
        unread = history.unread_at(camera, float(from_seconds), float(until_seconds))
        assert list(unread) == plain(left, from_seconds, until_seconds, camera_id=camera, text="")
    assert history.of_plate("", 0.0, 60.0) == []
    assert history.at_camera("nowhere", 0.0, 60.0) == ()
    assert not history.counters.counts


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        MADE, min_size=10, max_size=60, unique_by=(lambda each: each.id, lambda each: (each.text, each.seen_seconds))
    ),
    st.sampled_from([5.0, 30.0, 150.0]),
    st.sampled_from([50.0, 400.0]),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_who_shares_leaders_is_told_as_from_a_plain_list(
    made: list[Sighting], reach_seconds: float, within_seconds: float, plates: int, cameras: int
) -> None:
    history = HotHistory(keep_seconds=500.0, most_passages=1000)
    for sighting in made:
        history.add(sighting)

    def leaders(of: Sighting | Past) -> set[str]:
        before = plain(made, of.seen_seconds - reach_seconds, of.seen_seconds, camera_id=of.camera_id)
        return {past.text for past in before} - {of.text, ""}

    for sighting in made:
        seen = sighting.seen_seconds
        passed = plain(made, seen - within_seconds, seen - 1.0, text=sighting.text) if sighting.text else []
        last = {past.camera_id: past for past in passed if past.camera_id != sighting.camera_id}
        together = sum(len(leaders(sighting) & leaders(past)) >= plates for past in last.values())
        first, last_seen = (passed[0].seen_seconds, passed[-1].seen_seconds) if passed else (math.inf, -math.inf)
        told = history.may_share_leaders(sighting, first, last_seen, reach_seconds, plates=plates, cameras=cameras)
        assert told is (together >= cameras)


@pytest.mark.parametrize(("identity", "told"), [("s-1", True), ("0" * 32, False)])
def test_leaders_are_looked_at_closely_where_ids_of_two_kinds_meet(identity: str, told: bool) -> None:
    history = HotHistory(keep_seconds=500.0, most_passages=1000)
    history.add(make_sighting(id=identity, camera_id="a", seen_seconds=100.0))
    here = make_sighting(id="5" * 32, camera_id="b", seen_seconds=100.0)
    history.add(here)
    assert history.may_share_leaders(here, 0.0, 100.0, 10.0, plates=1, cameras=1) is told


@settings(deadline=None, max_examples=100)
@given(st.lists(MADE, max_size=40, unique_by=lambda each: each.id), st.integers(0, 400), st.data())
def test_a_glance_tells_what_a_plain_list_does(made: list[Sighting], within: int, data: st.DataObject) -> None:
    made = [msgspec.structs.replace(each, id=f"s{index}") if index % 3 else each for index, each in enumerate(made)]
    history = HotHistory(keep_seconds=500.0, most_passages=1000)
    for index, last in enumerate(made):
        history.add(last)
        for sighting in (last, data.draw(st.sampled_from(made[: index + 1]))):
            at = sighting.seen_seconds
            own = plain(made[: index + 1], at - within, at, text=sighting.text)
            passed = [past for past in own if (past.seen_seconds, past.id) < (at, sighting.id)]
            told = history.glance(sighting, float(within), ways_km)
            twice = any(past.seen_seconds == at and (past.id[0] == "s") != (sighting.id[0] == "s") for past in own)
            assert told == (None if twice or not sighting.text else glance_at(passed, sighting, ways_km))
    for gone in made[-1:]:
        history.remove(gone)
        assert history.glance(gone, float(within), ways_km) is None


def ways_km(one: str, other: str) -> float | None:
    return {frozenset("ab"): 12.0, frozenset("bc"): 0.0}.get(frozenset((one, other)))


@settings(deadline=None, max_examples=25)
@given(st.lists(MADE, min_size=20, max_size=200, unique_by=lambda each: each.id), st.integers(3, 40))
def test_a_full_memory_gives_up_what_came_first_and_counts_it(made: list[Sighting], most: int) -> None:
    history = HotHistory(keep_seconds=1000.0, most_passages=most)
    for sighting in made:
        history.add(sighting)
    left = made[-most:]
    assert history.passages == len(left)
    assert history.counters.counts.get(("history_dropped", "full"), 0) == len(made) - len(left)
    for plate in PLATES[1:]:
        assert list(history.of_plate(plate, 0.0, 400.0)) == plain(left, 0.0, 400.0, text=plate)
    for camera in CAMERAS:
        assert list(history.at_camera(camera, 0.0, 400.0)) == plain(left, 0.0, 400.0, camera_id=camera)


def test_what_is_older_than_the_rules_look_back_makes_room() -> None:
    history = HotHistory(keep_seconds=100.0, most_passages=1000)
    for second in range(5000):
        history.add(make_sighting(id=f"{second:032x}", text=f"30A{second % 70:05}", seen_seconds=float(second)))
    assert 100 <= history.passages <= 102
    assert history.oldest_seconds >= 4898.0
    assert history.plates == 70
    assert not history.counters.counts


def test_more_than_one_handful_of_passages_is_found() -> None:
    history = HotHistory(keep_seconds=1e6, most_passages=20_000)
    for second in range(10_000):
        history.add(make_sighting(id=f"{second:032x}", seen_seconds=float(second)))
    assert len(history.of_plate("30A12345", 0.0, 1e6)) == 10_000
    assert [past.seen_seconds for past in history.at_camera("gate-1", 10.0, 9000.0)] == [
        float(second) for second in range(10, 9001)
    ]


@pytest.mark.parametrize("changes", [{"text": "X" * 13}, {"text": "30A-1"}, {"id": "a name of more than 16 bytes"}])
def test_what_cannot_be_remembered_is_counted(changes: dict[str, Any]) -> None:
    history = HotHistory(keep_seconds=100.0, most_passages=10)
    sighting = make_sighting(**changes)
    history.add(sighting)
    history.remove(sighting)
    assert history.passages == 0
    assert history.counters.counts == {("history_dropped", "plate or id"): 1}


@given(st.text(ALPHABET, max_size=LONGEST_PACKED))
def test_a_plate_is_one_number_and_back(text: str) -> None:
    number = pack(text)
    assert number is not None
    assert unpack(number) == text
    assert 0 <= number < 2**63


@given(st.one_of(st.text(max_size=20), st.text("0123456789abcdef", min_size=32, max_size=32), st.just("A" * 32)))
def test_an_id_is_two_numbers_and_back(identity: str) -> None:
    packed, short = id_bytes(identity)
    if packed is not None:
        high, low = int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big")
        assert unpack_id(high, low, short=short) == identity
    else:
        assert len(identity) != 32 or identity == "A" * 32


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.sampled_from("xyz"), st.booleans())))
def test_marks_are_those_of_a_plain_set(told: list[tuple[str, int, str, bool]]) -> None:
    marks: Marks[str] = Marks(100.0)
    left: set[tuple[str, float, str]] = set()
    for key, second, identity, marked in told:
        if marked:
            marks.add(key, float(second), identity)
            left.add((key, float(second), identity))
        else:
            marks.discard(key, float(second), identity)
            left.discard((key, float(second), identity))
    for key in "abc":
        wanted = sorted((second, identity) for other, second, identity in left if other == key and 2 <= second <= 7)
        assert list(marks.between(key, 2.0, 7.0)) == wanted
        assert marks.count(key, 2.0, 7.0) == len(wanted)


def test_marks_are_forgotten_in_time_and_when_there_are_too_many() -> None:
    marks: Marks[int] = Marks(50.0, most=1000)
    for second in range(3000):
        marks.add(second % 7, float(second), "x")
    assert len(marks) <= 52
    assert sum(marks.count(key, 0.0, 1e9) for key in range(7)) == len(marks)
    few: Marks[int] = Marks(1e9, most=10)
    for second in range(300):
        few.add(second, float(second), "x")
    assert len(few) == 10
    assert few.count(0, 0.0, 1e9) == 0
    assert few.count(299, 0.0, 1e9) == 1


def test_memory_is_filled_from_the_store_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    made = [
        make_sighting(
            id=f"{number:032x}" if number % 3 else f"s-{number}",
            text=PLATES[rng.integers(len(PLATES))],
            camera_id=CAMERAS[rng.integers(3)],
            seen_seconds=float(rng.integers(0, 600)) + 0.25,
            probability=float(rng.integers(0, 1001)) / 1000,
            speed_kmh=(None, 81.3)[number % 2],
            revision=number % 2,
        )
        for number in range(500)
    ]
    grown = HotHistory(keep_seconds=1000.0, most_passages=1000)
    with Store.open(tmp_path, clock=ManualClock()) as store:
        for sighting in made:
            store.append([sighting])
            grown.add(sighting)
        moved = msgspec.structs.replace(made[7], revision=9, text="51F67890", seen_seconds=599.5)
        gone = msgspec.structs.replace(made[8], revision=9, state="withdrawn")
        store.append([moved, gone])
        for before in (made[7], made[8]):
            grown.remove(before)
        grown.add(moved)
        filled = HotHistory(keep_seconds=1000.0, most_passages=1000)
        for block in store.passages(from_seconds=100.0):
            filled.load(block.rows, block.traits)
    for plate in (*PLATES[1:], "51F67890"):
        assert filled.of_plate(plate, 100.0, 600.0) == grown.of_plate(plate, 100.0, 600.0)
    for camera in CAMERAS:
        assert filled.at_camera(camera, 100.0, 600.0) == grown.at_camera(camera, 100.0, 600.0)
    assert filled.oldest_seconds >= 100.0


def test_hits_come_back_by_the_time_of_their_passage(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=ManualClock()) as store:
        for second in (30, 10, 20):
            store.append([make_sighting(id=f"s{second}")], [make_hit(id=f"h{second}", seen_seconds=float(second))])
        store.append([], [make_hit(id="h10", seen_seconds=40.0, revision=2)])
        assert [hit.id for hit in store.hits_since(15.0)] == ["h20", "h30", "h10"]
        assert [hit.revision for hit in store.hits_since(31.0)] == [2]


def test_a_passage_from_before_all_that_is_kept_harms_nobody() -> None:
    history = HotHistory(keep_seconds=600.0, most_passages=1000)
    made = [make_sighting(id=f"{second:032x}", seen_seconds=float(second)) for second in range(10_000, 13_000, 7)]
    ancient = make_sighting(id="f" * 32, seen_seconds=0.0)
    for sighting in (*made, ancient, made[-1]):
        history.add(sighting)
    history.remove(ancient)
    history.remove(made[-1])
    found = [past.seen_seconds for past in history.at_camera("gate-1", 12_500.0, 13_000.0)]
    assert found == [sighting.seen_seconds for sighting in made if sighting.seen_seconds >= 12_500.0]


def test_many_cameras_are_remembered() -> None:
    history = HotHistory(keep_seconds=600.0, most_passages=1000)
    for number in range(100):
        history.add(make_sighting(id=f"{number:032x}", camera_id=f"c{number}", seen_seconds=float(number)))
    assert [len(history.at_camera(f"c{number}", 0.0, 100.0)) for number in range(100)] == [1] * 100
