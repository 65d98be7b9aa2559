from __future__ import annotations

import hashlib
import shutil
import stat
from pathlib import Path

import pytest
from making_records import make_gap, make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.records import Sighting
from anpr.store import Store
from anpr.store.bundle import verify_bundle, write_bundle
from anpr.store.signing import PUBLIC, SECRET, SigningKey, fingerprint, is_signed, read_public


def with_pictures(store: Store, name: str) -> Sighting:
    pictures = (
        store.evidence.put("plate", make_jpeg(f"{name} plate")),
        store.evidence.put("overview", make_jpeg(f"{name} overview", width_px=64, height_px=32)),
    )
    return make_sighting(id=name, evidence=pictures)


@pytest.fixture
def bundle(store: Store, tmp_path: Path) -> Path:
    store.append([with_pictures(store, "first")])
    store.append([with_pictures(store, name) for name in ("second", "third", "fourth")])
    row, proof = store.evidence_of("second")
    assert (proof.number, proof.seq, len(proof.following)) == (2, 2, 2)
    write_bundle(tmp_path / "bundle", row, proof, store.evidence)
    return tmp_path / "bundle"


def test_a_bundle_is_verified_with_the_public_key_alone(bundle: Path, store: Store, tmp_path: Path) -> None:
    shutil.copy(store.path / PUBLIC, tmp_path / "box.key")
    verdict = verify_bundle(bundle, keys=[tmp_path / "box.key"])
    assert verdict.problems == ()
    assert verdict.fingerprint == fingerprint(read_public(store.path / PUBLIC))
    assert verdict.record["record"]["id"] == "second"
    assert verdict.record["box"] == "box-1"
    assert len(list(bundle.iterdir())) == 7
    assert verify_bundle(bundle).problems == ()


