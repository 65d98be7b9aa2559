"""The chain of evidence: every record with pictures is bound to the one before it, and every commit is signed.

    links   seq → number, SHA-256 of the row, head
    seals   seq → public key, signature; of the last link of each commit

A row names its pictures by their SHA-256, so a head stands for all records up to it and all their pictures:

    head      = SHA-256("anpr link 1" 0, head before, number, seq, SHA-256 of the row)
    signature = Ed25519("anpr seal 1" 0, number, seq, head)

Numbers are 8 bytes, big-endian; the head before the first is 32 zero bytes. One signature a commit costs a fraction of
one a record, and proves each of them: the few rows that follow in the same commit are part of the proof, by their hash.
The chain runs through the partitions: each knows the end of the chain when it began.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated, Literal, NamedTuple

import lmdb
import msgspec

from anpr.store.environment import put_all
from anpr.store.keys import pack_seq, unpack_seq
from anpr.store.signing import SigningKey, is_signed

FIRST_HEAD = bytes(32)

_LINK = struct.Struct(">Q32s32s")
_HEAD_OF = struct.Struct(">12s32sQQ32s")
_NUMBERS = struct.Struct(">QQ")
_END = struct.Struct(">Q32s")
_Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=1, lt=1 << 62)]


class Link(NamedTuple):
    """One record's place in the chain."""

    number: int
    """From 1, dense."""
    row_sha256: bytes
    head: bytes


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a box signed a record; holds for the bytes of the record's row."""

    version: Literal[1] = 1
    number: _Count
    seq: _Count
    previous: _Hash
    """The head before the record."""
    following: tuple[tuple[_Count, _Hash], ...]
    """The rows after it in the same commit: numbers of their events, and SHA-256."""
    public_key: _Hash
    signature: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{128}\Z")]

    def holds_for(self, row: bytes) -> bool:
        """Whether the owner of `public_key` signed this row at this place of the chain."""
        return self.holds_for_hash(sha256(row).digest())

    def holds_for_hash(self, row_sha256: bytes) -> bool:
        """The same of a row whose hash alone is known."""
        rows = ((self.seq, row_sha256), *((seq, bytes.fromhex(of)) for seq, of in self.following))
        head, number, seq = bytes.fromhex(self.previous), self.number - 1, 0
        for seq, row_sha256 in rows:
            number += 1
            head = link_head(head, number, seq, row_sha256)
        signature, public = bytes.fromhex(self.signature), bytes.fromhex(self.public_key)
        return is_signed(seal_message(number, seq, head), signature, public)


class End(NamedTuple):
    """The newest link's number and head."""

    number: int
    head: bytes

    def pack(self) -> bytes:
        """40 bytes."""
        return _END.pack(*self)

    @classmethod
    def unpack(cls, packed: bytes) -> End:
        """Of `pack`."""
        return cls(*_END.unpack(packed))


NO_END = End(0, FIRST_HEAD)
"""Of a chain without links."""


class Chain:
    """The part of the chain that one partition holds."""

    def __init__(self, links: lmdb._Database, seals: lmdb._Database, *, begins: End) -> None:
        self.begins = begins
        """Where the chain ended before the first of these links."""
        self._links = links
        self._seals = seals

    def note(self, txn: lmdb.Transaction[bytes], rows: Sequence[tuple[int, bytes]], key: SigningKey) -> None:
        """Part of the commit that writes these rows, each with the number of its event; rising."""
        if not rows:
            return
        number, head = self.end(txn)
        links: list[tuple[bytes, bytes]] = []
        for seq, row in rows:
            number += 1
            row_sha256 = sha256(row).digest()
            head = link_head(head, number, seq, row_sha256)
            links.append((pack_seq(seq), _LINK.pack(number, row_sha256, head)))
        signature = key.sign(seal_message(number, seq, head))
        put_all(txn, self._links, links, append=True)
        put_all(txn, self._seals, ((pack_seq(seq), key.public + signature),), append=True)

    def proof(self, txn: lmdb.Transaction[bytes], seq: int) -> Proof | None:
        """That the event of this number is part of the chain; None if it is not."""
        following: list[tuple[int, str]] = []
        with txn.cursor(self._links) as links, txn.cursor(self._seals) as seals:
            if not links.set_key(pack_seq(seq)) or not seals.set_range(pack_seq(seq)):
                return None
            number = Link(*_LINK.unpack(links.value())).number
            sealed_seq, sealed = unpack_seq(seals.key()), seals.value()
            while links.next() and unpack_seq(links.key()) <= sealed_seq:
                following.append((unpack_seq(links.key()), Link(*_LINK.unpack(links.value())).row_sha256.hex()))
            links.set_key(pack_seq(seq))
            previous = Link(*_LINK.unpack(links.value())).head if links.prev() else self.begins.head
        return Proof(
            number=number,
            seq=seq,
            previous=previous.hex(),
            following=tuple(following),
            public_key=sealed[:32].hex(),
            signature=sealed[32:].hex(),
        )

    def link(self, txn: lmdb.Transaction[bytes], seq: int) -> Link | None:
        """Of an event; None if it is not part of the chain."""
        packed = txn.get(pack_seq(seq), db=self._links)
        return None if packed is None else Link(*_LINK.unpack(packed))

    def links(self, txn: lmdb.Transaction[bytes], *, after_seq: int) -> Iterator[tuple[int, Link, bytes]]:
        """(number of the event, link, seal or nothing), in order."""
        with txn.cursor(self._links) as cursor:
            there = cursor.set_range(pack_seq(after_seq + 1))
            while there:
                seal = txn.get(cursor.key(), b"", db=self._seals)
                yield unpack_seq(cursor.key()), Link(*_LINK.unpack(cursor.value())), seal
                there = cursor.next()

    def end(self, txn: lmdb.Transaction[bytes]) -> End:
        """Of the last of these links; `begins` if there is none."""
        with txn.cursor(self._links) as cursor:
            if not cursor.last():
                return self.begins
            link = Link(*_LINK.unpack(cursor.value()))
            return End(link.number, link.head)

    def copy_from(self, other: Chain, source: lmdb.Transaction[bytes], txn: lmdb.Transaction[bytes], seq: int) -> None:
        """Take over an event's link and seal, byte for byte; rising. `source` reads the other chain."""
        key = pack_seq(seq)
        for theirs, mine in ((other._links, self._links), (other._seals, self._seals)):
            value = source.get(key, db=theirs)
            if value is not None:
                txn.put(key, value, append=True, db=mine)


def link_head(before: bytes, number: int, seq: int, row_sha256: bytes) -> bytes:
    """The head after one more row."""
    return sha256(_HEAD_OF.pack(b"anpr link 1\0", before, number, seq, row_sha256)).digest()


def seal_message(number: int, seq: int, head: bytes) -> bytes:
    """What is signed."""
    return b"anpr seal 1\0" + _NUMBERS.pack(number, seq) + head
