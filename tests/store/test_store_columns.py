"""Columns: made once, read by others, and never believed further than they deserve."""

from __future__ import annotations

import errno
import gc
from pathlib import Path
from unittest import mock

import pytest
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.plates.neighbours import one_look_alike
from anpr.store import Query, Store, search
from anpr.store.checking import check
from anpr.store.column_file import FILE, find_damage
from anpr.store.environment import Environment
from anpr.store.export import find_all

DAY_SECONDS = 86_400.0


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A store of three days, of which two are written no more."""
    clock = ManualClock()
    with Store.open(tmp_path / "days", clock=clock) as store:
        for day in range(3):
            store.append(
                [make_sighting(id=f"{day}-{n}", text=f"30A1234{n}", seen_seconds=1e5 * day + n) for n in range(4)]
            )
            clock.advance(DAY_SECONDS)
    return tmp_path / "days"


def reading(path: Path) -> Store:
    return Store.open(path, clock=ManualClock(), read_only=True)


def ids(store: Store, query: Query) -> list[str]:
    return [each.id for each in find_all(store, query)]


def make_all_columns(path: Path) -> list[Path]:
    with reading(path) as store:
        while store.make_columns():
            pass
    return sorted(path.glob(f"days/*/{FILE}"))


def test_columns_are_made_once_and_read_by_others(days: Path) -> None:
    assert list(days.glob(f"days/*/{FILE}")) == []
    with reading(days) as store:
        assert [store.make_columns() for _ in range(3)] == [True, True, False]
    files = make_all_columns(days)
    assert [find_damage(file) for file in files] == ["", ""]
    made = [file.stat().st_mtime_ns for file in files]
    with reading(days) as store, mock.patch("anpr.store.finder.gather", side_effect=AssertionError):
        assert ids(store, Query(plate="*2341")) == ["2-1", "1-1", "0-1"]
        assert ids(store, Query(plate="30A12343", edits=1, limit=5))[:5] == ["2-3", "2-2", "2-1", "2-0", "1-3"]
        assert ids(store, Query(plate="30A12343", near="alike")) == [
            f"{day}-{n}" for day in (2, 1, 0) for n in (3, 2, 1, 0) if f"30A1234{n}" in one_look_alike("30A12343")
        ]
    assert [file.stat().st_mtime_ns for file in files] == made


@pytest.mark.parametrize("damage", ["cut off", "empty", "another format", "of another partition", "half written"])
def test_a_file_of_columns_that_is_not_whole_is_made_anew(days: Path, damage: str) -> None:
    file, other = make_all_columns(days)
    whole = file.read_bytes()
    match damage:
        case "cut off":
            file.write_bytes(whole[:-1])
        case "empty":
            file.write_bytes(b"")
        case "another format":
            file.write_bytes(b"anpr columns 0\n" + whole[15:])
        case "of another partition":
            file.write_bytes(other.read_bytes())
        case "half written":
            file.unlink()
            file.with_name(f".{FILE}.1").write_bytes(whole[:100])
    with reading(days) as store, mock.patch.object(search, "MOST_ENTRIES", 1):
        assert ids(store, Query(plate="*2341")) == ["2-1", "1-1", "0-1"]
    assert file.read_bytes() == whole


def test_damage_is_found_by_a_check(days: Path) -> None:
    file, _ = make_all_columns(days)
    assert check(days, clock=ManualClock()).problems == []
    whole = file.read_bytes()
    begin = -(-(27 + int.from_bytes(whole[15:23], "big")) // 64) * 64
    file.write_bytes(whole[:begin] + b"?" + whole[begin + 1 :])
    assert check(days, clock=ManualClock()).problems == [f"{file}: is damaged: seen, remove it"]


def test_damage_within_columns_gives_no_wrong_answer_and_crashes_nothing(days: Path) -> None:
    queries = (Query(plate="*2341"), Query(plate="30A12341"), Query(province="Hà Nội"), Query())
    file, _ = make_all_columns(days)
    with reading(days) as store:
        right = [ids(store, query) for query in queries]
    whole = file.read_bytes()
    begin = 27 + int.from_bytes(whole[15:23], "big")
    told = 0
    for first in range(begin, len(whole), 64):
        file.write_bytes(whole[:first] + bytes(each ^ 0xFF for each in whole[first : first + 64]) + whole[first + 64 :])
        found = find_damage(file)  # nothing, where columns do not reach
        with reading(days) as store:
            for query, answer in zip(queries, right):
                try:
                    answered = ids(store, query)
                    assert answered == ([each for each in answer if each in answered] if found else answer)
                except StoreError as error:
                    told += "columns are damaged" in str(error)
    assert told >= 5


def test_a_reader_that_may_not_write_makes_them_in_memory(days: Path) -> None:
    with (
        reading(days) as store,
        mock.patch("anpr.store.column_file.write", side_effect=PermissionError),
        mock.patch.object(search, "MOST_ENTRIES", 1),
    ):
        assert len(ids(store, Query(plate="*2341"))) == 3
    assert list(days.glob(f"days/*/{FILE}")) == []


def test_columns_are_unmapped_with_their_store(days: Path) -> None:
    def mapped() -> list[str]:
        return [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(f"/{FILE}")]

    make_all_columns(days)
    before = len(mapped())
    with reading(days) as store:
        assert len(ids(store, Query(plate="*2341"))) == 3
        assert len(mapped()) == before + 2
    del store
    gc.collect()
    assert len(mapped()) == before


def test_too_many_open_files_are_told(days: Path) -> None:
    make_all_columns(days)
    with (
        reading(days) as store,
        mock.patch.object(Path, "open", side_effect=OSError(errno.EMFILE, "Too many open files")),
        pytest.raises(StoreError, match="Too many open files"),
    ):
        store.search(Query(plate="*2341"))


def test_a_day_that_holds_no_answer_is_not_opened(days: Path) -> None:
    make_all_columns(days)
    with reading(days) as store:
        assert ids(store, Query(plate="30A99999")) == []
        with mock.patch.object(Environment, "begin", autospec=True, side_effect=Environment.begin) as begin:
            assert ids(store, Query(plate="30A99999")) == []
        assert {call.args[0].path for call in begin.call_args_list} == {store.partitions.all[-1].path, store.root.path}
