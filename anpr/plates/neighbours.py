"""The texts that one mistake turns a plate into: what somebody who misread it, or a reader that did, may have said."""

from __future__ import annotations

import math

from anpr.plates.confusions import Confusions, shipped
from anpr.records import ALPHABET

LOOK_ALIKE_PROBABILITY = 0.002
"""A character is a look-alike of another if the reader takes one for the other at least so often: ten times as often as
two characters that have nothing to do with one another (`anpr.plates.confusions.UNLISTED`)."""


def one_off(text: str) -> frozenset[str]:
    """`text`, and all texts with one character of it another, one missing, or one too many (Levenshtein 1966).

    `text` is in the engine's form.
    """
    found = {text}
    for place in range(len(text) + 1):
        before, after = text[:place], text[place:]
        found |= {f"{before}{character}{after}" for character in ALPHABET}
        if after:
            found.add(before + after[1:])
            found |= {f"{before}{character}{after[1:]}" for character in ALPHABET}
    found.discard("")
    return frozenset(found)


def count_edits(one: str, other: str) -> int:
    """How many characters another, missing or too many make one text of the other (Levenshtein 1966); neither is empty.

    Myers 1999: bit k of `rises` and `falls` says whether the distance to the first k + 1 characters of `one` is one
    more or one less than that to the first k.
    """
    places: dict[str, int] = {}
    for place, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << place
    whole = (1 << len(one)) - 1
    rises, falls, distance = whole, 0, len(one)
    for character in other:
        equal = places.get(character, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
        up, down = falls | whole & ~(diagonal | rises), rises & diagonal
        distance += (up >> len(one) - 1 & 1) - (down >> len(one) - 1 & 1)
        up = up << 1 | 1
        rises, falls = (down << 1 | ~(diagonal | up)) & whole, up & diagonal & whole
    return distance


def one_look_alike(text: str, confusions: Confusions | None = None) -> frozenset[str]:
    """`text`, and all texts in which one character of it is a look-alike: read for it, or it for that one."""
    costs = (confusions or shipped()).costs
    most = -math.log(LOOK_ALIKE_PROBABILITY)
    found = {text}
    for place, character in enumerate(text):
        index = ALPHABET.index(character)
        for other, look_alike in enumerate(ALPHABET):
            if min(costs[index, other], costs[other, index]) <= most:
                found.add(f"{text[:place]}{look_alike}{text[place + 1 :]}")
    return frozenset(found)
