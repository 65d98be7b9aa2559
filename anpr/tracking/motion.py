"""Where a plate will be: constant speed along a straight road, seen through a pinhole.

With s the plate's size in pixels, 1/s grows linearly with time and the centre is `vanishing point + k * s`. So over
dt seconds the size is multiplied by g = 1 / (1 - r dt), where r is the relative growth per second, and the centre moves
by `velocity * dt * g`: exact for the pinhole, and enough for the three plates a 120 km/h vehicle shows at 5 frames/s,
where constant velocity in the picture is wrong by several plate widths. Three Kalman filters of two states each (x, y,
log of the size) carry the uncertainty, which grows with seconds, never with frames. Lengths inside are in sizes of the
plate (square root of its area), so that one set of constants serves near and far plates of any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, floor, hypot, log, sqrt

import numpy as np
from numpy.typing import NDArray

from anpr.ops.window import Window

SPEED_X_SIZES = 10.0
"""Prior deviation of a new plate's speed across the picture, plate sizes per second (0.24 m each)."""
SPEED_Y_SIZES = 25.0
"""The same down the picture: a gantry camera sees 120 km/h at 20 m as about 40 sizes per second."""
GROWTH = 1.2
"""Prior deviation of the relative growth per second: speed over distance, 33 m/s at 20 m is 1.7."""
SPEED_DRIFT_SIZES = 8.0
"""Deviation of the unmodelled acceleration, sizes per second squared."""
GROWTH_DRIFT = 0.6
"""Deviation of the unmodelled change of growth, per second squared."""
CENTRE_NOISE_SIZES = 0.10
"""Deviation of a detected centre."""
SIZE_NOISE = 0.06
"""Deviation of the logarithm of a detected size."""
PLATE_HALF_SIZES = 1.2
"""Half the width of a one-line plate, the longest there is, in plate sizes; its height is less."""
LIKELY_DEVIATIONS = 2.0
"""Of a place that is looked at."""
MOST_GROWTH = 0.7
"""r * dt is held below this: beyond it the plate has passed the camera."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A plate as the filter sees it."""

    x: float
    y: float
    size: float
    """Square root of the quad's area, pixels; nearly the same for one-line and two-line car plates."""


