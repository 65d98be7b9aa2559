"""The power is cut just when the store changes its files: a new day begins, an old one is purged, an old store is made
new (S10)."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Set
from pathlib import Path

import lmdb

from scripts.fault_matrix.damage_rows import require_sound
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.records import MOST_TABLES, PurgedNumbers, event_files, read_table, stored_events
from scripts.fault_matrix.rig import START_SECONDS, Rig
from scripts.fault_matrix.storage_rows import FAST, STARTED_SECONDS
from scripts.fault_matrix.tail import Tail

DAY_SECONDS = 86_400.0
LONGEST_CHANGE_SECONDS = 0.4
"""Within it a new day is begun and an old one purged."""
OLD_DAYS = 3
OLD_DAY_SECONDS = 6.0
OLD_SCHEMA = 4


def cut_during_purge(rig: Rig) -> None:
    """Each life sees a new day begin and the oldest one purged, and its end somewhere in it."""
    chance = random.Random(rig.times)
    rig.start(rate=FAST, purges=True)
    for day in range(1, rig.times + 1):
        rig.set_clock(day * DAY_SECONDS)
        time.sleep(chance.uniform(0.0, LONGEST_CHANGE_SECONDS))
        rig.cut_power()
        rig.outcome.times += 1
        rig.require_kept()
        if rig.outcome.problems:
            return
        rig.recovered_in(rig.start(rate=FAST, purges=True))
    rig.require_within(rig.outcome.recovered_s, STARTED_SECONDS, "a hub to tell something after its start")
    rig.outcome.notes |= {"purges": PurgedNumbers(rig.store).count, "partitions": len(event_files(rig.store))}
    rig.require(rig.outcome.notes["purges"] >= rig.times // 4, "many purges", rig.outcome.notes["purges"])
    rig.close_books()
    require_sound(rig, "--pictures")


def cut_during_migration(rig: Rig) -> None:
    """A store of the schema before is opened again and again, and the power is cut before or just after it is new."""
    chance = random.Random(rig.times)
    rig.start(rate=FAST)
    for day in range(OLD_DAYS):
        rig.set_clock(day * DAY_SECONDS)
        time.sleep(OLD_DAY_SECONDS)
    rig.require_delivered()
    rig.stop()
    rig.require_kept()
    before = stored_events(rig.store)
    old = rig.folder / "old"
    make_old(rig.store, old)
    site, book = rig.folder / "other-site.toml", Tail(rig.folder / "other.book")
    rig.write_site(site)  # with endpoints that nobody knows: what each life adds is undone
    life = {"site": str(site), "book": str(book.path), "rate": FAST}

    def open_old() -> float:
        """Start a hub and wait until its store is new; how long that took."""
        opened = len(book.entries())
        rig.begin(**life)
        seconds = rig.until(lambda: len(book.entries()) > opened or not rig.lives(), START_SECONDS)
        if seconds is None or not rig.lives():
            raise RuntimeError(f"the old store was not made new: {rig.last_words()}")
        rig.kill()
        return seconds

    _take_back(rig.store, old)
    longest = open_old()
    for _ in range(rig.times):
        _take_back(rig.store, old)
        rig.begin(**life)
        time.sleep(chance.uniform(0.0, longest))
        rig.cut_power()
        rig.outcome.times += 1
        rig.outcome.notes["cut_before_the_end"] = rig.outcome.notes.get("cut_before_the_end", 0) + _is_old(rig.store)
        rig.recovered_in(open_old())
        after = stored_events(rig.store)
        lost = [seq for seq, row in before.items() if after.get(seq) != row]
        copied = (rig.store / f"before-schema-{OLD_SCHEMA + 1}" / "data.mdb").is_file()
        rig.outcome.lost += len(lost)
        rig.require(not lost, "every event of the old store in the new one", f"{len(lost)} lost, {lost[:5]}")
        rig.require(copied, "a copy of the old store")
        if rig.outcome.problems:
            return
    require_sound(rig)
    rig.outcome.notes["events"] = len(before)


def make_old(store: Path, into: Path) -> None:
    """The same events as a store of schema 4 holds them: in one file, with all its tables. Without anpr."""
    into.mkdir()
    with lmdb.open(str(into), max_dbs=MOST_TABLES, map_size=1 << 30) as old:
        for path in event_files(store):
            _copy_tables(path.parent, old, leave={b"begin", b"superseded"})
        _copy_tables(store, old, only={b"meta", b"consumers"})
        last = b"%d" % max(stored_events(store))
        with old.begin(write=True, db=old.open_db(b"meta")) as transaction:
            for key, value in ((b"schema", b"%d" % OLD_SCHEMA), (b"last_seq", last), (b"hits_logged", last)):
                transaction.put(key, value)


def _copy_tables(
    folder: Path, target: lmdb.Environment, *, only: Set[bytes] = frozenset(), leave: Set[bytes] = frozenset()
) -> None:
    with lmdb.open(str(folder), readonly=True, max_dbs=MOST_TABLES, lock=False) as source:
        with source.begin() as reading:
            names = {bytes(name) for name in reading.cursor().iternext(values=False)}
        for name in (names & only if only else names) - leave:
            table, copy = source.open_db(name, create=False), target.open_db(name)
            with source.begin(db=table) as reading, target.begin(write=True, db=copy) as writing:
                for key, value in reading.cursor():
                    writing.put(key, value)


def _take_back(store: Path, old: Path) -> None:
    """The store is the old one again, on disk."""
    for name in ("days", "migrating", f"before-schema-{OLD_SCHEMA + 1}"):
        shutil.rmtree(store / name, ignore_errors=True)
    for name in ("data.mdb", "lock.mdb"):
        (store / name).unlink(missing_ok=True)
    shutil.copy(old / "data.mdb", store / "data.mdb")
    os.sync()


def _is_old(store: Path) -> bool:
    """Whether nothing but the old file counts yet."""
    return int(read_table(store, b"meta")[b"schema"]) == OLD_SCHEMA


ROWS = (
    Fault(
        name="power-cut-purge", code="S10", run_rig=cut_during_purge, needs=("volume",), volume_mib=384, times=100,
        does="the power is cut under a hub alone while a new day's partition begins and the oldest one is purged",
        must="every told event in the store, or purged as a signed entry says; hits stay; every picture of what is"
        " there whole; `anpr store check` finds nothing",
    ),
    Fault(
        name="power-cut-migration", code="S10", run_rig=cut_during_migration, needs=("volume",), volume_mib=384,
        times=100, does="the power is cut while a hub makes a store of schema 4 new",
        must="the next start makes it new, with every event of the old one, and a copy of that beside it",
    ),
)  # fmt: skip
