"""kill -9 in the middle of a purge: the next life ends it, nothing that must stay is lost, nothing is told twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from keeping import Box, policy

from anpr.clock import ManualClock
from anpr.store.checking import check
from anpr.store.retention import DAY_SECONDS

TESTS = Path(__file__).parents[1]
EVERY = 5
"""So many passages of each day, one has a hit."""
KILLS = 6


def purge_until_killed(folder: Path, wall: float, lines: int) -> bool:
    """Whether it came to its end before it was killed."""
    command = [sys.executable, str(TESTS / "store/killed_keeper.py"), str(folder), str(wall)]
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS / 'store'}:{TESTS.parent}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout):
            if number == lines:
                process.kill()
        process.wait(30)
        return process.returncode == 0


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
    while not purge_until_killed(box.folder, clock.wall, chance.randrange(0, 12) if kills < KILLS else 10**6):
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
