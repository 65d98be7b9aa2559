"""Rules, traffic that comes out of order, and what must come of it, for the tests of the judge."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec
from making_records import make_hit, make_sighting

from anpr.clock import Clock, ManualClock
from anpr.engine.judge import Judge
from anpr.records import Hit, Sighting
from anpr.rules.book import RuleBook
from anpr.rules.load import load_rules
from anpr.rules.lookups import Lookups
from anpr.rules.memory import MemoryHistory
from anpr.rules.places import Place, Places
from anpr.store import Store
from anpr.watch.hits import withdraw_hit

LATENESS = 30.0
STANDING = 1_790_000_000.0
"""When the traffic begins."""
CAMERAS = ("a", "b", "c", "gate")
PLATES = ("30A12345", "30A12346", "98C01234", "29A00001", "")
MOVED_SECONDS = 2.0

_HEAD = 'vi = "v"\nen = "e"\nseverity = "CHECK"\nmessage = { vi = "{plate}", en = "{plate}" }\n'
_RULES = {
    "seen-before": 'cooldown = "15s"\nwhen = { seen = { within = "10m", other_camera = true } }',
    "seen-in-time": 'late = "skip"\nwhen = { seen = { within = "10m", other_camera = true } }',
    "dry": 'dry_run = true\nwhen = { seen = { within = "10m", other_camera = true } }',
    "again-here": 'cooldown = "1m"\ncooldown_per = "camera"\nwhen = { seen = { within = "5m", times = 2 } }',
    "confirmed": 'confirmations = { sightings = 2, cameras = 2, within = "5m" }\nwhen = { direction = "approaching" }',
    "together": 'when = { convoy = { plates = 2, gap = "10s", cameras = 2, within = "10m" } }',
    "flood": 'cooldown = "20s"\ncooldown_per = "rule"\n'
    'when = { listed = {}, list_hits = { within = "1m", more_than = 1 } }\nsuppresses = ["stolen"]',
    "stolen": 'when = { listed = { list = "stolen" } }\nraises_with = ["together"]',
    "not-left": 'wait = "2m"\ncooldown = "3m"\n'
    'when = { camera = "gate", not = { seen = { within = "2m", camera = "a", later = true } } }',
    "unread": 'when = { unread_before = { within = "5m", from_kmh = 20, to_kmh = 150 } }',
    "unread-few": 'when = { readable = false, unread_before = { within = "5m", from_kmh = 20, to_kmh = 150, '
    'alike = "colour", at_most = 2 } }',
    "way": 'when = { order = { within = "10m", cameras = ["a", "b", "c"] } }',
    "fast": 'when = { travel = { within = "10m", faster_than_kmh = 120, clock_skew = "1s" } }',
}


@cache
def rule_book() -> RuleBook:
    """Rules that ask everything that a history answers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.toml"
        rules = (f'[[rules]]\nname = "{name}"\n{_HEAD}{body}\n' for name, body in _RULES.items())
        file.write_text("\n".join(rules), encoding="utf-8")
        rule_set = load_rules([file])
    places = Places.of(
        Place(camera_id=camera, site_id="north", road="CT.07", km=float(km)) for km, camera in enumerate(CAMERAS)
    )
    return rule_set.book(places=places, registers=Lookups(ManualClock()))


