"""Proof, for one record, that a row without a plate rightly took the place of the one that was signed."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from anpr.store.chain import Proof
from anpr.store.partitions import Partitions
from anpr.store.purges import Purge, is_genuine, rewritings_by_name
from anpr.store.rewriting import is_rewritten, leaves, signed_sha256
from anpr.store.root import Root
from anpr.store.tree import climb, leaf_of, path_of

_Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Replacement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside the proof of the row that was signed, whose hash alone is left."""

    version: Literal[1] = 1
    signed_sha256: _Hash
    """Of the row as it was signed."""
    path: Annotated[tuple[tuple[bool, _Hash], ...], msgspec.Meta(max_length=64)]
    """From the record to the hash that the purge holds: (whether it stands on the left, the hash beside)."""
    purge: Purge
    """That took the plates of the day away."""

    def holds_for(self, proof: Proof, row: bytes) -> bool:
        """Whether the box signed a row at the proof's place, and that this one took its place. Raises ValueError."""
        signed, purge = bytes.fromhex(self.signed_sha256), self.purge
        if purge.rewritten is msgspec.UNSET or not purge.first_seq <= proof.seq <= purge.last_seq:
            return False
        root = climb(leaf_of(proof.seq, signed, row), [(left, bytes.fromhex(beside)) for left, beside in self.path])
        return root.hex() == purge.rewritten[1] and is_genuine(purge) and proof.holds_for_hash(signed)


def replacement_of(root: Root, partitions: Partitions, seq: int) -> Replacement | None:
    """Of an event that is part of the chain; None if it is as it was signed. Raises StoreError."""
    partition, purge = partitions.of_seq(seq), None
    if partition is None:
        return None
    with partition.reading() as txn:
        if is_rewritten(partition, txn, seq):
            purge = rewritings_by_name(root).get(str(partition.name))
        if purge is None:
            return None
        of_all = list(leaves(partition, txn))
        index = [number for number, _ in of_all].index(seq)
        return Replacement(
            signed_sha256=signed_sha256(partition, txn, seq).hex(),
            path=tuple((left, beside.hex()) for left, beside in path_of([leaf for _, leaf in of_all], index)),
            purge=purge,
        )
