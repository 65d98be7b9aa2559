"""A hash that stands for many leaves, and the way from each to it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.store.tree import NO_HASH, Tree, climb, leaf_of, path_of

LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"anpr node 1\0" + left + right).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while 2 * half < len(leaves):
        half *= 2
    return node(root_of(leaves[:half]), root_of(leaves[half:]))


@given(LEAVES, st.data())
def test_the_root_is_that_of_the_standard_and_each_leaf_leads_to_it(leaves: list[bytes], data: st.DataObject) -> None:
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    assert (tree.size, tree.root) == (len(leaves), root_of(leaves))
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = path_of(leaves, index)
    assert climb(leaves[index], path) == tree.root
    assert len(path) <= len(leaves).bit_length()
    assert climb(leaves[index][::-1] + b"x", path) != tree.root


def test_no_leaves_have_no_hash() -> None:
    assert (Tree().size, Tree().root) == (0, NO_HASH)


@pytest.mark.parametrize("change", [(8, bytes(32), b"row"), (7, b"\1" * 32, b"row"), (7, bytes(32), b"other")])
def test_a_leaf_says_number_signed_row_and_present_row(change: tuple[int, bytes, bytes]) -> None:
    assert leaf_of(*change) != leaf_of(7, bytes(32), b"row")
