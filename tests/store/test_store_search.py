from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making_records import make_hit, make_sighting
from rapidfuzz.distance import Levenshtein

from anpr.clock import ManualClock
from anpr.plates.forms import LONGEST
from anpr.plates.neighbours import one_look_alike
from anpr.plates.provinces import codes
from anpr.records import ALPHABET, Event, Hit, Sighting
from anpr.store import Query, Store, finder, search
from anpr.store.export import find_all

DAY_SECONDS = 86_400.0
TEXTS = st.text("013A", max_size=4) | st.sampled_from(["30A12345", "30A12346", "98B", "0123456789AB", "1é", "B0A"])
SECONDS = st.sampled_from([-1.5, 0.0, 1.0, 1.25, 2.0, 1e9])
CAMERAS = st.sampled_from(["gate", "gate-1", "cổng"])
PATTERNS = st.one_of(
    st.just(""),
    st.text("013A*?", min_size=1, max_size=4),
    st.sampled_from(["30A12345", "*A1*", "*A*4*", "??A*6", "0123456789AB", "*9AB"]),
)
KINDS = st.sampled_from(["car", "motorbike", ""])
COLOURS = st.sampled_from(["white", "red"])
DIRECTIONS = st.sampled_from(["approaching", "unknown"])
PROVINCES = st.sampled_from(["", "30", "98", "13A"])
NAMES = st.sampled_from(["stolen", "wanted"])
SEVERITIES = st.sampled_from(["INFO", "ALERT"])
STATES = st.sampled_from(["final", "final", "preview", "withdrawn"])

SIGHTING = st.tuples(
    st.integers(0, 15), TEXTS, SECONDS, CAMERAS, STATES, KINDS, COLOURS, DIRECTIONS, PROVINCES, st.booleans()
)
HIT = st.tuples(st.integers(0, 7), st.integers(0, 15), NAMES | st.just(""), NAMES | st.just(""), SEVERITIES, STATES)
DAYS = st.lists(
    st.tuples(st.lists(SIGHTING, min_size=1, max_size=12), st.lists(HIT, max_size=6)), min_size=1, max_size=3
)
"""No more, because a sighting is not revised later than that."""


class Model:
    """What the store should know: the newest revisions."""

    def __init__(self) -> None:
        self.sightings: dict[str, tuple[int, Sighting]] = {}
        self.hits: dict[str, Hit] = {}
        self._first_day: set[str] | None = None
        """Records whose newest revision is of the first day."""
        self._seq = 0
        self._revision = 0

    def purge(self) -> None:
        """Forget the first day, but for ALERTs and the sightings that one is on."""
        gone, alerts = self._first_day or set(), {h.sighting_id for h in self.hits.values() if h.severity == "ALERT"}
        self.sightings = {key: each for key, each in self.sightings.items() if key not in gone or key in alerts}
        self.hits = {key: hit for key, hit in self.hits.items() if key not in gone or hit.severity == "ALERT"}

    def day(self, passages: list[Any], hits: list[Any]) -> tuple[list[Sighting], list[Hit]]:
        """Records to append, which the model now knows."""
        sightings = []
        for number, text, at, camera, state, kind, colour, direction, province, own_province in passages:
            self._revision += 1
            self._seq += 1
            sighting = make_sighting(
                id=f"s-{number}" if number % 5 else f"a name of more than sixteen bytes {number}",
                revision=self._revision,
                text=text,
                seen_seconds=at,
                camera_id=camera,
                state=state,
                kind=kind,
                colour=colour,
                direction=direction,
                province_code=text[:2] if own_province else province,
            )
            self.sightings[sighting.id] = self._seq, sighting
            sightings.append(sighting)
        raised = []
        for number, on, list_name, rule, severity, state in hits:
            self._revision += 1
            self._seq += 1
            hit = make_hit(
                id=f"h-{number}",
                revision=self._revision,
                sighting_id=f"s-{on}",
                list_name=list_name,
                rule=rule,
                severity=severity,
                state=state,
            )
            self.hits[hit.id] = hit
            raised.append(hit)
        ids = {each.id for each in (*sightings, *raised)}
        self._first_day = ids if self._first_day is None else self._first_day - ids
        return sightings, raised

    def answer(self, query: Query) -> list[Sighting]:
        """All sightings that meet each condition, newest first."""
        found = [(each.seen_seconds, seq, each) for seq, each in self.sightings.values() if self._meets(each, query)]
        return [sighting for _, _, sighting in sorted(found, key=lambda item: item[:2], reverse=True)]

    def _meets(self, sighting: Sighting, query: Query) -> bool:
        hits = [hit for hit in self.hits.values() if hit.sighting_id == sighting.id and hit.state != "withdrawn"]
        asks_hits = query.list_name or query.rule or query.severity
        named = {entry.code for entry in codes().values() if query.province in (entry.code, entry.before, entry.after)}
        return (
            sighting.state != "withdrawn"
            and _meets_plate(sighting.text, query)
            and (query.from_seconds is None or sighting.seen_seconds >= query.from_seconds)
            and (query.until_seconds is None or sighting.seen_seconds < query.until_seconds)
            and query.camera_id in ("", sighting.camera_id)
            and query.kind in ("", sighting.kind)
            and query.colour in ("", sighting.colour)
            and query.direction in ("", sighting.direction)
            and (not query.province or sighting.province_code in named)
            and (
                not asks_hits
                or any(
                    query.list_name in ("", hit.list_name)
                    and query.rule in ("", hit.rule)
                    and query.severity in ("", hit.severity)
                    for hit in hits
                )
            )
        )


