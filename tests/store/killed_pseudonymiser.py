"""Has pseudonyms take the place of plates, a slice a line, until it is killed or nothing is due."""

import sys
from pathlib import Path

from keeping import policy

from anpr.clock import ManualClock
from anpr.store import Store
from anpr.store.keeper import Keeper
from anpr.store.retention import Retention

AFTER = Retention(passages_days=20, passage_pictures_days=20, hits_days=30, pseudonymise_after_days=1)

if __name__ == "__main__":
    clock = ManualClock(wall=float(sys.argv[2]))
    with Store.open(Path(sys.argv[1]), clock=clock, box="box-1") as store:
        print("open", flush=True)
        keeper = Keeper(store, policy(retention=AFTER), clock=clock, synchronised=lambda: True)
        while keeper.turn(0.0) < 0.1 or keeper.purging:
            print(keeper.purging, flush=True)
