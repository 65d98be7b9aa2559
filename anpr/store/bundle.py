"""One record with its pictures and its proof as a folder that anybody can check, with nothing but the box's public key.

    record.msgpack   the record's row, byte for byte as the box stored and signed it
    record.json      the same for people
    plate-….jpg, overview-….jpg   its pictures, named by their SHA-256
    proof.json       its place in the box's chain, and the box's signature
    pseudonym.json   only of a record without its plate: that it took the place of the one that was signed
    key.pem          the box's public key
    README.md        what this is and how to check it, also without anpr

Every byte of every file is checked: what can be derived from the row and the proof must be exactly that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from anpr.errors import StoreError
from anpr.records import Evidence
from anpr.store.chain import Proof
from anpr.store.durable import half_of, sync_folder, write_file
from anpr.store.evidence import EvidenceFolder
from anpr.store.faults import told_as_store_errors
from anpr.store.replacement import Replacement
from anpr.store.signing import fingerprint, public_pem, read_public

ROW, READABLE, PROOF, KEY, README = "record.msgpack", "record.json", "proof.json", "key.pem", "README.md"
REPLACED = "pseudonym.json"
MOST_BYTES = 64 << 20
"""Of one file of a bundle."""

_FIELDS = ("kind", "box", "epoch", "committed_seconds", "record")


class Verdict(NamedTuple):
    """What `verify_bundle` found."""

    problems: tuple[str, ...]
    """Each names a file; empty: the box of this key signed this record and these pictures."""
    fingerprint: str
    """Of the key that signed the record; empty if there is none."""
    record: dict[str, Any]
    """Number, kind, box, epoch, time of the commit, and the record; empty if it cannot be read."""
    pseudonymised_at: str = ""
    """When its plate gave way to a pseudonym: UTC, ISO 8601; empty: it did not."""


def write_bundle(
    folder: Path, row: bytes, proof: Proof, pictures: EvidenceFolder, *, replacement: Replacement | None = None
) -> tuple[str, ...]:
    """Make the folder, and return the names of its files. Raises StoreError: nothing is overwritten, nothing half-made.

    The pictures are verified on the way; a missing one is an error. `replacement` goes with a row that is not the one
    that was signed.
    """
    half = half_of(folder, os.getpid())
    files = {
        ROW: row,
        READABLE: _readable(row, proof.seq),
        PROOF: _encode(proof),
        KEY: public_pem(bytes.fromhex(proof.public_key)),
        README: _readme(replacement),
    }
    if replacement is not None:
        files[REPLACED] = _encode(replacement)
    for picture in _pictures(_fields(row, proof.seq)):
        files[_name_of(picture)] = pictures.get(picture.sha256)
    with told_as_store_errors(folder):
        if folder.exists() or folder.is_symlink():
            raise StoreError("is there already", place=str(folder), cure="give a new name; nothing is overwritten")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o750)
        try:
            for name, content in files.items():
                write_file(half / name, content)
            sync_folder(half)
            half.rename(folder)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
        sync_folder(folder.parent)
    return tuple(files)


def verify_bundle(folder: Path, *, keys: Collection[Path] = ()) -> Verdict:
    """Check a bundle without the box; with `keys`, the box's public keys from elsewhere, also that it is this box's.

    Two keys may have signed it: a box whose key was lost has had another one since. Then both must be given, for
    whoever makes a key can sign that a plate is gone. Raises StoreError if the folder cannot be read, or one of `keys`
    is none.
    """
    trusted = {read_public(key) for key in keys}
    with told_as_store_errors(folder):
        if not folder.is_dir():
            raise StoreError("is no folder", place=str(folder), cure="give the folder of a bundle")
        present = {path.name: path for path in folder.iterdir()}
    problems = [f"{name}: is missing" for name in (ROW, READABLE, PROOF, KEY, README) if name not in present]
    contents: dict[str, bytes] = {}
    for name, path in sorted(present.items()):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            problems.append(f"{name}: is no file of a bundle")
            continue
        with told_as_store_errors(path):
            contents[name] = path.read_bytes()
    if PROOF not in contents or ROW not in contents:
        return Verdict(tuple(problems), "", {})
    row = contents[ROW]
    try:
        proof = msgspec.json.decode(contents[PROOF], type=Proof)
        replaced = contents.get(REPLACED)
        replacement = msgspec.json.decode(replaced, type=Replacement) if replaced is not None else None
        genuine = proof.holds_for(row) if replacement is None else replacement.holds_for(proof, row)
        public = bytes.fromhex(proof.public_key)
        purged = public if replacement is None else bytes.fromhex(replacement.purge.public_key)
    except (msgspec.MsgspecError, ValueError) as error:
        return Verdict((*problems, f"{PROOF}: is no proof: {error}"), "", {})
    if not genuine:
        problems.append(f"{ROW}, {PROOF}: the signature does not hold: the record or its proof was altered")
    if trusted and public not in trusted:
        problems.append(f"{PROOF}: signed by another key than the one given")
    if purged != public and purged not in trusted:
        problems.append(
            f"{REPLACED}: signed by another key than {PROOF}, {fingerprint(purged)}: if both are the box's, give both"
        )
    try:
        fields = _fields(row, proof.seq)
        named = {_name_of(picture): picture.sha256 for picture in _pictures(fields)}
        derived = {READABLE: _readable(row, proof.seq), PROOF: _encode(proof), KEY: public_pem(public)}
    except (msgspec.MsgspecError, StoreError, ValueError, TypeError, RecursionError):
        return Verdict((*problems, f"{ROW}: is no record"), fingerprint(public), {})
    derived[README] = _readme(replacement)
    if replacement is not None:
        derived[REPLACED] = _encode(replacement)
    for name, expected in derived.items():
        if name in contents and contents[name] != expected:
            problems.append(f"{name}: was altered: it is not what the record and the proof say")
    for name, sha256 in named.items():
        if name not in present:
            problems.append(f"{name}: the picture is missing")
        elif name in contents and hashlib.sha256(contents[name]).hexdigest() != sha256:
            problems.append(f"{name}: the picture was altered")
    problems += [
        f"{name}: is no part of the bundle" for name in contents.keys() - derived.keys() - named.keys() - {ROW}
    ]
    return Verdict(tuple(problems), fingerprint(public), fields, replacement.purge.at if replacement else "")


def _fields(row: bytes, seq: int) -> dict[str, Any]:
    """The row as it is, also with fields that this version does not know. Raises msgspec.MsgspecError, StoreError."""
    values = msgspec.msgpack.decode(row)
    if not isinstance(values, list) or len(values) != len(_FIELDS) or not isinstance(values[-1], dict):
        raise StoreError("is no row of the store", cure="export the evidence anew")
    return {"seq": seq, **dict(zip(_FIELDS, values))}


def _pictures(fields: dict[str, Any]) -> list[Evidence]:
    return msgspec.convert(fields["record"].get("evidence", []), list[Evidence])


def _name_of(picture: Evidence) -> str:
    if not set(picture.sha256) <= set("0123456789abcdef") or len(picture.sha256) != 64:
        raise StoreError(f"{picture.sha256[:80]!r} names no picture", cure="export the evidence anew")
    return f"{picture.kind}-{picture.sha256}.jpg"


def _readable(row: bytes, seq: int) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_fields(row, seq)), indent=2) + b"\n"


def _encode(proof: Proof | Replacement) -> bytes:
    return msgspec.json.format(msgspec.json.encode(proof), indent=2) + b"\n"


def _readme(replacement: Replacement | None) -> bytes:
    return (README_TEXT if replacement is None else README_TEXT + REPLACED_TEXT).encode()


README_TEXT = """\
# Bằng chứng của một lượt xe qua · Evidence of one passage

