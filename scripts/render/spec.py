"""What a plate to draw is: its text, kind, colour, size and rows; and a sampler over every Vietnamese format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anpr.plates.forms import (
    DIGITS,
    FOREIGN_CODES,
    MILITARY_FIRST,
    MILITARY_SECOND,
    SECOND_LETTERS,
    SERIES_LETTERS,
    SPECIAL_CODES,
    STATE_LETTERS,
    Kind,
)
from anpr.plates.provinces import codes

Colour = Literal["white", "yellow", "blue", "red"]
Format = Literal[
    "car",
    "car_4_digits",
    "special",
    "agricultural",
    "motorbike",
    "motorbike_old",
    "motorbike_electric",
    "foreign",
    "temporary",
    "military",
]
"""What the sampler tells apart: the grammar's kinds, and the older formats of two of them."""
Generation = Literal["2020", "old", "motorbike", "military"]

ALL_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

FORMAT_WEIGHTS: Mapping[Format, float] = {
    "car": 0.42,
    "car_4_digits": 0.07,
    "special": 0.07,
    "agricultural": 0.01,
    "motorbike": 0.12,
    "motorbike_old": 0.15,
    "motorbike_electric": 0.03,
    "foreign": 0.05,
    "temporary": 0.03,
    "military": 0.05,
}
"""A mix for training: common formats lead, none is rare."""

SIZES_MM: Mapping[Generation, Mapping[int, tuple[float, float]]] = {
    "2020": {1: (520.0, 110.0), 2: (330.0, 165.0)},
    "old": {1: (470.0, 110.0), 2: (280.0, 200.0)},
    "motorbike": {2: (190.0, 140.0)},
    "military": {1: (468.0, 88.0), 2: (278.0, 200.0)},
}
"""Width and height by generation and lines (domain 1.6)."""


@dataclass(frozen=True, slots=True)
class PlateSpec:
    """One plate to draw."""

    text: str
    """As a reader should say it: `0-9A-Z`, no separators, Đ as D."""
    rows: tuple[str, ...]
    """As printed, top to bottom, with `-`, `.` and Đ."""
    kind: Kind
    colour: Colour
    generation: Generation
    width_mm: float
    height_mm: float
    red_letters: bool = False
    """Letters are red, digits black: NG, QT; or all red on yellow: CT, LB."""
    red_bar: bool = False
    """A red bar through the text: ambassadors."""

    def __post_init__(self) -> None:
        printed = "".join(self.rows).replace("-", "").replace(".", "").replace("Đ", "D")
        if sorted(printed) != sorted(self.text) or len(self.rows) not in (1, 2):
            raise ValueError(f"rows {self.rows!r} do not print {self.text!r} in one or two lines")

    @property
    def lines(self) -> Literal[1, 2]:
        """Rows of characters."""
        return 1 if len(self.rows) == 1 else 2


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(DIGITS[i] for i in rng.integers(0, 10, count))


def _number(rng: np.random.Generator, count: int) -> str:
    """An order number of `count` digits, never all zeros."""
    number = _digits(rng, count)
    return number if number.strip("0") else number[:-1] + "1"


def _dotted(number: str) -> str:
    return f"{number[:3]}.{number[3:]}" if len(number) == 5 else number


def _pick(rng: np.random.Generator, letters: str | tuple[str, ...]) -> str:
    return letters[int(rng.integers(0, len(letters)))]


def make_spec(
    text: str, rows: tuple[str, ...], kind: Kind, colour: Colour, generation: Generation, **flags: bool
) -> PlateSpec:
    """A spec whose size follows from its generation and rows; a motorbike's or an army plate's too."""
    width, height = SIZES_MM[generation][len(rows)]
    return PlateSpec(text, rows, kind, colour, generation, width, height, **flags)


def sample_spec(
    rng: np.random.Generator, *, weights: Mapping[Format, float] = FORMAT_WEIGHTS, any_letter: float = 0.06
) -> PlateSpec:
    """A random plate; `weights` gives the share of each format, `any_letter` of series outside the law's letters.

    The latter let a reader learn all 36 characters, so that it shows what it sees and the grammar judges after it.
    With `any_letter=0` every text is one that `anpr.plates.grammar.parse` accepts.
    """
    formats = tuple(weights)
    bounds = np.cumsum([weights[each] for each in formats])
    chosen = formats[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))]
    province = _pick(rng, tuple(codes()))
    if chosen in ("car", "car_4_digits", "special", "agricultural"):
        return _sample_car(rng, chosen, province, any_letter)
    if chosen in ("motorbike", "motorbike_old", "motorbike_electric"):
        return _sample_motorbike(rng, chosen, province, any_letter)
    if chosen == "foreign":
        return _sample_foreign(rng, province)
    if chosen == "temporary":
        number = _number(rng, 5)
        rows = (f"T{province}-{_dotted(number)}",) if rng.random() < 0.5 else (f"T{province}", _dotted(number))
        return make_spec(f"T{province}{number}", rows, "temporary", "white", _car_generation(rng))
    return _sample_military(rng, any_letter)


