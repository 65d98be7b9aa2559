"""Old days on a disk of 48 MB that another program fills to its last block: they go, and make room.

For a process with its own mounts: `unshare -m python full_disk_purge.py FOLDER`. Prints what it saw.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from keeping import Box, policy
from making_records import make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store.checking import check
from anpr.store.retention import Retention, Watermarks

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=True)
random = np.random.default_rng(0)
clock = ManualClock()
rules = policy(retention=Retention(), disk=Watermarks(reserve_mib=2))


def store(box: Box, name: str, *, hit: bool) -> None:
    """A passage with a picture of 60 kB that does not compress."""
    jpeg = make_jpeg(name)
    comment = b"\xff\xfe" + (60_002).to_bytes(2, "big") + random.bytes(60_000)
    pictures = (box.store.evidence.put("overview", jpeg[:2] + comment + jpeg[2:]),)
    sighting = make_sighting(id=name, seen_seconds=clock.wall, evidence=pictures)
    hits = [make_hit(id=f"h-{name}", sighting_id=name, seen_seconds=clock.wall, evidence=pictures)] if hit else []
    box.store.append([sighting], hits)


def fails(box: Box, name: str) -> bool:
    try:
        store(box, name, hit=False)
    except StoreError:
        return True
    return False


ballast = folder / "ballast"
with Box(folder / "store", clock, rules) as box:
    for day in range(4):
        for number in range(80):
            store(box, f"d{day}-{number}", hit=number % 20 == 0)
        box.live(1.0)
    before = box.pictures()
    with ballast.open("wb") as file:
        space = os.statvfs(folder)
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize)
    refused = fails(box, "too much")
    for _ in range(11):
        box.work()
    told = {
        "before": before,
        "refused": refused,
        "levels": sorted({reason for name, reason in box.store.counters.counts if name == "disk_levels"}),
        "level": box.keeper.disk.level,
        "pictures": box.pictures(),
        "pictured_hits": sum(box.store.evidence.has(hit.evidence[0].sha256) for hit in box.store.hits_since(0.0)),
        "hits": len(list(box.store.hits_since(0.0))),
        "reasons": sorted({purge.reason for purge in box.store.purges()}),
        "failures": box.store.counters.total("keeping_failures"),
        "reserve_held": box.keeper.disk.reserve_held,
        "stores_again": not fails(box, "room"),
    }
told["problems"] = check(folder / "store", clock=clock).problems
print(json.dumps(told))
