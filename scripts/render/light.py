"""The light of a scene: sun, sky, what a glossy surface mirrors, lamps, and what the camera does about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Daylight = Literal["day", "dusk", "night"]


def _vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """Factors on surface colours (1 = shown as painted), BGR, and levels 0 to 255 for what is mirrored."""

    name: Daylight
    towards_sun: NDArray[np.float32]
    """(3,) unit."""
    sun: NDArray[np.float32]
    sky: NDArray[np.float32]
    ground: NDArray[np.float32]
    mirror_low: NDArray[np.float32]
    mirror_high: NDArray[np.float32]
    glow: float
    """How much brighter than daylight white a lamp looks."""
    glare: float
    """How strongly head lamps flood the picture, 0 = not."""
    plate: float
    """Extra factor on plates from the camera's own lamp: plates throw light back to it."""
    shadow: float
    """Darkness of the cast shadow, 0 to 1."""
    noise_sigma: float
    """Of one pixel, in levels of 255."""
    exposure_seconds: float


def light_of(name: Daylight) -> Light:
    """The light by name."""
    if name == "day":
        sun = _vector(0.42, -0.62, 0.66)
        return Light(
            name, sun / np.linalg.norm(sun), _vector(0.66, 0.71, 0.73), _vector(0.66, 0.62, 0.58),
            _vector(0.24, 0.26, 0.27), _vector(96, 104, 106), _vector(238, 224, 212),
            glow=0.35, glare=0.0, plate=1.0, shadow=0.55, noise_sigma=1.3, exposure_seconds=1 / 2000,
        )  # fmt: skip
    if name == "dusk":
        sun = _vector(-0.80, -0.35, 0.30)
        return Light(
            name, sun / np.linalg.norm(sun), _vector(0.11, 0.18, 0.27), _vector(0.46, 0.41, 0.38),
            _vector(0.12, 0.12, 0.13), _vector(56, 55, 58), _vector(164, 150, 152),
            glow=1.6, glare=0.30, plate=1.45, shadow=0.18, noise_sigma=2.6, exposure_seconds=1 / 1000,
        )  # fmt: skip
    if name == "night":
        sun = _vector(0.0, -0.93, 0.37)
        return Light(
            name, sun / np.linalg.norm(sun), _vector(0.15, 0.15, 0.15), _vector(0.065, 0.06, 0.06),
            _vector(0.03, 0.03, 0.03), _vector(10, 11, 13), _vector(24, 22, 22),
            glow=2.4, glare=1.0, plate=5.2, shadow=0.0, noise_sigma=4.0, exposure_seconds=1 / 1000,
        )  # fmt: skip
    raise ValueError(f"light must be day, dusk or night, got {name!r}")
