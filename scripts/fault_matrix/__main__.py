"""The fault matrix: `scripts/faults`. A row starts the real daemon, or its hub alone; all traffic stays here."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.fault_matrix import report, soak
from scripts.fault_matrix.fault import Fault, Outcome
from scripts.fault_matrix.line import Line
from scripts.fault_matrix.matrix import FAULTS, find
from scripts.fault_matrix.needs import missing
from scripts.fault_matrix.rig import Rig
from scripts.fault_matrix.stage import Stage
from scripts.fault_matrix.world import ROOT, prepare

WORK = ROOT / "work" / "faults"
PICTURES = WORK / "pictures"


def main(words: Sequence[str]) -> int:
    """Run the rows asked for; 1 if one of them missed what it must show."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name all rows, with what each does and asks, and end")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this row; may be given again")
    parser.add_argument("--quick", action="store_true", help="some rows, once, with short faults")
    parser.add_argument("--times", type=int, default=0, help="injections per row (default: the row's own)")
    parser.add_argument("--json", action="store_true", help="print one last line of JSON; the table goes to stderr")
    parser.add_argument("--soak", action="store_true", help="no faults: many streams for long, and what grows")
    parser.add_argument("--streams", type=int, default=8, help="of the soak (default: 8)")
    parser.add_argument("--hours", type=float, default=2.0, help="of the soak (default: 2)")
    options = parser.parse_args(words)
    if options.list:
        print(report.listing(FAULTS))
        return 0
    unknown = [name for name in options.only if find(name) is None]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; --list names them")
    impossible = [fault for name in options.only if (fault := find(name)) is not None and fault.impossible]
    if impossible:
        parser.error("; ".join(f"{fault.name}: {fault.impossible}" for fault in impossible))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.soak:
        return soak.main(WORK, PICTURES, streams=options.streams, hours=options.hours, as_json=options.json)
    chosen = [
        fault
        for fault in FAULTS
        if not fault.impossible and (fault.name in options.only if options.only else fault.quick or not options.quick)
    ]
    outcomes = []
    table = sys.stderr if options.json else sys.stdout
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=table)
    print(report.header(), file=table, flush=True)
    for fault in chosen:
        times = options.times or (fault.quick_times if options.quick else fault.times)
        outcomes.append(play(fault, times=times, quick=options.quick))
        print(report.row(outcomes[-1]), file=table, flush=True)
    print(report.as_json(outcomes) if options.json else report.explanation())
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def play(fault: Fault, *, times: int, quick: bool) -> Outcome:
    """Run one row. What it wrote is kept if it missed something, and named among its problems."""
    if reason := missing(fault.needs):
        return Outcome(fault=fault.name, code=fault.code, skipped=reason)
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{fault.name}-", dir=WORK))
    began = time.monotonic()
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder)
        played: Stage | Rig
        if fault.run_rig is not None:
            kind = Rig if fault.centre == "beside" else Line
            played = undo.enter_context(kind(fault, folder=folder, times=times, quick=quick))
            act = functools.partial(fault.run_rig, played)
        else:
            assert fault.run is not None
            prepare(PICTURES, {"usual", *fault.variants})
            played = undo.enter_context(Stage(fault, folder=folder, pictures=PICTURES, times=times, quick=quick))
            act = functools.partial(fault.run, played)
        try:
            act()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            played.outcome.problems.append(f"the row could not go on: {error}")
        outcome = played.outcome
        outcome.seconds = round(time.monotonic() - began, 1)
        if not outcome.passed:
            outcome.notes["folder"] = str(folder)
            played.close()
            undo.pop_all()
    return outcome


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
