"""Small geometry on quads and boxes (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two upright boxes (x_min, y_min, x_max, y_max)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def quad_area(quad: NDArray[np.float32]) -> float:
    """Signed area in px², positive for corners clockwise on a picture (y down)."""
    x, y = quad[:, 0].astype(np.float64), quad[:, 1].astype(np.float64)
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def is_convex(quad: NDArray[np.float32]) -> bool:
    """True if the corners turn clockwise all the way round (y down)."""
    edges = np.roll(quad, -1, axis=0).astype(np.float64) - quad
    following = np.roll(edges, -1, axis=0)
    return bool((edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] > 0).all())


def quad_size(quad: NDArray[np.float32]) -> tuple[float, float]:
    """Mean length of the two long sides and of the two upright sides: (width_px, height_px)."""
    top, right = np.hypot(*(quad[1] - quad[0])), np.hypot(*(quad[2] - quad[1]))
    bottom, left = np.hypot(*(quad[2] - quad[3])), np.hypot(*(quad[3] - quad[0]))
    return float(top + bottom) / 2, float(right + left) / 2
