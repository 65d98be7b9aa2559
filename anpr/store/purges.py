"""What was deleted from a store, when and why: signed, and each bound to the one before, so that none is taken back.

    purges   number → JSON of a Purge (in the root)

The head of the chain of evidence before and after a partition stands for every record with pictures in it. A hole that
no purge accounts for shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import lmdb
import msgspec

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.audit import Head
from anpr.store.chain import NO_END, End
from anpr.store.keys import pack_seq
from anpr.store.root import Root
from anpr.store.signing import SigningKey, is_signed

FIRST_PREVIOUS = "0" * 64
"""What the first purge follows."""

What = Literal["partition", "kept", "pictures", "plates", "audit", "lost"]


class Purge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One deletion."""

    number: int = 0
    """From 1, dense."""
    what: What
    """A whole partition; records that had been kept when theirs went; only pictures of a partition; the plates and
    pictures of its passages (`partition` is then what it is called since); or lines of the audit log, whose numbers and
    last SHA-256 stand in place of those of events. Or nothing was deleted, but lost: days that were damaged."""
    at: str = ""
    """UTC, ISO 8601."""
    box: str = ""
    reason: str
    partition: str = ""
    """Its folder's name; empty: records that had been kept."""
    first_seq: int
    """Number of the first event that is deleted, or whose pictures are."""
    last_seq: int
    sightings: int = 0
    """Events that are deleted, or lose their plate: revisions of sightings, of hits, and of coverage gaps."""
    hits: int = 0
    gaps: int = 0
    kept: int = 0
    """Records of the partition that are kept."""
    damaged: int | msgspec.UnsetType = msgspec.UNSET
    """Events that are deleted and could not be read; unset: none."""
    pictures: int = 0
    """That nothing else names."""
    picture_bytes: int = 0
    bytes: int = 0
    """Of the disk, of the partition's file."""
    chain_begin: tuple[int, str] = (0, FIRST_PREVIOUS)
    """The chain of evidence before the partition: number and head of its newest link."""
    chain_end: tuple[int, str] = (0, FIRST_PREVIOUS)
    """And at the partition's end."""
    rewritten: tuple[int, str] | msgspec.UnsetType = msgspec.UNSET
    """Of plates: how many events of the partition are without their plate now, and the hash that stands for them as
    they are (tree.py)."""
    pseudonym_key: str | msgspec.UnsetType = msgspec.UNSET
    """Of plates: the fingerprint of the key of the pseudonyms."""
    previous: str = FIRST_PREVIOUS
    """SHA-256 of the purge before, as it is stored."""
    public_key: str = ""
    signature: str = ""
    """Ed25519 of "anpr purge 1", a zero byte, and this without its signature."""

    @property
    def begin(self) -> End:
        """`chain_begin`."""
        return _end(self.chain_begin)

    @property
    def end(self) -> End:
        """`chain_end`."""
        return _end(self.chain_end)

    def signed(self, key: SigningKey) -> Purge:
        """The same, by the box's key."""
        unsigned = msgspec.structs.replace(self, public_key=key.public.hex(), signature="")
        return msgspec.structs.replace(unsigned, signature=key.sign(_message(unsigned)).hex())


def told(end: End) -> tuple[int, str]:
    """An end of the chain as a purge says it."""
    return end.number, end.head.hex()


@dataclass(frozen=True, slots=True)
class Journal:
    """Where a store that is open for writing notes what goes."""

    root: Root
    key: SigningKey
    box: str
    clock: Clock

    def add(self, txn: lmdb.Transaction[bytes], purge: Purge) -> Purge:
        """Part of the commit that decides: the purge with its number, bound to the one before, dated and signed."""
        with txn.cursor(self.root.purges) as cursor:
            before = cursor.value() if cursor.last() else b""
        purge = msgspec.structs.replace(
            purge,
            number=msgspec.json.decode(before, type=Purge).number + 1 if before else 1,
            at=datetime.fromtimestamp(self.clock.wall_seconds(), UTC).isoformat(timespec="milliseconds"),
            box=self.box,
            previous=hashlib.sha256(before).hexdigest() if before else FIRST_PREVIOUS,
        ).signed(self.key)
        txn.put(pack_seq(purge.number), msgspec.json.encode(purge), append=True, db=self.root.purges)
        return purge


