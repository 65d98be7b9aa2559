"""Which file is damaged, told also beside a box that writes."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from damaging import days_of, mislabel, wipe
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Query, Store
from anpr.store.column_file import find_damage
from anpr.store.wholeness import MOST_SECONDS, explain_damage, look_through, naming_damage


@pytest.fixture
def folder(memory: Path, clock: ManualClock) -> Path:
    """Of a store of three days."""
    path = memory / "store"
    with Store.open(path, clock=clock, box="box-1") as store:
        for day in range(3):
            store.append([make_sighting(id=f"s{day}-{number}", evidence=()) for number in range(100)])
            clock.advance(86_400.0)
    return path


def test_all_files_of_a_store_that_is_whole_are_looked_at(folder: Path, clock: ManualClock) -> None:
    assert list(look_through(folder)) == [(folder, ""), *((day, "") for day in reversed(days_of(folder)))]
    assert explain_damage(folder, clock=clock) is None
    told = explain_damage(folder, clock=clock, died="SIGBUS")
    assert str(told).startswith(f"{folder}: reading it ended with SIGBUS, but all files are whole (look at the disk")


def test_of_what_a_box_writes_nothing_can_be_said(folder: Path, clock: ManualClock) -> None:
    oldest, _, newest = days_of(folder)
    wipe(newest, b"s2-60")
    with (folder / "writer.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert {each for each, damage in look_through(folder) if damage is None} == {folder, newest}
        told = explain_damage(folder, clock=clock, died="SIGBUS")
        assert str(told).startswith(f"{newest}: this day, which a box writes, or data.mdb of no day kills who reads it")
        assert "stop the box" in str(told)
        mislabel(oldest, b"s0-60")
        assert str(explain_damage(folder, clock=clock)).startswith(f"{oldest / 'data.mdb'}: is damaged, and cannot be")
    assert str(explain_damage(folder, clock=clock)).startswith(f"{newest / 'data.mdb'}: is damaged")


def test_of_the_file_of_no_day_only_a_backup_is_the_cure(folder: Path, clock: ManualClock) -> None:
    data = folder / "data.mdb"
    data.write_bytes(data.read_bytes()[:8192])
    told = str(explain_damage(folder, clock=clock))
    assert told.startswith(f"{data}: is damaged")
    assert "set-aside" not in told


def test_it_takes_no_longer_than_a_person_waits(
    folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> str:
        clock.advance(MOST_SECONDS)
        return ""

    monkeypatch.setattr("anpr.store.wholeness.damage_of", slow)
    told = str(explain_damage(folder, clock=clock))
    assert "not all could be looked at yet (ask anpr store check)" in told


def test_columns_may_kill_who_reads_them_too(folder: Path, clock: ManualClock) -> None:
    with Store.open(folder, clock=clock, read_only=True) as store:
        assert store.make_columns()
    (columns,) = folder.glob("days/*/columns")
    content = bytearray(columns.read_bytes())
    content[-400:] = b"\xff" * 400
    columns.write_bytes(content)
    assert explain_damage(folder, clock=clock) is None
    told = str(explain_damage(folder, clock=clock, died="SIGBUS"))
    assert told.startswith(f"{columns}: is damaged: ")
    assert "remove the file" in told
    columns.unlink()
    columns.mkdir()
    assert find_damage(columns) == "cannot be read: Is a directory"
    columns.rmdir()
    assert find_damage(columns) == ""


def test_an_error_that_is_no_damage_stays_as_it_is(folder: Path, clock: ManualClock) -> None:
    wipe(days_of(folder)[1], b"s1-60")
    error = StoreError("the disk is full")
    with pytest.raises(StoreError) as caught, naming_damage(folder, clock=clock):
        raise error
    assert caught.value is error


def test_what_a_reader_meets_names_the_file_if_one_is_damaged(folder: Path, clock: ManualClock) -> None:
    day = days_of(folder)[1]
    wipe(day, b"reader 89abcdef")
    with (
        pytest.raises(StoreError, match=r"is damaged, and cannot be read: .*anpr store set-aside") as caught,
        naming_damage(folder, clock=clock),
        Store.open(folder, clock=clock, read_only=True) as store,
    ):
        store.search(Query(limit=1000))
    assert str(caught.value).startswith(str(day / "data.mdb"))
    assert isinstance(caught.value.__cause__, StoreError)
