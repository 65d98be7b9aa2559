"""All 36 characters (and Đ) written by hand as pen strokes, in the proportions of a Vietnamese car plate.

They complete the derived face where the training crops lack a character, and serve as a near face of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Stroke = Sequence[Point]

WIDTH_MM, HEIGHT_MM, PEN_MM = 38.0, 63.0, 10.0
"""The car character of domain 1.6: the strokes below are centre lines in this box, y downwards."""

L, R, T, B, CX = 5.0, 33.0, 5.0, 58.0, 19.0


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float) -> list[Point]:
    """Points of an ellipse from `start` to `end` degrees, clockwise on the page when end > start, 0 = right."""
    count = max(3, int(abs(end - start) / 7.5) + 1)
    angles = [math.radians(start + (end - start) * i / (count - 1)) for i in range(count)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


_STEM: Stroke = [(L, 0), (L, 63)]
_RING = [*_arc(CX, 19, 14, 14, 180, 360), *_arc(CX, 44, 14, 14, 0, 180), (L, 19)]
_BOWL = [(L, T), (19, T), *_arc(19, 20, 14, 15, -90, 90), (L, 35)]
_SIX: Sequence[Stroke] = [_arc(CX, 42, 14, 16, 0, 360), [(25, 0), (6.5, 34), (5.3, 40)]]
_ROUND = [(L, T), (18, T), *_arc(18, 20, 15, 15, -90, 0), *_arc(18, 43, 15, 15, 0, 90), (L, B)]
_CUP = [(33, 22), *_arc(CX, 19, 14, 14, 0, -180), *_arc(CX, 44, 14, 14, 180, 0)]

STROKES: dict[str, Sequence[Stroke]] = {
    "0": [_RING],
    "1": [[(8, 17), (22, 3), (22, 63)]],
    "2": [[*_arc(CX, 19, 13.5, 14, 180, 360), (31.5, 26), (28, 33), (7, 58)], [(2, B), (36, B)]],
    "3": [[*_arc(18, 18, 13, 13, 190, 450)], [*_arc(18, 44, 14.5, 14, -90, 170)]],
    "4": [[(21, 0), (6, 45), (37, 45)], [(27, 29), (27, 63)]],
    "5": [[(34, T), (9.5, T), (7, 31)], [(7, 31), *_arc(18.5, 42, 14.5, 16, -125, 160)]],
    "6": _SIX,
    "7": [[(2, T), (32.5, T), (15, 63)]],
    "8": [_arc(CX, 17.5, 12, 12.5, 0, 360), _arc(CX, 44, 14, 14, 0, 360)],
    "9": [[(38 - x, 63 - y) for x, y in stroke] for stroke in _SIX],
    "A": [[(4.5, 63), (17.5, 4), (20.5, 4), (33.5, 63)], [(9, 47), (29, 47)]],
    "B": [
        _STEM,
        [(L, T), (20, T), *_arc(20, 17.5, 11, 12.5, -90, 90), (L, 30)],
        [(20, 30), *_arc(20, 44, 13, 14, -90, 90), (L, B)],
    ],
    "C": [_CUP],
    "D": [_STEM, _ROUND],
    "Đ": [_STEM, _ROUND, [(-3, 31), (17, 31)]],
    "E": [_STEM, [(L, T), (36, T)], [(L, 30.5), (32, 30.5)], [(L, B), (36, B)]],
    "F": [_STEM, [(L, T), (36, T)], [(L, 32), (32, 32)]],
    "G": [[*_CUP, (33, 35), (20, 35)]],
    "H": [_STEM, [(R, 0), (R, 63)], [(L, 31), (R, 31)]],
    "I": [[(CX, 0), (CX, 63)]],
    "J": [[(30, 0), (30, 44), *_arc(17.5, 44, 12.5, 14, 0, 180), (5, 41)]],
    "K": [_STEM, [(33, -2), (6, 38)], [(15, 25), (34, 65)]],
    "L": [_STEM, [(L, B), (36, B)]],
    "M": [_STEM, [(R, 0), (R, 63)], [(5, 2), (CX, 40), (33, 2)]],
    "N": [_STEM, [(R, 0), (R, 63)], [(5, 2), (33, 61)]],
    "O": [_RING],
    "P": [_STEM, _BOWL],
    "Q": [_RING, [(20, 44), (36, 61)]],
    "R": [_STEM, _BOWL, [(18, 35), (33.5, 65)]],
    "S": [[*_arc(CX, 18, 13.5, 13, 0, -180), *_arc(CX, 18, 13.5, 13.3, 180, 100), *_arc(CX, 44.3, 14, 13.7, -80, 180)]],
    "T": [[(0, T), (38, T)], [(CX, 0), (CX, 63)]],
    "U": [[(L, 0), *_arc(CX, 44, 14, 14, 180, 0), (R, 0)]],
    "V": [[(4, -2), (17.5, 59), (20.5, 59), (34, -2)]],
    "W": [[(3.5, -2), (11, 59), (18.5, 10), (19.5, 10), (27, 59), (34.5, -2)]],
    "X": [[(4, -3), (34, 66)], [(34, -3), (4, 66)]],
    "Y": [[(4, -2), (CX, 34), (34, -2)], [(CX, 31), (CX, 63)]],
    "Z": [[(2, T), (32, T), (6, B), (36, B)]],
}


def stroke_mask(char: str, *, width_mm: float, height_mm: float, pen_mm: float, px_per_mm: float) -> NDArray[np.uint8]:
    """`char` written with a pen of `pen_mm` in a box, 0 or 255, (height_mm, width_mm) · px_per_mm pixels.

    The centre lines are stretched so that the written character fills the box. Ends are cut flat, joints are round.
    Raises KeyError for a character that is not in STROKES.
    """
    size = (round(height_mm * px_per_mm), round(width_mm * px_per_mm))
    mask = np.zeros(size, np.uint8)
    scale_x = (width_mm - pen_mm) / (WIDTH_MM - PEN_MM)
    scale_y = (height_mm - pen_mm) / (HEIGHT_MM - PEN_MM)
    half = pen_mm / 2
    for stroke in STROKES[char]:
        points = np.array(
            [(half + (x - PEN_MM / 2) * scale_x, half + (y - PEN_MM / 2) * scale_y) for x, y in stroke], np.float64
        )
        for start, end in pairwise(points):
            along = end - start
            length = float(np.hypot(*along))
            if length == 0:
                continue
            normal = np.array((-along[1], along[0])) / length * half
            quad = np.array((start + normal, end + normal, end - normal, start - normal)) * px_per_mm
            cv2.fillPoly(mask, [np.round(quad * 16).astype(np.int32)], 255, shift=4)
        for x, y in points[1:-1] * px_per_mm:
            cv2.circle(mask, (round(x * 16), round(y * 16)), round(half * px_per_mm * 16), 255, -1, shift=4)
    return mask