def purges(root: Root, *, newest_first: bool = False, but_damaged: bool = False) -> Iterator[Purge]:
    """All purges in order; `but_damaged` leaves out those that cannot be read, of which `problems` tells.

    What is done to a store must not be done without knowing them all. Raises StoreError.
    """
    if root.kept is None:
        return
    with root.reading() as txn, txn.cursor(root.purges) as cursor:
        for encoded in cursor.iterprev(keys=False) if newest_first else cursor.iternext(keys=False):
            try:
                purge = _decoded(encoded)
            except (msgspec.MsgspecError, ValueError) as error:
                if not but_damaged:
                    cure = "see anpr store check, and restore the last backup"
                    raise StoreError(
                        f"the journal of purges is damaged: {error}", place=str(root.path), cure=cure
                    ) from error
            else:
                yield purge


def audit_begins(root: Root) -> list[Head]:
    """The lines of the audit log after which it may begin, because they were purged. Raises StoreError."""
    return [Head(*purge.chain_end) for purge in purges(root, but_damaged=True) if purge.what == "audit"]


def newest_of_partitions(root: Root, *, but_damaged: bool = False) -> Purge | None:
    """Of the partition that went last. Raises StoreError."""
    found = purges(root, newest_first=True, but_damaged=but_damaged)
    return next((purge for purge in found if purge.what == "partition"), None)


def rewritings(root: Root) -> dict[int, Purge]:
    """The newest purge of the plates of each partition, by its first number. Raises StoreError."""
    return {purge.first_seq: purge for purge in _of_plates(root)}


def rewritings_by_name(root: Root) -> dict[str, Purge]:
    """The same by the name that it has since: of one that was rewritten twice, both. Raises StoreError."""
    return {purge.partition: purge for purge in _of_plates(root)}


def _of_plates(root: Root) -> Iterator[Purge]:
    return (purge for purge in purges(root, but_damaged=True) if purge.what == "plates")


def lost(root: Root, *, but_damaged: bool = False) -> dict[int, Purge]:
    """What was lost with damaged days, by the number before it. Raises StoreError."""
    return {purge.first_seq - 1: purge for purge in purges(root, but_damaged=but_damaged) if purge.what == "lost"}


def lost_ranges(root: Root) -> dict[int, int]:
    """For the last number of what was lost with damaged days, the one before it. Raises StoreError."""
    before: dict[int, int] = {}
    for entry in lost(root).values():
        before[entry.last_seq] = before.get(entry.first_seq - 1, entry.first_seq - 1)
    return before


def is_genuine(purge: Purge) -> bool:
    """Whether the owner of its public key signed a purge. Raises ValueError if that is no key."""
    unsigned = msgspec.structs.replace(purge, signature="")
    return is_signed(_message(unsigned), bytes.fromhex(purge.signature), bytes.fromhex(purge.public_key))


def problems(root: Root) -> Iterator[str]:
    """What is wrong with the purges that are there. Raises StoreError."""
    number, previous, end = 0, FIRST_PREVIOUS, (0, NO_END)
    beyond: dict[tuple[int, End], tuple[int, End]] = {}
    """From before to behind what was lost; its day may be back, and end in between."""
    with root.reading() as txn, txn.cursor(root.purges) as cursor:
        for encoded in cursor.iternext(keys=False):
            number += 1
            try:
                purge = _decoded(encoded)
                genuine = is_genuine(purge)
            except (msgspec.MsgspecError, ValueError):
                yield f"purge {number} is damaged"
                continue
            if (purge.number, purge.previous) != (number, previous):
                yield f"purge {purge.number} does not follow the one before"
            if not genuine:
                yield f"the signature of purge {purge.number} does not hold"
            if purge.what == "lost":
                beyond[purge.first_seq - 1, purge.begin] = purge.last_seq, purge.end
            if purge.what == "partition":
                begin = purge.first_seq - 1, purge.begin
                while end != begin and end in beyond:
                    end = beyond[end]
                back = any(before[0] <= end[0] and behind == begin for before, behind in beyond.items())
                if end != begin and not back:
                    yield f"purge {purge.number} does not follow the partition that was purged before"
                end = purge.last_seq, purge.end
            number, previous = purge.number, hashlib.sha256(encoded).hexdigest()


def _decoded(encoded: bytes) -> Purge:
    """Raises msgspec.MsgspecError, ValueError."""
    purge = msgspec.json.decode(encoded, type=Purge)
    _ = purge.begin, purge.end
    return purge


def _end(noted: tuple[int, str]) -> End:
    return End(noted[0], bytes.fromhex(noted[1]))


def _message(unsigned: Purge) -> bytes:
    return b"anpr purge 1\0" + msgspec.json.encode(unsigned)
