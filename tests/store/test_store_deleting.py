"""Which pictures go: quickly, with holds that are made meanwhile, and past rows that are damaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from making_records import make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.records import Event
from anpr.store import Store
from anpr.store.checking import check
from anpr.store.deleting import Going
from anpr.store.keys import pack_seq

DAY = 86_400.0


def nothing(txn: Any) -> Callable[[Event], bool]:
    return lambda event: False


def test_a_million_pictures_are_compared_in_a_moment() -> None:
    rng = np.random.default_rng(1)
    names, others = (np.unique(rng.integers(0, 2**63, 1_000_000, np.uint64)) for _ in range(2))
    others = np.union1d(others, names[::1000])
    going = Going(names, np.ones(len(names), np.bool_), 0, 0)
    begun = time.process_time()
    going.spare(others)
    took_seconds = time.process_time() - begun
    begun = time.process_time()
    expected = ~np.isin(names, others)
    assert took_seconds < 0.5 * (time.process_time() - begun)
    assert np.array_equal(going.goes, expected)
    going.spare(np.zeros(0, np.uint64))
    assert np.array_equal(going.goes, expected)
    Going(np.zeros(0, np.uint64), np.zeros(0, np.bool_), 0, 0).spare(others)


def test_a_picture_that_is_held_while_others_are_deleted_stays(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        pictures = [store.evidence.put("plate", make_jpeg(f"{part}")) for part in range(250)]
        store.append([make_sighting(id=f"s{n}", evidence=(picture,)) for n, picture in enumerate(pictures)])
        clock.advance(DAY)
        store.append([make_sighting(id="next", seen_seconds=clock.wall)])

        def held(txn: Any) -> Callable[[Event], bool]:
            found = txn.get(b"held", db=store.root.holds)
            return lambda event: found is not None and event.record.id.encode() == found

        deleting = 0
        for progress in store.thin(store.partitions.all[0], choose=held, reason="14 days"):
            deleting += progress.doing == "deleting pictures"
            if deleting == 1 and progress.doing == "deleting pictures":
                with store.root.writing() as txn:
                    txn.put(b"held", b"s249", db=store.root.holds)
        assert [n for n, picture in enumerate(pictures) if store.evidence.has(picture.sha256)] == [249]


def test_a_damaged_row_does_not_stop_the_rest_from_going(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        for day in range(3):
            pictures = [store.evidence.put("plate", make_jpeg(f"{day} {part}")) for part in range(5)]
            store.append(
                [make_sighting(id=f"s{day}-{n}", evidence=(each,)) for n, each in enumerate(pictures)],
            )
            if day == 0:
                partition = store.partitions.newest
                assert partition is not None
                with partition.writing() as txn:
                    txn.put(pack_seq(3), b"\x95garbage", db=partition.events)
            clock.advance(DAY)
        oldest = store.partitions.all[0]
        for _ in store.thin(oldest, choose=nothing, reason="14 days"):
            pass
        for _ in store.purge(oldest, choose=nothing, reason="30 days"):
            pass
        thinned, purged = store.purges()
        assert (thinned.pictures, purged.sightings, purged.damaged) == (4, 4, 1)
        assert len(store.partitions.all) == 2
    assert check(tmp_path / "store", clock=clock).problems == []
