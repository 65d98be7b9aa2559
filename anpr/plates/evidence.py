"""How much a plate's colour, its line count and the vehicle speak for a kind of plate.

Weights are likelihoods up to a factor, 1 = nothing against it. They are soft: colour and line count are themselves
guesses of a net, wrong for a few plates in a hundred, and a plate must not become unreadable because of them.
"""

from __future__ import annotations

from typing import Literal

from anpr.plates.forms import STATE_LETTERS, Kind
from anpr.records import Colour

Vehicle = Literal["car", "motorbike"]

AGAINST = 0.02
"""Weight of a kind that the regulations exclude for this colour, line count or vehicle."""

TWO_WHEELED: frozenset[Kind] = frozenset({"motorbike", "motorbike_electric"})

PRIOR: dict[Kind, float] = {
    "car": 1.0,
    "military": 0.5,
    "foreign": 0.3,
    "special": 0.3,
    "temporary": 0.3,
    "agricultural": 0.1,
    "motorbike_electric": 0.06,
    "motorbike": 0.05,
}
"""Before anything is seen, on an expressway: motorbikes may not use it, yet some do."""

COLOURS: dict[Kind, tuple[Colour, ...]] = {
    "car": ("white", "yellow", "blue"),
    "military": ("red",),
    "foreign": ("white",),
    "special": ("white", "yellow", "blue"),
    "temporary": ("white",),
    "agricultural": ("yellow",),
    "motorbike_electric": ("white",),
    "motorbike": ("white", "blue"),
}
"""Background colours that a kind may have (Circular 79/2024/TT-BCA art. 37, QCVN 08:2024/BCA)."""


def weight(kind: Kind, series: str, *, colour: Colour = "unknown", lines: int | None = None) -> float:
    """What is seen of the plate itself, for a plate of this kind and series; 1 where nothing is known."""
    result = 1.0
    if colour != "unknown":
        state_only = colour == "blue" and kind in ("car", "motorbike")
        if colour not in COLOURS[kind] or (state_only and series[0] not in STATE_LETTERS):
            result *= AGAINST
    if lines == 1 and kind in TWO_WHEELED:
        result *= AGAINST
    return result


def prior(kind: Kind, *, vehicle: Vehicle | None = None) -> float:
    """The prior of a kind, with the vehicle's class where it was seen."""
    if vehicle is None:
        return PRIOR[kind]
    return PRIOR[kind] * (1.0 if (kind in TWO_WHEELED) == (vehicle == "motorbike") else AGAINST)
