"""Which pictures go: quickly, with holds that are made meanwhile, and past rows that are damaged."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making_records import make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.records import Event
from anpr.store import GroupCommit, Store, deleting, durable
from anpr.store.checking import check
from anpr.store.deleting import Going
from anpr.store.holds import read_holds
from anpr.store.keys import pack_seq

DAY = 86_400.0


def nothing(txn: Any) -> Callable[[Event], bool]:
    return lambda event: False


def test_a_million_pictures_are_compared_in_a_moment() -> None:
    rng = np.random.default_rng(1)
    names, others = (np.unique(rng.integers(0, 2**63, 1_000_000, np.uint64)) for _ in range(2))
    others = np.union1d(others, names[::1000])
    going = Going(names, np.ones(len(names), np.bool_), 0, 0)
    begun = time.process_time()
    going.spare(others)
    took_seconds = time.process_time() - begun
    begun = time.process_time()
    expected = ~np.isin(names, others)
    assert took_seconds < 0.5 * (time.process_time() - begun)
    assert np.array_equal(going.goes, expected)
    going.spare(np.zeros(0, np.uint64))
    assert np.array_equal(going.goes, expected)
    Going(np.zeros(0, np.uint64), np.zeros(0, np.bool_), 0, 0).spare(others)


def test_a_picture_that_is_held_while_others_are_deleted_stays(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        pictures = [store.evidence.put("plate", make_jpeg(f"{part}")) for part in range(250)]
        store.append([make_sighting(id=f"s{n}", evidence=(picture,)) for n, picture in enumerate(pictures)])
        clock.advance(DAY)
        store.append([make_sighting(id="next", seen_seconds=clock.wall)])

        def held(txn: Any) -> Callable[[Event], bool]:
            found = txn.get(b"held", db=store.root.holds)
            return lambda event: found is not None and event.record.id.encode() == found

        deleting = 0
        for progress in store.thin(store.partitions.all[0], choose=held, reason="14 days"):
            deleting += progress.doing == "deleting pictures"
            if deleting == 1 and progress.doing == "deleting pictures":
                with store.root.writing() as txn:
                    txn.put(b"held", b"s249", db=store.root.holds)
        assert [n for n, picture in enumerate(pictures) if store.evidence.has(picture.sha256)] == [249]


def test_a_damaged_row_does_not_stop_the_rest_from_going(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        for day in range(3):
            pictures = [store.evidence.put("plate", make_jpeg(f"{day} {part}")) for part in range(5)]
            store.append(
                [make_sighting(id=f"s{day}-{n}", evidence=(each,)) for n, each in enumerate(pictures)],
            )
            if day == 0:
                partition = store.partitions.newest
                assert partition is not None
                with partition.writing() as txn:
                    txn.put(pack_seq(3), b"\x95garbage", db=partition.events)
            clock.advance(DAY)
        oldest = store.partitions.all[0]
        for _ in store.thin(oldest, choose=nothing, reason="14 days"):
            pass
        for _ in store.purge(oldest, choose=nothing, reason="30 days"):
            pass
        thinned, purged = store.purges()
        assert (thinned.pictures, purged.sightings, purged.damaged) == (4, 4, 1)
        assert len(store.partitions.all) == 2
    assert check(tmp_path / "store", clock=clock).problems == []


def test_a_picture_that_a_record_waits_for_stays(memory: Path, clock: ManualClock) -> None:
    """The same bytes again: put before the purge began to look, and committed after it has ended."""
    with Store.open(memory / "store", clock=clock, box="box-1") as store:
        group = GroupCommit(store, clock=clock)
        old = [store.evidence.put("plate", make_jpeg(f"{part}")) for part in range(3)]
        store.append([make_sighting(id=f"s{n}", evidence=(picture,)) for n, picture in enumerate(old)])
        clock.advance(DAY)
        store.append([make_sighting(id="next", seen_seconds=clock.wall, evidence=())])
        again = store.evidence.put("plate", make_jpeg("1"))
        group.add(make_sighting(id="again", seen_seconds=clock.wall, evidence=(again,)))
        group.add_hits([make_hit(id="h", sighting_id="next", evidence=(old[2],))])
        for _ in store.purge(store.partitions.all[0], choose=nothing, reason="30 days"):
            pass
        assert len(group.flush()) == 2
        assert [store.evidence.has(each.sha256) for each in old] == [False, True, True]
    finding = check(memory / "store", clock=clock)
    assert (finding.problems, finding.counters.total("pictures_missing")) == ([], 0)


READER = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
print("ready", flush=True)
sys.stdin.readline()
print(mapped[-1])
"""


