"""A plate as six bits a character, and a pattern as masks over them: what a column of stored plates is scanned by.

The code of a text is, from 0, for each character `code = code << 6 | 1 + ALPHABET.index(it)`: an int64 of at most
LONGEST characters; 0 is no text. All codes of n characters are smaller than those of n + 1, and those of one length
sort as their texts do. So in a sorted column the plates of a length, and of those the ones with a given beginning, lie
together, and a pattern is laid on a plate with one `code & mask == value` for each way it fits the length. Pseudonyms
(`anpr.plates.pseudonym`) have codes above those of all plates: no pattern reaches them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anpr.plates.forms import LONGEST
from anpr.plates.pseudonym import MARK, number_of, text_of
from anpr.records import ALPHABET

BITS = 6
"""A character's."""
NO, YES, IF_PLATE = 0, 1, 2
"""What a search says of passages that look alike: none, all, or those with certain plates are wanted."""
PACKED_RADIX = 37
MOST_PACKED = PACKED_RADIX**LONGEST
"""Numbers of `anpr.plates.packed` from here on have too many characters for a code."""
PSEUDONYMS = 1 << BITS * LONGEST
"""The code of a pseudonym is this and its number."""

_VALUES = {character: value for value, character in enumerate(ALPHABET, start=1)}
_WHOLE = (1 << BITS) - 1


class Masks(NamedTuple):
    """A pattern for the plates of one length. A code fits if `code & masks[k] == values[k]` for any k."""

    first: int
    """The codes of the length that begin as the pattern does are in `first <= code < end`."""
    end: int
    masks: NDArray[np.int64]
    values: NDArray[np.int64]


def encode(text: str) -> int | None:
    """The code of a text in the engine's form, or of a pseudonym; None if it is too long or has a character that is on
    no plate."""
    if text.startswith(MARK):
        number = number_of(text)
        return None if number is None else PSEUDONYMS | number
    if len(text) > LONGEST:
        return None
    code = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            return None
        code = code << BITS | value
    return code


def decode(code: int) -> str:
    """The text of a code."""
    if code >= PSEUDONYMS:
        return text_of(code - PSEUDONYMS)
    characters = []
    while code:
        characters.append(ALPHABET[(code & _WHOLE) - 1])
        code >>= BITS
    return "".join(reversed(characters))


def from_packed(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The codes of numbers of `anpr.plates.packed` below MOST_PACKED; in the same order."""
    codes = np.zeros(len(numbers), np.int64)
    rest = numbers.astype(np.int64)
    for place in range(LONGEST):
        codes |= (rest % PACKED_RADIX) << (BITS * place)
        rest //= PACKED_RADIX
    return codes


def shortest_code(length: int) -> int:
    """No code of `length` characters is smaller, and all codes of fewer are."""
    return 1 << BITS * (length - 1) if length else 0


def masks_of(pattern: str, length: int) -> Masks | None:
    """`pattern` (`0-9A-Z`, `?` one character, `*` any number) for texts of `length`; None if none of them fits."""
    parts = [_mask(part) for part in pattern.split("*")]
    sizes = [len(part) for part in pattern.split("*")]
    slack = length - sum(sizes)
    if slack < 0 or (slack and len(parts) == 1):
        return None
    # (mask, value, slack left) of the ways to lay the parts so far; between two parts any of the slack may be spent.
    ways = {(*parts[0], slack)}
    for number, ((mask, value), size) in enumerate(zip(parts[1:], sizes[1:]), start=2):
        ways = {
            (before << BITS * (gap + size) | mask, wanted << BITS * (gap + size) | value, left - gap)
            for before, wanted, left in ways
            for gap in ([left] if number == len(parts) else range(left + 1))
        }
    beginning = re.split(r"[*?]", pattern, maxsplit=1)[0]
    first = encode(beginning) or 0
    rest = BITS * (length - len(beginning))
    laid = sorted({(mask, value) for mask, value, _ in ways})
    return Masks(
        first=max(first << rest, shortest_code(length)),
        end=min((first + 1) << rest, shortest_code(length + 1)),
        masks=np.array([mask for mask, _ in laid], np.int64),
        values=np.array([value for _, value in laid], np.int64),
    )


def _mask(part: str) -> tuple[int, int]:
    """Mask and value of characters in a row."""
    mask = value = 0
    for character in part:
        mask = mask << BITS | (0 if character == "?" else _WHOLE)
        value = value << BITS | (0 if character == "?" else _VALUES[character])
    return mask, value
