from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lmdb
import msgspec
import pytest
from making_records import make_gap, make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import GroupCommit, Query, Store


def test_what_was_appended_is_there_after_reopening(tmp_path: Path, clock: ManualClock) -> None:
    sighting, hit = make_sighting(), make_hit()
    with Store.open(tmp_path, clock=clock, box="box-1") as store:
        events = store.append([sighting], [hit])
        assert [(event.box, event.epoch, event.seq) for event in events] == [("box-1", 1, 1), ("box-1", 1, 2)]
        assert events[0].committed_seconds == clock.wall
    with Store.open(tmp_path, clock=clock, box="box-1") as store:
        assert store.sighting("s-1") == sighting
        assert store.hits_of("s-1") == (hit,)
        assert store.events() == events
        assert store.events(after_seq=1) == events[1:]
        assert store.events(limit=1) == events[:1]
        (third,) = store.append([make_sighting(id="s-2")])
        assert (third.epoch, third.seq, store.last_seq) == (2, 3, 3)


def test_an_empty_store_answers(store: Store) -> None:
    assert store.last_seq == 0
    assert store.events() == ()
    assert store.append([]) == ()
    assert store.sighting("none") is None
    assert store.hits_of("none") == ()
    assert store.search(Query()).sightings == ()


def test_a_revision_replaces_but_every_revision_is_an_event(store: Store) -> None:
    preview = make_sighting(revision=0, state="preview", text="30A12346", camera_id="gate-2", seen_seconds=5.0)
    final = make_sighting(revision=1)
    store.append([preview])
    store.append([final])
    assert [event.record for event in store.events()] == [preview, final]
    assert store.sighting("s-1") == final
    assert store.search(Query()).sightings == (final,)
    assert store.search(Query(plate="30A12346")).sightings == ()
    assert store.search(Query(camera_id="gate-2")).sightings == ()

    store.append([make_sighting(revision=2, state="withdrawn")])
    assert store.search(Query()).sightings == ()
    assert store.sighting("s-1") == make_sighting(revision=2, state="withdrawn")


def test_both_revisions_may_come_in_one_group(store: Store) -> None:
    final = make_sighting(revision=1, text="51F00001")
    events = store.append([make_sighting(revision=0, state="preview"), final])
    assert len(events) == 2
    assert store.search(Query()).sightings == (final,)


def test_a_repeated_or_outdated_revision_is_left_out_and_counted(store: Store) -> None:
    store.append([make_sighting(revision=3)], [make_hit()])
    assert store.append([make_sighting(revision=3), make_sighting(revision=2)], [make_hit()]) == ()
    assert store.last_seq == 2
    assert store.counters.counts == {
        ("records_committed", ""): 2,
        ("records_skipped", "duplicate"): 2,
        ("records_skipped", "stale"): 1,
    }


def test_a_group_with_a_record_that_cannot_be_stored_is_refused_whole(store: Store) -> None:
    store.append([make_sighting()])
    for bad in ({"id": "x" * 600}, {"camera_id": "a\0b"}, {"seen_seconds": float("nan")}):
        with pytest.raises(StoreError):
            store.append([make_sighting(id="s-2"), make_sighting(**({"id": "s-3"} | bad))])
    assert store.last_seq == 1
    assert store.sighting("s-2") is None
    (event,) = store.append([make_sighting(id="s-2")])
    assert event.seq == 2


def test_a_full_map_names_the_cure_and_keeps_what_was_committed(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path, clock=clock, map_size_bytes=1 << 20) as store:
        with pytest.raises(StoreError, match=r"map size.*larger map size"):
            fill(store)
        committed = store.last_seq
        assert committed == len(store.events(limit=10_000)) > 50
    with Store.open(tmp_path, clock=clock, map_size_bytes=2 << 20) as store:
        assert store.last_seq == committed
        (event,) = store.append([make_sighting(id="one more")])
        assert event.seq == committed + 1


def fill(store: Store) -> None:
    for number in range(0, 10_000, 20):
        store.append([make_sighting(id=f"s-{number + offset}") for offset in range(20)])


def test_a_newer_schema_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    Store.open(tmp_path, clock=clock).close()
    with lmdb.open(str(tmp_path), max_dbs=8) as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True) as txn:
            txn.put(b"schema", b"6", db=meta)
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"newer anpr.*schema 6.*backup"):
            Store.open(tmp_path, clock=clock, read_only=read_only)


