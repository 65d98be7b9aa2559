"""Why a listed plate or pattern matches what was read, in words."""

from __future__ import annotations

from collections.abc import Iterator

from anpr.plates.patterns import is_pattern

EXACT = "exact"
WILDCARD = "wildcard"

Pair = tuple[str, str, int]
"""What is listed, what was read, and its position in the read, from 1."""


def difference(read: str, listed: str) -> str:
    """How the listed text came to be read otherwise, with the fewest mistakes that explain it.

    `exact`; `8 read as B at position 3`; `one character missing, 5 at position 8` of the listed plate; `one character
    too many, 5 at position 8` of the read; several of them; `wildcard` with what was read otherwise than the pattern
    has it; `30A1234 read as 30A123456` where nothing of this kind explains it.
    """
    if is_pattern(listed):
        pairs = _unfitting(listed, read)
        return ", ".join([WILDCARD, *map(_told, pairs or ())])
    if read == listed:
        return EXACT
    ways = [(("",), _pairs(listed, read))] if len(read) == len(listed) else list(_shifted(read, listed))
    if not ways:
        return f"{listed} read as {read}"
    (shift,), pairs = min(ways, key=lambda way: len(way[1]))
    return ", ".join([*filter(None, [shift]), *map(_told, pairs)])


def _shifted(read: str, listed: str) -> Iterator[tuple[tuple[str], list[Pair]]]:
    """The ways in which one character is missing or too many."""
    if len(read) == len(listed) - 1:
        for place, character in enumerate(listed):
            what = f"one character missing, {character} at position {place + 1}"
            yield (what,), _pairs(listed[:place] + listed[place + 1 :], read)
    if len(read) == len(listed) + 1:
        for place, character in enumerate(read):
            what = f"one character too many, {character} at position {place + 1}"
            pairs = _pairs(listed, read[:place] + read[place + 1 :])
            yield (what,), [(true, seen, at + (at > place)) for true, seen, at in pairs]


def _pairs(listed: str, read: str) -> list[Pair]:
    return [(true, seen, at) for at, (true, seen) in enumerate(zip(listed, read, strict=True), 1) if true != seen]


def _told(pair: Pair) -> str:
    true, seen, position = pair
    return f"{true} read as {seen} at position {position}"


def _unfitting(pattern: str, read: str) -> list[Pair] | None:
    """The fewest characters of `read` that are not as the pattern has them; None if the length does not fit."""
    best: list[list[Pair] | None] = [[], *[None] * len(read)]  # by the number of characters read
    for symbol in pattern:
        following: list[list[Pair] | None] = [None] * len(best)
        for at, pairs in enumerate(best):
            if symbol == "*":
                earlier = following[at - 1] if at else None
                options = [pairs, earlier]
            elif at == 0:
                continue
            else:
                pairs = best[at - 1]
                right = symbol in ("?", read[at - 1])
                options = [pairs if right or pairs is None else [*pairs, (symbol, read[at - 1], at)]]
            following[at] = min((each for each in options if each is not None), key=len, default=None)
        best = following
    return best[-1]
