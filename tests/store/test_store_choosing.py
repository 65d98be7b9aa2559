"""What stays is chosen without a year's hits in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from making_records import make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.records import Event, Hit
from anpr.store import Store, choosing, deleting, removal
from anpr.store.checking import check
from anpr.store.deleting import Progress

DAY = 86_400.0


def hits_stay(txn: Any) -> Callable[[Event], bool]:
    return lambda event: isinstance(event.record, Hit)


def nothing(txn: Any) -> Callable[[Event], bool]:
    return lambda event: False


def fill(store: Store, clock: ManualClock, hits: int) -> None:
    """On the first day a vehicle with two hits, of which one names it with many others; then a day of many hits."""
    store.append(
        [make_sighting(id="old"), make_sighting(id="named"), make_sighting(id="plain")],
        [make_hit(id="on-old", sighting_id="old"), make_hit(id="other", sighting_id="old", sighting_ids=("named",))],
    )
    clock.advance(DAY)
    for first in range(0, hits, 2000):
        store.append(
            [],
            [
                make_hit(id=f"h{n}", sighting_id=f"{n:032x}", sighting_ids=(f"{n + 10**9:032x}",), seen_seconds=n)
                for n in range(first, min(hits, first + 2000))
            ],
        )
    clock.advance(DAY)
    store.append([make_sighting(id="today")])


def most_bytes(slices: Any) -> int:
    """That were taken for Python's objects while it went on."""
    tracemalloc.start()
    for progress in slices:
        assert isinstance(progress, Progress)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_hits(memory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_HITS_AT_ONCE", 100)
    taken: dict[str, list[int]] = {"thin": [], "purge": [], "kept": []}
    for hits in (3000, 9000):
        with Store.open(memory / str(hits), clock=clock, box="box-1") as store:
            fill(store, clock, hits)
            first = store.partitions.all[0]
            taken["thin"].append(most_bytes(store.thin(first, choose=hits_stay, reason="x")))
            taken["purge"].append(most_bytes(store.purge(first, choose=hits_stay, reason="x")))
            taken["kept"].append(most_bytes(store.purge_kept(choose=hits_stay, reason="x")))
            assert store.sighting("old") is not None
            assert store.sighting("named") is not None
            assert store.sighting("plain") is None
            assert store.purges()[-1].kept == 4
    for few, many in taken.values():
        assert many < few + 200_000


def test_kept_records_are_looked_through_in_pieces(
    memory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what goes, goes whatever piece it is in."""
    monkeypatch.setattr(removal, "_KEPT_AT_ONCE", 3)
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(choosing, "_HITS_AT_ONCE", 2)
    monkeypatch.setattr(deleting, "_DOOMED_AT_ONCE", 4)
    with Store.open(memory / "store", clock=clock, box="box-1") as store:
        pictures = [store.evidence.put("plate", make_jpeg(f"{part}")) for part in range(10)]
        seen = [make_sighting(id=f"s{n}", evidence=(picture,)) for n, picture in enumerate(pictures)]
        hits = [
            make_hit(id=f"h{n}", sighting_id=f"s{n}", severity="ALERT" if n in (3, 7) else "INFO", seen_seconds=n)
            for n in range(10)
        ]
        hits[7] = msgspec.structs.replace(hits[7], sighting_ids=("s0", "s9"))
        store.append(seen, hits)
        clock.advance(DAY)
        store.append([make_sighting(id="today")])
        for _ in store.purge(store.partitions.all[0], choose=hits_stay, reason="x"):
            pass
        assert store.purges()[-1].kept == 20
        alerts = [hit.id for hit in hits if hit.severity == "ALERT"]
        for _ in store.purge_kept(choose=lambda txn: lambda event: event.record.id in alerts, reason="x"):
            pass
        assert [n for n in range(10) if store.sighting(f"s{n}") is not None] == [0, 3, 7, 9]
        assert [hit.id for hit in store.hits_since(0.0)] == ["h3", "h7"]
        assert [n for n, each in enumerate(pictures) if store.evidence.has(each.sha256)] == [0, 3, 7, 9]
        for _ in store.purge_kept(choose=nothing, reason="x"):
            pass
        assert list(store.hits_since(0.0)) == []
        assert not any(store.evidence.has(each.sha256) for each in pictures)
    assert check(memory / "store", clock=clock).problems == []
