"""Damaged days set aside: no number is given twice, what is lost is counted and told, and all the rest goes on."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest
from damaging import empty, overwrite, remove
from keeping import Box, policy
from making_records import make_hit, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Query, Store, aside
from anpr.store.aside import SetAside, set_aside
from anpr.store.audit import AuditLog
from anpr.store.checking import check
from anpr.store.holds import Hold, drop_hold, put_hold
from anpr.store.retention import DAY_SECONDS, Retention

DAYS, A_DAY = 3, 40
LAST = DAYS * A_DAY
OTHER = 54_321, 54_322
"""User and group of a box."""


def scribble(data: Path) -> None:
    """On one page in four, but for the first two."""
    chance = random.Random(1)
    with data.open("r+b") as file:
        for page in chance.sample(range(2, data.stat().st_size // 4096), data.stat().st_size // 4096 // 4):
            file.seek(4096 * page)
            file.write(chance.randbytes(4096))


def spoil(data: Path, name: str) -> None:
    """The pages with the row of one sighting."""
    content = data.read_bytes()
    with data.open("r+b") as file:
        for at in range(0, len(content), 4096):
            if bytes([0xA0 + len(name)]) + name.encode() in content[at : at + 4096]:
                file.seek(at)
                file.write(bytes(4096))


def cut_short(data: Path) -> None:
    os.truncate(data, data.stat().st_size // 2 // 4096 * 4096)


def remove_tables(data: Path) -> None:
    data.unlink()
    lmdb.open(str(data.parent)).close()


DAMAGES = [scribble, cut_short, overwrite, empty, remove, remove_tables]


@pytest.fixture
def box(memory: Path, clock: ManualClock) -> Box:
    """Each day's vehicles, the first of each with a hit; a consumer has them all but for the last two."""
    box = Box(memory / "store", clock, policy())
    box.start()
    for day in range(DAYS):
        for _ in range(A_DAY - 2):
            box.see()
        newest = f"v{box.number}"
        hits = [make_hit(id=f"h{day}-{number}", sighting_id=newest, seen_seconds=clock.wall) for number in range(2)]
        box.store.append([], hits)
        box.keeper.note()
        if day < DAYS - 1:
            clock.advance(DAY_SECONDS)
    box.store.outbox.save_positions({"ioc": (LAST - 2, LAST)})
    box.stop()
    return box


def data_of(box: Box, day: int) -> Path:
    return sorted(box.folder.glob("days/2*"))[day] / "data.mdb"


def mend(box: Box) -> tuple[SetAside, ...]:
    return set_aside(box.folder, reason="the disk failed", case="17/2026", clock=box.clock)


@pytest.mark.parametrize("damage", DAMAGES)
def test_after_a_damaged_newest_day_recording_goes_on_with_new_numbers(
    box: Box, damage: Callable[[Path], None]
) -> None:
    damage(data_of(box, DAYS - 1))
    (told,) = mend(box)
    assert (told.first_seq, told.last_seq) == (LAST - A_DAY + 1, LAST)
    assert told.readable + told.unreadable == A_DAY
    assert told.readable < A_DAY
    assert told.undelivered == {"ioc": 2}
    assert told.folder.parent == box.folder / "damaged"
    box.start()
    assert box.store.last_seq >= LAST + aside.SPARE_NUMBERS
    before = box.store.last_seq
    new = box.see("new", hit=True)
    assert box.store.events(after_seq=LAST)[0].seq == before + 1
    assert len(box.store.search(Query(limit=1000)).sightings) == (DAYS - 1) * (A_DAY - 2) + 1
    assert box.store.evidence_of(new.id)[1].holds_for(box.store.evidence_of(new.id)[0])
    assert box.store.outbox.positions() == {"ioc": (LAST - 2, LAST)}
    (entry,) = box.store.purges()
    assert (entry.what, entry.first_seq, entry.last_seq) == ("lost", LAST - A_DAY + 1, before)
    box.stop()
    assert check(box.folder, clock=box.clock, pictures=True).problems == []
    box.start()
    box.live(6.0)
    assert [each.what for each in box.store.purges()].count("partition") == DAYS
    assert [hit.id for hit in box.store.hits_since(0.0)] == ["h0-0", "h0-1", "h1-0", "h1-1", "h-new"]
    box.stop()
    assert check(box.folder, clock=box.clock, pictures=True).problems == []
    assert [line.verb for line in AuditLog(box.folder, clock=box.clock).lines()] == ["set-aside"]


