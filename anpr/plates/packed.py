"""A plate text as one number, for tables of millions: base 37, 0 for no text."""

from __future__ import annotations

from functools import lru_cache

from anpr.records import ALPHABET

LONGEST_PACKED = 12
"""Characters: 37 to the power of 12 is below 2 to the power of 63."""

_VALUES = {character: value for value, character in enumerate(ALPHABET, start=1)}
_CHARACTERS = " " + ALPHABET


def pack(text: str) -> int | None:
    """The number of a normalised text; None if it is too long or has a character that is on no plate."""
    if len(text) > LONGEST_PACKED:
        return None
    number = 0
    try:
        for character in text:  # a table of numbers would be slower: what it holds is never in the processor's cache
            number = number * 37 + _VALUES[character]
    except KeyError:
        return None
    return number


@lru_cache(maxsize=8192)
def unpack(number: int) -> str:
    """The text of a number that `pack` gave."""
    characters: list[str] = []
    while number:
        number, value = divmod(number, 37)
        characters.append(_CHARACTERS[value])
    return "".join(reversed(characters))