def folder_in_memory() -> tempfile.TemporaryDirectory[str]:
    """In memory where there is such a folder: hundreds of commits are synced."""
    return tempfile.TemporaryDirectory(prefix="judge", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def judge_of(store: Store, clock: Clock | None = None) -> Judge:
    """A judge with fresh counters."""
    book = rule_book()
    return Judge(RuleBook(book.rules), store, lateness_seconds=LATENESS, clock=clock)


def listed_hits(sighting: Sighting) -> tuple[Hit, ...]:
    """A list of the plates that begin with 29A."""
    if not sighting.text.startswith("29A") or sighting.state == "withdrawn":
        return ()
    return (
        make_hit(
            id=f"l{sighting.id}",
            revision=sighting.revision,
            state=sighting.state,
            sighting_id=sighting.id,
            seen_seconds=sighting.seen_seconds,
            list_name="stolen",
        ),
    )


def arrivals_of(rng: random.Random, *, vehicles: int = 25) -> list[Sighting]:
    """Revisions of sightings as they come: each within the lateness, those of one sighting in their order."""
    return [sighting for _, sighting in timed_arrivals_of(rng, vehicles=vehicles)]


def timed_arrivals_of(rng: random.Random, *, vehicles: int = 25) -> list[tuple[float, Sighting]]:
    """The same, each with the seconds since STANDING at which it comes."""
    told: list[tuple[float, Sighting]] = []
    for _ in range(vehicles):
        seconds = round(rng.uniform(0.0, 150.0), 1)
        sighting = make_sighting(
            id=f"{rng.getrandbits(128):032x}",
            revision=0,
            state="preview",
            text=rng.choice(PLATES),
            camera_id=rng.choice(CAMERAS),
            direction=rng.choice(["approaching", "receding"]),
            seen_seconds=STANDING + seconds,
            probability=0.98,
            unreadable="",
        )
        comes = seconds + MOVED_SECONDS
        for revision in range(rng.choice([1, 1, 2, 3])):
            comes += rng.uniform(0.0, (LATENESS - 2 * MOVED_SECONDS) / 3)
            changes: dict[str, object] = {"revision": revision, "state": rng.choice(["preview", "final"])}
            if revision and rng.random() < 0.4:
                changes["text"] = rng.choice(PLATES)
            if revision and rng.random() < 0.4:
                changes["seen_seconds"] = STANDING + seconds + rng.uniform(-MOVED_SECONDS, MOVED_SECONDS)
            if revision and rng.random() < 0.15:
                changes["state"] = "withdrawn"
            sighting = msgspec.structs.replace(sighting, **changes)
            told.append((comes, sighting))
            if sighting.state == "withdrawn":
                break
    end = make_sighting(id="f" * 32, seen_seconds=STANDING + 5000.0, text="51F67890", camera_id="end")
    return [*sorted(told, key=lambda each: each[0]), (5000.0, end)]


def follow_clock(judge: Judge) -> None:
    """What the hub does many times a second."""
    while judge.clock_was_set:
        for _ in judge.follow_clock():
            pass


def play(store: Store, judge: Judge, arrivals: Iterable[Sighting]) -> None:
    """Judge and commit as the hub does."""
    for sighting in arrivals:
        follow_clock(judge)
        listed = listed_hits(sighting)
        gone = [
            withdraw_hit(hit, revision=sighting.revision)
            for hit in store.hits_of(sighting.id)
            if not hit.rule and not listed and hit.state != "withdrawn" and hit.revision < sighting.revision
        ]
        store.append([sighting], [*listed, *gone, *judge.judge(sighting, listed)])
        while judge.is_due:
            store.append([], judge.judge_due())


def standing(store: Store) -> dict[str, Hit]:
    """The rules' hits that are not withdrawn, without their revisions."""
    newest: dict[str, Hit] = {}
    for event in store.events(limit=1_000_000):
        if isinstance(event.record, Hit) and event.record.rule:
            assert event.record.id not in newest or newest[event.record.id].revision < event.record.revision
            newest[event.record.id] = event.record
    return {hit.id: msgspec.structs.replace(hit, revision=0) for hit in newest.values() if hit.state != "withdrawn"}


def in_order(arrivals: Sequence[Sighting]) -> dict[str, Hit]:
    """The same by a plain history that knows every passage, judged in the order of time."""
    book, history = RuleBook(rule_book().rules), MemoryHistory()
    newest = {sighting.id: sighting for sighting in arrivals}
    there = [sighting for sighting in newest.values() if sighting.state != "withdrawn"]
    there.sort(key=lambda sighting: (sighting.seen_seconds, sighting.id))
    for sighting in there:
        history.add(sighting, hits=listed_hits(sighting))
    hits: dict[str, Hit] = {}
    raised_of = {sighting.id: () for sighting in there}
    for wait_seconds in (0.0, *book.waits):
        for sighting in there:
            if sighting.seen_seconds + wait_seconds > there[-1].seen_seconds:
                continue
            raised = book.evaluate(sighting, history=history, hits=listed_hits(sighting), wait_seconds=wait_seconds)
            raised_of[sighting.id] = (*raised_of[sighting.id], *raised)
            history.note(sighting.id, raised_of[sighting.id])
            hits |= {each.hit.id: each.hit for each in raised if not each.dry_run}
    return {hit.id: msgspec.structs.replace(hit, revision=0) for hit in hits.values()}