def test_read_only_beside_a_writer(tmp_path: Path, clock: ManualClock) -> None:
    """In another process, as LMDB asks."""
    with Store.open(tmp_path, clock=clock) as store:
        store.append([make_sighting()])
        program = (
            "import sys; from anpr.store import Store, Query; from anpr.clock import SystemClock\n"
            "store = Store.open(sys.argv[1], clock=SystemClock(), read_only=True)\n"
            "print([s.id for s in store.search(Query()).sightings], store.epoch)\n"
            "try: store.append(list(store.search(Query()).sightings))\n"
            "except OSError as error: print(error)\n"
            "store.close()\n"
            "try: Store.open(sys.argv[1], clock=SystemClock())\n"
            "except OSError as error: print(error)\n"
        )
        said = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    found, no_write, no_second_writer = said.stdout.splitlines()
    assert found == "['s-1'] 1"
    assert "read-only" in no_write.lower()
    assert "open for writing in another process" in no_second_writer
    Store.open(tmp_path, clock=clock).close()


def test_opening_twice_in_one_process_is_refused(store: Store, clock: ManualClock) -> None:
    for read_only in (False, True):
        with pytest.raises(StoreError):
            Store.open(store.path, clock=clock, read_only=read_only)


def test_no_store_and_no_folder(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(StoreError, match="there is no store here"):
        Store.open(tmp_path / "absent", clock=clock, read_only=True)
    assert not (tmp_path / "absent").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store.open(tmp_path / "file", clock=clock)
    with pytest.raises(StoreError, match="no name for a box"):
        Store.open(tmp_path / "store", clock=clock, box="bộ 1")


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("place", [".", "days/*"])
def test_a_damaged_file_is_refused(tmp_path: Path, clock: ManualClock, read_only: bool, place: str) -> None:
    with Store.open(tmp_path, clock=clock) as store:
        store.append([make_sighting(id=f"s-{number}") for number in range(200)])
    (data,) = tmp_path.glob(f"{place}/data.mdb")
    whole = data.read_bytes()

    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"cut off.*backup"):
        Store.open(tmp_path, clock=clock, read_only=read_only)
    data.write_bytes(b"not a store " * 4096)
    with pytest.raises(StoreError, match=r"damaged.*backup"):
        Store.open(tmp_path, clock=clock, read_only=read_only)
    data.write_bytes(whole)
    with Store.open(tmp_path, clock=clock, read_only=read_only) as store:
        assert store.last_seq == 200


def test_a_damaged_record_is_told(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path, clock=clock) as store:
        store.append([make_sighting()])
    (data,) = tmp_path.glob("days/*/data.mdb")
    whole = data.read_bytes()
    for sound, damaged in ((b"camera_id", b"camera_ID"), (b"gate-1", b"g\xffte-1"), (b"north", b"\xa5orth")):
        assert sound in whole
        data.write_bytes(whole.replace(sound, damaged))
        with Store.open(tmp_path, clock=clock, read_only=True) as store:
            with pytest.raises(StoreError, match="a stored record is damaged"):
                store.search(Query())


