"""Stores that older versions of anpr wrote, made new."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lmdb
import pytest
from golden.make import say
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Query, Store
from anpr.store.checking import check
from anpr.store.migration import BACKUP

GOLDEN = Path(__file__).with_name("golden")
KILLS = 30
LATER = {
    1: ("gaps", "passages", "hit_times", "hit_log", "consumers", "links", "seals"),
    2: ("passages", "hit_times", "hit_log", "consumers", "links", "seals"),
    3: ("hit_log", "links", "seals"),
    4: (),
}
"""Tables that a schema did not have yet."""


@pytest.fixture(params=[1, 2, 3, 4])
def schema(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def expected() -> dict[str, Any]:
    said: dict[str, Any] = json.loads((GOLDEN / "schema-4.json").read_bytes())
    return said


@pytest.fixture
def old(tmp_path: Path, schema: int) -> Path:
    """The golden store, as an anpr of that schema would have left it."""
    path = tmp_path / "store"
    unpack(path)
    with lmdb.open(str(path), max_dbs=32) as environment:
        meta = environment.open_db(b"meta")
        later = [environment.open_db(name.encode()) for name in LATER[schema]]
        with environment.begin(write=True) as txn:
            for table in later:
                txn.drop(table)
            txn.put(b"schema", b"%d" % schema, db=meta)
    return path


def unpack(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(gzip.decompress((GOLDEN / "schema-4.mdb.gz").read_bytes()))


def plain(said: dict[str, Any], *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """As JSON has it."""
    return {name: each for name, each in json.loads(json.dumps(said)).items() if name not in without}


def test_an_old_store_says_the_same_when_it_is_made_new(
    old: Path, schema: int, expected: dict[str, Any], clock: ManualClock
) -> None:
    before = (old / "data.mdb").read_bytes()
    with Store.open(old, clock=clock, box="box-1") as store:
        assert store.migrated_from == schema
        without = ("positions", "epoch") if schema == 4 else ("positions", "epoch", "proofs")
        assert plain(say(store, proofs=schema == 4), without=without) == plain(expected, without=without)
        assert store.outbox.positions() == ({} if schema < 3 else {"ioc": (7, 9), "mqtt": (0, 3)})
        assert store.epoch == expected["epoch"] + 1
        assert store.alive_seconds is not None
        assert [str(each.day) for each in store.partitions.all] == [
            "2026-01-01", "2026-01-02", "2026-01-03", "2025-12-24", "2026-01-05",
        ]  # fmt: skip
        lanes = [store.outbox.read(lane, after_seq=0, limit=1000) for lane in ("hits", "rest")]  # type: ignore[arg-type]
        assert sorted((*lanes[0], *lanes[1]), key=lambda event: event.seq) == list(store.events())
        assert len(lanes[0]) == 10
        (event,) = store.append([make_sighting(id="new", seen_seconds=clock.wall)])
        assert event.seq == len(expected["events"]) + 1
    with Store.open(old, clock=clock, box="box-1") as store:
        assert store.migrated_from is None
    assert check(old, clock=clock).problems == []
    assert {path.name for path in old.iterdir()} >= {"data.mdb", "days", BACKUP}
    assert not (old / "migrating").exists()
    shutil.rmtree(old / "days")
    for name in ("data.mdb", "lock.mdb"):
        (old / name).unlink()
    (old / BACKUP / "data.mdb").rename(old / "data.mdb")
    with Store.open(old, clock=clock, read_only=True) as store:
        assert store.last_seq == len(expected["events"])  # the copy of before is the store of before
    assert len(before) >= (old / "data.mdb").stat().st_size


def test_an_old_store_is_read_as_it_is(old: Path, schema: int, expected: dict[str, Any], clock: ManualClock) -> None:
    content = (old / "data.mdb").read_bytes()
    with Store.open(old, clock=clock, read_only=True) as store:
        assert store.last_seq == len(expected["events"])
        assert [each.id for each in store.search(Query(limit=100)).sightings] == expected["search"]
        assert [[gap.id, gap.revision] for gap in store.gaps()] == ([] if schema == 1 else expected["gaps"])
        if schema < 3:
            with pytest.raises(StoreError, match="written by an old anpr"):
                list(store.hits_since(0.0))
            with pytest.raises(StoreError, match="written by an old anpr"):
                list(store.passages(from_seconds=0.0))
        else:
            assert len(list(store.hits_since(0.0))) == len(expected["hits_since"])
    assert (old / "data.mdb").read_bytes() == content
    assert not (old / "days").exists()


def test_a_store_that_is_read_is_not_made_new(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "store"
    unpack(path)
    program = (
        "import sys; from anpr.clock import SystemClock; from anpr.store import Store\n"
        "try: Store.open(sys.argv[1], clock=SystemClock())\n"
        "except OSError as error: print(error)\n"
    )
    with Store.open(path, clock=clock, read_only=True) as store:
        said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True).stdout
        assert "another process reads the store" in said
        assert store.last_seq > 0
    Store.open(path, clock=clock).close()
    assert check(path, clock=clock).problems == []


def test_a_disk_without_room_is_told_before_anything_is_done(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store"
    unpack(path)
    usage = shutil.disk_usage(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    with pytest.raises(StoreError, match=r"no room to make it new.*free \d+ MiB"):
        Store.open(path, clock=clock)
    assert {each.name for each in path.iterdir()} <= {"data.mdb", "lock.mdb", "writer.lock"}


def test_days_of_another_file_are_not_deleted(tmp_path: Path, clock: ManualClock) -> None:
    """Somebody put the old file back and forgot the days."""
    path = tmp_path / "store"
    unpack(path)
    with Store.open(path, clock=clock) as store:
        last_seq = store.append([make_sighting(id="new", seen_seconds=clock.wall)])[0].seq
    (path / "data.mdb").rename(tmp_path / "data.mdb")
    (path / BACKUP / "data.mdb").rename(path / "data.mdb")
    for _ in range(2):
        with pytest.raises(StoreError, match="days of a newer one"):
            Store.open(path, clock=clock)
    (tmp_path / "data.mdb").replace(path / "data.mdb")
    with Store.open(path, clock=clock) as store:
        assert store.last_seq == last_seq


def test_a_damaged_record_is_taken_along_and_told(tmp_path: Path, clock: ManualClock, expected: dict[str, Any]) -> None:
    path = tmp_path / "store"
    unpack(path)
    with lmdb.open(str(path), max_dbs=32) as environment:
        events = environment.open_db(b"events")
        with environment.begin(write=True) as txn:
            txn.put((1).to_bytes(8, "big"), b"damaged", db=events)
    with Store.open(path, clock=clock) as store:
        assert store.last_seq == len(expected["events"])
        assert len(store.events(after_seq=1)) == len(expected["events"]) - 1
    assert any("event 1 is damaged" in problem for problem in check(path, clock=clock).problems)


def test_kill_9_while_it_is_made_new(tmp_path: Path, clock: ManualClock, expected: dict[str, Any]) -> None:
    """At any moment: the next start makes it new, and nothing is missing."""
    rng = random.Random(5)
    whole_seconds = opened_in_a_child(tmp_path / "first", None)
    cut = 0
    for life in range(KILLS):
        path = tmp_path / f"store-{life}"
        opened_in_a_child(path, rng.uniform(0.0, whole_seconds))
        cut += (path / "migrating").exists() or not (path / "days").exists()
        with Store.open(path, clock=clock, box="box-1") as store:
            without = ("positions", "epoch")
            assert plain(say(store), without=without) == plain(expected, without=without)
            assert store.epoch > expected["epoch"]
            assert store.outbox.positions() == {"ioc": (7, 9), "mqtt": (0, 3)}
        assert check(path, clock=clock).problems == []
        assert (path / BACKUP / "data.mdb").is_file()
        shutil.rmtree(path)
    assert cut > 0


def opened_in_a_child(path: Path, after_seconds: float | None) -> float:
    """Open the golden store for writing in a process that is killed after a time, and say how long it had."""
    unpack(path)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        Store.open(path, clock=ManualClock(), box="box-1").close()
        os._exit(0)
    if after_seconds is not None:
        time.sleep(after_seconds)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return time.monotonic() - began
