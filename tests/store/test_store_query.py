"""What may be asked for, as people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_records import make_sighting

from anpr.errors import PlateError, StoreError
from anpr.store import Query, Store
from anpr.store.keys import pack_seconds
from anpr.store.query import plate_pattern


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
    for wrong in (
        {"limit": 0},
        {"limit": 10_001},
        {"cursor": "x"},
        {"cursor": "00"},
        {"kind": "lorry"},
        {"colour": "green"},
        {"direction": "up"},
        {"severity": "alert"},
        {"near": "close"},
        {"edits": -1},
        {"edits": 4},
        {"edits": 1, "near": "alike"},
    ):
        with pytest.raises(StoreError):
            Query(**wrong)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="one of car, special"):
        Query(kind="lorry")
    with pytest.raises(StoreError, match="finite"):
        store.search(Query(from_seconds=float("nan")))
    for query in (
        *(Query(plate="30A*", edits=edits) for edits in (1, 2)),
        *(Query(edits=edits) for edits in (1, 2)),
        Query(plate="30A123456789", edits=2),
        Query(near="alike"),
        Query(province="Hà Nôi 2"),
    ):
        with pytest.raises(PlateError):
            store.search(query)


def test_what_was_asked_is_told() -> None:
    assert Query().given == {}
    query = Query(plate="30A", near="alike", from_seconds=0.0, province="30", limit=3)
    assert query.given == {"plate": "30A", "near": "alike", "from_seconds": 0.0, "province": "30"}
    assert Query(plate="30A", edits=2).given == {"plate": "30A", "edits": 2}