def spot_of(quad: NDArray[np.float32]) -> Spot:
    """The spot of a (4, 2) quad of pixels; a quad without area counts as one pixel large."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad.tolist()
    area = 0.5 * abs((cx - ax) * (dy - by) - (dx - bx) * (cy - ay))
    return Spot((ax + bx + cx + dx) / 4.0, (ay + by + cy + dy) / 4.0, max(1.0, sqrt(area)))


@dataclass(frozen=True, slots=True)
class Prediction:
    """A spot to come, with the variances of what will be measured there."""

    x: float
    y: float
    size: float
    variance_x: float
    """Square pixels."""
    variance_y: float
    variance_log_size: float

    def distance_sizes(self, spot: Spot) -> float:
        """How far the centre of `spot` is from the predicted one, in predicted sizes."""
        return hypot(spot.x - self.x, spot.y - self.y) / self.size

    def log_density(self, spot: Spot) -> float:
        """Logarithm of the density of `spot`, per square plate size and per unit of log size."""
        area = self.size * self.size
        dx, dy, dz = spot.x - self.x, spot.y - self.y, log(spot.size / self.size)
        vx, vy, vz = self.variance_x / area, self.variance_y / area, self.variance_log_size
        return -0.5 * ((dx * dx / vx + dy * dy / vy) / area + dz * dz / vz + log(vx * vy * vz)) - 2.7568


def place_of(prediction: Prediction) -> Window:
    """The pixels in which a predicted plate will lie, whole, in nearly all cases."""
    half_x = PLATE_HALF_SIZES * prediction.size + LIKELY_DEVIATIONS * sqrt(prediction.variance_x)
    half_y = PLATE_HALF_SIZES * prediction.size + LIKELY_DEVIATIONS * sqrt(prediction.variance_y)
    return Window(
        floor(prediction.x - half_x),
        floor(prediction.y - half_y),
        ceil(prediction.x + half_x) + 1,
        ceil(prediction.y + half_y) + 1,
    )


class _Axis:
    """A value and its rate, with their covariance."""

    __slots__ = ("cross", "rate", "rate_variance", "value", "variance")

    def __init__(self, value: float, variance: float, rate_variance: float) -> None:
        self.value, self.rate = value, 0.0
        self.variance, self.cross, self.rate_variance = variance, 0.0, rate_variance

    def ahead(self, dt: float, gain: float, drift: float) -> tuple[float, float, float]:
        """Covariance after dt: the value moves by rate * dt * gain, the rate is multiplied by gain squared."""
        reach, kept = dt * gain, gain * gain
        noise = drift * drift
        variance = self.variance + 2.0 * reach * self.cross + reach * reach * self.rate_variance
        cross = kept * (self.cross + reach * self.rate_variance)
        rate_variance = kept * kept * self.rate_variance
        return variance + noise * dt**4 / 4.0, cross + noise * dt**3 / 2.0, rate_variance + noise * dt * dt

    def correct(
        self, value: float, rate: float, covariance: tuple[float, float, float], measured: float, noise: float
    ) -> None:
        """Kalman update from the predicted value, rate and covariance."""
        variance, cross, rate_variance = covariance
        total = variance + noise
        gain, rate_gain = variance / total, cross / total
        error = measured - value
        self.value, self.rate = value + gain * error, rate + rate_gain * error
        self.variance = (1.0 - gain) * variance
        self.cross = (1.0 - gain) * cross
        self.rate_variance = max(rate_variance - rate_gain * cross, 0.0)


class Motion:
    """The filter of one track."""

    __slots__ = ("_log_size", "_x", "_y", "seconds")

    def __init__(self, spot: Spot, seconds: float) -> None:
        self.seconds = seconds
        """Stream time of the last spot."""
        area = spot.size * spot.size
        noise = CENTRE_NOISE_SIZES**2 * area
        self._x = _Axis(spot.x, noise, SPEED_X_SIZES**2 * area)
        self._y = _Axis(spot.y, noise, SPEED_Y_SIZES**2 * area)
        self._log_size = _Axis(log(spot.size), SIZE_NOISE**2, GROWTH**2)

    @property
    def spot(self) -> Spot:
        """The smoothed spot at the last measurement."""
        return Spot(self._x.value, self._y.value, exp(self._log_size.value))

    @property
    def speed_sizes(self) -> float:
        """Speed in the picture, plate sizes per second."""
        return sqrt(self._x.rate**2 + self._y.rate**2) / exp(self._log_size.value)

    def _gain(self, dt: float) -> float:
        return 1.0 / (1.0 - min(max(self._log_size.rate * dt, -3.0), MOST_GROWTH))

    def predict(self, seconds: float) -> Prediction:
        """What will be measured at stream time `seconds`."""
        dt = max(seconds - self.seconds, 0.0)
        gain = self._gain(dt)
        size = exp(self._log_size.value) * gain
        drift = SPEED_DRIFT_SIZES * size
        noise = CENTRE_NOISE_SIZES**2 * size * size
        reach = dt * gain
        return Prediction(
            self._x.value + self._x.rate * reach,
            self._y.value + self._y.rate * reach,
            size,
            self._x.ahead(dt, gain, drift)[0] + noise,
            self._y.ahead(dt, gain, drift)[0] + noise,
            self._log_size.ahead(dt, 1.0, GROWTH_DRIFT)[0] + SIZE_NOISE**2,
        )

    def correct(self, spot: Spot, seconds: float) -> None:
        """Take in the plate measured at `seconds`."""
        dt = max(seconds - self.seconds, 0.0)
        growth = self._log_size
        before, gain = growth.value, self._gain(dt)
        ahead = growth.ahead(dt, 1.0, GROWTH_DRIFT)
        growth.correct(before + log(gain), growth.rate * gain, ahead, log(spot.size), SIZE_NOISE**2)
        # The growth that was seen, not the one foreseen, turns the way gone into a speed at its end.
        gain = exp(growth.value - before)
        drift, kept, reach = SPEED_DRIFT_SIZES * exp(growth.value), gain * gain, dt * gain
        noise = (CENTRE_NOISE_SIZES * spot.size) ** 2
        for axis, measured in ((self._x, spot.x), (self._y, spot.y)):
            axis.correct(axis.value + axis.rate * reach, axis.rate * kept, axis.ahead(dt, gain, drift), measured, noise)
        self.seconds = seconds
