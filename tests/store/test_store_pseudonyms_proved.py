"""That plates gave way to pseudonyms is proved, and nothing else passes for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import msgspec
import pytest
from pseudonymised import A_DAY, DAYS, KEY, first_day, problems, pseudonymise

from anpr.clock import ManualClock
from anpr.store import Store
from anpr.store.backup import back_up, compact, copy_events
from anpr.store.bundle import REPLACED, Verdict, verify_bundle, write_bundle
from anpr.store.checking import check
from anpr.store.environment import Environment
from anpr.store.evidence import EvidenceFolder
from anpr.store.replacement import replacement_of
from anpr.store.rows import decode_row, encode_row
from anpr.store.signing import PUBLIC, SECRET, SigningKey, fingerprint, read_public
from anpr.store.tree import leaf_of


def test_the_chain_holds_across_days_with_and_without_plates(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock, box="box-1") as store:
        hit_before = store.evidence_of("h0"), store.evidence_of("0-0")
        other = store.evidence_of("1-3")
        pseudonymise(store, 0)
        pseudonymise(store, 1)
        assert (store.evidence_of("h0"), store.evidence_of("0-0")) == hit_before
        assert store.evidence_of("1-3")[1] == other[1]
    assert problems(filled, clock) == []
    finding = check(filled, clock=clock)
    assert finding.counters.total("links_checked") == DAYS * (A_DAY + 1)
    assert finding.counters.total("pseudonymised_checked") == 2 * (A_DAY - 1)
    back_up(filled, tmp_path / "backup", clock=clock)
    assert problems(tmp_path / "backup", clock) == []
    compact(filled, clock=clock)
    assert problems(filled, clock) == []


def altered(folder: Path, change: Callable[[lmdb.Environment, lmdb.Transaction[bytes]], None]) -> None:
    """Change a partition's file as somebody could who has the disk."""
    with lmdb.open(str(folder), max_dbs=48, map_size=1 << 30) as environment:
        with environment.begin(write=True) as txn:
            change(environment, txn)


def seq_key(seq: int) -> bytes:
    return seq.to_bytes(8, "big")


