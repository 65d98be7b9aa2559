"""Made the golden stores beside it: run by the anpr whose schema the file is of. Usage: make.py FOLDER

schema-4.mdb.gz    the file of a store with revisions, hits, coverage gaps and pictures, committed on five days
schema-4.json      what that anpr said of it
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import lmdb
from making_records import make_gap, make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.store import Query, Store

DAY = 86_400.0


def fill(store: Store, clock: ManualClock) -> None:
    """Five days, one of them before the others because the clock went back."""
    begun: list[float] = []
    for number, step in enumerate((0.0, DAY, DAY, -10 * DAY, 12 * DAY)):
        clock.advance(step)
        seen = []
        for part in range(4):
            name = f"{16 * number + part:032x}"
            picture = store.evidence.put("plate", make_jpeg(f"{number} {part}"))
            seen.append(
                make_sighting(
                    id=name,
                    revision=0,
                    state="preview",
                    text=f"30A0000{part}",
                    camera_id=f"gate-{part % 2}",
                    seen_seconds=clock.wall - 100.0 * part,
                    evidence=(picture,) if part else (),
                )
            )
        hit = make_hit(id=f"h{number}", sighting_id=seen[1].id, seen_seconds=clock.wall - 100.0, revision=0)
        begun.append(clock.wall)
        gap = make_gap(id=f"g{number}", from_seconds=begun[-1])
        store.append(seen, [hit], [gap])
        late = f"{16 * (number - 1) + 2:032x}" if number else seen[2].id
        final = make_sighting(id=late, revision=1, text="51F99999", seen_seconds=clock.wall + 5.0, evidence=())
        gone = make_sighting(id=seen[3].id, revision=1, state="withdrawn")
        old = max(0, number - 2)
        again = make_hit(
            id=f"h{old}", sighting_id=f"{16 * old + 1:032x}", seen_seconds=begun[old] - 100.0, revision=number + 1
        )
        old = max(0, number - 1)
        over = make_gap(id=f"g{old}", revision=1, state="final", from_seconds=begun[old])
        clock.advance(1.0)
        store.append([final, gone], [again], [over])
    store.outbox.save_positions({"ioc": (7, 9), "mqtt": (0, 3)})
    store.mark_alive()


def say(store: Store, *, proofs: bool = True) -> dict[str, object]:
    """What a store answers."""
    sighting_ids = [f"{16 * number + part:032x}" for number in range(5) for part in range(4)]
    seen = [store.sighting(name) for name in sighting_ids]
    signed = [sighting.id for sighting in seen if sighting and sighting.evidence]
    return {
        "events": [
            (event.seq, event.epoch, event.committed_seconds, event.record.id, event.record.revision)
            for event in store.events()
        ],
        "search": [each.id for each in store.search(Query(limit=100)).sightings],
        "plate": [each.id for each in store.search(Query(plate="30A00001")).sightings],
        "pattern": [each.id for each in store.search(Query(plate="5?F*", camera_id="gate-1")).sightings],
        "revisions": [sighting.revision if sighting else None for sighting in seen],
        "hits_of": [[(hit.id, hit.revision) for hit in store.hits_of(name)] for name in sighting_ids],
        "hits_since": [(hit.id, hit.revision) for hit in store.hits_since(0.0)],
        "gaps": [(gap.id, gap.revision) for gap in store.gaps()],
        "passages": [
            [float(row["seen"]), int(row["plate"]), int(row["id_low"])]
            for block in store.passages(from_seconds=0.0)
            for row in block.rows
        ],
        "proofs": [proof_of(store, name) for name in signed if proofs],
    }


def proof_of(store: Store, name: str) -> list[object]:
    """The row and its proof, in short."""
    row, proof = store.evidence_of(name)
    return [hashlib.sha256(row).hexdigest()[:16], proof.number, proof.seq, proof.previous[:16], proof.signature[:16]]


def main() -> None:
    folder, clock = Path(sys.argv[1]), ManualClock()
    with tempfile.TemporaryDirectory() as path:
        with Store.open(path, clock=clock, box="box-1") as store:
            fill(store, clock)
            said = say(store) | {"positions": store.outbox.positions(), "epoch": store.epoch}
        with tempfile.TemporaryDirectory() as copy:
            with lmdb.open(path, max_dbs=32) as environment:
                environment.copy(copy, compact=True)
            (folder / "schema-4.mdb.gz").write_bytes(gzip.compress((Path(copy) / "data.mdb").read_bytes(), mtime=0))
    (folder / "schema-4.json").write_text(json.dumps(said, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
