"""Frontal, clean pictures of Vietnamese plates: layout in millimetres, then ink over paint.

    spec = sample_spec(rng)
    picture = draw_plate(spec, rng, px_per_mm=0.5)        # (h, w, 3) uint8 BGR
    alpha = plate_alpha(spec, px_per_mm=0.5)              # (h, w) uint8, 0 outside the rounded corners

`weather` and `photograph` of `scripts.render.weather` make a photograph of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.glyphs import FaceName, SetName, glyph_mask
from scripts.render.spec import Colour, PlateSpec, sample_spec

__all__ = ["CharBox", "PlateSpec", "char_boxes", "draw_plate", "plate_alpha", "sample_face", "sample_spec"]

Picture = NDArray[np.uint8]

PAINT_BGR: dict[Colour, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "white": ((228, 230, 228), (32, 30, 30)),
    "yellow": ((35, 190, 240), (32, 30, 30)),
    "blue": ((150, 70, 20), (235, 235, 235)),
    "red": ((38, 32, 185), (235, 235, 235)),
}
"""Background and ink of the colour pairs (domain 1.5)."""

RED_INK_BGR = (45, 35, 190)
LEVELS_PX_PER_MM = (0.5, 1.0, 2.0, 4.0)
"""Plates are drawn at the next of these scales and then reduced, so that glyph masks are shared."""

STRETCHES = (0.96, 1.0, 1.04)
"""Character sizes of different makers; few, so that glyph masks are shared."""

CORNER_MM = 10.0


@dataclass(frozen=True, slots=True)
class Lettering:
    """Sizes of one row's signs, in mm: domain 1.6 for new plates, measured on crops for old ones and motorbikes."""

    glyphs: SetName
    width: float
    height: float
    gap: float
    """Between characters."""
    dash: tuple[float, float]
    dash_gap: float
    """On each side of the dash."""
    dot: float
    dot_gap: float


@dataclass(frozen=True, slots=True)
class CharBox:
    """Where one printed sign stands on the plate, in mm from its top-left: a character, `-` or `.`."""

    char: str
    x: float
    y: float
    width: float
    height: float


def _lettering(spec: PlateSpec, row: int) -> Lettering:
    if spec.generation == "motorbike":
        gap = 5.0 if row == 0 else 12.0 if len(spec.rows[1]) > 4 else 13.5
        if len(spec.rows[row]) > 5 and row == 0:
            gap = 3.5
        return Lettering("motorbike", 22.5, 54.5, gap, (10.0, 7.0), 9.5, 7.5, 6.3)
    if spec.generation == "2020":
        return Lettering("car", 38.0, 63.0, 10.0, (16.0, 10.0), 9.5, 9.7, 7.0)
    if spec.generation == "military":
        return Lettering("car", 40.0, 66.0 if spec.lines == 1 else 78.0, 12.0, (18.0, 10.0), 10.0, 10.0, 8.0)
    if spec.lines == 1:
        return Lettering("car_old", 41.0, 74.0, 9.0, (13.0, 9.0), 11.0, 9.0, 6.3)
    return Lettering("car_old", 41.0, 78.0, 8.0, (14.0, 10.0), 8.0, 9.5, 5.5)


def char_boxes(spec: PlateSpec, *, spread: float = 1.0) -> tuple[CharBox, ...]:
    """Every printed sign of the plate in reading order; `spread` widens or narrows the gaps."""
    rows = [_lettering(spec, index) for index in range(len(spec.rows))]
    pad = (spec.height_mm - sum(row.height for row in rows)) / (len(rows) + 1)
    boxes: list[CharBox] = []
    top = pad
    for text, row in zip(spec.rows, rows):
        boxes.extend(_row_boxes(text, row, spec.width_mm, top, spread))
        top += row.height + pad
    return tuple(boxes)


