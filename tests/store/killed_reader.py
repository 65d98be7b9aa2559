"""A box that comes to the records of a store's oldest day: argument folder. Says "read" if it outlives that."""

import sys
from pathlib import Path

from anpr.clock import SystemClock
from anpr.errors import StoreError
from anpr.store import Store
from anpr.store.crash import noting_crash

folder = Path(sys.argv[1])
try:
    with noting_crash(folder), Store.open(folder, clock=SystemClock(), box="box-1") as store:
        store.events(limit=1000)
        print("read")
except StoreError as error:
    sys.exit(str(error))