def test_every_changed_byte_is_found_in_every_file(bundle: Path) -> None:
    for path in sorted(bundle.iterdir()):
        content = path.read_bytes()
        for at in range(0, len(content), max(1, len(content) // 40)):
            altered = bytearray(content)
            altered[at] ^= 1 << at % 8
            path.write_bytes(altered)
            assert verify_bundle(bundle).problems, (path.name, at)
        for altered in (content + b"\n", content[:-1], b""):
            path.write_bytes(altered)
            assert verify_bundle(bundle).problems, path.name
        path.unlink()
        assert verify_bundle(bundle).problems, path.name
        path.write_bytes(content)
    assert verify_bundle(bundle).problems == ()


def test_what_does_not_belong_there_is_found(bundle: Path, tmp_path: Path) -> None:
    (bundle / "more.jpg").write_bytes(make_jpeg("more"))
    assert verify_bundle(bundle).problems == ("more.jpg: is no part of the bundle",)
    (bundle / "more.jpg").unlink()
    moved = (bundle / "README.md").rename(tmp_path / "README.md")
    (bundle / "README.md").symlink_to(moved)
    assert verify_bundle(bundle).problems == ("README.md: is no file of a bundle",)


def test_a_bundle_signed_by_somebody_else_is_whole_but_not_the_boxs(
    bundle: Path, tmp_path: Path, clock: ManualClock
) -> None:
    with Store.open(tmp_path / "other", clock=clock) as other:
        other.append([with_pictures(other, "second")])
        write_bundle(tmp_path / "forged", *other.evidence_of("second"), other.evidence)
    assert verify_bundle(tmp_path / "forged").problems == ()
    verdict = verify_bundle(tmp_path / "forged", keys=[bundle / "key.pem"])
    assert verdict.problems == ("proof.json: signed by another key than the one given",)


def test_each_place_in_a_commit_and_each_kind_can_be_proved(store: Store, tmp_path: Path) -> None:
    seen = [with_pictures(store, f"s{number}") for number in range(4)]
    hit = make_hit(id="h", sighting_id="s1", evidence=seen[1].evidence)
    store.append([*seen, make_sighting(id="bare", evidence=())], [hit], [make_gap()])
    store.append([with_pictures(store, "last")])
    for name in ("s0", "s1", "s2", "s3", "h", "last"):
        row, proof = store.evidence_of(name)
        write_bundle(tmp_path / name, row, proof, store.evidence)
        assert verify_bundle(tmp_path / name).problems == ()
        assert proof.holds_for(row)
        assert not proof.holds_for(row + b"\0")
    with pytest.raises(StoreError, match="has no pictures"):
        store.evidence_of("bare")
    with pytest.raises(StoreError, match="no sighting or hit is called 'x'"):
        store.evidence_of("x")


def test_the_documented_check_without_anpr(store: Store) -> None:
    """As the bundle's README describes it."""
    store.append([with_pictures(store, name) for name in ("a", "b")])
    row, proof = store.evidence_of("a")
    ((seq, sha256),) = proof.following
    head, number = bytes.fromhex(proof.previous), proof.number
    numbers = number.to_bytes(8, "big") + proof.seq.to_bytes(8, "big")
    head = hashlib.sha256(b"anpr link 1\0" + head + numbers + hashlib.sha256(row).digest()).digest()
    numbers = (number + 1).to_bytes(8, "big") + seq.to_bytes(8, "big")
    head = hashlib.sha256(b"anpr link 1\0" + head + numbers + bytes.fromhex(sha256)).digest()
    signature, public = bytes.fromhex(proof.signature), bytes.fromhex(proof.public_key)
    assert is_signed(b"anpr seal 1\0" + numbers + head, signature, public)


def test_a_picture_that_is_gone_or_altered_makes_no_bundle(store: Store, tmp_path: Path) -> None:
    sighting = with_pictures(store, "a")
    store.append([sighting])
    sha256 = sighting.evidence[0].sha256
    path = store.evidence.path / sha256[:2] / f"{sha256[2:]}.jpg"
    row, proof = store.evidence_of("a")
    for content in (make_jpeg("other"), None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(StoreError):
            write_bundle(tmp_path / "bundle", row, proof, store.evidence)
    assert not (tmp_path / "bundle").exists()


def test_nothing_is_overwritten(bundle: Path, store: Store) -> None:
    with pytest.raises(StoreError, match="is there already"):
        write_bundle(bundle, *store.evidence_of("first"), store.evidence)


def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path, clock: ManualClock) -> None:
    Store.open(tmp_path, clock=clock).close()
    secret = (tmp_path / SECRET).read_bytes()
    assert stat.S_IMODE((tmp_path / SECRET).stat().st_mode) == 0o600
    (tmp_path / PUBLIC).write_bytes(b"exchanged")
    Store.open(tmp_path, clock=clock).close()
    assert (tmp_path / SECRET).read_bytes() == secret
    assert read_public(tmp_path / PUBLIC) == SigningKey.open(tmp_path).public
    assert "PRIVATE" not in repr(SigningKey.open(tmp_path))

    (tmp_path / SECRET).chmod(0o640)
    with pytest.raises(StoreError, match=r"others may read.*chmod 600"):
        Store.open(tmp_path, clock=clock)
    (tmp_path / SECRET).chmod(0o600)
    (tmp_path / SECRET).write_bytes(b"damaged")
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(tmp_path, clock=clock)


def test_a_lost_key_is_replaced_and_counted_and_old_proofs_still_hold(tmp_path: Path, clock: ManualClock) -> None:
    with Store.open(tmp_path / "store", clock=clock) as store:
        store.append([with_pictures(store, "old")])
        before = store.evidence_of("old")
        assert store.counters.total("evidence_keys_replaced") == 0
    (tmp_path / "store" / SECRET).unlink()
    with Store.open(tmp_path / "store", clock=clock) as store:
        assert store.counters.total("evidence_keys_replaced") == 1
        store.append([with_pictures(store, "new")])
        assert store.evidence_of("old") == before
        row, proof = store.evidence_of("new")
        assert proof.holds_for(row)
        assert proof.number == 2
        assert proof.public_key != before[1].public_key


def test_a_refused_commit_leaves_the_chain_as_it_was(store: Store) -> None:
    store.append([with_pictures(store, "a")])
    with pytest.raises(StoreError):
        store.append([with_pictures(store, "b"), make_sighting(id="x" * 600)])
    store.append([with_pictures(store, "c")])
    row, proof = store.evidence_of("c")
    assert (proof.number, proof.holds_for(row)) == (2, True)


def test_a_folder_that_cannot_be_made_is_told(store: Store, tmp_path: Path) -> None:
    store.append([with_pictures(store, "a")])
    with pytest.raises(StoreError, match="absent"):
        write_bundle(tmp_path / "absent" / "bundle", *store.evidence_of("a"), store.evidence)
