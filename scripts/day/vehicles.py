"""Who drives on the road: plates of the region's provinces on cars, buses and trucks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from anpr.plates.forms import MILITARY_FIRST, SERIES_LETTERS, STATE_LETTERS
from anpr.plates.grammar import Reading, readings
from scripts.render.spec import Colour, Generation, PlateSpec, make_spec

Body = Literal["car", "bus", "truck", "motorbike"]

PROVINCES = (
    ("20", 0.34), ("29", 0.13), ("30", 0.14), ("99", 0.06), ("97", 0.05), ("88", 0.05), ("12", 0.04), ("22", 0.03),
    ("11", 0.03), ("14", 0.02), ("15", 0.02), ("36", 0.02), ("37", 0.01), ("89", 0.01), ("90", 0.01), ("18", 0.01),
    ("35", 0.01), ("19", 0.01), ("80", 0.01),
)  # fmt: skip
"""Codes on the road with their shares: knowledge of the road, not a count. 98 and 34 are in zones, planted only."""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle with its plate."""

    text: str
    """As a reader should say it."""
    colour: Colour
    body: Body = "car"
    kind: str = ""
    """Of the text's readings the meant one; empty: the likeliest on a road for cars."""
    generation: Generation = "2020"

    @property
    def display(self) -> str:
        """As printed, `30A-123.45`."""
        return self._reading.display

    def spec(self, *, lines: int) -> PlateSpec:
        """The plate to draw: one line in front, two lines behind; a motorbike's always has two."""
        reading = self._reading
        if reading.kind == "motorbike":
            return make_spec(self.text, tuple(reading.display.split(" ")), "motorbike", self.colour, "motorbike")
        head, _, number = reading.display.rpartition("-")
        if reading.kind == "military":
            unit, number = reading.display.split("-", 1)
            rows = (reading.display,) if lines == 1 else (unit, number)
            return make_spec(self.text, rows, "military", self.colour, "military")
        rows = (reading.display,) if lines == 1 else (head, number)
        return make_spec(self.text, rows, reading.kind, self.colour, self.generation)

    @property
    def _reading(self) -> Reading:
        found = readings(self.text, colour=self.colour)
        return next((reading for reading in found if reading.kind == self.kind), found[0])


class Registry:
    """Makes vehicles, no two with the same plate."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._codes = [code for code, _ in PROVINCES]
        shares = np.array([share for _, share in PROVINCES])
        self._shares = shares / shares.sum()
        self.taken: set[str] = set()

    def background(self) -> Vehicle:
        """Any vehicle of the day that breaks no rule."""
        rng = self._rng
        body: Body = ("car", "bus", "truck")[int(rng.choice(3, p=(0.70, 0.10, 0.20)))]
        draw = rng.random()
        business = {"truck": 0.8, "bus": 0.9}.get(body, 0.18)
        if draw > 0.985 and body == "car":
            return self.military()
        code = self._codes[int(rng.choice(len(self._codes), p=self._shares))]
        colour: Colour = "blue" if code == "80" or draw > 0.965 else "yellow" if draw < business else "white"
        if colour == "blue":
            body = "car"
        digits = 4 if colour == "white" and rng.random() < 0.06 else 5
        return self.car(code, colour=colour, body=body, digits=digits)

    def car(self, code: str, *, colour: Colour = "white", body: Body = "car", digits: int = 5) -> Vehicle:
        """A new plate of this province code; four digits are an old plate."""
        letters = STATE_LETTERS if colour == "blue" else SERIES_LETTERS
        generation: Generation = "old" if digits == 4 or self._rng.random() < 0.4 else "2020"
        while True:
            number = int(self._rng.integers(1, 10**digits))
            text = f"{code}{letters[int(self._rng.integers(len(letters)))]}{number:0{digits}}"
            if text not in self.taken:
                self.taken.add(text)
                return Vehicle(text, colour, body, generation=generation)

    def military(self) -> Vehicle:
        """An army vehicle."""
        while True:
            unit = "".join(MILITARY_FIRST[int(self._rng.integers(len(MILITARY_FIRST)))] for _ in range(2))
            text = f"{unit}{int(self._rng.integers(1, 10_000)):04}"
            if text not in self.taken:
                self.taken.add(text)
                return Vehicle(text, "red", "car", "military", "military")
