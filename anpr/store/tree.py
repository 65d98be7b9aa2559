"""A hash that stands for many events, and proves each of them with a few hashes more (a Merkle tree, RFC 6962, 2.1).

leaf = SHA-256("anpr leaf 1" 0, seq, SHA-256 of the row as it was signed or 32 zero bytes, SHA-256 of the row now)
node = SHA-256("anpr node 1" 0, left, right)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from anpr.store.keys import pack_seq

NO_HASH = bytes(32)
Step = tuple[bool, bytes]
"""(whether it stands on the left, the hash beside)."""


class Tree:
    """Grows by a leaf at a time; needs little memory."""

    def __init__(self) -> None:
        self.size = 0
        """Leaves."""
        self._whole: list[tuple[int, bytes]] = []
        """(size, hash) of whole subtrees, each smaller than the one before."""

    def add(self, leaf: bytes) -> None:
        """The next leaf."""
        size = 1
        while self._whole and self._whole[-1][0] == size:
            leaf = _node(self._whole.pop()[1], leaf)
            size *= 2
        self._whole.append((size, leaf))
        self.size += 1

    @property
    def root(self) -> bytes:
        """Of all leaves; NO_HASH without any."""
        found = NO_HASH
        for place, (_, left) in enumerate(reversed(self._whole)):
            found = _node(left, found) if place else left
        return found


def leaf_of(seq: int, signed_sha256: bytes, row: bytes) -> bytes:
    """Of an event: its number, the hash of its row as it was signed (NO_HASH: it was not), and its row now."""
    return hashlib.sha256(b"anpr leaf 1\0" + pack_seq(seq) + signed_sha256 + hashlib.sha256(row).digest()).digest()


def path_of(leaves: Sequence[bytes], index: int) -> list[Step]:
    """What leads from a leaf to the root."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path_of(leaves[:half], index), (False, _root_of(leaves[half:]))]
    return [*path_of(leaves[half:], index - half), (True, _root_of(leaves[:half]))]


def climb(leaf: bytes, path: Sequence[Step]) -> bytes:
    """The root that a path leads to."""
    for on_the_left, beside in path:
        leaf = _node(beside, leaf) if on_the_left else _node(leaf, beside)
    return leaf


def _root_of(leaves: Sequence[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"anpr node 1\0" + left + right).digest()
