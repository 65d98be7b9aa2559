"""Purges of whole partitions: what stays, what goes, what proves it; cut off anywhere; beside readers."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest
from making_records import make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.records import Event, Hit
from anpr.store import Query, Store
from anpr.store.bundle import verify_bundle, write_bundle
from anpr.store.checking import check
from anpr.store.forecast import audit_begins_of
from anpr.store.keys import pack_seq

DAY = 86_400.0
DAYS, A_DAY = 4, 12
KILLS = 30


def fill(store: Store, clock: ManualClock, *, first: int = 0, days: int = DAYS) -> None:
    """Each day some passages with pictures; the first has an ALERT, the second an INFO."""
    for day in range(first, days):
        pictures = [store.evidence.put("plate", make_jpeg(f"{day} {part}")) for part in range(A_DAY)]
        seen = [
            make_sighting(id=name_of(day, part), seen_seconds=clock.wall + part, evidence=(pictures[part],))
            for part in range(A_DAY)
        ]
        hits = [
            make_hit(
                id=f"h{day}-{part}",
                sighting_id=seen[part].id,
                severity=severity,
                evidence=seen[part].evidence,
                seen_seconds=clock.wall + part,
            )
            for part, severity in enumerate(("ALERT", "INFO"))
        ]
        store.append(seen[:-1], hits)
        store.append(seen[-1:])
        clock.advance(DAY)


def name_of(day: int, part: int) -> str:
    return f"{100 * day + part:032x}"


def alerts(txn: Any) -> Callable[[Event], bool]:
    """What stays: alerts, and what is held by its id in the table of holds."""
    return lambda event: isinstance(event.record, Hit) and event.record.severity == "ALERT"


def nothing(txn: Any) -> Callable[[Event], bool]:
    return lambda event: False


def purge(store: Store, choose: Any = alerts) -> None:
    for _ in store.purge(store.partitions.all[0], choose=choose, reason="30 days"):
        pass


def finish(store: Store, choose: Any = alerts) -> None:
    for _ in store.finish(choose=choose):
        pass


def there(store: Store) -> set[str]:
    return {path.parent.name + path.stem for path in store.path.glob("evidence/??/*.jpg")}


@pytest.fixture
def filled(tmp_path: Path, clock: ManualClock) -> Path:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        fill(store, clock)
    return tmp_path / "store"


def test_what_outlives_its_partition_is_found_and_proved(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock, box="box-1") as store:
        before = store.evidence_of("h0-0"), store.evidence_of(name_of(0, 0))
        sighting, hits = store.sighting(name_of(0, 0)), store.hits_of(name_of(0, 0))
        head = store.partitions.all[1].chain.begins  # type: ignore[union-attr]
        size = store.partitions.all[0].disk_bytes
        purge(store)
        (entry,) = store.purges()
        assert (entry.what, entry.number, entry.reason, entry.box) == ("partition", 1, "30 days", "box-1")
        assert (entry.first_seq, entry.last_seq) == (1, 14)
        assert (entry.sightings, entry.hits, entry.gaps, entry.kept) == (12, 2, 0, 2)
        assert (entry.pictures, entry.end) == (11, head)
        assert entry.picture_bytes == sum(len(make_jpeg(f"0 {part}")) for part in range(1, 12))
        assert entry.bytes == size
        assert (store.evidence_of("h0-0"), store.evidence_of(name_of(0, 0))) == before
        assert (store.sighting(name_of(0, 0)), store.hits_of(name_of(0, 0))) == (sighting, hits)
        assert store.sighting(name_of(0, 1)) is None
        assert len(store.search(Query(limit=100)).sightings) == 3 * A_DAY + 1
        assert [hit.id for hit in store.hits_since(0.0)][:2] == ["h0-0", "h1-0"]
        assert store.outbox.first_seq == 15
        assert len(there(store)) == 3 * A_DAY + 1
        write_bundle(tmp_path / "bundle", *before[0], store.evidence)
        assert verify_bundle(tmp_path / "bundle").problems == ()
    assert check(filled, clock=clock, pictures=True).problems == []


def test_a_new_revision_replaces_what_was_kept(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock, box="box-1") as store:
        (kept,) = store.hits_of(name_of(0, 0))
        purge(store)
        withdrawn = msgspec.structs.replace(kept, revision=2, state="withdrawn", severity="INFO")
        store.append([], [withdrawn])
        assert store.append([], [kept]) == ()
        assert store.hits_of(name_of(0, 0)) == (withdrawn,)
        assert [hit for hit in store.hits_since(0.0) if hit.id == kept.id] == [withdrawn]
        for _ in store.purge_kept(choose=alerts, reason="over"):
            pass
        assert store.sighting(name_of(0, 0)) is None
        assert store.purges()[-1].what == "kept"
        assert len(there(store)) == 3 * A_DAY + 1  # the newer revision of the hit still names the picture
        clock.advance(DAY)
        store.roll()
        for _ in range(4):
            purge(store, nothing)
        assert there(store) == set()
        assert [event.record for event in store.events()] == []
        assert store.hits_of(name_of(0, 0)) == ()
        (event,) = store.append([make_sighting(id="after")])
        assert event.seq == DAYS * (A_DAY + 2) + 2
    assert check(filled, clock=clock).problems == []


def test_only_the_oldest_partition_goes_and_never_the_newest(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        with pytest.raises(StoreError, match="is not the oldest partition"):
            store.purge(store.partitions.all[1], choose=alerts, reason="x")
        for _ in range(3):
            purge(store)
        with pytest.raises(StoreError, match="or the only one"):
            store.purge(store.partitions.all[0], choose=alerts, reason="x")
    with Store.open(filled, clock=clock, read_only=True) as store:
        with pytest.raises(StoreError, match="read-only"):
            store.purge(store.partitions.all[0], choose=alerts, reason="x")


def test_what_a_purge_that_was_left_off_had_copied_does_not_stay(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        slices = store.purge(store.partitions.all[0], choose=alerts, reason="x")
        assert any(each.doing == "counting pictures" for each in slices)
        slices.close()  # type: ignore[attr-defined]
        assert store.purges() == []
        assert len(store.search(Query(limit=100)).sightings) == DAYS * A_DAY
        assert len(store.hits_of(name_of(0, 0))) == 1
        purge(store, nothing)
        assert store.purges()[0].kept == 0
        assert store.sighting(name_of(0, 0)) is None
        assert len(store.search(Query(limit=100)).sightings) == (DAYS - 1) * A_DAY


def test_a_hit_that_comes_while_a_purge_chooses_keeps_its_sighting(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        slices = store.purge(store.partitions.all[0], choose=alerts, reason="x")
        assert any(each.doing == "counting pictures" for each in slices)
        seen = store.sighting(name_of(0, 5))
        assert seen is not None
        store.append([], [make_hit(id="late", sighting_id=seen.id, severity="ALERT", evidence=seen.evidence)])
        for _ in slices:
            pass
        assert store.sighting(seen.id) == seen
        assert store.evidence.has(seen.evidence[0].sha256)


def test_a_picture_that_was_seen_again_stays(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        again = store.evidence.put("plate", make_jpeg("0 3"))
        slices = store.purge(store.partitions.all[0], choose=nothing, reason="x")
        next(slices)
        store.append([make_sighting(id="again", evidence=(again,))])
        put_meanwhile = next(store.evidence.put("plate", make_jpeg("0 4")) for each in slices if each.purge)
        for _ in slices:
            pass
        assert store.evidence.has(again.sha256)
        assert store.evidence.has(put_meanwhile.sha256)  # its record may come in the next commit
        assert len(there(store)) == 3 * A_DAY + 2


def test_a_record_that_comes_while_pictures_go_keeps_those_it_names(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        (picture,) = store.sighting(name_of(0, 6)).evidence  # type: ignore[union-attr]
        for each in store.purge(store.partitions.all[0], choose=nothing, reason="x"):
            if each.doing == "decided":
                store.append([], [make_hit(id="late", sighting_id=name_of(0, 6), evidence=(picture,))])
        assert store.evidence.has(picture.sha256)
        assert len(there(store)) == 3 * A_DAY + 1


def test_thinning_takes_only_pictures(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        for _ in range(2):
            for _ in store.thin(store.partitions.all[1], choose=alerts, reason="14 days"):
                pass
        (entry,) = store.purges()
        assert (entry.what, entry.pictures, entry.sightings) == ("pictures", A_DAY - 1, 0)
        assert len(there(store)) == DAYS * A_DAY - (A_DAY - 1)
        assert len(store.search(Query(limit=100)).sightings) == DAYS * A_DAY
        with pytest.raises(StoreError, match="still written to"):
            store.thin(store.partitions.all[-1], choose=alerts, reason="x")
        purge(store)
    finding = check(filled, clock=clock, pictures=True)
    assert finding.problems == []


def test_a_purge_that_was_only_decided_is_done_in_the_next_life(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        slices = store.purge(store.partitions.all[0], choose=alerts, reason="x")
        assert any(each.purge for each in slices)
    assert len(list(filled.glob("days/*"))) == DAYS
    assert check(filled, clock=clock, pictures=True).problems == []
    with Store.open(filled, clock=clock, read_only=True) as store:
        assert len(store.search(Query(limit=100)).sightings) == DAYS * A_DAY
        assert len(store.hits_of(name_of(0, 0))) == 1
    with Store.open(filled, clock=clock) as store:
        assert store.unfinished
        assert len(store.partitions.all) == DAYS
        finish(store)
        assert not store.unfinished
        assert len(store.partitions.all) == DAYS - 1
        assert len(store.search(Query(limit=100)).sightings) == (DAYS - 1) * A_DAY + 1
        assert len(store.hits_of(name_of(0, 0))) == 1
        assert len(there(store)) == (DAYS - 1) * A_DAY + 1
    assert check(filled, clock=clock, pictures=True).problems == []


def test_pictures_of_what_had_been_kept_go_in_the_next_life(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        purge(store)
        again = store.evidence.put("plate", make_jpeg("0 0"))
        store.append([make_sighting(id="again", evidence=(again,))])
        purge(store)
        assert len(there(store)) == 2 * A_DAY + 2
        assert any(each.purge for each in store.purge_kept(choose=nothing, reason="a year"))
        assert [entry.what for entry in store.purges()] == ["partition", "partition", "kept"]
        assert (store.purges()[-1].sightings, store.purges()[-1].hits, store.purges()[-1].pictures) == (2, 2, 1)
        assert len(there(store)) == 2 * A_DAY + 2
    with Store.open(filled, clock=clock) as store:
        finish(store)
        assert len(there(store)) == 2 * A_DAY + 1
        assert store.evidence.has(again.sha256)
        assert store.hits_of(name_of(0, 0)) == ()
        assert len(store.search(Query(limit=100)).sightings) == 2 * A_DAY + 1
    assert check(filled, clock=clock, pictures=True).problems == []


def test_a_backup_of_a_box_that_purges_is_whole(tmp_path: Path, clock: ManualClock) -> None:
    """The reader has opened the store before, and copies it after a partition went and another came."""
    program = (
        "import sys; from pathlib import Path; from anpr.store import Store; from anpr.clock import SystemClock\n"
        "from anpr.store.backup import copy_events\n"
        "with Store.open(sys.argv[1], clock=SystemClock(), read_only=True) as store:\n"
        "    print(store.last_seq, flush=True)\n"
        "    sys.stdin.readline()\n"
        "    store.partitions.refresh = lambda: None  # it has looked just before\n"
        "    Path(sys.argv[2]).mkdir()\n"
        "    copy_events(store, Path(sys.argv[2]))\n"
    )
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        fill(store, clock)
        with subprocess.Popen(
            [sys.executable, "-c", program, store.path, tmp_path / "copy"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            assert reader.stdout.readline() == "56\n"
            purge(store)
            fill(store, clock, first=DAYS, days=DAYS + 1)
            reader.stdin.write("\n")
            reader.stdin.close()
            assert reader.wait(timeout=30) == 0
    assert check(tmp_path / "copy", clock=clock).problems == []
    with Store.open(tmp_path / "copy", clock=clock, box="box-1") as copy:
        finish(copy)
        assert len(copy.partitions.all) == DAYS - 1
        assert len(copy.search(Query(limit=100)).sightings) == (DAYS - 1) * A_DAY + 1
        assert len(copy.hits_of(name_of(0, 0))) == 1
        assert copy.last_seq == 56
    assert check(tmp_path / "copy", clock=clock).problems == []


@pytest.mark.parametrize(
    ("alter", "wanted"),
    [
        (lambda entry: msgspec.structs.replace(entry, reason="another"), "signature of purge 1 does not hold"),
        (lambda entry: msgspec.structs.replace(entry, last_seq=13), "events 14 to 14 are gone, and no purge says why"),
        (
            lambda entry: msgspec.structs.replace(entry, chain_end=(13, "00" * 32)),
            "does not follow the chain before it",
        ),
        (lambda entry: None, "events 1 to 14 are gone, and no purge says why"),
    ],
)
def test_a_purge_that_was_altered_or_taken_away_shows(
    filled: Path, clock: ManualClock, alter: Callable[[Any], Any], wanted: str
) -> None:
    with Store.open(filled, clock=clock) as store:
        purge(store)
        altered = alter(store.purges()[0])
        with store.root.writing() as txn:
            if altered is None:
                txn.delete(pack_seq(1), db=store.root.purges)
            else:
                txn.put(pack_seq(1), msgspec.json.encode(altered), db=store.root.purges)
    assert any(wanted in problem for problem in check(filled, clock=clock).problems)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b'{"number": 1}', "hex"])
def test_a_damaged_purge_is_told_and_the_check_goes_on(filled: Path, clock: ManualClock, damage: bytes | str) -> None:
    with Store.open(filled, clock=clock) as store:
        purge(store)
        entry = store.purges()[0]
        if isinstance(damage, str):
            damage = msgspec.json.encode(msgspec.structs.replace(entry, chain_end=(13, damage)))
        with store.root.writing() as txn:
            txn.put(pack_seq(1), damage, db=store.root.purges)
    found = check(filled, clock=clock, pictures=True)
    assert any("purge 1 is damaged" in problem for problem in found.problems)
    assert found.counters.total("events_checked") == (DAYS - 1) * (A_DAY + 2)
    assert found.counters.total("kept_checked") > 0
    assert audit_begins_of(filled) == []
    with Store.open(filled, clock=clock, read_only=True) as store, pytest.raises(StoreError, match="journal of purges"):
        store.purges()


def test_a_day_that_was_removed_by_hand_shows(filled: Path, clock: ManualClock) -> None:
    shutil.rmtree(sorted(filled.glob("days/*"))[1])
    problems = check(filled, clock=clock).problems
    assert any("events 15 to 28 are missing" in problem for problem in problems)
    assert any("does not follow the chain before it" in problem for problem in problems)


def test_an_altered_kept_record_shows(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        purge(store)
    with lmdb.open(str(filled), max_dbs=48) as environment:
        events = environment.open_db(b"kept_events")
        with environment.begin(write=True) as txn, txn.cursor(events) as cursor:
            assert cursor.first()
            cursor.put(cursor.key(), cursor.value().replace(b"north", b"south"))
    assert any("kept event 1 is not the one that was signed" in each for each in check(filled, clock=clock).problems)


def test_kill_9_while_it_purges(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    """At any moment: a partition is there or purged, never half, and the pictures are those of what is left."""
    rng = random.Random(7)
    whole = purged_in_a_child(filled, tmp_path / "first", None)
    done: list[int] = []
    for life in range(KILLS):
        path = tmp_path / f"store-{life}"
        purged_in_a_child(filled, path, rng.randrange(1, whole if life % 2 else 12))
        with Store.open(path, clock=clock, box="box-1") as store:
            finish(store)
            purges = [entry for entry in store.purges() if entry.what == "partition"]
            first_day = len(purges)
            done.append(first_day)
            assert len(store.partitions.all) == DAYS - first_day
            assert store.partitions.gone() == ()
            names = sorted(each.name for each in filled.glob("days/*"))
            assert [entry.partition for entry in purges] == names[:first_day]
            parts = [(day, part) for day in range(DAYS) for part in range(A_DAY) if day >= first_day or not part]
            wanted = {name_of(day, part) for day, part in parts}
            assert {each.id for each in store.search(Query(limit=100)).sightings} == wanted
            assert {hit.id for hit in store.hits_since(0.0)} == {f"h{day}-{part}" for day, part in parts if part < 2}
            assert len(there(store)) == len(wanted)
            for name in wanted:
                row, proof = store.evidence_of(name)
                assert proof.holds_for(row)
        assert check(path, clock=clock, pictures=True).problems == []
        shutil.rmtree(path)
    assert len(set(done)) > 2, done


def purged_in_a_child(filled: Path, path: Path, slices: int | None) -> int:
    """Purge all that can be, in a process that is killed a moment after so many slices; how many it told."""
    shutil.copytree(filled, path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with Store.open(path, clock=ManualClock(), box="box-1") as store:
            while len(store.partitions.all) > 1:
                for _ in store.purge(store.partitions.all[0], choose=alerts, reason="30 days"):
                    os.write(writing, b".")
        os._exit(0)
    os.close(writing)
    told = 0
    while (slices is None or told < slices) and os.read(reading, 1):
        told += 1
    if slices is not None:
        time.sleep(random.Random(slices).uniform(0.0, 0.001))
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    return told


def test_a_reader_goes_on_while_partitions_come_and_go(tmp_path: Path, clock: ManualClock) -> None:
    """In another process, as LMDB asks: it sees each new day and misses nothing that was kept."""
    program = (
        "import sys; from anpr.store import Store, Query; from anpr.clock import SystemClock\n"
        "with Store.open(sys.argv[1], clock=SystemClock(), read_only=True) as store:\n"
        "    for line in sys.stdin:\n"
        "        found, hits = store.search(Query(limit=1000)).sightings, list(store.hits_since(0.0))\n"
        "        print(len(found), store.last_seq, len(hits), len(store.partitions.all), flush=True)\n"
    )
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        fill(store, clock, days=1)
        with subprocess.Popen(
            [sys.executable, "-c", program, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None

            def ask() -> list[int]:
                reader.stdin.write("\n")  # type: ignore[union-attr]
                reader.stdin.flush()  # type: ignore[union-attr]
                return [int(each) for each in reader.stdout.readline().split()]  # type: ignore[union-attr]

            assert ask() == [12, 14, 2, 1]
            fill(store, clock, first=1)
            assert ask() == [48, 56, 8, 4]
            kept = 0
            for left in (3, 2, 1):
                for each in store.purge(store.partitions.all[0], choose=alerts, reason="x"):
                    found, last_seq, hits, days = ask()
                    assert last_seq == 56
                    assert days in (left, left + 1)
                    assert found >= 12 * left
                    assert hits >= 2 * left
                    kept += each.purge is not None
            assert ask()[3] == 1
            assert kept >= 3
