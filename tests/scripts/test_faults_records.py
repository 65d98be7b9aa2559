"""The ledger that reads a store without anpr says what anpr says."""

from __future__ import annotations

from pathlib import Path

from making_records import make_gap, make_hit, make_sighting

from anpr.clock import ManualClock
from anpr.store import Store
from scripts.fault_matrix.records import event_files, stored_events


def test_all_days_are_read(tmp_path: Path) -> None:
    clock = ManualClock()
    assert stored_events(tmp_path) == {}
    with Store.open(tmp_path, clock=clock, box="box-1") as store:
        for day in range(3):
            store.append([make_sighting(id=f"s{day}")], [make_hit(id=f"h{day}")], [make_gap(id=f"g{day}")])
            clock.advance(-2 * 86_400.0 if day else 86_400.0)
        events = store.events()
    assert len(event_files(tmp_path)) == 3
    assert {seq: (row[0], row[1], row[2], row[4]["id"]) for seq, row in stored_events(tmp_path).items()} == {
        event.seq: (["sighting", "hit", "coverage"][(event.seq - 1) % 3], event.box, event.epoch, event.record.id)
        for event in events
    }
