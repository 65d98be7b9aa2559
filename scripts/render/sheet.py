"""A sheet to paint a vehicle's skin on, in metres: colour, holes, gloss and glow together."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.raster import Floats

Bgr = tuple[float, float, float]
Point = tuple[float, float]

SHIFT = 4
FACTOR = 1 << SHIFT


class Sheet:
    """Metres to the right from `left` and up from `bottom`; drawing is anti-aliased and clips at the edges."""

    def __init__(
        self, width_m: float, height_m: float, *, left: float = 0.0, bottom: float = 0.0, px_per_m: float = 190.0,
        paint: Bgr = (128, 128, 128), gloss: float = 0.0,
    ) -> None:  # fmt: skip
        self.width_m, self.height_m, self.left, self.bottom, self.px_per_m = width_m, height_m, left, bottom, px_per_m
        shape = (max(4, round(height_m * px_per_m)), max(4, round(width_m * px_per_m)))
        self.colour = np.empty((*shape, 3), np.uint8)
        self.colour[:] = np.clip(paint, 0, 255)
        self.alpha = np.full(shape, 255, np.uint8)
        self.gloss = np.full(shape, round(gloss * 255), np.uint8)
        self.glow = np.zeros(shape, np.uint8)

    def _pixels(self, points: Sequence[Point]) -> NDArray[np.int32]:
        at = np.array(points, np.float64)
        x = (at[:, 0] - self.left) * self.px_per_m - 0.5
        y = (self.height_m - (at[:, 1] - self.bottom)) * self.px_per_m - 0.5
        return np.round(np.column_stack([x, y]) * FACTOR).astype(np.int32)

    def uv(self, points: Floats) -> Floats:
        """(…, 3) body points to (…, 2) texture coordinates, taking Y as the way to the right and Z as up."""
        u = (points[..., 1] - self.left) / self.width_m
        v = 1 - (points[..., 2] - self.bottom) / self.height_m
        return np.stack([u, v], axis=-1).astype(np.float32)

    def polygon(
        self, points: Sequence[Point], paint: Bgr, *, gloss: float | None = None, glow: float | None = None
    ) -> None:
        """A filled outline; gloss and glow stay as they were unless given."""
        pixels = self._pixels(points)
        cv2.fillPoly(self.colour, [pixels], paint, cv2.LINE_AA, SHIFT)
        if gloss is not None:
            cv2.fillPoly(self.gloss, [pixels], round(gloss * 255), cv2.LINE_8, SHIFT)
        if glow is not None:
            cv2.fillPoly(self.glow, [pixels], round(glow * 255), cv2.LINE_8, SHIFT)

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, paint: Bgr, *,
        gloss: float | None = None, glow: float | None = None, corner: float = 0.0,
    ) -> None:  # fmt: skip
        """A rectangle with corners cut by `corner` metres."""
        c = min(corner, (x1 - x0) / 2, (y1 - y0) / 2)
        points = [
            (x0 + c, y0),
            (x1 - c, y0),
            (x1, y0 + c),
            (x1, y1 - c),
            (x1 - c, y1),
            (x0 + c, y1),
            (x0, y1 - c),
            (x0, y0 + c),
        ]
        self.polygon(points if c > 0 else [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], paint, gloss=gloss, glow=glow)

    def mirrored(
        self, points: Sequence[Point], paint: Bgr, *, gloss: float | None = None, glow: float | None = None
    ) -> None:
        """The outline on both sides of X = 0."""
        self.polygon(points, paint, gloss=gloss, glow=glow)
        self.polygon([(-x, y) for x, y in points], paint, gloss=gloss, glow=glow)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        paint: Bgr,
        *,
        gloss: float | None = None,
        glow: float | None = None,
    ) -> None:
        """A filled ellipse."""
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        self.polygon(list(zip(x + rx * np.cos(turn), y + ry * np.sin(turn))), paint, gloss=gloss, glow=glow)

    def line(self, points: Sequence[Point], paint: Bgr, width_m: float) -> None:
        """An open line."""
        width = max(1, round(width_m * self.px_per_m))
        cv2.polylines(self.colour, [self._pixels(points)], False, paint, width, cv2.LINE_AA, SHIFT)

    def shade(self, y0: float, y1: float, from_factor: float, to_factor: float) -> None:
        """Multiply the rows between two heights by a ramp of factors."""
        low, high = (round((self.height_m - (y - self.bottom)) * self.px_per_m) for y in (y1, y0))
        low, high = max(0, low), min(self.colour.shape[0], high)
        if high > low:
            ramp = np.linspace(to_factor, from_factor, high - low)[:, None, None]
            self.colour[low:high] = np.clip(self.colour[low:high] * ramp, 0, 255).astype(np.uint8)

    def text(
        self, words: str, x: float, y: float, height_m: float, paint: Bgr, *, bold: bool = True, fit_m: float = 0.0
    ) -> None:
        """Words centred on x with their feet on y; narrowed to `fit_m` if longer."""
        size = height_m * self.px_per_m / 21.0
        face, weight = cv2.FONT_HERSHEY_DUPLEX, max(1, round(size * (2.6 if bold else 1.2)))
        (width, height), base = cv2.getTextSize(words, face, size, weight)
        mask: NDArray[np.uint8] = np.zeros((height + base + 8, width + 8), np.uint8)
        cv2.putText(mask, words, (4, height + 4), face, size, 255, weight, cv2.LINE_AA)
        longest = round(fit_m * self.px_per_m)
        if longest and mask.shape[1] > longest:
            mask = np.asarray(cv2.resize(mask, (longest, mask.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
        left = round((x - self.left) * self.px_per_m - mask.shape[1] / 2)
        top = round((self.height_m - (y - self.bottom)) * self.px_per_m - height - 4)
        rows = slice(max(0, top), min(self.colour.shape[0], top + mask.shape[0]))
        columns = slice(max(0, left), min(self.colour.shape[1], left + mask.shape[1]))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return
        cut = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None] / 255.0
        under = self.colour[rows, columns]
        self.colour[rows, columns] = np.clip(under * (1 - cut) + np.array(paint) * cut, 0, 255).astype(np.uint8)

    def dirt(self, rng: np.random.Generator, amount: float) -> None:
        """Dust and splashes, stronger towards the road."""
        height, width = self.alpha.shape
        cells = rng.standard_normal((max(2, height // 24), max(2, width // 24))).astype(np.float32)
        cloud = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * 0.35 + 0.6
        climb = np.linspace(0.25, 1.0, height, dtype=np.float32)[:, None]
        cover = np.clip(cloud * climb * amount, 0, 0.85)[..., None]
        self.colour[:] = np.clip(
            self.colour * (1 - cover) + np.array([112, 128, 140], np.float32) * cover, 0, 255
        ).astype(np.uint8)
        self.gloss[:] = (self.gloss * (1 - cover[..., 0])).astype(np.uint8)

    def texture(self) -> NDArray[np.uint8]:
        """(height, width, 6): B, G, R, alpha, gloss, glow."""
        return np.dstack([self.colour, self.alpha, self.gloss, self.glow])
