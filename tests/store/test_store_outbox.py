from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
from making_records import make_gap, make_hit, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Store


def fill(store: Store, *, first: int = 0) -> None:
    """Three sightings, then two hits and a coverage gap: 6 events."""
    store.append([make_sighting(id=f"s{first + number}") for number in range(3)])
    store.append([], [make_hit(id=f"h{first + number}") for number in range(2)], [make_gap(id=f"g{first}")])


def test_two_lanes_hold_all_events_in_order(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=ManualClock()) as store:
        assert (store.outbox.first_seq, store.outbox.last_seq) == (1, 0)
        fill(store)
        fill(store, first=10)
        hits = store.outbox.read("hits", after_seq=0, limit=100)
        rest = store.outbox.read("rest", after_seq=0, limit=100)
        assert [event.seq for event in hits] == [4, 5, 10, 11]
        assert [event.seq for event in rest] == [1, 2, 3, 6, 7, 8, 9, 12]
        assert sorted((*hits, *rest), key=lambda event: event.seq) == list(store.events())
        assert [event.seq for event in store.outbox.read("hits", after_seq=4, limit=2)] == [5, 10]
        assert [event.seq for event in store.outbox.read("rest", after_seq=3, limit=2)] == [6, 7]
        assert store.outbox.event_at(4) == hits[0]
        assert store.outbox.event_at(99) is None
        assert (store.outbox.first_seq, store.outbox.last_seq) == (1, 12)


def test_what_lies_after_a_number_has_a_size(tmp_path: Path) -> None:
    clock = ManualClock()
    with Store.open(tmp_path, clock=clock) as store:
        assert store.outbox.bytes_after(0) == 0
        fill(store)
        first_day = store.outbox.bytes_after(0)
        assert first_day > 4096
        clock.advance(86_400.0)
        fill(store, first=10)
        assert store.outbox.bytes_after(0) > store.outbox.bytes_after(6) > 4096
        assert store.outbox.bytes_after(5) == store.outbox.bytes_after(0)
        assert store.outbox.bytes_after(12) == 0


def test_positions_survive(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=ManualClock()) as store:
        assert store.outbox.positions() == {}
        store.outbox.save_positions({"ioc": (4, 3), "mqtt": (0, 0)})
        store.outbox.save_positions({"ioc": (5, 6)})
    with Store.open(tmp_path, clock=ManualClock()) as store:
        assert store.outbox.positions() == {"ioc": (5, 6), "mqtt": (0, 0)}


def test_a_hit_that_is_missing_from_the_log_is_told(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=ManualClock()) as store:
        fill(store)
    with lmdb.open(str(next(tmp_path.glob("days/*"))), max_dbs=32) as environment:
        events = environment.open_db(b"events")
        with environment.begin(write=True) as txn:
            txn.delete((4).to_bytes(8, "big"), db=events)
    with Store.open(tmp_path, clock=ManualClock()) as store:
        with pytest.raises(StoreError, match="hit 4 is missing"):
            store.outbox.read("hits", after_seq=0, limit=1)
