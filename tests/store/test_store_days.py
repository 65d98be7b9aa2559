"""Days that begin, are tried again, overlap, and are gone to and fro by a clock."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from making_records import make_hit, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.records import Hit
from anpr.store import Query, Store, blocks, partitions
from anpr.store import store as store_module
from anpr.store.checking import check
from anpr.store.environment import Environment

DAY = 86_400.0


def test_an_empty_day_becomes_the_next(tmp_path: Path, clock: ManualClock) -> None:
    """Nothing but repeated records came on the second day."""
    with Store.open(tmp_path, clock=clock) as store:
        store.append([make_sighting()])
        clock.advance(DAY)
        assert store.append([make_sighting()]) == ()
        assert [str(each.name) for each in store.partitions.all] == [
            "2026-01-01.00000000000000000001",
            "2026-01-02.00000000000000000002",
        ]
        clock.advance(DAY)
        (event,) = store.append([make_sighting(id="another")])
        assert event.seq == 2
        assert [str(each.name) for each in store.partitions.all] == [
            "2026-01-01.00000000000000000001",
            "2026-01-03.00000000000000000002",
        ]
        assert len(store.search(Query()).sightings) == 2
    assert check(tmp_path, clock=clock).problems == []


def test_a_day_that_cannot_begin_is_tried_again(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with Store.open(tmp_path, clock=clock) as store:
        store.append([make_sighting(id="a")])
        for name, wanted in (("make", "No space left"), ("sync_folder", "No space left")):
            clock.advance(DAY)
            with monkeypatch.context() as broken:
                broken.setattr(partitions, name, fail)
                with pytest.raises(StoreError, match=wanted):
                    store.append([make_sighting(id="b")])
            assert store.last_seq == 1
            assert [each.id for each in store.search(Query()).sightings] == ["a"]
        (event,) = store.append([make_sighting(id="b")])
        assert event.seq == 2
        assert len(store.partitions.all) == 2
        store.append([make_sighting(id="c")])
    with Store.open(tmp_path, clock=clock) as store:
        assert [event.seq for event in store.events()] == [1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "days").iterdir()) == [
        "2026-01-01.00000000000000000001",
        "2026-01-03.00000000000000000002",
    ]
    assert check(tmp_path, clock=clock).problems == []


def test_a_clock_that_goes_back_writes_to_no_day_that_is_over(memory: Path, clock: ManualClock) -> None:
    with Store.open(memory, clock=clock) as store:
        store.append([make_sighting(id="a")])
        clock.advance(DAY)
        store.append([make_sighting(id="b")])
        clock.wall -= DAY
        store.append([make_sighting(id="c")])
        clock.wall -= DAY
        store.append([make_sighting(id="d")])
        assert [(str(each.day), each.first_seq) for each in store.partitions.all] == [
            ("2026-01-01", 1),
            ("2026-01-02", 2),
            ("2025-12-31", 4),
        ]


@pytest.mark.parametrize(("leap", "most"), [(0.5 * DAY, 2), (DAY, 2), (2 * DAY, 4), (400 * DAY, 4)])
def test_a_clock_that_goes_to_and_fro_makes_few_days(memory: Path, clock: ManualClock, leap: float, most: int) -> None:
    with Store.open(memory, clock=clock) as store:
        clock.wall += 0.6 * DAY  # in the evening
        for number in range(100):
            store.append([make_sighting(id=f"s{number}")])
            store.roll()
            clock.wall += leap if number % 2 == 0 else -leap
            clock.advance(60.0)
        assert len(store.partitions.all) == most
        clock.advance(DAY)
        store.append([make_sighting(id="next")])
        clock.advance(2 * DAY)
        store.append([make_sighting(id="after")])
        assert len(store.partitions.all) > most
        assert [event.seq for event in store.events()] == [*range(1, 103)]
    assert check(memory, clock=clock).problems == []


def test_no_number_is_given_twice_if_a_day_cannot_begin_and_the_clock_goes_back(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("Too many open files")

    with Store.open(tmp_path, clock=clock) as store:
        store.append([make_sighting(id="a")])
        clock.advance(DAY)
        with monkeypatch.context() as broken:
            broken.setattr(partitions.Partitions, "_open", fail)  # its folder is in place by then
            with pytest.raises(StoreError, match="Too many"):
                store.append([make_sighting(id="b")])
        clock.advance(-DAY)
        store.append([make_sighting(id="b")])
    with Store.open(tmp_path, clock=clock) as store:
        store.append([make_sighting(id="c")])
        assert [(event.seq, event.record.id) for event in store.events()] == [(1, "a"), (2, "b"), (3, "c")]
    assert check(tmp_path, clock=clock).problems == []


@pytest.mark.parametrize("block", [1, 3, 100])
def test_passages_of_overlapping_days_come_in_the_order_of_time(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    rng = random.Random(block)
    with Store.open(tmp_path, clock=clock) as store:
        for day in range(4):
            seen = [
                make_sighting(
                    id=f"{100 * day + number:032x}",
                    seen_seconds=float(rng.randrange(30 + 20 * day)),
                    lane=str(rng.randrange(3)),
                )
                for number in range(25)
            ]
            store.append(seen)
            clock.advance(DAY)
        wanted = [
            sighting for sighting in store.search(Query(limit=1000)).sightings[::-1] if sighting.seen_seconds >= 7.0
        ]
        found = [
            (float(row["seen"]), int(row["id_low"]), each.traits[row["traits"]].lane)
            for each in store.passages(from_seconds=7.0)
            for row in each.rows
        ]
    assert found == [(each.seen_seconds, int(each.id, 16), each.lane) for each in wanted]


def test_hits_of_many_days_are_read_in_pieces(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_AT_ONCE", 3)
    rng = random.Random(3)
    with Store.open(tmp_path, clock=clock) as store:
        for day in range(4):
            store.append([], [make_hit(id=f"h{day}-{n}", seen_seconds=float(rng.randrange(20))) for n in range(8)])
            clock.advance(DAY)
        everything = [event.record for event in store.events() if isinstance(event.record, Hit)]
        wanted = sorted(everything, key=lambda hit: (hit.seen_seconds, hit.id))
        assert list(store.hits_since(0.0)) == wanted
        assert list(store.hits_since(5.0)) == [hit for hit in wanted if hit.seen_seconds >= 5.0]
        assert store.outbox.read("hits", after_seq=13, limit=10) == store.events(after_seq=13, limit=10)


def test_a_day_that_goes_while_a_reader_opens_it_is_not_missed(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path, clock=clock, box="box-1") as store:
        for day in range(3):
            store.append([make_sighting(id=f"s{day}", evidence=())])
            clock.advance(DAY)
    first, second, third = sorted(tmp_path.glob("days/*"))
    open_file = Environment.open

    def open_late(path: Path, **how: Any) -> Environment:
        if path == first and first.is_dir():
            first.rename(first.with_name(f".gone-{first.name}"))
        return open_file(path, **how)

    monkeypatch.setattr(Environment, "open", open_late)
    with Store.open(tmp_path, clock=clock, read_only=True) as store:
        assert [each.path for each in store.partitions.all] == [second, third]
    (second / "data.mdb").write_bytes(b"damaged")
    with pytest.raises(StoreError, match="damaged"):
        Store.open(tmp_path, clock=clock, read_only=True)
