"""Words that are no plates, set into training pictures: shop boards, banners, timestamps, badges, phone numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FACES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSans-BoldOblique.ttf",
)
"""Fonts that come with matplotlib; they have the Vietnamese letters."""
SIZES_PX = (14, 22, 34, 52)
LOWER = "abcdeghiklmnopqrstuvxyàáâãèéêìíòóôõùúýăđĩũơưạảấầẩậắằặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ"
UPPER = "ABCDEGHIKLMNOPQRSTUVXYÂÊÔƠƯĐ"
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)


@dataclass(frozen=True, slots=True)
class Lettering:
    """The loaded fonts."""

    fonts: tuple[ImageFont.FreeTypeFont, ...]

    @staticmethod
    def load() -> Lettering:
        """Every face in every size."""
        folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
        return Lettering(tuple(ImageFont.truetype(str(folder / face), size) for face in FACES for size in SIZES_PX))

    def set_words(self, image: NDArray[np.uint8], quads: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Draw a few words and boards into (height, width) luma, beside the plates' quads (n, 4, 2)."""
        for _ in range(int(rng.integers(1, 4))):
            if rng.random() < 0.5:
                self._set_board(image, quads, rng)
            else:
                set_overlay(image, quads, rng)

    def _set_board(self, image: NDArray[np.uint8], quads: NDArray[np.float32], rng: np.random.Generator) -> None:
        """A board with words, seen from any side."""
        board = self._draw_board(rng)
        height, width = board.shape
        scale = np.exp(rng.uniform(np.log(24), np.log(300))) / width
        flat = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * [width * scale / 2, height * scale / 2]
        turn = np.radians(rng.normal(0, 8))
        shear = np.array([[1, rng.normal(0, 0.1)], [rng.normal(0, 0.2), 1]])
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        quad = flat @ (rotation @ shear).T + rng.uniform(0, 1, 2) * image.shape[::-1]
        if _touches(quad, quads):
            return
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        if scale < 0.6:
            board = np.asarray(cv2.resize(board, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
            corners *= np.float32(scale)
        matrix = cv2.getPerspectiveTransform(corners, quad.astype(np.float32))
        size = image.shape[::-1]
        warped = cv2.warpPerspective(board, matrix, size, flags=cv2.INTER_LINEAR)
        mask = cv2.warpPerspective(np.full_like(board, 255), matrix, size, flags=cv2.INTER_LINEAR)
        weight = mask.astype(np.float32) / 255 * np.float32(rng.uniform(0.7, 1.0))
        image[:] = (image * (1 - weight) + warped * weight).astype(np.uint8)

    def _draw_board(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """(height, width) words on a plain ground, sometimes framed."""
        font = self.fonts[int(rng.integers(len(self.fonts)))]
        lines = [words(rng) for _ in range(int(rng.choice([1, 1, 2, 3])))]
        boxes = [font.getbbox(line) for line in lines]
        pad, gap = int(rng.integers(2, 20)), int(rng.integers(2, 10))
        width = int(max(box[2] for box in boxes)) + 2 * pad
        height = int(sum(box[3] for box in boxes)) + gap * (len(lines) - 1) + 2 * pad
        ground = int(rng.integers(0, 256))
        ink = int((ground + rng.choice([-1, 1]) * rng.uniform(60, 200)) % 256)
        board = Image.new("L", (width, height), ground)
        pen, top = ImageDraw.Draw(board), pad
        for line, box in zip(lines, boxes, strict=True):
            pen.text((int(rng.integers(pad, max(pad + 1, width - pad - int(box[2])))), top), line, fill=ink, font=font)
            top += int(box[3]) + gap
        if rng.random() < 0.3:
            pen.rectangle((0, 0, width - 1, height - 1), outline=ink, width=int(rng.integers(1, 5)))
        return np.array(board, dtype=np.uint8)


def words(rng: np.random.Generator) -> str:
    """A line of an advert: words, or a telephone number, or a date."""
    kind = rng.random()
    if kind < 0.15:
        digits = "".join(str(d) for d in rng.integers(0, 10, 9))
        return f"0{digits[:3]} {digits[3:6]} {digits[6:]}"
    if kind < 0.25:
        day, month, hour, minute = (int(rng.integers(1, most)) for most in (29, 13, 24, 60))
        return f"{day:02}/{month:02}/2026 {hour:02}:{minute:02}:{int(rng.integers(60)):02}"
    letters = UPPER if kind < 0.45 else LOWER
    count = int(rng.integers(1, 4))
    parts = ["".join(rng.choice(list(letters), int(rng.integers(3, 9)))) for _ in range(count)]
    return " ".join(part.capitalize() if kind > 0.8 else part for part in parts)


def set_overlay(image: NDArray[np.uint8], quads: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Characters as a recorder writes them over its picture."""
    height, width = image.shape
    count = int(rng.integers(2, 14))
    letters = "".join(chr(c) for c in rng.choice([*range(48, 58), *range(65, 91), 46, 45, 58, 32], count))
    scale, thick = rng.uniform(0.3, 1.6), int(rng.integers(1, 4))
    font = int(rng.choice(HERSHEY))
    (wide, high), _ = cv2.getTextSize(letters, font, scale, thick)
    x, y = int(rng.integers(-20, width)), int(rng.integers(0, height))
    box = np.array([[x, y - high], [x + wide, y - high], [x + wide, y + 9], [x, y + 9]])
    if _touches(box, quads):
        return
    if rng.random() < 0.25:
        cv2.rectangle(image, (x - 4, y - high - 4), (x + wide, y + 6), int(rng.integers(0, 256)), -1)
    cv2.putText(image, letters, (x, y), font, scale, int(rng.integers(0, 256)), thick, cv2.LINE_AA)


def _touches(one: NDArray[np.floating | np.integer], quads: NDArray[np.float32]) -> bool:
    """Whether the upright box around `one` meets that around any of `quads`."""
    low, high = one.min(axis=0), one.max(axis=0)
    return any(bool((quad.min(axis=0) < high).all() and (quad.max(axis=0) > low).all()) for quad in quads)