def test_a_row_that_was_changed_since_is_found(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        pseudonymise(store)

    def change(environment: lmdb.Environment, txn: lmdb.Transaction[bytes]) -> None:
        events = environment.open_db(b"events", txn=txn)
        event = decode_row(4, txn.get(seq_key(4), b"", db=events))
        moved = msgspec.structs.replace(event.record, lane="2")
        txn.put(seq_key(4), encode_row(msgspec.structs.replace(event, record=moved)), db=events)

    altered(first_day(filled), change)
    found = problems(filled, clock)
    assert "2026-01-01.00000000000000000001.1: events without a plate are not as the box wrote them" in found
    assert "2026-01-01.00000000000000000001.1: event 4 is not the one that was signed" in found


def test_a_forged_row_does_not_pass_for_one_without_a_plate(filled: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock) as store:
        pseudonymise(store)

    def change(environment: lmdb.Environment, txn: lmdb.Transaction[bytes]) -> None:
        events, marks = (environment.open_db(name, txn=txn) for name in (b"events", b"pseudonyms"))
        event = decode_row(1, txn.get(seq_key(1), b"", db=events))
        text = KEY.of("30A12345")
        forged = msgspec.structs.replace(event.record, text=text, display=text, evidence=())
        txn.put(seq_key(1), encode_row(msgspec.structs.replace(event, record=forged)), db=events)
        txn.put(seq_key(1), b"", db=marks)

    altered(first_day(filled), change)
    assert any("not as the box wrote them" in each for each in problems(filled, clock))


def test_marks_without_a_purge_prove_nothing(filled: Path, clock: ManualClock) -> None:
    def change(environment: lmdb.Environment, txn: lmdb.Transaction[bytes]) -> None:
        txn.put(seq_key(1), b"", db=environment.open_db(b"pseudonyms", txn=txn))

    altered(first_day(filled), change)
    assert problems(filled, clock) == [
        "2026-01-01.00000000000000000001: events without a plate are not as the box wrote them"
    ]


def test_a_day_with_its_plates_put_back_is_found(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    old = first_day(filled)
    shutil.copytree(old, tmp_path / "old")
    with Store.open(filled, clock=clock) as store:
        pseudonymise(store)
    shutil.rmtree(first_day(filled))
    shutil.copytree(tmp_path / "old", old)
    assert problems(filled, clock) == [
        "2026-01-01.00000000000000000001: purge 1 has taken its plates away, and another file is in its place"
    ]


# A record of its own


def bundle(store: Store, record: str, into: Path) -> Verdict:
    row, proof = store.evidence_of(record)
    replacement = replacement_of(store.root, store.partitions, proof.seq)
    write_bundle(into, row, proof, store.evidence, replacement=replacement)
    return verify_bundle(into, keys=[store.path / PUBLIC])


def test_a_bundle_tells_that_the_plate_is_gone_and_proves_the_rest(
    filled: Path, tmp_path: Path, clock: ManualClock
) -> None:
    with Store.open(filled, clock=clock, box="box-1") as store:
        assert bundle(store, "0-3", tmp_path / "before").pseudonymised_at == ""
        pseudonymise(store)
        told = [bundle(store, f"0-{n}", tmp_path / f"b{n}") for n in range(A_DAY)]
        (entry,) = store.purges()
    assert [each.problems for each in told] == [()] * A_DAY
    assert [each.pseudonymised_at for each in told] == ["", *[entry.at] * (A_DAY - 1)]
    assert told[3].record["record"]["text"] == KEY.of("30A00003")
    assert not list((tmp_path / "b3").glob("*.jpg"))
    assert verify_bundle(tmp_path / "before", keys=[filled / PUBLIC]).problems == ()  # what was given stays provable


@pytest.mark.parametrize("change", ["row", "path", "purge", "signed", "time", "missing", "other key", "foreign"])
def test_a_bundle_that_was_altered_is_found(filled: Path, tmp_path: Path, clock: ManualClock, change: str) -> None:
    folder = tmp_path / "b"
    with Store.open(filled, clock=clock, box="box-1") as store:
        pseudonymise(store)
        assert bundle(store, "0-3", folder).problems == ()
        bundle(store, "0-4", tmp_path / "foreign")
    replaced = json.loads((folder / REPLACED).read_bytes())
    match change:
        case "row":
            row = (folder / "record.msgpack").read_bytes()
            (folder / "record.msgpack").write_bytes(row.replace(b"gate-1", b"gate-2"))
        case "path":
            replaced["path"][0][0] = not replaced["path"][0][0]
        case "purge":
            replaced["purge"]["rewritten"][1] = "0" * 64
        case "signed":
            replaced["signed_sha256"] = "0" * 64
        case "time":
            replaced["purge"]["at"] = "2030" + replaced["purge"]["at"][4:]
        case "missing":
            (folder / REPLACED).unlink()
        case "other key":
            replaced["purge"]["public_key"] = "1" * 64
        case "foreign":
            replaced = json.loads((tmp_path / "foreign" / REPLACED).read_bytes())
    if change != "missing":
        (folder / REPLACED).write_text(json.dumps(replaced, indent=2) + "\n")
    assert verify_bundle(folder, keys=[filled / PUBLIC]).problems != ()


def test_a_day_that_is_written_anew_while_it_is_copied_is_copied_anew(
    filled: Path, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, copied = Environment.copy, list[str]()

    def copy_late(self: Environment, into: Path) -> None:
        copied.append(self.path.name)
        if len(copied) == 1:
            pseudonymise(store)
        copy(self, into)

    monkeypatch.setattr(Environment, "copy", copy_late)
    (tmp_path / "copy").mkdir()
    with Store.open(filled, clock=clock, box="box-1") as store:
        copy_events(store, tmp_path / "copy")
    day = first_day(filled).name
    assert day.endswith(".1")
    assert copied[:3] == [filled.name, filled.name, day]
    assert problems(tmp_path / "copy", clock) == []


def test_nobody_else_can_sign_that_a_plate_is_gone(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    """The record is of the box's place in the chain, and its text, its camera and its time are a stranger's."""
    folder = tmp_path / "b"
    with Store.open(filled, clock=clock, box="box-1") as store:
        pseudonymise(store)
        bundle(store, "0-3", folder)
        row, proof = store.evidence_of("0-3")
        genuine = replacement_of(store.root, store.partitions, proof.seq)
    assert genuine is not None
    event = decode_row(proof.seq, row)
    forged = encode_row(msgspec.structs.replace(event, record=msgspec.structs.replace(event.record, camera_id="c9")))
    leaf = leaf_of(proof.seq, bytes.fromhex(genuine.signed_sha256), forged)
    stranger = SigningKey.open(tmp_path)
    purge = msgspec.structs.replace(genuine.purge, rewritten=(1, leaf.hex())).signed(stranger)
    shutil.rmtree(folder)
    of_stranger = msgspec.structs.replace(genuine, path=(), purge=purge)
    write_bundle(folder, forged, proof, EvidenceFolder(tmp_path), replacement=of_stranger)
    for keys in ([], [filled / PUBLIC], [tmp_path / PUBLIC]):
        verdict = verify_bundle(folder, keys=keys)
        assert any(fingerprint(stranger.public) in each or "another key" in each for each in verdict.problems), keys
    assert verify_bundle(folder, keys=[filled / PUBLIC, tmp_path / PUBLIC]).problems == ()  # who trusts both, must


def test_a_key_that_is_none_is_told(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(filled, clock=clock, box="box-1") as store:
        pseudonymise(store)
        bundle(store, "0-3", tmp_path / "b")
    replaced = json.loads((tmp_path / "b" / REPLACED).read_bytes())
    replaced["purge"]["public_key"] = "no key"
    replaced["purge"]["rewritten"][1] = "0" * 64
    (tmp_path / "b" / REPLACED).write_text(json.dumps(replaced))
    assert verify_bundle(tmp_path / "b").problems


def test_a_box_whose_key_was_replaced_proves_it_with_both(filled: Path, tmp_path: Path, clock: ManualClock) -> None:
    earlier = Path(shutil.copy(filled / PUBLIC, tmp_path / "earlier.key"))
    (filled / SECRET).unlink()
    with Store.open(filled, clock=clock, box="box-1") as store:
        pseudonymise(store)
        assert bundle(store, "0-3", tmp_path / "b").problems != ()
        present = store.path / PUBLIC
    assert verify_bundle(tmp_path / "b", keys=[earlier, present]).problems == ()
    (told,) = verify_bundle(tmp_path / "b").problems
    assert fingerprint(read_public(present)) in told
