"""The labelled pictures that training and measuring use: one row per picture of a `labels.csv`."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "dev"]
OPEN_LICENCES = ("MIT", "Apache-2.0", "BSD", "CC0", "CC BY 4.0", "own pictures")
"""Starts of the stated licences under which anyone may pass on what was made of a picture, naming its source."""

CATEGORIES = (
    "crops-vn",
    "crops-vn-blur",
    "crops-blurred",
    "crops-foreign",
    "crops-foreign-blur",
    "car-gate",
    "car-phone",
    "gate-moto",
    "moto-phone",
    "square384",
    "web-vn",
    "openalpr",
    "dashcam-ro",
    "web-other",
    "road-noplate",
)
"""What a picture shows, which decides what it is used for; docs/models.md says how."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture."""

    path: Path
    split: Split
    kind: Literal["scene", "crop"]
    category: str
    text: str
    readable: Literal["yes", "no", "foreign", "none", "unknown"]
    lines: int
    """1 or 2, 0 where unknown."""
    boxes: tuple[tuple[float, float, float, float], ...]
    """Plates as (x_min, y_min, x_max, y_max) in pixels; empty means not labelled, not 'no plate'."""
    licence: str
    quad: tuple[tuple[float, float], ...] = ()
    """The plate's 4 corners as our own models found them (`scripts.train quads`); empty if they did not."""

    def load_grey(self) -> NDArray[np.uint8]:
        """(height, width) luma. Raises FileNotFoundError if the picture cannot be read."""
        image = cv2.imread(str(self.path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise FileNotFoundError(f"{self.path}: not a readable picture")
        return np.asarray(image, dtype=np.uint8)


def add_open_only(parser: argparse.ArgumentParser) -> None:
    """The option of every verb that learns from pictures."""
    parser.add_argument("--open-only", action="store_true", help="only pictures under an open licence")


def load_pictures(
    data: Path,
    *,
    split: Split,
    kind: str | None = None,
    categories: Collection[str] | None = None,
    quads: Path | None = None,
    open_only: bool = False,
) -> list[Picture]:
    """The pictures of one split, in file order; `open_only` leaves out those without one of `OPEN_LICENCES`.

    Raises FileNotFoundError if `data/labels.csv` is missing, ValueError for a category that nothing learns from.
    """
    corners = json.loads(quads.read_text(encoding="utf-8")) if quads else {}
    pictures = []
    with (data / "labels.csv").open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            if row["category"] not in CATEGORIES:
                known = ", ".join(CATEGORIES)
                raise ValueError(f"{file.name}:{line}: unknown category {row['category']!r}; the known ones: {known}")
            if row["split"] != split or (kind and row["kind"] != kind):
                continue
            if categories is not None and row["category"] not in categories:
                continue
            if open_only and not row["licence"].startswith(OPEN_LICENCES):
                continue
            pictures.append(
                Picture(
                    path=data / row["image"],
                    split=split,
                    kind="scene" if row["kind"] == "scene" else "crop",
                    category=row["category"],
                    text=row["text"],
                    readable=row["readable"],  # type: ignore[arg-type]
                    lines=int(row["lines"] or 0),
                    boxes=tuple(tuple(box) for box in json.loads(row["boxes"] or "[]")),
                    licence=row["licence"],
                    quad=tuple((float(x), float(y)) for x, y in corners.get(row["image"], ())),
                )
            )
    return pictures
