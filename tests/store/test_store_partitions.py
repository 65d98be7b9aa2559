"""Day partitions against a model in dictionaries: whatever is stored, replaced, rolled, held, purged and reopened."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from making_records import make_gap, make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.plates.provinces import vietnam_date
from anpr.records import CoverageGap, Event, Hit, Record, Sighting
from anpr.store import Query, Store
from anpr.store.checking import check

MEMORY = Path("/dev/shm")
DAY = 86_400.0
SIGHTING_IDS = [f"{number:032x}" for number in range(4)]
HIT_IDS = ["h0", "h1", "h2"]
PLATES = ["30A00001", "30A00002", "51F99999", ""]


@dataclass
class Day:
    """What the model knows of a partition."""

    day: date
    first_seq: int
    records: dict[int, Record] = field(default_factory=dict)
    ids: dict[tuple[type, str], int] = field(default_factory=dict)


def stays(record: Record, held: set[str]) -> bool:
    return record.id in held or (isinstance(record, Hit) and record.severity == "ALERT")


class Model:
    """All that the store should hold."""

    def __init__(self) -> None:
        self.days: list[Day] = []
        self.replaced: set[int] = set()
        self.kept: dict[int, Record] = {}
        self.held: set[str] = set()
        self.last_seq = 0
        self.begun: list[float] = []
        """When, in the box's present life."""

    def begin(self, day: date, now: float) -> bool:
        """A day later, or more than one earlier, and four in 24 hours; whether there is a new one."""
        if self.days and (day - self.days[-1].day).days in (0, -1):
            return False
        if self.days and len(self.begun) >= 4 and now - self.begun[-4] < DAY:
            return False
        self.begun.append(now)
        if self.days and not self.days[-1].records:
            self.days.pop()
        self.days.append(Day(day, self.last_seq + 1))
        return True

    def append(self, records: list[Record]) -> list[int]:
        """Numbers of those that are taken."""
        taken = []
        for record in records:
            seq = self.find(record)
            before = self.at(seq) if seq else None
            if before is not None and record.revision <= before.revision:
                continue
            if seq:
                self.replaced.add(seq)
            self.last_seq += 1
            self.days[-1].records[self.last_seq] = record
            self.days[-1].ids[type(record), record.id] = self.last_seq
            taken.append(self.last_seq)
        return taken

    def find(self, record: Record) -> int:
        key = type(record), record.id
        for day in self.days[-3:][::-1] if isinstance(record, Sighting) else self.days[::-1]:
            if key in day.ids:
                return day.ids[key]
        return max((seq for seq in self.shown(type(record), only_kept=True) if self.at(seq).id == record.id), default=0)

    def at(self, seq: int) -> Any:
        return next((day.records[seq] for day in self.days if seq in day.records), self.kept.get(seq))

    def shown(self, kind: type, *, only_kept: bool = False) -> dict[int, Any]:
        """Newest revisions by their number."""
        every = dict(self.kept)
        for day in () if only_kept else self.days:
            every |= day.records
        return {seq: record for seq, record in every.items() if seq not in self.replaced and isinstance(record, kind)}

    def wanted(self) -> set[str]:
        hits = [hit for hit in self.shown(Hit).values() if stays(hit, self.held)]
        return {sighting_id for hit in hits for sighting_id in (hit.sighting_id, *hit.sighting_ids)}

    def must_stay(self, record: Record) -> bool:
        return stays(record, self.held) or (isinstance(record, Sighting) and record.id in self.wanted())

    def purge(self) -> None:
        gone = self.days[0]
        staying = {seq: record for seq, record in gone.records.items() if seq not in self.replaced}
        self.kept |= {seq: record for seq, record in staying.items() if self.must_stay(record)}
        self.kept = {seq: record for seq, record in self.kept.items() if seq not in self.replaced}
        del self.days[0]

    def purge_kept(self) -> None:
        self.kept = {seq: r for seq, r in self.kept.items() if seq not in self.replaced and self.must_stay(r)}

    def pictures(self) -> set[str]:
        """Named by anything that is still there."""
        records = [*self.kept.values(), *(record for day in self.days for record in day.records.values())]
        return {each.sha256 for record in records for each in getattr(record, "evidence", ())}