def test_a_day_that_goes_does_not_kill_who_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "_LET_GO_BYTES", 8192)
    (tmp_path / "day").mkdir()
    file = tmp_path / "day" / "data.mdb"
    file.write_bytes(b"x" * 40_960)
    command = [sys.executable, "-c", READER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for _ in durable.delete_slowly(file.parent):
            pass
        assert not file.parent.exists()
        assert reader.communicate("\n")[0] == f"{ord('x')}\n"
    assert reader.returncode == 0


def test_a_large_file_that_nobody_reads_goes_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "_LET_GO_BYTES", 8192)
    file = tmp_path / "day" / "data.mdb"
    file.parent.mkdir()
    file.write_bytes(bytes(20_000))
    sizes = [file.stat().st_size for _ in durable.delete_slowly(file.parent) if file.exists()]
    assert sizes == [11_808, 3_616]


HOLDER = """
import sys
from pathlib import Path
from anpr.clock import SystemClock
from anpr.store.holding import make_hold
folder, pictures = Path(sys.argv[1]), sys.argv[2:]
print("ready", flush=True)
sys.stdin.readline()
make_hold(folder, reason="r", case="c", plate="30A*", clock=SystemClock())
print(*[picture for picture in pictures if (folder / "evidence" / picture).exists()], flush=True)
"""


def test_what_is_there_when_a_hold_is_made_stays_also_in_the_midst_of_a_slice(
    memory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = memory / "store"
    with Store.open(folder, clock=clock, box="box-1") as store:
        pictures = [store.evidence.put("plate", make_jpeg(f"{part}")) for part in range(60)]
        store.append([make_sighting(id=f"s{n}", evidence=(picture,)) for n, picture in enumerate(pictures)])
        clock.advance(DAY)
        store.append([make_sighting(id="next", seen_seconds=clock.wall)])
        files = [f"{each.sha256[:2]}/{each.sha256[2:]}.jpg" for each in pictures]
        monkeypatch.setattr(deleting, "_PICTURES_AT_ONCE", 20)
        remove, slices = store.evidence.remove, 0

        def remove_slowly(these: Iterable[str], *, put_before_ns: int) -> None:
            nonlocal slices
            slices += 1
            if slices == 2:
                holder.stdin.write("\n")  # type: ignore[union-attr]
                holder.stdin.flush()  # type: ignore[union-attr]
                select.select([holder.stdout], [], [], 3.0)  # it is held meanwhile, unless that must wait
            remove(these, put_before_ns=put_before_ns)

        def held(txn: Any) -> Callable[[Event], bool]:
            holds = read_holds(txn, store.root.holds)
            return lambda event: holds.cover(event)

        monkeypatch.setattr(store.evidence, "remove", remove_slowly)
        command = [sys.executable, "-c", HOLDER, str(folder), *files]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            for progress in store.thin(store.partitions.all[0], choose=held, reason="14 days"):
                if slices == 2 and progress.doing == "deleting pictures":
                    holder.wait(30)
            there = holder.stdout.read().split()
        assert there
        assert len(there) <= 40
        assert [each for each in there if not (store.evidence.path / each).exists()] == []
