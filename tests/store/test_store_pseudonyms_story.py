"""Weeks of traffic with hits, revisions over midnight and holds: at any time, exactly what may keeps its plate."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from keeping import Box, policy
from making_records import make_hit, make_sighting

from anpr.clock import ManualClock
from anpr.plates.pseudonym import is_pseudonym
from anpr.records import Hit, Sighting
from anpr.store import Query
from anpr.store.checking import check
from anpr.store.holds import Hold, put_hold
from anpr.store.pseudonym_key import all_keys
from anpr.store.retention import DAY_SECONDS, Retention

AFTER_DAYS, DAYS = 2, 7
RULES = policy(
    retention=Retention(passages_days=30, passage_pictures_days=30, hits_days=40, pseudonymise_after_days=AFTER_DAYS)
)


def is_whole(box: Box, sighting_id: str) -> bool:
    """Whether all its revisions have their plates."""
    records = [event.record for event in box.store.events(limit=10_000) if event.record.id == sighting_id]
    return all(record.lattice for record in records if isinstance(record, Sighting))


def traffic(box: Box, rng: random.Random, kept: set[str], late: set[str]) -> None:
    """A day: some pass again, some are revised, also those of the day before; some are hit, or held, also too late.
    What is so in time is put among the `kept`, what has lost the plate of a revision by then among the `late`."""
    known = [event.record for event in box.store.events(limit=10_000) if isinstance(event.record, Sighting)]
    for _ in range(8):
        box.clock.advance(60.0)
        number = f"{rng.getrandbits(128):032x}"
        text = rng.choice([f"30A{rng.randrange(40):05d}", f"51F{rng.randrange(40):05d}", ""])
        picture = (box.picture(number),) if rng.random() < 0.8 else ()
        seen = make_sighting(id=number, revision=0, text=text, seen_seconds=box.clock.wall, evidence=picture)
        box.store.append([seen])
        known.append(seen)
    for seen in rng.sample(known[-16:], 5):
        state = rng.choice(["final", "final", "withdrawn"])
        newest = box.store.sighting(seen.id)
        if newest is not None and not is_pseudonym(newest.text):
            text = rng.choice([seen.text, f"30B{rng.randrange(40):05d}"])
            box.store.append(
                [make_sighting(id=seen.id, revision=newest.revision + 1, state=state, text=text, evidence=())]
            )
    for seen in rng.sample(known[-12:], 2):
        others = tuple(each.id for each in rng.sample(known[-12:], 1))
        box.store.append(
            [], [make_hit(id=f"h{rng.getrandbits(64):x}", sighting_id=seen.id, sighting_ids=others, evidence=())]
        )
        for each in (seen.id, *others):
            (kept if is_whole(box, each) else late).add(each)
    if rng.random() < 0.5:
        held = rng.choice(known).id
        (kept if is_whole(box, held) else late).add(held)
        hold = Hold(id=f"H{rng.randrange(10**9)}", at="", user="", reason="x", case="x", record=held)
        with box.store.root.writing() as txn:
            put_hold(txn, box.store.root.holds, hold)
        box.keeper.note()


@pytest.mark.parametrize("seed", range(3))
def test_exactly_what_may_keeps_its_plate(tmp_path: Path, clock: ManualClock, seed: int) -> None:
    rng, kept, late = random.Random(seed), set[str](), set[str]()
    with Box(tmp_path / "store", clock, RULES) as box:
        for day in range(DAYS):
            traffic(box, rng, kept, late)
            if rng.random() < 0.3:
                box.stop()
                box.start()
            box.live(1.0)
            events = box.store.events(limit=10_000)
            for event in events:
                record, age_seconds = event.record, clock.wall - event.committed_seconds
                if not isinstance(record, Sighting):
                    continue
                if record.id in kept or age_seconds < AFTER_DAYS * DAY_SECONDS:
                    assert record.lattice
                elif record.id not in late and age_seconds > (AFTER_DAYS + 2) * DAY_SECONDS:
                    assert (record.raw, record.alternatives, record.lattice, record.evidence) == ("", (), (), ())
                    assert not record.text or is_pseudonym(record.text)
            newest = {event.record.id: event.record for event in events if isinstance(event.record, Sighting)}
            there = {each.id: each.text for each in newest.values() if each.state != "withdrawn"}
            found = box.store.search(Query(limit=10_000)).sightings
            assert {each.id: each.text for each in found} == there, day
            for text in set(there.values()) - {""}:
                same = box.store.search(Query(plate=text, limit=100)).sightings
                assert {each.id for each in same} == {id for id, one in there.items() if one == text}
            named = [event.record.evidence for event in events if isinstance(event.record, Sighting | Hit)]
            pictures = {picture.sha256 for evidence in named for picture in evidence}
            assert box.pictures() == len(pictures)
        (key,) = all_keys(box.folder)
        assert {each.pseudonym_key for each in box.store.purges()} == {key.fingerprint}
        assert {each.what for each in box.store.purges()} == {"plates"}
    finding = check(box.folder, clock=clock, pictures=True)
    assert finding.problems == []
    assert finding.counters.total("pictures_missing") == 0
    assert finding.counters.total("pseudonymised_checked") > 10