@pytest.mark.parametrize("damaged", [(0,), (1,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_any_days_may_be_damaged(box: Box, damaged: tuple[int, ...]) -> None:
    for day in damaged:
        overwrite(data_of(box, day))
    with pytest.raises(StoreError, match="damaged"):
        box.start()
    told = mend(box)
    assert [each.first_seq for each in told] == [day * A_DAY + 1 for day in damaged]
    assert [each.unreadable for each in told] == [A_DAY] * len(damaged)
    assert mend(box) == ()
    box.start()
    box.see("new")
    assert box.store.last_seq > LAST
    assert len(box.store.search(Query(limit=1000)).sightings) == (DAYS - len(damaged)) * (A_DAY - 2) + 1
    box.stop()
    assert check(box.folder, clock=box.clock).problems == []
    box.start()
    box.live(6.0)
    assert box.store.purges()[-1].what == "partition"
    box.stop()
    assert check(box.folder, clock=box.clock).problems == []


@pytest.mark.parametrize("damaged", [(2,), (0, 1, 2)])
def test_the_day_that_follows_may_be_damaged_too(box: Box, damaged: tuple[int, ...]) -> None:
    for day in damaged:
        overwrite(data_of(box, day))
    mend(box)
    for day in range(2):
        box.start()
        before = box.store.last_seq
        box.see(f"new{day}")
        box.keeper.note()
        assert box.keeper._state.ages[A_DAY + 1].last_seq == 2 * A_DAY
        box.stop()
        overwrite(data_of(box, -1))
        (told,) = mend(box)
        assert (told.first_seq, told.last_seq) == (before + 1, before + 1)
        assert check(box.folder, clock=box.clock).problems == []
    box.start()
    box.see("new")
    box.live(6.0)
    assert [each.what for each in box.store.purges()] == ["lost"] * 3 + ["partition"] * (4 - len(damaged))
    box.stop()
    assert check(box.folder, clock=box.clock).problems == []


def test_the_day_before_a_damaged_one_stays_no_longer_for_it(box: Box) -> None:
    overwrite(data_of(box, 1))
    mend(box)
    box.start()
    box.see("new")
    box.live(0.9)
    assert [each.what for each in box.store.purges()] == ["lost"]
    box.live(0.6)
    assert [each.what for each in box.store.purges()] == ["lost", "partition"]
    box.stop()
    assert check(box.folder, clock=box.clock).problems == []


def owners(folder: Path) -> set[tuple[int, int]]:
    return {(each.stat().st_uid, each.stat().st_gid) for each in (folder, *folder.rglob("*"))}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_of_a_restored_backup_belongs_to_the_box(box: Box) -> None:
    """A backup has neither locks nor keys: they are made now."""
    overwrite(data_of(box, 1))
    overwrite(data_of(box, 2))
    for name in ("writer.lock", "lock.mdb", "evidence.key_secret", "evidence.key"):
        (box.folder / name).unlink()
    for each in (box.folder.parent, box.folder, *box.folder.rglob("*")):
        os.chown(each, *OTHER)
    assert len(mend(box)) == 2
    assert owners(box.folder) == {OTHER}
    assert [line.user_id for line in AuditLog(box.folder, clock=box.clock).lines()] == [0]
    assert check(box.folder, clock=box.clock).problems == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_lies_elsewhere_is_not_given_away(box: Box) -> None:
    """A box that was broken into may have put it there."""
    elsewhere = box.folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one").write_text("x")
    (elsewhere / "two").write_text("x")
    for each in (box.folder, *box.folder.rglob("*")):
        os.chown(each, *OTHER)
    (box.folder / "hard").hardlink_to(elsewhere / "one")
    (box.folder / "soft").symlink_to(elsewhere / "two")
    (box.folder / "days/all").symlink_to(elsewhere)
    mend(box)
    assert owners(elsewhere) == {(0, 0)}


def test_who_is_neither_root_nor_the_owner_is_refused(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(data_of(box, 1))
    monkeypatch.setattr(os, "geteuid", lambda: OTHER[0])
    before = sorted(box.folder.rglob("*"))
    with pytest.raises(StoreError, match="belongs to another account"):
        mend(box)
    assert sorted(box.folder.rglob("*")) == before


def test_nothing_is_done_if_no_day_is_damaged(box: Box) -> None:
    assert mend(box) == ()
    assert not (box.folder / "damaged").exists()
    assert list(AuditLog(box.folder, clock=box.clock).lines()) == []


def test_a_store_in_use_or_without_its_root_is_refused(box: Box) -> None:
    box.start()
    with pytest.raises(StoreError, match="open for writing in another process"):
        mend(box)
    box.stop()
    overwrite(box.folder / "data.mdb")
    with pytest.raises(StoreError, match="of no day, and damaged"):
        mend(box)
    with pytest.raises(StoreError, match="no store here"):
        set_aside(box.folder / "days", reason="r", case="c", clock=box.clock)


@pytest.mark.parametrize("step", ["_note", "_begin", "_move"])
@pytest.mark.parametrize("after", [False, True])
def test_it_may_be_cut_off_anywhere_and_asked_for_again(
    box: Box, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    done = getattr(aside._Mending, step)

    def cut_off(self: Any, *arguments: Any) -> None:
        if after:
            done(self, *arguments)
        raise KeyboardInterrupt

    overwrite(data_of(box, 2))
    with monkeypatch.context() as broken:
        broken.setattr(aside._Mending, step, cut_off)
        with pytest.raises(KeyboardInterrupt):
            mend(box)
    if step != "_move" or not after:
        with pytest.raises(StoreError, match="damaged"):
            box.start()
        assert len(mend(box)) == 1
    box.start()
    before = box.store.last_seq
    box.see("new")
    assert box.store.last_seq == before + 1 > LAST + aside.SPARE_NUMBERS
    assert [entry.what for entry in box.store.purges()] == ["lost"]
    box.stop()
    assert check(box.folder, clock=box.clock).problems == []


def test_a_copy_of_the_day_from_a_backup_may_be_put_back(box: Box, tmp_path: Path) -> None:
    shutil.copytree(data_of(box, 1).parent, tmp_path / "copy")
    day = data_of(box, 1).parent
    overwrite(day / "data.mdb")
    mend(box)
    shutil.copytree(tmp_path / "copy", day)
    box.start()
    assert len(box.store.search(Query(limit=1000)).sightings) == DAYS * (A_DAY - 2)
    box.stop()
    assert check(box.folder, clock=box.clock, pictures=True).problems == []


def test_a_copy_of_the_newest_day_may_be_put_back_though_new_numbers_lie_far_behind_it(
    box: Box, tmp_path: Path
) -> None:
    day = data_of(box, 2).parent
    shutil.copytree(day, tmp_path / "copy")
    overwrite(day / "data.mdb")
    mend(box)
    box.start()
    box.see("new")
    box.stop()
    shutil.copytree(tmp_path / "copy", day)
    assert check(box.folder, clock=box.clock, pictures=True).problems == []
    box.start()
    box.live(20.0)
    assert not box.store.search(Query(limit=1000)).sightings
    box.stop()
    assert check(box.folder, clock=box.clock).problems == []  # nor has the journal of what was purged a gap


def test_a_copy_of_another_day_is_not_taken_for_the_one_that_was_lost(box: Box, tmp_path: Path) -> None:
    day, other = data_of(box, 2).parent, data_of(box, 0).parent
    overwrite(day / "data.mdb")
    mend(box)
    box.start()
    box.see("new")
    box.stop()
    shutil.copytree(other, day)
    assert check(box.folder, clock=box.clock).problems


def test_it_goes_with_its_pictures_when_its_time_is_over_unless_anything_is_held(box: Box) -> None:
    pictures = box.pictures()
    spoil(data_of(box, 2), "v95")
    (told,) = mend(box)
    assert A_DAY / 2 < told.readable < A_DAY  # on both sides of the page
    assert told.readable + told.unreadable == A_DAY
    noted = ((told.folder / "pictures").stat().st_size - 32) // 8
    assert told.readable - 2 <= noted < A_DAY
    box.start()
    box.see("new")
    held = Hold(id="H1", at="", user="u", reason="r", case="c", record="new")
    with box.store.root.writing() as txn:
        put_hold(txn, box.store.root.holds, held)
    box.live(6.0)
    assert told.folder.is_dir()
    assert box.pictures() == pictures // DAYS + DAYS
    with box.store.root.writing() as txn:
        drop_hold(txn, box.store.root.holds, "H1")
    box.live(1.0)
    assert not told.folder.exists()
    assert list(box.folder.glob("days/.*")) == []
    assert box.pictures() == pictures // DAYS + DAYS - 1 - noted  # and that of what was held
    assert list(box.keeper.problems()) == []
    box.stop()


def test_a_day_without_plates_stays_as_long_as_its_passages(box: Box) -> None:
    box.rules = policy(
        retention=Retention(passages_days=6, passage_pictures_days=6, hits_days=10, pseudonymise_after_days=1)
    )
    box.start()
    box.see("new")
    box.live(1.0)
    box.stop()
    scribble(data_of(box, 0))
    (told,) = mend(box)
    assert told.day.endswith(".1")
    box.start()
    box.live(2.0)
    assert told.folder.is_dir()
    box.live(4.0)
    assert not told.folder.exists()
    box.stop()


def test_a_new_store_after_it_still_knows_its_consumers_and_its_epoch(box: Box) -> None:
    with Store.open(box.folder, clock=box.clock, box="box-1") as store:
        epoch = store.epoch
    overwrite(data_of(box, 2))
    mend(box)
    with Store.open(box.folder, clock=box.clock, box="box-1") as store:
        (event,) = store.append([make_sighting(id="new", evidence=())])
        assert event.epoch > epoch
