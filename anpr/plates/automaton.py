"""The plates as an acyclic automaton: one path from the start per valid text.

It is deterministic, so the probabilities of its paths may be summed, and its states are layered by depth (a state of
layer n is reached by exactly n characters), so one sweep over its edges visits each slot of a lattice once.
Construction: subsets of the forms' positions, then equal states of a layer are merged, last layer first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from anpr.plates.forms import FORMS, LONGEST, Form
from anpr.records import ALPHABET

_Path = tuple[int, tuple[str, ...]]
"""Number of the form, and the character sets that still have to come."""


@dataclass(frozen=True, slots=True, eq=False)
class Automaton:
    """States are numbered layer by layer from the start, 0; every edge leads to the next layer."""

    layer_start: NDArray[np.int32]
    """(layers + 1,): the states of layer n are layer_start[n] to layer_start[n + 1]."""
    edge_start: NDArray[np.int32]
    """(states + 1,): the edges of state s are edge_start[s] to edge_start[s + 1]."""
    edge_character: NDArray[np.int32]
    """(edges,) index into ALPHABET."""
    edge_target: NDArray[np.int32]
    """(edges,) the state that it leads to."""
    forms: tuple[frozenset[int], ...]
    """Per state: the forms of which it completes a text; empty where no plate ends."""

    def accepts(self, text: str) -> frozenset[int]:
        """The forms that `text` has; empty if it is no plate."""
        state = 0
        for character in text:
            edges = slice(self.edge_start[state], self.edge_start[state + 1])
            found = np.flatnonzero(self.edge_character[edges] == ALPHABET.find(character))
            if not len(found):
                return frozenset()
            state = int(self.edge_target[edges][found[0]])
        return self.forms[state]


@cache
def automaton() -> Automaton:
    """The automaton of all forms of `anpr.plates.forms`."""
    start = frozenset((number, path) for number, form in enumerate(FORMS) for path in _paths(form))
    layers: list[dict[frozenset[_Path], dict[int, frozenset[_Path]]]] = []
    frontier = {start}
    for _ in range(LONGEST + 1):
        layer = {subset: _step(subset) for subset in frontier}
        layers.append(layer)
        frontier = {target for edges in layer.values() for target in edges.values()}

    # Merge from the last layer: states with the same forms and the same edges are one.
    merged: list[list[tuple[frozenset[int], tuple[tuple[int, int], ...]]]] = []
    below: dict[frozenset[_Path], int] = {}
    for layer in reversed(layers):
        signatures: dict[tuple[frozenset[int], tuple[tuple[int, int], ...]], int] = {}
        numbers: dict[frozenset[_Path], int] = {}
        for subset in sorted(layer, key=sorted):
            ends = frozenset(number for number, rest in subset if not rest)
            signature = (ends, tuple(sorted((char, below[target]) for char, target in layer[subset].items())))
            numbers[subset] = signatures.setdefault(signature, len(signatures))
        merged.append(list(signatures))
        below = numbers
    return _pack(merged[::-1])


def _paths(form: Form) -> Iterator[tuple[str, ...]]:
    """Every sequence of character sets that the form allows."""
    heads: list[tuple[str, ...]] = [()]
    for _, alternatives in form.parts:
        heads = [head + path for head in heads for path in alternatives]
    yield from heads


def _step(subset: frozenset[_Path]) -> dict[int, frozenset[_Path]]:
    targets: dict[int, set[_Path]] = {}
    for number, rest in subset:
        if rest:
            for character in rest[0]:
                targets.setdefault(ALPHABET.index(character), set()).add((number, rest[1:]))
    return {character: frozenset(target) for character, target in targets.items()}


def _pack(layers: list[list[tuple[frozenset[int], tuple[tuple[int, int], ...]]]]) -> Automaton:
    layer_start = np.cumsum([0, *map(len, layers)], dtype=np.int32)
    edge_start, characters, targets = [0], list[int](), list[int]()
    for depth, layer in enumerate(layers):
        for _, edges in layer:
            characters.extend(character for character, _ in edges)
            targets.extend(int(layer_start[depth + 1]) + target for _, target in edges)
            edge_start.append(len(characters))
    return Automaton(
        layer_start=layer_start,
        edge_start=np.array(edge_start, np.int32),
        edge_character=np.array(characters, np.int32),
        edge_target=np.array(targets, np.int32),
        forms=tuple(ends for layer in layers for ends, _ in layer),
    )