def test_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, clock: ManualClock) -> None:
    """kill -9 at a moving moment, 10 times; each life goes on where the last one was cut."""
    acknowledged: set[str] = set()
    (tmp_path / "sighting.json").write_bytes(msgspec.json.encode(make_sighting()))
    (tmp_path / "picture.jpg").write_bytes(make_jpeg("a"))
    for life in range(10):
        with subprocess.Popen(
            [sys.executable, Path(__file__).with_name("killed_writer.py"), tmp_path, str(life)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(2 + life):
                acknowledged.update(writer.stdout.readline().split())
            writer.kill()
            for line in writer.stdout:  # what it had said before it died
                if line.endswith("\n"):
                    acknowledged.update(line.split())
        with Store.open(tmp_path, clock=clock) as store:
            events = store.events(limit=1_000_000)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            stored = {event.record.id for event in events}
            assert acknowledged <= stored
            assert {s.id for s in store.search(Query(limit=10_000)).sightings} == stored
            for event in events:
                for picture in event.record.evidence:
                    store.evidence.get(picture.sha256)
    assert len(acknowledged) > 60


def test_a_disk_that_refuses_is_told_with_a_cure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB reports a full disk as a plain input/output error."""
    from anpr.store import faults

    usage = faults.shutil.disk_usage(store.path)
    monkeypatch.setattr(faults.shutil, "disk_usage", lambda path: usage._replace(free=3 << 20))
    with pytest.raises(StoreError, match=r"Input/output.*disk is full \(3 MiB left\)"):
        with faults.told_as_store_errors(store.path):
            raise lmdb.Error("mdb_txn_commit: Input/output error", 5)
    with pytest.raises(StoreError, match="disk is full"), faults.told_as_store_errors(store.path):
        raise OSError(28, os.strerror(28), "picture.jpg")


def test_a_failed_commit_loses_nothing_and_can_be_tried_again(tmp_path: Path, clock: ManualClock) -> None:
    """The file is kept from growing, as a full disk would, then let go again in the same process."""
    program = (
        "import resource, sys\n"
        "from making_records import make_sighting\n"
        "from anpr.clock import SystemClock\n"
        "from anpr.store import GroupCommit, Store\n"
        "_, most = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "with Store.open(sys.argv[1], clock=SystemClock()) as store:\n"
        "    group = GroupCommit(store, clock=SystemClock(), max_records=16)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))\n"
        "    for number in range(1000):\n"
        "        group.add(make_sighting(id=str(number)))\n"
        "        try: group.flush_if_due()\n"
        "        except OSError as error:\n"
        "            print(number, error, sep='|')\n"
        "            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "    group.flush()\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ).stdout.splitlines()
    assert len(said) == 1
    assert "the store failed" in said[0]
    assert int(said[0].partition("|")[0]) > 50
    with Store.open(tmp_path, clock=clock) as store:
        events = store.events(limit=2000)
        assert [event.record.id for event in events] == [str(number) for number in range(1000)]
        assert [event.seq for event in events] == list(range(1, 1001))


def test_a_group_is_committed_when_full_or_old_enough(store: Store, clock: ManualClock) -> None:
    group = GroupCommit(store, clock=clock, max_records=3, max_wait_seconds=0.020)
    assert group.due_in_seconds is None
    assert group.flush_if_due() == ()
    group.add(make_sighting(id="a"))
    clock.advance(0.019)
    assert group.flush_if_due() == ()
    assert group.due_in_seconds == pytest.approx(0.001)
    clock.advance(0.001)
    assert [event.record.id for event in group.flush_if_due()] == ["a"]
    assert group.pending == 0

    group.add(make_sighting(id="b"))
    group.add(make_sighting(id="c"), (make_hit(sighting_id="c"),))
    assert [event.seq for event in group.flush_if_due()] == [2, 3, 4]


def test_a_group_whose_commit_fails_is_kept_and_bounded(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path, clock=clock, map_size_bytes=1 << 20) as store:
        group = GroupCommit(store, clock=clock, max_pending=2000)
        for number in range(2000):
            group.add(make_sighting(id=f"s-{number}"))
        with pytest.raises(StoreError, match="2000 records wait"):
            group.add(make_sighting(id="one too many"))
        with pytest.raises(StoreError, match="map size"):
            group.flush_if_due()
        assert group.pending == 2000
        assert store.last_seq == 0


def test_a_repr_shows_no_plates(store: Store) -> None:
    store.append([make_sighting()])
    assert "30A" not in repr(store)


def test_gaps_are_kept_by_time_with_their_newest_revision(store: Store, clock: ManualClock) -> None:
    first = make_gap(id="g-1", from_seconds=100.0, until_seconds=100.0)
    other = make_gap(id="g-2", camera_id="gate-2", from_seconds=100.0, until_seconds=150.0, state="final", revision=1)
    later = make_gap(id="g-3", from_seconds=300.0)
    events = store.append([make_sighting()], [], [first, other])
    assert [event.seq for event in events] == [1, 2, 3]
    assert store.events()[1:] == events[1:]
    store.append([], [], [later])
    over = make_gap(id="g-1", from_seconds=100.0, until_seconds=200.0, state="final", revision=1)
    store.append([], [], [over])
    assert store.append([], [], [first]) == ()
    assert store.gaps() == (later, other, over)
    assert store.gaps(camera_id="gate-1") == (later, over)
    assert store.gaps(from_seconds=160.0) == (later, over)
    assert store.gaps(from_seconds=200.0) == (later,)
    assert store.gaps(until_seconds=300.0) == (other, over)
    assert store.gaps(limit=1) == (later,)


def test_the_last_sign_of_life_is_remembered(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path, clock=clock) as store:
        assert store.alive_seconds is None
        clock.advance(5.25)
        store.mark_alive()
        assert 0 < store.facts.map_used_share < 0.01
    with Store.open(tmp_path, clock=clock, read_only=True) as store:
        assert store.alive_seconds == clock.wall
