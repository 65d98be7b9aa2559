"""A day written anew that was damaged before it took the old one's place does not take it: the old one stays."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest
import structlog
from pseudonymised import A_DAY, DAY, DAYS, first_day, problems, pseudonymise

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.plates.pseudonym import is_pseudonym
from anpr.store import Query, Store
from anpr.store.keys import pack_seq
from anpr.store.partitions import Partitions
from anpr.store.purges import Purge


class Crash(BaseException):
    """The power goes."""


def write(folder: Path, table: str, change: Callable[[lmdb.Transaction[bytes]], object]) -> None:
    with lmdb.open(str(folder), max_dbs=64, map_size=1 << 26) as environment:
        database = environment.open_db(table.encode(), create=False)
        with environment.begin(db=database, write=True) as txn:
            change(txn)
    (folder / "lock.mdb").unlink()


def wipe(folder: Path) -> None:
    """The page of a row."""
    data = folder / "data.mdb"
    content = data.read_bytes()
    page = next(at for at in range(0, len(content), 4096) if b"0-3" in content[at : at + 4096])
    data.write_bytes(content[:page] + bytes(4096) + content[page + 4096 :])


def cut_short(folder: Path) -> None:
    data = folder / "data.mdb"
    data.write_bytes(data.read_bytes()[:8192])


def change_a_row(folder: Path) -> None:
    write(folder, "events", lambda txn: txn.put(pack_seq(4), b"x" + (txn.get(pack_seq(4)) or b"")))


def change_the_row_of_a_hit(folder: Path) -> None:
    write(folder, "events", lambda txn: txn.put(pack_seq(A_DAY), b"x"))


def drop_a_row(folder: Path) -> None:
    write(folder, "events", lambda txn: txn.delete(pack_seq(4)))


def drop_the_last(folder: Path) -> None:
    write(folder, "events", lambda txn: txn.delete(pack_seq(A_DAY + 1)) and txn.put(pack_seq(99), b"x"))


def break_the_chain(folder: Path) -> None:
    write(folder, "links", lambda txn: txn.put(pack_seq(4), (9).to_bytes(8, "big") + bytes(64)))


def end_the_chain_otherwise(folder: Path) -> None:
    def swap(txn: lmdb.Transaction[bytes]) -> None:
        txn.delete(pack_seq(A_DAY + 1))
        txn.put(pack_seq(0), bytes(72))

    write(folder, "links", swap)


FLAWS = [
    wipe,
    cut_short,
    change_a_row,
    change_the_row_of_a_hit,
    drop_a_row,
    drop_the_last,
    break_the_chain,
    end_the_chain_otherwise,
]


@pytest.fixture(params=["ready", "in place"])
def cut_off(
    original: Path, memory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[Path, Path]:
    """The store's folder, and that of a day that was written anew, decided, and is not in the old one's place for
    good."""

    def crash(self: Partitions, partition: Any, ready: Path) -> Path:
        if request.param == "in place":
            ready.rename(self.path / ready.name.removeprefix(".ready-"))
        raise Crash

    folder = Path(shutil.copytree(original, memory / "store"))
    clock.advance(DAYS * DAY)
    with Store.open(folder, clock=clock, box="box-1") as store, monkeypatch.context() as patched:
        patched.setattr(Partitions, "replace", crash)
        with pytest.raises(Crash):
            pseudonymise(store)
    (new,) = folder.glob("days/*.1")
    return folder, new


def hidden(store: Store) -> int:
    return sum(is_pseudonym(each.text) for each in store.search(Query(limit=100)).sightings)


def test_one_that_is_whole_takes_its_place(cut_off: tuple[Path, Path], clock: ManualClock) -> None:
    folder, _ = cut_off
    with structlog.testing.capture_logs() as logs, Store.open(folder, clock=clock, box="box-1") as store:
        assert hidden(store) == A_DAY - 1
        assert len(store.purges()) == 1
    assert logs == []


@pytest.mark.parametrize("damage", FLAWS)
def test_one_that_is_not_what_was_decided_is_refused_and_done_anew(
    cut_off: tuple[Path, Path], clock: ManualClock, damage: Callable[[Path], None]
) -> None:
    folder, new = cut_off
    damage(new)
    if damage is cut_short and not new.name.startswith("."):
        with pytest.raises(StoreError, match="cut off"):  # as it is with every day
            Store.open(folder, clock=clock)
        return
    with structlog.testing.capture_logs() as logs, Store.open(folder, clock=clock, box="box-1") as store:
        assert [(each["event"], each["day"]) for each in logs] == [
            ("rewritten_day_refused", new.name.removeprefix(".ready-"))
        ]
        assert hidden(store) == 0
        assert first_day(folder).suffix != ".1"
        assert not list(folder.glob("days/.*"))
        pseudonymise(store)
        assert hidden(store) == A_DAY - 1
        assert len(store.purges()) == 2
    assert problems(folder, clock) == []


def test_one_whose_purge_nobody_signed_is_refused(cut_off: tuple[Path, Path], clock: ManualClock) -> None:
    folder, _ = cut_off

    def alter(txn: lmdb.Transaction[bytes]) -> None:
        purge = msgspec.json.decode(txn.get(pack_seq(1)) or b"", type=Purge)
        txn.put(pack_seq(1), msgspec.json.encode(msgspec.structs.replace(purge, reason="forged")))

    with lmdb.open(str(folder), max_dbs=64, map_size=1 << 26) as environment:
        with environment.begin(db=environment.open_db(b"purges", create=False), write=True) as txn:
            alter(txn)
    with structlog.testing.capture_logs() as logs, Store.open(folder, clock=clock, box="box-1") as store:
        assert "signature of purge 1 does not hold" in logs[0]["problem"]
        assert hidden(store) == 0
