"""The operations centre of a daemon with cameras: `ioc.py` on this machine, and what must have reached it.

Its ledger is compared with the rows of the store's own files: neither goes through anpr.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.fault_matrix.ioc import read_ledger
from scripts.fault_matrix.processes import die_with_parent
from scripts.fault_matrix.records import stored_events
from scripts.fault_matrix.stage import Stage
from scripts.fault_matrix.world import ROOT

CAUGHT_UP_SECONDS = 10.0


@contextlib.contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, preexec_fn=die_with_parent)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ioc(stage: Stage, *words: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """The operations centre, on the ledger of its earlier lives."""
    return program("-m", "scripts.fault_matrix.ioc", stage.reliable_endpoint, str(ledger_of(stage)), *words)


def ledger_of(stage: Stage) -> Path:
    """Where it keeps what it got."""
    return stage.folder / "ioc.ledger"


def require_delivered(stage: Stage) -> None:
    """What the store holds now must be in the ledger soon, with the same ids; what came twice too."""
    stored = {
        seq: f"{row[0]}.{row[4]['id']}.{row[4]['revision']}"
        for seq, row in stored_events(stage.folder / "store").items()
    }
    seconds = stage.until(
        lambda: stored.keys() <= {entry["seq"] for entry in read_ledger(ledger_of(stage))}, CAUGHT_UP_SECONDS
    )
    entries = read_ledger(ledger_of(stage))
    missing = sorted(stored.keys() - {entry["seq"] for entry in entries})
    stage.require(stored, "events in the store")
    stage.require(not missing, "every stored event in the ledger", f"{len(missing)} missing, {missing[:5]}")
    wrong = [entry["seq"] for entry in entries if stored.get(entry["seq"], entry["id"]) != entry["id"]]
    stage.require(not wrong, "the same id whenever a number comes", wrong[:5])
    twice = len(entries) - len({entry["seq"] for entry in entries})
    stage.outcome.notes |= {"delivered": len(stored), "delivered_twice": twice, "undelivered": len(missing)}
    if seconds is not None:
        stage.outcome.recovered_s = round(max(stage.outcome.recovered_s or 0.0, seconds), 2)
