"""Which file is damaged, told also beside a box that writes."""

from __future__ import annotations

import errno
import fcntl
import struct
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from damaging import days_of, mislabel, wipe

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Query, Store
from anpr.store.column_file import find_damage
from anpr.store.environment import Environment
from anpr.store.faults import told_as_store_errors
from anpr.store.lock import damage_of
from anpr.store.wholeness import MOST_SECONDS, explain_damage, look_through, naming_damage


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
        assert explain_damage(folder, clock=clock, problem="a record is damaged") is None
        mislabel(oldest, b"s0-60")
        told = explain_damage(folder, clock=clock, problem="a record is damaged")
        named = f"{oldest / 'data.mdb'}: is damaged, and cannot be read (a record is damaged): "
        assert str(told).startswith(named)
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
    assert explain_damage(folder, clock=clock, problem="a record is damaged") is None
    told = str(explain_damage(folder, clock=clock, died="SIGBUS"))
    assert "not all could be looked at yet (ask anpr store check)" in told


def test_nor_does_it_with_columns(folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(path: Path) -> str:
        clock.advance(MOST_SECONDS / 2 + 1)
        return ""

    monkeypatch.setattr("anpr.store.wholeness.find_damage", slow)
    told = str(explain_damage(folder, clock=clock, died="SIGBUS"))
    assert "not all could be looked at yet (ask anpr store check)" in told


def test_that_too_many_files_are_open_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("lmdb.verify.verify", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        find_damage(folder / "columns")
    with pytest.raises(OSError, match="Too many open files"):
        damage_of(folder)


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


@pytest.mark.parametrize("place", ["audit/head.json", "days/2026-01-02/columns"])
def test_an_error_about_another_file_of_the_store_stays_as_it_is(folder: Path, clock: ManualClock, place: str) -> None:
    wipe(days_of(folder)[1], b"s1-60")
    error = StoreError("is damaged", place=str(folder / place))
    with pytest.raises(StoreError) as caught, naming_damage(folder, clock=clock):
        raise error from msgspec.ValidationError("no number")
    assert caught.value is error


def test_an_error_that_nobody_knows_better_stays_as_it_is(folder: Path, clock: ManualClock) -> None:
    cause = msgspec.ValidationError("no number")
    with pytest.raises(StoreError, match="a stored record is damaged: no number") as caught:
        with naming_damage(folder, clock=clock), told_as_store_errors(days_of(folder)[0]):
            raise cause
    assert caught.value.__cause__ is cause


def test_only_where_a_store_is_read_does_struct_tell_of_damage(folder: Path) -> None:
    with closing(Environment.open(days_of(folder)[0], map_size_bytes=1 << 30)) as day:
        with pytest.raises(StoreError, match="a stored record is damaged: unpack requires"), day.reading():
            struct.unpack("<I", b"")
        with pytest.raises(struct.error), day.writing():
            struct.unpack("<I", b"")


def test_what_a_reader_meets_names_the_file_if_one_is_damaged(folder: Path, clock: ManualClock) -> None:
    day = days_of(folder)[1]
    wipe(day, b"reader 89abcdef")
    with (
        pytest.raises(
            StoreError, match=r"is damaged, and cannot be read \(the store is damaged: .*\): .*set-aside"
        ) as caught,
        naming_damage(folder, clock=clock),
        Store.open(folder, clock=clock, read_only=True) as store,
    ):
        store.search(Query(limit=1000))
    assert str(caught.value).startswith(str(day / "data.mdb"))
    assert isinstance(caught.value.__cause__, StoreError)
