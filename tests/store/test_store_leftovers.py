"""What a purge that was cut off has left: no start waits for it or fails by it, and the keeper's turns finish it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from damaging import empty, overwrite, remove
from keeping import Box, policy
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Store, deleting
from anpr.store.checking import check
from anpr.store.holds import Hold, put_hold
from anpr.store.keeper import FINISH_SECONDS
from anpr.store.partitions import Partitions
from anpr.store.retention import DAY_SECONDS

A_DAY = 10


@pytest.fixture
def box(memory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Box:
    """Four days, of which the oldest is purged as far as that its folder is renamed; some of its pictures are gone."""
    monkeypatch.setattr(deleting, "_PICTURES_AT_ONCE", 5)
    box = Box(memory / "store", clock, policy())
    box.start()
    for _ in range(4):
        for number in range(A_DAY):
            box.see(hit=number == 0)
        box.clock.advance(DAY_SECONDS)
        box.store.roll()
    store = box.store
    slices = store.purge(store.partitions.all[0], choose=box.keeper._staying().choose, reason="retention")
    assert any(each.doing == "deleting pictures" for each in slices)
    slices.close()  # type: ignore[attr-defined]
    box.store.close()
    assert gone(box).is_dir()
    assert 3 * A_DAY + 1 < box.pictures() < 4 * A_DAY
    return box


def gone(box: Box) -> Path:
    (folder,) = box.folder.glob("days/.gone-*")
    return folder


def cut_short(data: Path) -> None:
    os.truncate(data, 9000)


def forget_pictures(data: Path) -> None:
    data.with_name("pictures").unlink()


@pytest.mark.parametrize("damage", [lambda _: None, cut_short, overwrite, empty, remove, forget_pictures])
def test_a_leftover_whatever_its_state_is_left_to_the_keepers_turns(box: Box, damage: Callable[[Path], None]) -> None:
    damage(gone(box) / "data.mdb")
    box.start()
    assert gone(box).is_dir()
    assert box.store.append([make_sighting(id="new")])
    box.work()
    assert list(box.folder.glob("days/.*")) == []
    assert box.pictures() == 3 * A_DAY + 1
    assert list(box.keeper.problems()) == []
    assert box.ids() == {f"v{number}" for number in (1, *range(A_DAY + 1, 4 * A_DAY + 1))}
    box.stop()
    assert check(box.folder, clock=box.clock, pictures=True).problems == []


def test_it_is_finished_also_while_the_clock_is_in_doubt(box: Box) -> None:
    box.right = False
    box.clock.wall += 400 * DAY_SECONDS
    box.start()
    box.work()
    assert not box.keeper.trust.trusted
    assert list(box.folder.glob("days/.*")) == []
    assert box.pictures() == 3 * A_DAY + 1
    box.stop()


@pytest.mark.parametrize("damage", [cut_short, overwrite, empty])
def test_what_cannot_be_finished_is_told_with_its_cure_and_stops_nothing_else(
    box: Box, damage: Callable[[Path], None]
) -> None:
    damage(gone(box) / "data.mdb")
    (gone(box) / "pictures").unlink()
    box.start()
    box.work()
    (problem,) = box.keeper.problems()
    assert gone(box).name in problem
    assert "or remove" in problem
    assert box.store.counters.counts["purges_unfinished", ""] == 1
    box.live(3.0)
    assert [each.what for each in box.store.purges()] == ["partition"] * 4
    shutil.rmtree(gone(box))
    box.clock.advance(FINISH_SECONDS)
    box.work()
    assert list(box.keeper.problems()) == []
    box.stop()


def test_a_file_or_a_link_in_its_place_goes_and_nothing_behind_it(box: Box, tmp_path: Path) -> None:
    shutil.rmtree(gone(box))
    (box.folder / "days/.gone-file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/precious").write_text("x")
    (box.folder / "days/.gone-link").symlink_to(tmp_path / "other")
    (box.folder / "days/.gone-odd/within").mkdir(parents=True)
    (box.folder / "days/.gone-odd/within/file").write_text("x")
    box.start()
    box.work()
    assert list(box.folder.glob("days/.*")) == []
    assert (tmp_path / "other/precious").exists()
    box.stop()


def test_a_folder_that_could_not_be_renamed_is_told_and_renamed_later(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, partition: Any) -> Path:
        raise StoreError("Input/output error", place=str(partition.path), cure="look at the disk")

    gone(box).rename(gone(box).with_name(gone(box).name.removeprefix(".gone-")))
    box.start()
    with monkeypatch.context() as broken:
        broken.setattr(Partitions, "take_away", fail)
        box.work()
        (problem,) = box.keeper.problems()
        assert "Input/output error" in problem
        assert len(box.store.partitions.all) == 5
    box.clock.advance(FINISH_SECONDS)
    box.work()
    assert list(box.keeper.problems()) == []
    assert len(box.store.partitions.all) == 4
    assert len(box.store.purges()) == 1
    box.stop()


def test_what_is_held_before_the_folder_is_renamed_stays(memory: Path, clock: ManualClock) -> None:
    """Whoever held it saw it there: in the same life, or after a start."""
    box = Box(memory / "store", clock, policy())
    box.start()
    for _ in range(3):
        for _ in range(5):
            box.see()
        box.clock.advance(DAY_SECONDS)
        box.store.roll()
    for life, name in enumerate(("v2", "v7")):
        slices = box.store.purge(box.store.partitions.all[0], choose=box.keeper._staying().choose, reason="retention")
        assert any(each.purge for each in slices)  # it is decided that all goes
        assert box.store.sighting(name) is not None
        held = Hold(id=f"H{life + 1}", at="", user="u", reason="r", case="c", record=name)
        with box.store.root.writing() as txn:
            put_hold(txn, box.store.root.holds, held)
        if life == 0:
            box.stop()
            box.start()
            box.work()
        else:
            for _ in islice(slices, 1000):
                pass
    assert box.pictured() == ["v11", "v12", "v13", "v14", "v15", "v2", "v7"]
    for name in ("v2", "v7"):
        row, proof = box.store.evidence_of(name)
        assert proof.holds_for(row)
    box.stop()
    assert check(box.folder, clock=clock, pictures=True).problems == []


def test_a_start_does_not_delete(box: Box) -> None:
    with Store.open(box.folder, clock=box.clock) as store:
        assert store.unfinished
        assert 3 * A_DAY + 1 < box.pictures() < 4 * A_DAY
    assert gone(box).is_dir()
