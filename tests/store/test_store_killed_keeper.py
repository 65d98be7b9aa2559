"""kill -9 in the middle of a purge: the next life ends it, nothing that must stay is lost, nothing is told twice."""

from __future__ import annotations

import random
from pathlib import Path

from keeping import Box, policy
from killing import run_until_killed

from anpr.clock import ManualClock
from anpr.store.checking import check
from anpr.store.retention import DAY_SECONDS

EVERY = 5
"""So many passages of each day, one has a hit."""
KILLS = 6


def test_what_is_killed_while_it_purges_is_finished(tmp_path: Path, clock: ManualClock) -> None:
    chance = random.Random(7)
    with Box(tmp_path / "store", clock, policy()) as box:
        for _ in range(4):
            for number in range(20):
                box.see(hit=number % EVERY == 0)
            box.live(1.0)
        stays = {f"v{n}" for n in range(1, box.number + 1) if (n - 1) % EVERY == 0 or n > 60}
        pictures = len(stays)
    clock.advance(2.4 * DAY_SECONDS)
    kills = 0
    while not run_until_killed(
        "killed_keeper.py", box.folder, clock.wall, lines=chance.randrange(0, 12) if kills < KILLS else 10**6
    ):
        kills += 1
    assert kills >= 3
    box.start()
    assert box.ids() == stays
    assert box.pictures() == pictures
    gone = [each.partition for each in box.store.purges() if each.what == "partition"]
    assert len(gone) == len(set(gone)) == 3
    assert not list(box.store.partitions.path.glob(".*"))
    for name in stays:
        row, proof = box.store.evidence_of(name)
        assert proof.holds_for(row)
    box.stop()
    finding = check(box.folder, clock=clock, pictures=True)
    assert finding.problems == []
    assert finding.counters.total("pictures_missing") == 0
