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
    try:
        return _head(text[:-4]) * 37**4 + _tail(text[-4:])
    except KeyError:
        return None


def _number(text: str) -> int:
    number = 0
    for character in text:
        number = number * 37 + _VALUES[character]
    return number


_head, _tail = lru_cache(maxsize=1 << 15)(_number), lru_cache(maxsize=1 << 14)(_number)
"""Most plates share the beginning with many, and the last four digits with many others."""


@lru_cache(maxsize=8192)
def unpack(number: int) -> str:
    """The text of a number that `pack` gave."""
    characters: list[str] = []
    while number:
        number, value = divmod(number, 37)
        characters.append(_CHARACTERS[value])
    return "".join(reversed(characters))
