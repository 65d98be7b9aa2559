from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from damaging import lengthen
from making_records import make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Query, Store
from anpr.store.audit import Request
from anpr.store.backup import MANIFEST, back_up, check_manifest, compact
from anpr.store.checking import check
from anpr.store.signing import SECRET


def fill(store: Store, *, count: int = 20) -> None:
    for number in range(count):
        picture = store.evidence.put("plate", make_jpeg(str(number)))
        sighting = make_sighting(id=f"s{number}", evidence=(picture,), seen_seconds=1000.0 + number)
        store.append([sighting], [make_hit(id=f"h{number}", sighting_id=sighting.id, evidence=(picture,))])
    store.audit.append(Request("search", "x", "y"), rows=1)


@pytest.fixture
def closed(tmp_path: Path, clock: ManualClock) -> Path:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        fill(store)
    return tmp_path / "store"


def alter(path: Path, table: bytes, key: bytes | None) -> None:
    """Flip a byte in the middle of the last value of a table, or delete a key."""
    with lmdb.open(str(next(path.glob("days/*"))), max_dbs=32) as environment:
        index = environment.open_db(table)
        with environment.begin(write=True) as txn, txn.cursor(index) as cursor:
            if key is not None:
                assert txn.delete(key, db=index)
                return
            assert cursor.last()
            value = bytearray(cursor.value())
            value[len(value) // 2] ^= 0xFF
            cursor.put(cursor.key(), bytes(value))


def in_other_process(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)


def test_a_whole_store_has_no_problems(closed: Path, clock: ManualClock) -> None:
    finding = check(closed, clock=clock, pictures=True)
    assert finding.problems == []
    assert finding.file_checked
    counted = {name: count for (name, _), count in finding.counters.counts.items()}
    assert counted == {"events_checked": 40, "links_checked": 40, "pictures_checked": 40}
    assert list(finding.fingerprints.values()) == [20]


@pytest.mark.parametrize(
    ("table", "key", "wanted"),
    [
        (b"plates", None, "is not found by searches"),
        (b"events", (40).to_bytes(8, "big"), "event"),
        (b"events", (7).to_bytes(8, "big"), "events 7 to 7 are missing"),
        (b"events", None, "event 40"),
        (b"links", None, "the chain is broken at event 40"),
        (b"links", (9).to_bytes(8, "big"), "the chain is broken at event 10"),
        (b"seals", None, "the signature at event 40 does not hold"),
        (b"seals", (40).to_bytes(8, "big"), "the chain ends at event 40 without a signature"),
    ],
)
def test_what_was_altered_in_the_file_is_told(
    closed: Path, clock: ManualClock, table: bytes, key: bytes | None, wanted: str
) -> None:
    alter(closed, table, key)
    finding = check(closed, clock=clock)
    assert any(wanted in problem for problem in finding.problems), finding.problems
    assert finding.counters.total("problems") == len(finding.problems)


def test_pictures_and_the_audit_log_are_looked_at(closed: Path, clock: ManualClock) -> None:
    first, second, *_ = sorted(closed.glob("evidence/??/*.jpg"))
    first.unlink()
    second.write_bytes(make_jpeg("other"))
    (closed / "audit" / "log.jsonl").write_bytes(b"")
    finding = check(closed, clock=clock, pictures=True)
    assert finding.counters.total("pictures_missing") == 2  # named by a sighting and its hit
    assert {reason for name, reason in finding.counters.counts if name == "problems"} == {"pictures", "audit"}
    assert not any("altered" in problem for problem in check(closed, clock=clock).problems)


def test_a_backup_beside_a_writer_is_a_store_without_the_secret(tmp_path: Path, clock: ManualClock) -> None:
    """In another process, as LMDB asks."""
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        fill(store)
        done = in_other_process(
            "from pathlib import Path; from anpr.clock import SystemClock; from anpr.store.backup import back_up;"
            "from anpr.store.checking import check;"
            f"back_up(Path({str(store.path)!r}), Path({str(tmp_path / 'copy')!r}), clock=SystemClock());"
            f"found = check(Path({str(store.path)!r}), clock=SystemClock(), pictures=True);"
            "assert not found.problems and not found.file_checked"
        )
        assert done.returncode == 0, done.stderr
        events = store.events()
    assert check_manifest(tmp_path / "copy") == ()
    assert check(tmp_path / "copy", clock=clock, pictures=True).problems == []
    assert not (tmp_path / "copy" / SECRET).exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with Store.open(tmp_path / "copy", clock=clock, box="box-1") as restored:
        assert restored.events() == events
        assert len(restored.search(Query(plate="30A12345")).sightings) == 20
        assert restored.counters.total("evidence_keys_replaced") == 1
        fill(restored, count=1)


def test_the_manifest_finds_every_changed_file(closed: Path, tmp_path: Path, clock: ManualClock) -> None:
    manifest = back_up(closed, tmp_path / "copy", clock=clock)
    assert manifest.last_seq == 40
    assert manifest.pictures_altered == ()
    assert {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*.*") if path.is_file()
    } == {
        MANIFEST,
        *(entry.path for entry in manifest.files),
    }
    for entry in manifest.files:
        path = tmp_path / "copy" / entry.path
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert check_manifest(tmp_path / "copy") == (f"{path}: is not what was backed up",)
        path.write_bytes(content)
    path.unlink()
    assert check_manifest(tmp_path / "copy") == (f"{path}: is missing from the backup",)


def test_a_page_that_is_copied_as_it_is_ends_a_backup(closed: Path, tmp_path: Path, clock: ManualClock) -> None:
    lengthen(closed, b"epoch")
    with pytest.raises(StoreError, match="its copy is damaged, and was removed") as told:
        back_up(closed, tmp_path / "copies" / "copy", clock=clock)
    assert told.value.place == str(closed / "data.mdb")
    assert list((tmp_path / "copies").iterdir()) == []


def test_lines_of_the_audit_log_that_go_while_it_is_made_are_not_missed(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        fill(store)
        for case in ("1", "2"):
            store.audit.append(Request("search", "x", case), rows=0)
        program = (
            "from pathlib import Path; from anpr.clock import SystemClock; from anpr.store import backup\n"
            "import subprocess, sys\n"
            "copy = backup.copy_events\n"
            "def copy_late(*given):\n"
            "    print('copying', flush=True), sys.stdin.readline()\n"
            "    copy(*given)\n"
            "backup.copy_events = copy_late\n"
            f"backup.back_up(Path({str(store.path)!r}), Path({str(tmp_path / 'copy')!r}), clock=SystemClock())"
        )
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as maker:
            assert maker.stdout is not None
            assert maker.stdout.readline() == "copying\n"
            assert store.cut_audit(2, reason="retention") is not None
            maker.communicate("\n")
        assert maker.returncode == 0
    assert check(tmp_path / "copy", clock=clock).problems == []


def test_an_altered_picture_is_backed_up_and_told(closed: Path, tmp_path: Path, clock: ManualClock) -> None:
    picture = next(closed.glob("evidence/??/*.jpg"))
    picture.write_bytes(b"altered")
    manifest = back_up(closed, tmp_path / "copy", clock=clock)
    assert manifest.pictures_altered == (picture.relative_to(closed).as_posix(),)


def test_a_backup_goes_to_a_new_folder_outside(closed: Path, tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "there").mkdir()
    for into, wanted in ((tmp_path / "there", "is there already"), (closed / "copy", "lies within the store")):
        with pytest.raises(StoreError, match=wanted):
            back_up(closed, into, clock=clock)
    with pytest.raises(StoreError, match="no store here"):
        back_up(tmp_path / "absent", tmp_path / "copy", clock=clock)
    assert not (tmp_path / "copy").exists()


def test_compacting_keeps_all_and_gives_room_back(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "store"
    with Store.open(path, clock=clock, box="box-1") as store:
        fill(store)
        events = store.events()
    (day,) = path.glob("days/*")
    with lmdb.open(str(day), max_dbs=32, map_size=1 << 30) as environment:
        waste = environment.open_db(b"waste")
        with environment.begin(write=True) as txn:
            txn.put(b"x", bytes(4 << 20), db=waste)
        with environment.begin(write=True) as txn:
            txn.drop(waste)
    kept = [folder / name for folder in (path, day) for name in ("data.mdb", "lock.mdb")]
    for file in kept:
        file.chmod(0o664)
    done = compact(path, clock=clock)
    assert done.before_bytes > 4 << 20
    assert done.after_bytes == sum((folder / "data.mdb").stat().st_size for folder in (path, day)) < 1 << 20
    assert [file.stat().st_mode & 0o777 for file in kept] == [0o664] * 4
    assert check(path, clock=clock, pictures=True).problems == []
    assert not (path / "compacted").exists()
    with Store.open(path, clock=clock, box="box-1") as store:
        assert store.events() == events
        assert store.epoch == 2
        fill(store, count=1)


@pytest.mark.parametrize(
    ("read_only", "wanted"), [(False, "open for writing in another process"), (True, "another process reads the store")]
)
def test_a_store_in_use_is_not_compacted(closed: Path, clock: ManualClock, read_only: bool, wanted: str) -> None:
    program = (
        "from pathlib import Path; from anpr.clock import SystemClock; from anpr.store.backup import compact;"
        f"compact(Path({str(closed)!r}), clock=SystemClock())"
    )
    with Store.open(closed, clock=clock, read_only=read_only) as store:
        done = in_other_process(program)
        assert store.last_seq == 40
    assert done.returncode == 1
    assert wanted in done.stderr
    assert in_other_process(program).returncode == 0


def test_a_damaged_store_is_not_compacted(closed: Path, clock: ManualClock) -> None:
    (file,) = closed.glob("days/*/data.mdb")
    data = bytearray(file.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 + 12] ^= 0x3F
    file.write_bytes(data)
    with pytest.raises(StoreError):
        compact(closed, clock=clock)
    assert file.read_bytes() == bytes(data)