def _meets_plate(text: str, query: Query) -> bool:
    if query.edits:
        return text != "" and set(text) <= set(ALPHABET) and Levenshtein.distance(text, query.plate) <= query.edits
    if query.near == "alike":
        return text in one_look_alike(query.plate)
    expression = query.plate.replace("*", ".*").replace("?", ".")
    return not query.plate or re.fullmatch(expression, text) is not None


def alerts(txn: object) -> Callable[[Event], bool]:
    """What stays after a purge."""
    return lambda event: isinstance(event.record, Hit) and event.record.severity == "ALERT"


@contextmanager
def filled(days: list[Any], *, reader: bool) -> Iterator[tuple[Store, Model]]:
    """A store with a partition for each day; a `reader` has not written it."""
    clock, model = ManualClock(), Model()
    with tempfile.TemporaryDirectory() as folder:
        with Store.open(Path(folder), clock=clock) as store:
            for passages, hits in days:
                clock.advance(DAY_SECONDS)
                store.append(*model.day(passages, hits))
            if not reader:
                yield store, model
        if reader:
            with Store.open(Path(folder), clock=clock, read_only=True) as store:
                yield store, model


CONDITIONS: dict[str, st.SearchStrategy[Any]] = {
    "from_seconds": SECONDS,
    "until_seconds": SECONDS,
    "camera_id": CAMERAS,
    "province": st.sampled_from(["Hà Nội", "30", "Bắc Giang", "Bắc Ninh"]),
    "kind": st.sampled_from(["car", "motorbike", "military"]),
    "colour": st.sampled_from(["white", "blue"]),
    "direction": st.sampled_from(["approaching"]),
    "list_name": st.sampled_from(["stolen", "nothing"]),
    "rule": NAMES,
    "severity": SEVERITIES,
}


@st.composite
def queries(draw: st.DrawFn) -> Query:
    plate = draw(st.just("") | PATTERNS)
    ways = [("exact", 0)]
    if re.fullmatch("[0-9A-Z]+", plate):
        ways += [("alike", 0), *(("exact", edits) for edits in ((1, 2, 2, 3) if len(plate) <= LONGEST else (1,)))]
    near, edits = draw(st.sampled_from(ways))
    names = draw(st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=3, unique=True))
    return Query(
        plate=plate,
        near=near,
        edits=edits,
        limit=draw(st.integers(1, 5)),
        **{name: draw(CONDITIONS[name]) for name in names},
    )