class Partitions(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.path = Path(self.folder.name) / "store"
        self.clock = ManualClock()
        self.store = Store.open(self.path, clock=self.clock, box="box-1")
        self.model = Model()
        self.orphans: set[str] = set()
        self.number = 0

    def teardown(self) -> None:
        self.store.close()
        finding = check(self.path, clock=self.clock, pictures=True)
        assert finding.problems == []
        assert finding.counters.total("pictures_missing") == 0
        self.folder.cleanup()

    @rule(
        sightings=st.lists(
            st.tuples(
                st.sampled_from(SIGHTING_IDS),
                st.integers(0, 3),
                st.sampled_from(PLATES),
                st.sampled_from([-2 * DAY, -1.0, 0.0, 0.5]),
                st.sampled_from(["final", "withdrawn"]),
                st.sampled_from([None, "a", "b", "c", ""]),
            ),
            max_size=4,
        ),
        hits=st.lists(
            st.tuples(
                st.sampled_from(HIT_IDS),
                st.integers(0, 3),
                st.sampled_from(SIGHTING_IDS),
                st.sampled_from(["ALERT", "INFO"]),
                st.sampled_from([(), (SIGHTING_IDS[0],)]),
            ),
            max_size=2,
        ),
        gaps=st.lists(st.tuples(st.sampled_from(["g0", "g1"]), st.integers(0, 2)), max_size=1),
        after_seconds=st.sampled_from([0.0, DAY]),
    )
    def append(self, sightings: list[Any], hits: list[Any], gaps: list[Any], after_seconds: float) -> None:
        self.clock.advance(after_seconds)
        seen = [
            make_sighting(
                id=name,
                revision=revision,
                text=text,
                seen_seconds=self.clock.wall + late,
                state=state,
                evidence=(self.picture(content),) if content is not None else (),
            )
            for name, revision, text, late, state, content in sightings
        ]
        raised = [
            make_hit(
                id=name,
                revision=revision,
                sighting_id=f"{SIGHTING_IDS.index(name_of):032x}",
                severity=severity,
                sighting_ids=more,
                seen_seconds=self.clock.wall,
            )
            for name, revision, name_of, severity, more in [
                (name, revision, SIGHTING_IDS[HIT_IDS.index(name)], severity, more)
                for name, revision, _, severity, more in hits
            ]
        ]
        noted = [make_gap(id=name, revision=revision, from_seconds=self.clock.wall) for name, revision in gaps]
        if not (seen or raised or noted):
            return
        self.model.begin(vietnam_date(self.clock.wall), self.clock.monotonic)
        taken = self.model.append([*seen, *raised, *noted])
        assert [event.seq for event in self.store.append(seen, raised, noted)] == taken

    def picture(self, content: str) -> Any:
        self.number += not content  # the empty one is always another
        put = self.store.evidence.put("plate", make_jpeg(content or str(self.number)))
        self.orphans.add(put.sha256)
        return put

    @rule(seconds=st.sampled_from([1.0, 0.6 * DAY, DAY, 3 * DAY, -DAY, -400 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(max(0.0, seconds))
        self.clock.wall += min(0.0, seconds)

    @rule()
    def roll(self) -> None:
        before = len(self.store.partitions.all)
        newest = self.model.days[-1] if self.model.days else None
        begins = newest is not None and bool(newest.records)
        begins = begins and self.model.begin(vietnam_date(self.clock.wall), self.clock.monotonic)
        assert self.store.roll() == begins
        assert len(self.store.partitions.all) == before + begins

    @rule()
    def reopen(self) -> None:
        self.model.begun.clear()
        self.store.close()
        self.store = Store.open(self.path, clock=self.clock, box="box-1")

    @rule(name=st.sampled_from([*SIGHTING_IDS, *HIT_IDS]))
    def hold_or_release(self, name: str) -> None:
        self.model.held ^= {name}
        with self.store.root.writing() as txn:
            if name in self.model.held:
                txn.put(name.encode(), b"", db=self.store.root.holds)
            else:
                txn.delete(name.encode(), db=self.store.root.holds)

    def choose(self, txn: Any) -> Callable[[Event], bool]:
        held = {key.decode() for key, _ in txn.cursor(self.store.root.holds)}
        return lambda event: stays(event.record, held)

    @precondition(lambda self: len(self.model.days) > 1)
    @rule(steps=st.sampled_from([1, 3, 5, 8, None]))
    def purge(self, steps: int | None) -> None:
        """To its end, or left off after some steps: then it has either happened, or not at all."""
        oldest, before = self.store.partitions.all[0], len(self.store.purges())
        for _ in islice(self.store.purge(oldest, choose=self.choose, reason="test"), steps):
            pass
        if steps is None:
            assert len(self.store.purges()) > before
        if len(self.store.purges()) > before:
            self.model.purge()
            self.reopen()
            for _ in self.store.finish(choose=self.choose):
                pass
            self.pictures_are_gone()

    @rule()
    def purge_kept(self) -> None:
        for _ in self.store.purge_kept(choose=self.choose, reason="test"):
            pass
        self.model.purge_kept()
        self.pictures_are_gone()

    @precondition(lambda self: len(self.model.days) > 1)
    @rule()
    def a_hold_comes_while_a_purge_chooses(self) -> None:
        """It counts, though it came after the records were chosen."""
        slices = self.store.purge(self.store.partitions.all[0], choose=self.choose, reason="test")
        chosen = next((each for each in slices if each.doing == "counting pictures"), None)
        if chosen is not None and SIGHTING_IDS[0] not in self.model.held:
            self.hold_or_release(SIGHTING_IDS[0])
        for _ in slices:
            pass
        self.model.purge()

    def pictures_are_gone(self) -> None:
        """Those that nothing names, but for those whose record was never taken."""
        there = {path.parent.name + path.stem for path in self.path.glob("evidence/??/*.jpg")}
        assert self.model.pictures() <= there
        assert there - self.model.pictures() <= self.never_taken()

    def never_taken(self) -> set[str]:
        return self.orphans

    @invariant()
    def all_is_there(self) -> None:
        if not hasattr(self, "store"):
            return
        store, model = self.store, self.model
        assert [(each.day, each.first_seq) for each in store.partitions.all] == [
            (each.day, each.first_seq) for each in model.days
        ]
        logged = {seq: record for day in model.days for seq, record in day.records.items()}
        assert {event.seq: event.record for event in store.events()} == logged
        assert store.last_seq == (model.last_seq if model.days else 0)
        seen = model.shown(Sighting)
        newest_first = [
            record
            for seq, record in sorted(seen.items(), key=lambda each: (each[1].seen_seconds, each[0]), reverse=True)
            if record.state != "withdrawn"
        ]
        assert list(store.search(Query(limit=1000)).sightings) == newest_first
        for plate in PLATES[:2]:
            found = all_pages(store, Query(plate=plate, limit=2))
            assert found == [record for record in newest_first if record.text == plate]
        rows = [row for block in store.passages(from_seconds=0.0) for row in block.rows]
        assert [f"{int(row['id_low']):032x}" for row in rows] == [each.id for each in newest_first][::-1]
        assert [float(row["seen"]) for row in rows] == [each.seen_seconds for each in newest_first][::-1]
        hits = model.shown(Hit)
        in_order = sorted(hits.values(), key=lambda hit: (hit.seen_seconds, hit.id))
        assert list(store.hits_since(0.0)) == in_order
        for name in SIGHTING_IDS:
            newest = self.newest(Sighting, name)
            assert store.sighting(name) == newest
            of_it = sorted((hit for hit in hits.values() if hit.sighting_id == name), key=lambda hit: hit.id)
            assert list(store.hits_of(name)) == of_it
        gaps = sorted(model.shown(CoverageGap).items(), key=lambda each: (each[1].from_seconds, each[1].id, each[0]))
        assert list(store.gaps()) == [gap for _, gap in gaps][::-1]
        lanes = [store.outbox.read(lane, after_seq=0, limit=1000) for lane in ("hits", "rest")]  # type: ignore[arg-type]
        assert sorted(event.seq for lane in lanes for event in lane) == sorted(logged)
        assert all(isinstance(event.record, Hit) for event in lanes[0])
        for seq in logged.keys() | model.kept.keys():
            record = model.at(seq)
            if seq in {**seen, **hits} and record.evidence and self.newest(type(record), record.id) is record:
                row, proof = store.evidence_of(record.id)
                assert proof.holds_for(row)
                assert proof.seq == seq

    def newest(self, kind: type, name: str) -> Record | None:
        for day in self.model.days[::-1]:
            if (kind, name) in day.ids:
                return day.records[day.ids[kind, name]]
        kept = self.model.shown(kind, only_kept=True)
        return max(((seq, each) for seq, each in kept.items() if each.id == name), default=(0, None), key=first)[1]


def first(pair: tuple[int, Any]) -> int:
    return pair[0]


def all_pages(store: Store, query: Query) -> list[Sighting]:
    found: list[Sighting] = []
    while True:
        page = store.search(query)
        found += page.sightings
        if not page.cursor:
            return found
        query = replace(query, cursor=page.cursor)


Partitions.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestPartitions = Partitions.TestCase
