"""A plate's perspective, for the processor's operations."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def homography(quad: NDArray[np.float64]) -> tuple[float, float, float, float, float, float, float, float, bool]:
    """The unit square onto `quad` (Heckbert 1989, section 2.2.3).

    a to h: point (u, v) lies at ((a u + b v + c) / w, (d u + e v + f) / w), w = g u + h v + 1; and whether the
    quadrilateral has no area, so that there is none.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = quad
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    right_x, right_y, left_x, left_y = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    determinant = right_x * left_y - left_x * right_y
    if abs(determinant) < 1e-9:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, True
    g = (sum_x * left_y - left_x * sum_y) / determinant
    h = (right_x * sum_y - sum_x * right_y) / determinant
    return x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, False
