from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.errors import PlateError, StoreError
from anpr.records import Sighting
from anpr.store import Query, Store
from anpr.store.keys import pack_seconds
from anpr.store.search import plate_pattern

TEXTS = st.text("013A", max_size=4)
SECONDS = st.sampled_from([-1.5, 0.0, 1.0, 1.25, 2.0, 1e9])
CAMERAS = st.sampled_from(["gate", "gate-1", "cổng"])
PATTERNS = st.one_of(st.just(""), st.text("013A*?", min_size=1, max_size=4))


def brute_force(sightings: list[Sighting], query: Query) -> list[Sighting]:
    """The newest revision of each sighting that passes every condition, newest first."""
    newest: dict[str, tuple[int, Sighting]] = {}
    for seq, sighting in enumerate(sightings):
        newest[sighting.id] = (seq, sighting)
    expression = query.plate.replace("*", ".*").replace("?", ".")
    found = [
        (sighting.seen_seconds, seq, sighting)
        for seq, sighting in newest.values()
        if sighting.state != "withdrawn"
        and (not query.plate or re.fullmatch(expression, sighting.text))
        and (query.from_seconds is None or sighting.seen_seconds >= query.from_seconds)
        and (query.until_seconds is None or sighting.seen_seconds < query.until_seconds)
        and query.camera_id in ("", sighting.camera_id)
    ]
    return [sighting for _, _, sighting in sorted(found, key=lambda item: item[:2], reverse=True)]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_search_finds_what_brute_force_finds(data: st.DataObject) -> None:
    passages = data.draw(
        st.lists(
            st.tuples(st.integers(0, 15), TEXTS, SECONDS, CAMERAS, st.sampled_from(["final", "withdrawn"])), max_size=40
        )
    )
    sightings = [
        make_sighting(id=f"s-{number}", revision=index, text=text, seen_seconds=at, camera_id=camera, state=state)
        for index, (number, text, at, camera, state) in enumerate(passages)
    ]
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), clock=ManualClock()) as store:
        store.append(sightings)
        for _ in range(12):
            query = Query(
                plate=data.draw(PATTERNS),
                from_seconds=data.draw(st.none() | SECONDS),
                until_seconds=data.draw(st.none() | SECONDS),
                camera_id=data.draw(st.just("") | CAMERAS),
                limit=data.draw(st.integers(1, 5)),
            )
            assert list(all_pages(store, query)) == brute_force(sightings, query)


def all_pages(store: Store, query: Query) -> list[Sighting]:
    found: list[Sighting] = []
    while True:
        page = store.search(query)
        assert len(page.sightings) <= query.limit
        found += page.sightings
        if not page.cursor:
            return found
        assert len(page.sightings) == query.limit
        query = Query(
            plate=query.plate,
            from_seconds=query.from_seconds,
            until_seconds=query.until_seconds,
            camera_id=query.camera_id,
            limit=query.limit,
            cursor=page.cursor,
        )


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_packed_times_sort_as_the_times_do(one: float, other: float) -> None:
    assert (pack_seconds(one) < pack_seconds(other)) == (one < other)
    assert (pack_seconds(one) == pack_seconds(other)) == (one == other)


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("30a-123.45", "30A12345"),
        ("30A*", "30A*"),
        ("30A-*", "30A*"),
        ("*123.45", "*12345"),
        ("30A-12?.45", "30A12?45"),
        (" 29 - H1 ***", "29H1*"),
        ("80-nn-??", "80NN??"),
        ("29Đ*", "29D*"),
        ("３０А*", "30A*"),
        ("*", "*"),
    ],
)
def test_patterns_as_people_write_them(written: str, pattern: str) -> None:
    assert plate_pattern(written) == pattern


@pytest.mark.parametrize("written", [" ", "-.", "30A[1]", "30A%", "+", "*é*", "30A" * 40])
def test_patterns_that_are_none(written: str) -> None:
    with pytest.raises(PlateError):
        plate_pattern(written)


def test_wildcards_reach_plates_written_with_separators(store: Store) -> None:
    store.append([make_sighting(id="a"), make_sighting(id="b", text="51F99945"), make_sighting(id="c", text="")])
    for plate, ids in {"30A*": "a", "*123.45": "a", "30A-12?.45": "a", "*45": "ba", "30A": "", "*": "cba"}.items():
        assert "".join(s.id for s in store.search(Query(plate=plate)).sightings) == ids, plate


def test_queries_that_make_no_sense(store: Store) -> None:
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"cursor": "x"}, {"cursor": "00"}):
        with pytest.raises(StoreError):
            Query(**wrong)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="finite"):
        store.search(Query(from_seconds=float("nan")))