## Tiếng Việt

Thư mục này chứa một bản ghi của thiết bị nhận dạng biển số `anpr`, các ảnh của nó và bằng chứng rằng chúng
không bị sửa.

| tệp | nội dung |
|---|---|
| `record.msgpack` | bản ghi, đúng từng byte như thiết bị đã lưu và đã ký (MessagePack) |
| `record.json` | cùng nội dung, để người đọc |
| `plate-….jpg`, `overview-….jpg` | ảnh biển số và ảnh toàn cảnh; tên tệp là mã SHA-256, có trong bản ghi |
| `proof.json` | vị trí của bản ghi trong chuỗi băm của thiết bị và chữ ký số Ed25519 |
| `key.pem` | khóa công khai của thiết bị |

Kiểm tra, không cần mạng và không cần thiết bị:

    anpr evidence verify THƯ_MỤC --key KHÓA_CÔNG_KHAI_CỦA_THIẾT_BỊ

Hãy lấy khóa công khai từ đơn vị quản lý thiết bị (`anpr evidence key`), đừng chỉ tin `key.pem` trong thư mục này.
Biển số xe là dữ liệu cá nhân: chỉ dùng đúng mục đích của vụ việc, và xóa khi không còn cần.
Chữ ký chứng minh dữ liệu không bị thay đổi sau khi lưu; nó không chứng minh máy đã đọc đúng biển số hay đồng hồ
chạy đúng.

