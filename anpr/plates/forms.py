"""The forms of Vietnamese plates, as data. Parsing (`grammar`) and decoding (`lattice`) both derive from it.

Sources: Circular 79/2024/TT-BCA art. 37 and 39 (series, special codes, old plates that still circulate), Circular
24/2023/TT-BCA app. 3 (foreign plates), Circular 169/2021/TT-BQP (military). Three forms are wider than the regulations
because such plates are on the road: motorbikes with two letters and four digits (`51-FB 4779`), old motorbikes of a
series R (`54-R1 1147`), and the agricultural series LA (`20LA-1035`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anpr.plates.provinces import codes

Kind = Literal[
    "car",
    "special",
    "agricultural",
    "motorbike",
    "motorbike_electric",
    "foreign",
    "temporary",
    "military",
]
Part = Literal["province", "series", "organisation", "number", "suffix"]

DIGITS = "0123456789"
STATE_LETTERS = "ABCDEFGHKLM"
"""Series letters of blue (state) plates."""
OTHER_LETTERS = "NPSTUVXYZ"
"""Series letters that no blue plate has."""
SERIES_LETTERS = STATE_LETTERS + OTHER_LETTERS
SECOND_LETTERS = SERIES_LETTERS + "R"
"""Second letter of a motorbike series; sources disagree on G and R, both are accepted."""
MILITARY_FIRST = "ABCDHKNPQTV"
MILITARY_SECOND = "ABCDEFGHKLMNPQRSTUVXYZ"
UNUSED_LETTERS = "IJOW"
"""On no plate of any kind (Q is on military and QT plates only)."""

SPECIAL_CODES = {
    "CD": "special-purpose machinery",
    "CT": "Cầu Treo border economic zone",
    "DA": "project management board",
    "HC": "limited-operation vehicle",
    "KT": "army enterprise",
    "LB": "Lao Bảo economic zone",
    "LD": "foreign-invested company",
    "MK": "tractor",
    "R": "trailer, old series",
    "RM": "trailer",
    "TD": "pilot vehicle assembled in Viet Nam",
}
FOREIGN_CODES = {
    "CV": "administrative and technical staff of a mission",
    "NG": "diplomatic mission",
    "NN": "other foreign organisation or person",
    "QT": "international organisation",
}

Paths = tuple[tuple[str, ...], ...]
"""Alternatives; each is a sequence of character sets, and no string fits two of them."""


@dataclass(frozen=True, slots=True)
class Form:
    """One printed form: its kind and its parts in order."""

    kind: Kind
    parts: tuple[tuple[Part, Paths], ...]


def _words(*words: str) -> Paths:
    return tuple(tuple(word) for word in words)


def _number(digits: int) -> Paths:
    """An order number of so many digits; all zeros does not exist."""
    return tuple(("0",) * zeros + ("123456789",) + (DIGITS,) * (digits - zeros - 1) for zeros in range(digits))


def _province() -> Paths:
    seconds: dict[str, str] = {}
    for code in codes():
        seconds[code[0]] = seconds.get(code[0], "") + code[1]
    return tuple(seconds.items())


def _forms() -> tuple[Form, ...]:
    province: tuple[Part, Paths] = ("province", _province())
    organisation: tuple[Part, Paths] = ("organisation", ((DIGITS,) * 3,))
    foreign: tuple[Part, Paths] = ("series", _words(*FOREIGN_CODES))
    temporary: tuple[Part, Paths] = ("series", _words("T"))
    military: tuple[Part, Paths] = ("series", ((MILITARY_FIRST, MILITARY_SECOND),))
    forms: list[Form] = []

    def add(kind: Kind, *parts: tuple[Part, Paths], digits: tuple[int, ...], suffix: str = "") -> None:
        tail: tuple[tuple[Part, Paths], ...] = (("suffix", _words(suffix)),) if suffix else ()
        forms.extend(Form(kind, (*parts, ("number", _number(count)), *tail)) for count in digits)

    # State letters apart from the others, so that the decoder can weigh a blue background.
    for letters in (STATE_LETTERS, OTHER_LETTERS):
        add("car", province, ("series", ((letters,),)), digits=(4, 5))
        add("motorbike", province, ("series", ((letters, "123456789"),)), digits=(4, 5))
        add("motorbike", province, ("series", ((letters, SECOND_LETTERS),)), digits=(4, 5))
    add("motorbike", province, ("series", (("R", "123456789"),)), digits=(4,))
    add("special", province, ("series", _words(*SPECIAL_CODES)), digits=(4, 5))
    add("agricultural", province, ("series", _words("LA")), digits=(4,))
    add("motorbike_electric", province, ("series", (("M", "D"), ("M", "D", "123456789"))), digits=(5,))
    add("foreign", province, organisation, foreign, digits=(2, 3))
    add("foreign", province, foreign, organisation, digits=(2, 3))
    add("temporary", temporary, province, digits=(4, 5))
    add("military", military, digits=(3, 4))
    add("military", military, digits=(4,), suffix="RM")
    add("military", military, digits=(4,), suffix="BM")
    return tuple(forms)


FORMS = _forms()
LONGEST = max(sum(max(map(len, paths)) for _, paths in form.parts) for form in FORMS)
"""Characters of the longest plate."""