def _row_boxes(text: str, row: Lettering, plate_width: float, top: float, spread: float) -> Iterator[CharBox]:
    """One row, centred; squeezed if it would touch the rim."""
    widths = [row.dash[0] if sign == "-" else row.dot if sign == "." else row.width for sign in text]
    gaps = [
        spread * (row.dot_gap if "." in pair else row.dash_gap if "-" in pair else row.gap) for pair in pairwise(text)
    ]
    total = sum(widths) + sum(gaps)
    squeeze = min(1.0, (plate_width - 22.0) / total)
    x = (plate_width - total * squeeze) / 2
    for sign, width, after in zip(text, widths, [*gaps, 0.0]):
        if sign == "-":
            yield CharBox(sign, x, top + (row.height - row.dash[1]) / 2, width * squeeze, row.dash[1])
        elif sign == ".":
            yield CharBox(sign, x, top + row.height - row.dot, width * squeeze, row.dot)
        else:
            yield CharBox(sign, x, top, width * squeeze, row.height)
        x += (width + after) * squeeze


def sample_face(rng: np.random.Generator) -> FaceName:
    """The ministry's face mostly, the near face now and then."""
    return "ministry" if rng.random() < 0.85 else "drawn"


def draw_plate(spec: PlateSpec, rng: np.random.Generator, *, px_per_mm: float, face: FaceName = "ministry") -> Picture:
    """The plate seen from the front in even light, (round(height_mm · px_per_mm), round(width_mm · px_per_mm), 3) BGR.

    Paint, weight of the strokes, spacing, rim, security mark and bolts vary with `rng`. The corners outside the rounded
    outline are dark; `plate_alpha` tells them apart.
    """
    level = next((level for level in LEVELS_PX_PER_MM if level >= px_per_mm), LEVELS_PX_PER_MM[-1])
    size = (round(spec.width_mm * level), round(spec.height_mm * level))
    paint, ink = (np.array(colour, np.float32) for colour in PAINT_BGR[spec.colour])
    paint = np.clip(paint * rng.uniform(0.86, 1.06) + rng.normal(0, 3.5, 3), 0, 255)
    ink = np.clip(ink + rng.normal(0, 4, 3) + rng.uniform(0, 18), 0, 255)
    rim = _rim(size, level, round(rng.uniform(3, 6)))
    letters, digits = _ink_masks(spec, rng, size, level, face)

    rim_ink = float(rng.choice((0.0, 0.25, 0.9), p=(0.2, 0.35, 0.45)))
    signs = np.maximum(letters, digits)
    base = np.maximum((rim * rim_ink).astype(np.uint8), signs)
    picture = _blend(base, paint, ink)
    if spec.red_letters:
        red = np.array(RED_INK_BGR, np.float32) + rng.normal(0, 6, 3)
        chosen = signs if spec.colour == "yellow" else letters
        _overlay(picture, chosen, np.clip(red, 0, 255))
    if spec.red_bar:
        half = 3.0 * level
        middle = size[1] / 2
        bar = np.zeros((size[1], size[0]), np.uint8)
        bar[round(middle - half) : round(middle + half), round(12 * level) : round(size[0] - 12 * level)] = 230
        _overlay(picture, bar, np.array(RED_INK_BGR, np.float32))
    _emboss(picture, np.maximum(base, rim), level, float(rng.uniform(0.0, 0.22)))
    _security_mark(picture, spec, rng, level)
    _bolts(picture, spec, rng, level)
    outside = 255 - _alpha(size, level)
    _overlay(picture, outside, np.array((25, 25, 25), np.float32))
    target = (round(spec.width_mm * px_per_mm), round(spec.height_mm * px_per_mm))
    if target != size:
        picture = np.asarray(cv2.resize(picture, target, interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def plate_alpha(spec: PlateSpec, *, px_per_mm: float) -> NDArray[np.uint8]:
    """Coverage 0..255 of the plate within the picture of `draw_plate` at the same scale, (h, w)."""
    size = (round(spec.width_mm * px_per_mm), round(spec.height_mm * px_per_mm))
    return _alpha(size, px_per_mm)


def _ink_masks(
    spec: PlateSpec, rng: np.random.Generator, size: tuple[int, int], level: float, face: FaceName
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Coverage of the letters, and of digits, dash and dot."""
    letters = np.zeros((size[1], size[0]), np.uint8)
    digits = letters.copy() if spec.red_letters else letters
    weight = int(np.clip(round(rng.normal(0, 1.0)), -2, 2))
    spread = float(rng.uniform(0.85, 1.15))
    shift_x, shift_y = rng.normal(0, 2.0), rng.normal(0, 1.2)
    stretch_x, stretch_y = STRETCHES[int(rng.integers(3))], STRETCHES[int(rng.integers(3))]
    loose = rng.normal(0, 0.5, (64, 2)) if rng.random() < 0.5 else np.zeros((64, 2))
    set_names = {row: _lettering(spec, row).glyphs for row in range(spec.lines)}
    split = spec.height_mm / 2
    for index, box in enumerate(char_boxes(spec, spread=spread)):
        wide, tall = box.width * stretch_x, box.height * stretch_y
        x = round((box.x + (box.width - wide) / 2 + shift_x + loose[index, 0]) * level)
        y = round((box.y + (box.height - tall) / 2 + shift_y + loose[index, 1]) * level)
        width, height = max(2, round(wide * level)), max(2, round(tall * level))
        if box.char in "-.":
            mask = np.full((height, width), 255, np.uint8)
        else:
            row = 0 if spec.lines == 1 or box.y < split * 0.8 else 1
            mask = glyph_mask(face, set_names[row], box.char, width, height, weight)
        _stamp(letters if box.char.isalpha() else digits, mask, x, y)
    return letters, digits


def _stamp(canvas: NDArray[np.uint8], mask: NDArray[np.uint8], x: int, y: int) -> None:
    """The brighter of canvas and mask at (x, y), cut at the canvas's edge."""
    height, width = canvas.shape
    left, top = max(0, -x), max(0, -y)
    part = mask[top : height - y, left : width - x]
    view = canvas[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
    np.maximum(view, part, out=view)


def _blend(mask: NDArray[np.uint8], zero: NDArray[np.float32], full: NDArray[np.float32]) -> Picture:
    """A colour ramp over a mask: `zero` at 0, `full` at 255."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    table = np.round(zero + (full - zero) * ramp).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(cv2.merge((mask, mask, mask)), table), np.uint8)


def _overlay(picture: Picture, mask: NDArray[np.uint8], colour: NDArray[np.float32]) -> None:
    """Paint `colour` over the picture where the mask covers it, in place."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return
    cover = mask[rows, columns, None].astype(np.float32) / 255
    picture[rows, columns] = (picture[rows, columns] * (1 - cover) + colour * cover).astype(np.uint8)


def _emboss(picture: Picture, relief: NDArray[np.uint8], level: float, strength: float) -> None:
    """Light from the top-left on the raised characters and rim, in place."""
    step = max(1, round(1.2 * level))
    lit, dark = relief[step:, step:], relief[:-step, :-step]
    light = cv2.convertScaleAbs(cv2.subtract(lit, dark), alpha=strength)
    shade = cv2.convertScaleAbs(cv2.subtract(dark, lit), alpha=strength)
    view = picture[step:, step:]
    view[:] = cv2.subtract(cv2.add(view, cv2.merge((light, light, light))), cv2.merge((shade, shade, shade)))


def _security_mark(picture: Picture, spec: PlateSpec, rng: np.random.Generator, level: float) -> None:
    """The faint round stamp: above the dash (long), at the left edge (short), at the top (motorbike)."""
    if rng.random() < 0.4:
        return
    if spec.generation == "motorbike":
        x, y = spec.width_mm / 2, 11.0
    elif spec.lines == 2:
        x, y = 13.0, spec.height_mm / 2
    else:
        dashes = [box for box in char_boxes(spec) if box.char == "-"]
        x, y = (dashes[0].x + dashes[0].width / 2 if dashes else spec.width_mm / 2), spec.height_mm / 2 - 22
    shade = float(rng.uniform(-45, 25))
    radius = rng.uniform(4.5, 7.5)
    left, top, right, bottom = (round(v * level) for v in (x - radius, y - radius, x + radius, y + radius))
    view = picture[max(0, top) : bottom, max(0, left) : right]
    if view.size:
        stamp = np.zeros(view.shape[:2], np.float32)
        centre = (view.shape[1] // 2, view.shape[0] // 2)
        cv2.circle(stamp, centre, max(1, min(centre) - 1), 1.0, max(1, round(level)), cv2.LINE_AA)
        cv2.circle(stamp, centre, max(1, min(centre) // 2), 0.7, -1, cv2.LINE_AA)
        view[:] = np.clip(view + stamp[..., None] * shade, 0, 255)


def _bolts(picture: Picture, spec: PlateSpec, rng: np.random.Generator, level: float) -> None:
    """Screw heads, where there are any."""
    if rng.random() < 0.45:
        return
    inset = rng.uniform(10, 16)
    x_near, x_far = inset + (spec.width_mm * rng.uniform(0.02, 0.25) if spec.lines == 2 else 0.0), 0.0
    x_far = spec.width_mm - x_near
    if spec.lines == 1:
        heights = (spec.height_mm / 2,) if rng.random() < 0.5 else (inset, spec.height_mm - inset)
    else:
        heights = (inset * 0.6, spec.height_mm - inset * 0.6) if rng.random() < 0.5 else (inset * 0.6,)
    radius = rng.uniform(3.0, 6.0) * level
    grey = float(rng.uniform(40, 215))
    tint = np.clip(grey + rng.normal(0, 8, 3), 0, 255)
    for x in (x_near, x_far):
        for y in heights:
            centre = (round(x * level * 16), round(y * level * 16))
            cv2.circle(picture, centre, round(radius * 16), tuple(tint * 0.6), -1, cv2.LINE_AA, shift=4)
            cv2.circle(picture, centre, round(radius * 0.75 * 16), tuple(tint), -1, cv2.LINE_AA, shift=4)


def _outline(width: float, height: float, inset: float, corner: float) -> NDArray[np.float64]:
    """A rounded rectangle's points, pixels."""
    points = []
    for cx, cy, start in (
        (width - inset - corner, height - inset - corner, 0),
        (inset + corner, height - inset - corner, 90),
        (inset + corner, inset + corner, 180),
        (width - inset - corner, inset + corner, 270),
    ):
        for step in range(9):
            angle = math.radians(start + step * 11.25)
            points.append((cx + corner * math.cos(angle), cy + corner * math.sin(angle)))
    return np.array(points)


def _filled(size: tuple[int, int], inset: float, corner: float) -> NDArray[np.uint8]:
    mask = np.zeros((size[1] * 2, size[0] * 2), np.uint8)
    points = _outline(size[0] * 2, size[1] * 2, inset * 2, max(1.0, corner * 2))
    cv2.fillPoly(mask, [np.round(points * 16 - 8).astype(np.int32)], 255, shift=4)
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)


@lru_cache(maxsize=256)
def _alpha(size: tuple[int, int], level: float) -> NDArray[np.uint8]:
    alpha = _filled(size, 0.0, CORNER_MM * level)
    alpha.setflags(write=False)
    return alpha


@lru_cache(maxsize=256)
def _rim(size: tuple[int, int], level: float, inset_mm: int) -> NDArray[np.uint8]:
    """The raised line along the edge, about 4 mm wide."""
    outer = _filled(size, inset_mm * level * 0.5, CORNER_MM * level)
    inner = _filled(size, (inset_mm * 0.5 + 3.5) * level, (CORNER_MM - 3.5) * level)
    rim = cv2.subtract(outer, inner)
    rim.setflags(write=False)
    return np.asarray(rim, np.uint8)
