"""Writes small groups with their pictures until it is killed; prints the ids of each group once it is committed."""

import sys
from pathlib import Path

import msgspec

from anpr.clock import SystemClock
from anpr.records import Sighting
from anpr.store import Store

folder, life = Path(sys.argv[1]), sys.argv[2]
sighting = msgspec.json.decode((folder / "sighting.json").read_bytes(), type=Sighting)
picture = (folder / "picture.jpg").read_bytes()
with Store.open(folder, clock=SystemClock()) as store:
    for number in range(1_000_000):
        group = []
        for part in range(1 + number % 4):
            name = f"{life}-{number}-{part}"
            evidence = store.evidence.put("plate", picture[:-2] + name.encode() + picture[-2:])
            group.append(msgspec.structs.replace(sighting, id=name, evidence=(evidence,)))
        print(*(event.record.id for event in store.append(group)), flush=True)