## English

This folder holds one record of a box of the number plate reader `anpr`, its pictures, and the proof that neither was
changed.

| file | what it is |
|---|---|
| `record.msgpack` | the record, byte for byte as the box stored and signed it (MessagePack) |
| `record.json` | the same for people |
| `plate-….jpg`, `overview-….jpg` | the plate and the whole scene; named by their SHA-256, which the record holds |
| `proof.json` | the record's place in the box's hash chain, and the Ed25519 signature |
| `key.pem` | the box's public key |

To check it, without a network and without the box:

    anpr evidence verify FOLDER --key PUBLIC_KEY_OF_THE_BOX

Get the public key from those who run the box (`anpr evidence key`); do not trust the `key.pem` of this folder alone.
A number plate is personal data: use it for the case alone, and delete it when it is not needed any more.
The signature proves that nothing was changed after it was stored; not that the plate was read right, nor that the clock
was right.

### Without anpr

1. Each picture's SHA-256 is in its name, and in the record under `evidence`.
2. head = SHA-256 of: `anpr link 1`, a zero byte, `previous`, `number`, `seq`, the SHA-256 of `record.msgpack`.
   Numbers are 8 bytes, big-endian; hexadecimal digits stand for bytes.
3. For each pair `[seq, sha256]` of `following`: `number` grows by one, and head = SHA-256 of: `anpr link 1`, a zero
   byte, head, `number`, `seq`, `sha256`.
4. `signature` is the Ed25519 signature (RFC 8032) by `public_key` of: `anpr seal 1`, a zero byte, the last `number`,
   the last `seq`, head.
"""
"""Belongs to version 1 of the proof: another text needs another version."""

REPLACED_TEXT = """\

## Biển số đã được thay · The plate is gone

Biển số trong bản ghi này đã được thay bằng một bí danh (`~…`) và các ảnh đã bị xóa, vì đã hết thời hạn lưu dữ liệu cá
nhân. `pseudonym.json` chứng minh điều đó: thiết bị đã ký rằng bản ghi này thay cho bản ghi ban đầu.

The plate of this record gave way to a pseudonym (`~…`), and its pictures were deleted, when the time for which
personal data may be kept was over. `pseudonym.json` proves that: the box has signed that this record took the place of
the first.

Without anpr: in step 2, take `signed_sha256` instead of the SHA-256 of `record.msgpack`. Then

1. hash = SHA-256 of: `anpr leaf 1`, a zero byte, `seq`, `signed_sha256`, the SHA-256 of `record.msgpack`.
2. For each pair `[left, beside]` of `path`: hash = SHA-256 of: `anpr node 1`, a zero byte, then `beside` and hash if
   `left` is true, else hash and `beside`.
3. The hash is the second value of `rewritten` in `purge`. The purge's `signature` is the Ed25519 signature by its
   `public_key` of: `anpr purge 1`, a zero byte, the purge as JSON without blanks, in the order given, with an empty
   `signature`.
"""