def _car_generation(rng: np.random.Generator) -> Generation:
    return "2020" if rng.random() < 0.55 else "old"


def _sample_car(rng: np.random.Generator, chosen: Format, province: str, any_letter: float) -> PlateSpec:
    kind: Kind = "car"
    colour: Colour = ("white", "yellow", "blue")[int(rng.choice(3, p=(0.62, 0.25, 0.13)))]
    generation = _car_generation(rng)
    number = _number(rng, 5)
    series = _pick(rng, STATE_LETTERS if colour == "blue" else SERIES_LETTERS)
    if rng.random() < any_letter:
        series = _pick(rng, ALL_LETTERS)
    printed = series
    red = False
    if chosen == "car_4_digits":
        number, generation = _number(rng, 4), "old"
        colour = "white" if colour == "yellow" else colour
    elif chosen == "special":
        kind = "special"
        series = _pick(rng, tuple(SPECIAL_CODES))
        red = series in ("CT", "LB")
        colour = "yellow" if red else "blue" if series == "CD" and rng.random() < 0.4 else "white"
        number = _number(rng, 5 if rng.random() < 0.75 else 4)
        printed = "TĐ" if series == "TD" else series
    elif chosen == "agricultural":
        kind, series, printed, colour, number = "agricultural", "LA", "LA", "yellow", _number(rng, 4)
    head = f"{province}{printed}"
    rows = (f"{head}-{_dotted(number)}",) if rng.random() < 0.5 else (head, _dotted(number))
    return make_spec(f"{province}{series}{number}", rows, kind, colour, generation, red_letters=red)


def _sample_motorbike(rng: np.random.Generator, chosen: Format, province: str, any_letter: float) -> PlateSpec:
    kind: Kind = "motorbike"
    colour: Colour = "white" if rng.random() < 0.9 else "blue"
    number = _number(rng, 5)
    if chosen == "motorbike":
        second = _pick(rng, SECOND_LETTERS)
        if rng.random() < any_letter:
            second = _pick(rng, ALL_LETTERS)
        if rng.random() < 0.06:
            number = _number(rng, 4)
        series = printed = _pick(rng, SERIES_LETTERS) + second
    elif chosen == "motorbike_electric":
        kind, colour = "motorbike_electric", "white"
        digit = _pick(rng, "123456789")
        series, printed = f"MD{digit}", f"MĐ{digit}"
    else:
        letters = STATE_LETTERS if colour == "blue" else SERIES_LETTERS
        series = printed = _pick(rng, letters) + _pick(rng, "123456789")
        if rng.random() < 0.3:
            number = _number(rng, 4)
    rows = (f"{province}-{printed}", _dotted(number))
    return make_spec(f"{province}{series}{number}", rows, kind, colour, "motorbike")


def _sample_foreign(rng: np.random.Generator, province: str) -> PlateSpec:
    letters = _pick(rng, tuple(FOREIGN_CODES))
    province = "80" if rng.random() < 0.3 else province
    country = _digits(rng, 3)
    red = letters in ("NG", "QT")
    generation = _car_generation(rng)
    number = _number(rng, 2)
    text = f"{province}{country}{letters}{number}"
    rows: tuple[str, ...] = (f"{province}-{country}", f"{letters}-{number}")
    layout = rng.random()
    if layout < 0.2:
        number, generation = _number(rng, 3), "motorbike"
        text = f"{province}{country}{letters}{number}"
        rows = (f"{province}-{country}", f"{letters}-{number}")
    elif layout < 0.3:
        text = f"{province}{letters}{country}{number}"
        rows = (f"{province}-{letters}-{country}-{number}",)
    elif layout < 0.6:
        rows = (f"{province}-{country}-{letters}-{number}",)
    bar = letters == "NG" and number == "01"
    return make_spec(text, rows, "foreign", "white", generation, red_letters=red, red_bar=bar)


def _sample_military(rng: np.random.Generator, any_letter: float) -> PlateSpec:
    second = ALL_LETTERS if rng.random() < any_letter else MILITARY_SECOND
    unit = _pick(rng, MILITARY_FIRST) + _pick(rng, second)
    if rng.random() < 0.15:
        number = _number(rng, 3)
        return make_spec(f"{unit}{number}", (unit, number), "military", "red", "motorbike")
    number = _number(rng, 4)
    joint = "-" if rng.random() < 0.8 else "."
    split = f"{number[:2]}{joint}{number[2:]}"
    if rng.random() < 0.06:
        trailer = _pick(rng, ("RM", "BM"))
        return make_spec(f"{unit}{number}{trailer}", (f"{unit}-{split}", trailer), "military", "red", "military")
    rows = (f"{unit}-{split}",) if rng.random() < 0.5 else (unit, split)
    return make_spec(f"{unit}{number}", rows, "military", "red", "military")