@pytest.mark.parametrize("way", ["by indexes", "by columns", "by both", "by columns on disk"])
def test_search_finds_what_brute_force_finds(way: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(DAYS, st.lists(queries(), min_size=8, max_size=8), st.booleans(), st.lists(SIGHTING, max_size=6))
    def agrees(days: list[Any], asked: list[Query], reader: bool, later: list[Any]) -> None:
        with filled(days, reader=reader) as (store, model):
            if way == "by columns on disk":
                while store.make_columns():
                    pass
            for query in asked:
                assert all_pages(store, query) == model.answer(query), query
            if not reader:  # what came and went since columns were made
                store.append(*model.day(later, []))
                for query in asked:
                    assert all_pages(store, query) == model.answer(query), query
            if not reader and len(days) > 1:  # what outlives its day
                for _ in store.purge(store.partitions.all[0], choose=alerts, reason="test"):
                    pass
                model.purge()
                for query in asked:
                    assert all_pages(store, query) == model.answer(query), query

    most = {"by indexes": 10**9, "by both": 3}.get(way, 1)
    with (
        mock.patch.object(search, "MOST_ENTRIES", most),
        mock.patch.object(finder, "MOST_DECODED", 10**9 if way == "by indexes" else 1),
        mock.patch.object(finder, "MOST_RECENT", 2),
        mock.patch("os.fsync"),
    ):
        agrees()


def all_pages(store: Store, query: Query) -> list[Sighting]:
    found: list[Sighting] = []
    while True:
        page = store.search(query)
        assert len(page.sightings) <= query.limit
        found += page.sightings
        if not page.cursor:
            return found
        assert len(page.sightings) == query.limit
        query = replace(query, cursor=page.cursor)


def test_a_cursor_goes_on_where_its_page_ended_whatever_came_since(store: Store) -> None:
    store.append([make_sighting(id=f"{number}", seen_seconds=float(number)) for number in range(6)])
    first = store.search(Query(limit=3))
    store.append([make_sighting(id="new", seen_seconds=100.0), make_sighting(id="late", seen_seconds=1.5)])
    second = store.search(Query(limit=3, cursor=first.cursor))
    assert [each.id for each in (*first.sightings, *second.sightings)] == ["5", "4", "3", "2", "late", "1"]


def test_a_hit_leads_to_what_its_sighting_has_become(store: Store, clock: ManualClock) -> None:
    store.append([make_sighting(id="a", revision=0)], [make_hit(sighting_id="a")])
    clock.advance(DAY_SECONDS)
    for revision in (1, 2):  # the second in the same partition, after the columns of the day before were made
        store.append([make_sighting(id="a", revision=revision)])
        store.make_columns()
        assert [each.revision for each in store.search(Query(list_name="stolen")).sightings] == [revision]
    clock.advance(DAY_SECONDS)
    store.append([make_sighting(id="a", revision=3)])
    store.make_columns()
    assert [each.revision for each in store.search(Query(list_name="stolen")).sightings] == [3]
    store.append([make_sighting(id="a", revision=4, state="withdrawn")])
    assert store.search(Query(list_name="stolen")).sightings == ()


def test_a_plate_of_today_with_many_hits_is_asked_for_by_them_too(store: Store) -> None:
    """Not every passage of the plate has a hit, however many others have one."""
    listed = [make_sighting(id=f"other-{number}", text="51F67890") for number in range(4)]
    hits = [make_hit(id=f"h-{each.id}", sighting_id=each.id) for each in listed]
    store.append([make_sighting(id="asked", text="30A12345"), *listed], hits)
    with mock.patch.object(finder, "MOST_DECODED", 1):
        assert list(find_all(store, Query(plate="30A12345", list_name="stolen"))) == []
        assert len(list(find_all(store, Query(plate="51F67890", list_name="stolen")))) == 4


def test_a_hit_leads_to_its_sighting_when_the_day_that_columns_name_is_gone(store: Store, clock: ManualClock) -> None:
    def day(*sightings: Sighting, hits: tuple[Hit, ...] = ()) -> None:
        clock.advance(DAY_SECONDS)
        store.append(sightings, hits)

    day(make_sighting(id="a", revision=0))
    day(make_sighting(id="b"), hits=(make_hit(id="h", sighting_id="a"),))
    day(make_sighting(id="c"))
    while store.make_columns():
        pass
    store.append([make_sighting(id="a", revision=1)])
    for _ in store.purge(store.partitions.all[0], choose=alerts, reason="test"):
        pass
    assert [each.revision for each in store.search(Query(list_name="stolen")).sightings] == [1]
