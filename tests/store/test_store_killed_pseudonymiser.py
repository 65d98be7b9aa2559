"""kill -9 while plates give way to pseudonyms: each day has all of its plates or none, and the next life ends it."""

from __future__ import annotations

import random
from pathlib import Path

from keeping import Box, policy
from killed_pseudonymiser import AFTER
from killing import run_until_killed

from anpr.clock import ManualClock
from anpr.plates.pseudonym import is_pseudonym
from anpr.store import Query, Store
from anpr.store.checking import check
from anpr.store.retention import DAY_SECONDS

EVERY = 5
"""So many passages of each day, one has a hit."""
A_DAY, DAYS, KILLS = 60, 2, 5


def test_what_is_killed_while_plates_go_is_finished(tmp_path: Path, clock: ManualClock) -> None:
    chance = random.Random(11)
    with Box(tmp_path / "store", clock, policy()) as box:
        for day in range(DAYS):
            for number in range(A_DAY):
                box.see(text=f"30A{day}{number:04d}", hit=number % EVERY == 0)
            clock.advance(DAY_SECONDS)
            box.store.roll()
    clock.advance(2.4 * DAY_SECONDS)
    kills = 0
    while not run_until_killed(
        "killed_pseudonymiser.py", box.folder, clock.wall, lines=chance.randrange(0, 40) if kills < KILLS else 10**6
    ):
        kills += 1
        with Store.open(box.folder, clock=clock, read_only=True) as store:
            for day in store.partitions.all[:DAYS]:
                seen = [event.record for event in store.events(after_seq=day.first_seq - 1, limit=A_DAY)]
                gone = sum(is_pseudonym(getattr(record, "text", "")) for record in seen)
                assert gone == 0 if day.name.version == 0 else gone > 0
        assert check(box.folder, clock=clock).problems == []
    assert kills >= 3
    with Store.open(box.folder, clock=clock, box="box-1") as store:
        found = store.search(Query(limit=1000)).sightings
        assert len(found) == A_DAY * DAYS
        assert sum(not is_pseudonym(each.text) for each in found) == A_DAY * DAYS // EVERY
        told = [(each.what, each.sightings) for each in store.purges()]
        assert told == [("plates", A_DAY - A_DAY // EVERY)] * DAYS
        assert not list(store.partitions.path.glob(".*"))
        assert sum(1 for _ in store.evidence.path.glob("??/*.jpg")) == A_DAY * DAYS // EVERY
        for each in found:
            if not is_pseudonym(each.text):
                row, proof = store.evidence_of(each.id)
                assert proof.holds_for(row)
    finding = check(box.folder, clock=clock, pictures=True)
    assert finding.problems == []
    assert (finding.counters.total("pictures_missing"), AFTER.pseudonymise_after_days) == (0, 1)
