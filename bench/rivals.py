"""What a buyer would otherwise use, run on the same pictures: RapidOCR (PP-OCR in onnxruntime, one core).

It is used as its users do: find and read lines of text, join the lines that lie together, keep what has the form of a
Vietnamese plate. It stands outside the package and is optional.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import permutations
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.cli.read import TWO_LINES_ASPECT_MOST
from anpr.plates.grammar import parse

PADDING = 0.5
"""Of a crop's height, repeated edges around it: RapidOCR's detector misses text that touches the picture's border."""

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text in a picture; `box` is (x_min, y_min, x_max, y_max)."""

    text: str
    score: float
    box: Box


def fold(text: str) -> str:
    """What the scorer compares: 0-9 and A-Z, Đ as D."""
    return re.sub(r"[^0-9A-Z]", "", text.upper().replace("Đ", "D"))


def stacked(upper: Line, lower: Line) -> bool:
    """True if `lower` lies right below `upper`, as the second line of a plate does."""
    (left, top, right, bottom), (left_2, top_2, right_2, bottom_2) = upper.box, lower.box
    higher = max(bottom - top, bottom_2 - top_2)
    shared = min(right, right_2) - max(left, left_2)
    apart = (top_2 + bottom_2 - top - bottom) / 2
    return shared >= 0.4 * min(right - left, right_2 - left_2) and 0.4 * higher <= apart <= 2.2 * higher


def beside(first: Line, second: Line) -> bool:
    """True if `second` goes on where `first` ends: a line that was found in two parts."""
    (left, top, right, bottom), (left_2, top_2, _, bottom_2) = first.box, second.box
    lower = min(bottom - top, bottom_2 - top_2)
    shared = min(bottom, bottom_2) - max(top, top_2)
    return shared >= 0.5 * lower and left < left_2 and -0.5 * lower <= left_2 - right <= 1.5 * lower


def joined(first: Line, second: Line) -> Line:
    """Two lines as one text."""
    box = (
        min(first.box[0], second.box[0]),
        min(first.box[1], second.box[1]),
        max(first.box[2], second.box[2]),
        max(first.box[3], second.box[3]),
    )
    return Line(first.text + second.text, min(first.score, second.score), box)


def plates_among(lines: Sequence[Line]) -> list[Line]:
    """The lines, and pairs of lines, that have the form of a plate: longest and surest first, each line used once."""
    candidates = [(line, {line.box}) for line in lines]
    candidates += [(joined(a, b), {a.box, b.box}) for a, b in permutations(lines, 2) if stacked(a, b) or beside(a, b)]
    plates = [(candidate, boxes) for candidate, boxes in candidates if parse(candidate.text)]
    plates.sort(key=lambda item: (len(item[1]), item[0].score), reverse=True)
    used: set[Box] = set()
    found: list[Line] = []
    for plate, boxes in plates:
        if not boxes & used:
            used |= boxes
            found.append(plate)
    return sorted(found, key=lambda plate: plate.score, reverse=True)


@dataclass(frozen=True, slots=True)
class RapidOcr:
    """RapidOCR on one core."""

    engine: Callable[..., tuple[Any, Any]]
    """In the manner of version 1: (lines of [quad, text, score], seconds); lines have no quad with `use_det=False`."""
    name: str = "RapidOCR"

    @staticmethod
    def open() -> RapidOcr:
        """Version 1.4 (PP-OCRv4) if it is installed, else version 3. Raises ImportError if neither is."""
        cv2.setNumThreads(1)
        if importlib.util.find_spec("rapidocr_onnxruntime"):
            from rapidocr_onnxruntime import RapidOCR

            version = metadata.version("rapidocr-onnxruntime")
            return RapidOcr(RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1), f"RapidOCR {version}")
        return RapidOcr(_version_3(), f"RapidOCR {metadata.version('rapidocr')}")

    def answer(self, path: Path, kind: str) -> dict[str, Any]:
        """What it says of a picture, in the form of `anpr read --json`; `kind` is `scene`, `crop` or `halved`."""
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise FileNotFoundError(path)
        read = {"scene": self.scene, "crop": self.crop, "halved": self.crop_halved}[kind]
        started = perf_counter()
        lines = read(np.asarray(picture, np.uint8))
        milliseconds = (perf_counter() - started) * 1000
        return {"plates": [described(line) for line in lines], "ms": round(milliseconds, 3)}

    def scene(self, picture: NDArray[np.uint8]) -> list[Line]:
        """Plates of a photograph, best first."""
        return plates_among(self._lines(picture))

    def crop(self, picture: NDArray[np.uint8]) -> list[Line]:
        """The plate that fills a picture: its lines found, and joined from the top down if no pair forms a plate."""
        edge = round(PADDING * picture.shape[0])
        padded = cv2.copyMakeBorder(picture, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        lines = self._lines(np.asarray(padded, np.uint8))
        plates = plates_among(lines)
        if plates or not lines:
            return plates[:1]
        whole = lines[0]
        for line in lines[1:]:
            whole = joined(whole, line)
        return [whole]

    def crop_halved(self, picture: NDArray[np.uint8]) -> list[Line]:
        """The same without looking for lines: a crop of two lines is cut in half."""
        height, width = picture.shape[:2]
        two = width / height <= TWO_LINES_ASPECT_MOST
        strips = [picture[: height // 2], picture[height // 2 :]] if two else [picture]
        answers = [self.engine(strip, use_det=False, use_cls=False)[0] for strip in strips]
        texts = [(fold(answer[0][0]), float(answer[0][1])) for answer in answers if answer]
        box = (0.0, 0.0, float(width), float(height))
        return [Line("".join(text for text, _ in texts), min(score for _, score in texts), box)] if texts else []

    def _lines(self, picture: NDArray[np.uint8]) -> list[Line]:
        """All lines of text from the top down."""
        answer, _ = self.engine(picture)
        return sorted(
            (
                Line(fold(text), float(score), (*np.min(quad, axis=0).tolist(), *np.max(quad, axis=0).tolist()))
                for quad, text, score in answer or ()
                if fold(text)
            ),
            key=lambda line: line.box[1],
        )


def _version_3() -> Callable[..., tuple[Any, Any]]:
    """RapidOCR 3 in the manner of version 1."""
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params={**threads, "Global.log_level": "critical"})

    def call(picture: NDArray[np.uint8], **options: bool) -> tuple[Any, Any]:
        # It remembers the options of the call before: say all of them each time.
        answer = engine(picture, **({"use_det": True, "use_cls": True, "use_rec": True} | options))
        quads = getattr(answer, "boxes", None)
        found = zip(answer.txts or (), answer.scores or (), strict=True)
        if options:
            return [[text, score] for text, score in found], None
        return [] if quads is None else [[quad, *line] for quad, line in zip(quads, found, strict=True)], None

    return call


def described(line: Line) -> dict[str, Any]:
    """A line as `anpr read --json` prints a plate."""
    left, top, right, bottom = line.box
    quad = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"text": line.text, "quad": quad, "score": round(line.score, 4), "probability": round(line.score, 4)}
