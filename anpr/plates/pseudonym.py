"""What stands in a plate's place where nobody may know the plate any more: `~7ZK4M0Q2RT9C`.

    pseudonym = "~" + base32(the first 60 bits of HMAC-SHA-256(key, "anpr pseudonym 1" 0 text))

Under one key a plate has one pseudonym, so that passages of one vehicle are still known to be of one; without the key
nothing leads back. With it, all plates that there are can be tried: the key is as secret as the plates were. No plate,
and nothing that is typed as one, begins with `~`. The digits are Crockford's: none is taken for another.
"""

from __future__ import annotations

import hashlib
import hmac

MARK = "~"
"""Begins every pseudonym, and no plate."""
BITS = 60
"""That any two of ten million plates share a pseudonym has a chance of 1 to 20,000."""
KEY_BYTES = 32

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_BITS_A_DIGIT = 5
_LENGTH = BITS // _BITS_A_DIGIT


class Pseudonyms:
    """Of one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of pseudonyms has {KEY_BYTES} bytes, got {len(key)}")
        self._keyed = hmac.new(key, b"anpr pseudonym 1\0", hashlib.sha256)
        self.fingerprint = hashlib.sha256(b"anpr pseudonym key 1\0" + key).hexdigest()[:16]
        """Says which key it is, and nothing of it."""

    def __repr__(self) -> str:
        return f"Pseudonyms({self.fingerprint})"

    def of(self, text: str) -> str:
        """The pseudonym of a plate in the engine's form; of no plate, none."""
        if not text:
            return ""
        keyed = self._keyed.copy()
        keyed.update(text.encode())
        return text_of(int.from_bytes(keyed.digest()[:8], "big") >> (64 - BITS))


def is_pseudonym(text: str) -> bool:
    """Whether a text is a pseudonym, not a plate."""
    return number_of(text) is not None


def number_of(text: str) -> int | None:
    """A pseudonym as a number of BITS bits; None if it is none."""
    if len(text) != 1 + _LENGTH or text[0] != MARK:
        return None
    number = 0
    for digit in text[1:]:
        value = _VALUES.get(digit)
        if value is None:
            return None
        number = number << _BITS_A_DIGIT | value
    return number


def text_of(number: int) -> str:
    """The pseudonym of `number_of`."""
    places = range(BITS - _BITS_A_DIGIT, -1, -_BITS_A_DIGIT)
    return MARK + "".join(_DIGITS[number >> place & len(_DIGITS) - 1] for place in places)
