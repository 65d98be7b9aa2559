"""Small geometry on quads and boxes (pure)."""

from __future__ import annotations

from math import hypot

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
    """Signed area of (4, 2) corners in px², positive if they are clockwise on a picture (y down)."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad.tolist()
    return float((cx - ax) * (dy - by) - (dx - bx) * (cy - ay)) / 2


def is_convex(quad: NDArray[np.float32]) -> bool:
    """True if the (4, 2) corners turn clockwise all the way round (y down)."""
    corners = quad.tolist()
    for (ax, ay), (bx, by), (cx, cy) in zip(corners, corners[1:] + corners[:1], corners[2:] + corners[:2], strict=True):
        if not (bx - ax) * (cy - by) - (by - ay) * (cx - bx) > 0:
            return False
    return True


def quad_size(quad: NDArray[np.float32]) -> tuple[float, float]:
    """Mean length of the two long sides and of the two upright sides: (width_px, height_px)."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad.tolist()
    top, right = hypot(bx - ax, by - ay), hypot(cx - bx, cy - by)
    bottom, left = hypot(cx - dx, cy - dy), hypot(dx - ax, dy - ay)
    return (top + bottom) / 2, (right + left) / 2
