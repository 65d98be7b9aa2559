"""Patterns of plates: `30A-12?.45`, `*A-123.4*`, `20*` (a province), `20A*` (a series).

`?` stands for exactly one character, `*` for any number of them, none included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from anpr.errors import PlateError
from anpr.plates.automaton import automaton
from anpr.plates.forms import FORMS, UNUSED_LETTERS, Kind
from anpr.plates.normalise import normalise
from anpr.records import ALPHABET

LONGEST_PATTERN = 12
"""Characters of a pattern without separators, wildcards included."""
FEWEST_FIXED = 2
"""Characters that are no wildcards: with fewer, a pattern is a large part of all vehicles."""

_ONE, _MANY = "?", "*"
_FULL_WIDTH = str.maketrans({"？": _ONE, "＊": _MANY, "﹡": _MANY, "∗": _MANY})
_WILD = re.compile(r"[?*]+")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A plate of which some characters are not known."""

    text: str
    """In the engine's form: `0-9A-Z`, `?` and `*`, no separators; in a run of wildcards each `?` before a single `*`,
    so that two spellings of a pattern are never two patterns."""
    _expression: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        expression = self.text.replace(_ONE, ".").replace(_MANY, ".*")
        object.__setattr__(self, "_expression", re.compile(expression, re.DOTALL))

    def matches(self, plate: str) -> bool:
        """Whether a plate in the engine's form fits."""
        return self._expression.fullmatch(plate) is not None


def is_pattern(written: str) -> bool:
    """Whether a text as somebody wrote it has wildcards, and so is meant as a pattern."""
    return _WILD.search(written.translate(_FULL_WIDTH)) is not None


def parse_pattern(written: str) -> Pattern:
    """The pattern of any spelling: `' 30a-12?.45'` gives `30A12?45`.

    Raises PlateError for a text without wildcards, with a character that is never on a plate, that leaves too much
    open, or that no Vietnamese plate fits.
    """
    written = written.strip().translate(_FULL_WIDTH)
    if not is_pattern(written):
        raise PlateError(f"{written!r} has no wildcard", cure="write ? for one unknown character, * for any number")
    parts = []
    for part in re.split(r"([?*])", written):
        if part in (_ONE, _MANY):
            parts.append(part)
        elif part.strip(" -._"):
            parts.append(normalise(part))
    text = _WILD.sub(_in_order, "".join(parts))
    fixed = sum(character in ALPHABET for character in text)
    if fixed < FEWEST_FIXED:
        raise PlateError(
            f"the pattern {text!r} is too wide, only {fixed} of its characters are fixed",
            cure=f"fix at least {FEWEST_FIXED}, like 20* for a province or 20A* for a series",
        )
    if len(text) > LONGEST_PATTERN:
        raise PlateError(
            f"{len(text)} characters are too many for a pattern", cure=f"at most {LONGEST_PATTERN}, wildcards included"
        )
    if not any(_count(text).values()):
        raise PlateError(f"no Vietnamese plate fits the pattern {text!r}{_hint(text)}", cure="like 30A-12?.45 or 20A*")
    return Pattern(text)


def _in_order(run: re.Match[str]) -> str:
    return _ONE * run[0].count(_ONE) + _MANY * (_MANY in run[0])


def _hint(text: str) -> str:
    unused = next((character for character in text if character in UNUSED_LETTERS), "")
    return f": the letter {unused} is on none" if unused else ""


def count_by_kinds(pattern: Pattern) -> Mapping[frozenset[Kind], int]:
    """How many different Vietnamese plates fit, by the kinds that share them."""
    found: dict[frozenset[Kind], int] = {}
    for forms, plates in _count(pattern.text).items():
        kinds = frozenset(FORMS[form].kind for form in forms)
        found[kinds] = found.get(kinds, 0) + plates
    return found


def _count(text: str) -> Mapping[frozenset[int], int]:
    """How many plates fit, by the forms that they have.

    Walks the automaton of all plates with the set of places that the pattern may be at after each character."""
    graph = automaton()
    accepting = [0] * len(ALPHABET)  # per character the places (bits) that it may be read at
    loops = 0
    for place, symbol in enumerate(text):
        loops |= (symbol == _MANY) << place
        for index, character in enumerate(ALPHABET):
            accepting[index] |= (symbol in (_ONE, character)) << place

    def skip(places: int) -> int:
        """The same, and past any `*` that takes nothing."""
        while (further := places | (places & loops) << 1) != places:
            places = further
        return places

    found: dict[frozenset[int], int] = {}
    reached = {(0, skip(1)): 1}
    while reached:
        following: dict[tuple[int, int], int] = {}
        for (state, places), texts in reached.items():
            if graph.forms[state] and places >> len(text) & 1:
                found[graph.forms[state]] = found.get(graph.forms[state], 0) + texts
            first, last = graph.edge_start[state], graph.edge_start[state + 1]
            characters, targets = graph.edge_character[first:last].tolist(), graph.edge_target[first:last].tolist()
            for character, target in zip(characters, targets, strict=True):
                further = skip((places & accepting[character]) << 1 | places & loops)
                if further:
                    following[target, further] = following.get((target, further), 0) + texts
        reached = following
    return found
