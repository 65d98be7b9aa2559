"""Purges what is due, a slice a line, until it is killed or nothing is due."""

import sys
from pathlib import Path

from keeping import NO_RESERVE, QUICK

from anpr.clock import ManualClock
from anpr.store import Store
from anpr.store.keeper import Keeper
from anpr.store.retention import Policy

clock = ManualClock(wall=float(sys.argv[2]))
with Store.open(Path(sys.argv[1]), clock=clock, box="box-1") as store:
    print("open", flush=True)
    keeper = Keeper(store, Policy(retention=QUICK, disk=NO_RESERVE), clock=clock, synchronised=lambda: True)
    while keeper.turn(0.0) < 0.1 or keeper.purging:
        print(keeper.purging, flush=True)
