"""What must not stand in a log: credentials, number plates, and what a message quotes of somebody's data.

Plates are personal data: a log is read, copied and kept by more people, and for longer, than the store that may hold
them. So whatever a process writes for its operators goes through `masked`, in one place (`anpr.log`).
"""

from __future__ import annotations

import re
from typing import Self

HIDDEN = "***"
MOST_CHARACTERS = 200
"""Of a purpose or a case."""
SHORTEST_SHOWN = 7
"""A plate shorter than this is hidden whole."""

_ADDRESS = re.compile(r"(:/{1,2})(\S*)@(\S*)")
"""A password may hold `@ : / ? # %`, and a file name that was meant as a URL has lost one of its slashes."""
_SECRET = re.compile(
    r"(?i)(?<![a-z])"
    r"((?:user(?:name)?|usr|login|pass(?:w(?:or)?d|phrase)?|pwd?|psw|token|secret|auth|(?:api_?)?key|sig(?:nature)?)=)"
    r"(?:[^&\s\"']|'(?=\w))+"
)
"""Values of a query; some cameras write them into the path, joined by `_` or `&`."""
_PLATE = re.compile(
    r"""(?x)
    (?<![^\W_])                                              # not within a word or a number
    (?:
        T?\d{2}(?:[-.]?[^\W\d_]|[ ](?=[A-ZĐ])[^\W\d_]){1,2}   # province and series: 30A, 29-H1, 80-NG, T30
        (?:\d(?=[-.·\ ]))?[-.·\ ]{0,3}
        \d{2,3}[-.·]?\d{2,3}
      | T[-.\ ]?\d{2}[-.\ ]?\d{3}[-.]?\d{1,2}                # temporary
      | \d{2}[-.\ ]?\d{3}[-.\ ]?[A-Za-z]{2}[-.\ ]?\d{2,3}    # foreign, the organisation first
      | \d{2}[-.\ ]?[A-Z]{2}[-.\ ]?\d{3}[-.\ ]\d{2,3}
      | [A-ZĐ]{2}[-.]?\d{2}[-.]?\d{1,2}(?:[ ]?[RB]M)?      # military
    )
    (?![^\W_])
    """
)
"""Any spelling of the forms of `anpr.plates.forms`, in letters of any script; numbers that merely look alike, too."""
_PATTERN = re.compile(
    r"(?<![\w*?])(?=[\w.\-]{0,15}[*?])(?![\w.\-]{0,15}\*\*\*)(?=(?:[A-Za-z_*?.\-]{0,15}\d){3})[\w*?][\w*?.\-]{3,15}(?![\w*?])"
)
"""A pattern of plates that says three digits or more, `30A-12?.45`."""
_QUOTED = re.compile(r"(?<!\w)(?:'(?:[^'\\\n]|\\.){0,2000}'|\"(?:[^\"\\\n]|\\.){0,2000}\")(?!\w)")


class Private(str):
    """A text that quotes somebody's data, with what a log shows in its place."""

    __slots__ = ("masked",)

    masked: str

    def __new__(cls, text: str, *, masked: str | None = None) -> Self:
        """`masked` None: the text without what it quotes."""
        made = super().__new__(cls, text)
        made.masked = mask_plates(_QUOTED.sub(HIDDEN, text)) if masked is None else masked
        return made


def checked_words(words: str) -> str:
    """Why somebody asks for personal data, without blanks around it. Raises ValueError if that says nothing, too much,
    or hides something."""
    words = words.strip()
    if not words or len(words) > MOST_CHARACTERS or not words.isprintable():
        raise ValueError(f"is empty, too long or not printable (1 to {MOST_CHARACTERS} characters)")
    return words


def redact(text: str) -> str:
    """`text` without the credentials of its URLs (`rtsp://user:pw@host` becomes `rtsp://***@host`).

    Everything between `://` and the last `@` before a blank goes, and so do query values such as `user=` and
    `password=`. Where that `@` may be of such a value, all of the address goes. Hiding too much is meant.
    """
    return _SECRET.sub(rf"\g<1>{HIDDEN}", _ADDRESS.sub(_redact_match, text))


def mask_plate(text: str) -> str:
    """A plate as logs may show it: `30A12345` becomes `30A***`. Short texts are hidden whole."""
    return text[:3] + HIDDEN if len(text) >= SHORTEST_SHOWN else HIDDEN


def mask_plates(text: str) -> str:
    """`text` with every plate in it, and every pattern of plates, masked."""
    return _PATTERN.sub(_mask_match, _PLATE.sub(_mask_match, text))


def masked(text: str, *, plates: bool = True) -> str:
    """`text` as a log may show it, without credentials; with its plates masked, unless `plates` is false."""
    if not plates:
        return redact(str(text))
    return mask_plates(redact(text.masked if isinstance(text, Private) else text))


def _redact_match(match: re.Match[str]) -> str:
    slashes, before, after = match.groups()
    return f"{slashes}{HIDDEN}" + ("" if _SECRET.search(before) else f"@{after}")


def _mask_match(match: re.Match[str]) -> str:
    return mask_plate(match[0])
