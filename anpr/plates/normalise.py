"""The engine's one form of a plate text: characters of `0-9A-Z`, Đ as D, no separators.

The same function serves lists, searches and labels, so that two spellings of a plate are never two plates. What is not
known to be harmless is refused, never dropped in silence.
"""

from __future__ import annotations

import unicodedata

from anpr.errors import PlateError
from anpr.records import ALPHABET

MAX_INPUT = 64
"""Longer texts are no plates, and are refused before any work is done on them."""

_ALLOWED = frozenset(ALPHABET)
_SEPARATORS = frozenset("-._·•‧∙⋅‐‑‒–—―−­\uff0d\uff0e")  # the last two are the full-width - and .
_LOOK_ALIKES = str.maketrans(
    {
        # Vietnamese, Icelandic and African D with stroke: equal to the eye, unrelated to Unicode.
        **dict.fromkeys("ĐÐƉ", "D"),
        **dict(zip("АВЕЅІЈКМНОРСТУХҮԚԜ", "ABESIJKMHOPCTYXYQW", strict=True)),  # Cyrillic
        **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),  # Greek
    }
)


def normalise(text: str) -> str:
    """`text` in the engine's form: `' 30a-123.45\\n'` and `'３０А-123.45'` (full-width, Cyrillic А) give `'30A12345'`.

    Separators, white space and invisible format characters fall away. Raises PlateError naming the first character that
    has no place on a plate, its position (from 1) in `text`, and what it may have meant.
    """
    if len(text) > MAX_INPUT:
        raise PlateError(f"{len(text)} characters are too many for a plate", cure=f"give at most {MAX_INPUT}")
    kept: list[str] = []
    for position, character in enumerate(text, start=1):
        if character in _SEPARATORS or character.isspace() or unicodedata.category(character) == "Cf":
            continue
        folded = unicodedata.normalize("NFKC", character).upper().translate(_LOOK_ALIKES)
        if len(folded) != 1 or folded not in _ALLOWED:
            raise PlateError(
                f"character {character!r} (U+{ord(character):04X}) at position {position} of {text!r} "
                "is never on a plate",
                cure=_cure(character),
            )
        kept.append(folded)
    if not kept:
        raise PlateError("the plate is empty", cure="give its characters, like 30A-123.45")
    return "".join(kept)


def _cure(character: str) -> str:
    """What the writer may have meant by a character that is refused."""
    if unicodedata.combining(character):
        return "remove the accent"
    value = unicodedata.digit(character, None)
    if value is not None:
        return f"did you mean {value}?"
    base = unicodedata.normalize("NFKD", character).upper().translate(_LOOK_ALIKES)[:1]
    if base in _ALLOWED and base:
        return f"did you mean {base}?"
    if character in "*?":
        return "wildcards are not allowed here"
    if character == "+":
        return "a spreadsheet turned the plate into a number: format the column as text"
    return "use 0-9, A-Z and Đ only"
