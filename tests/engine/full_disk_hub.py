"""A hub on a disk of 40 MB that fills up while vehicles pass, by another program too; prints what it saw.

For a process with its own mounts: `unshare -m python full_disk_hub.py FOLDER`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from making_records import make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.engine.hub import Hub
from anpr.engine.messages import Passage, Picture
from anpr.records import Event, Hit, Sighting
from anpr.store import Query, Store
from anpr.store.keeper import Keeper
from anpr.store.retention import Policy, Watermarks
from anpr.watch.lists import WatchList, read_csv
from anpr.watch.matcher import Matcher

LISTED = 10
"""Every so many vehicles one is on the list."""
folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=True)
entries, _ = read_csv(b"plate,reason\n30A12345,stolen\n")
clock = ManualClock()
random = np.random.default_rng(0)
seen: list[Event] = []
levels: list[str] = []
taken = 0


def passage(number: int) -> Passage:
    """A vehicle with 40 kB of pictures that do not compress."""
    text = "30A12345" if number % LISTED == 0 else "51F67890"
    sighting = make_sighting(
        id=f"s{number:06}",
        text=text,
        raw=text,
        alternatives=((text, 0.99),),
        lattice=tuple(((letter, 0.999),) for letter in text),
        probability=0.99,
        evidence=(),
        seen_seconds=clock.wall,
    )
    jpeg = make_jpeg(str(number))
    comment = b"\xff\xfe" + (40_002).to_bytes(2, "big") + random.bytes(40_000)
    return Passage(sighting, (Picture("overview", jpeg[:2] + comment + jpeg[2:]),), clock.monotonic)


def fill(room: int) -> None:
    """Another program takes all that is left but for so many bytes."""
    with ballast.open("wb", buffering=0) as file:
        space = os.statvfs(folder)
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - room)


def pictures() -> int:
    return sum(1 for _ in (folder / "store/evidence").glob("??/*.jpg"))


ballast = folder / "ballast"
with Store.open(folder / "store", clock=clock, box="box") as store:
    policy = Policy(disk=Watermarks(reserve_mib=2))
    keeper = Keeper(store, policy, clock=clock, synchronised=lambda: True)
    matcher = Matcher((WatchList(name="l", version="1", entries=entries),))
    hub = Hub(store, matcher, None, clock=clock, keeper=keeper, on_event=seen.append)

    def drive(vehicles: int) -> None:
        """They pass; while nothing can be taken, they wait."""
        global taken
        for _ in range(vehicles):
            for _ in range(10):
                if not hub.full:
                    break
                clock.advance(1.0)
                hub.tick()
            else:
                break
            hub.take(passage(taken))
            taken += 1
            clock.advance(0.25)
            hub.tick()
            if levels[-1:] != [keeper.disk.level]:
                levels.append(keeper.disk.level)

    def settle() -> None:
        for _ in range(10):
            clock.advance(1.0)
            hub.tick()

    drive(60)
    calm = {"reserve_held": keeper.disk.reserve_held, "pictures": pictures(), "level": keeper.disk.level}
    fill(0)  # at a stroke
    drive(200)
    settle()
    fast = {
        "free": os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize,
        "backlog": hub.backlog,
        "committed": len({event.record.id for event in seen if isinstance(event.record, Sighting)}),
        "taken": taken,
        "hits": sum(isinstance(event.record, Hit) for event in seen),
        "reserve_held": keeper.disk.reserve_held,
    }
    fill(0)  # and what the reserve has given up
    drive(300)
    full = {"failing": hub.failing, "backlog": hub.backlog, "level": keeper.disk.level}
    ballast.unlink()
    settle()
    free = {"failing": hub.failing, "backlog": hub.backlog, "level": keeper.disk.level}
    free["reserve_held"] = keeper.disk.reserve_held
    drive(1200)  # now it fills by itself
    settle()
    slow = {"failing": hub.failing, "backlog": hub.backlog, "level": keeper.disk.level}
    hub.finish()
    sightings = {event.record.id: event.record for event in seen if isinstance(event.record, Sighting)}
    told = {
        "calm": calm,
        "fast": fast,
        "full": full,
        "free": free,
        "slow": slow,
        "taken": taken,
        "committed": len(sightings),
        "events": len(seen),
        "found": len(store.search(Query(limit=10_000)).sightings),
        "hits": sum(isinstance(event.record, Hit) for event in seen),
        "missing": sum(not store.evidence.has(p.sha256) for each in sightings.values() for p in each.evidence),
        "levels": levels,
        "hits_with_pictures": sum(isinstance(e.record, Hit) and bool(e.record.evidence) for e in seen),
        "counts": {f"{name}.{reason}".rstrip("."): count for (name, reason), count in hub.totals().counts.items()},
    }
print(json.dumps(told))
