"""A sheet of pictures that were read wrongly, each with its truth and its read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

TILE = (240, 150)
"""Width and height of a picture on the sheet, px."""
CAPTION_PX = 34
PER_ROW = 6


def draw_sheet(
    path: Path, data: Path, misses: Sequence[Sequence[str]], rows: dict[str, dict[str, str]], answers: dict[str, Any]
) -> None:
    """Write `path` (PNG): one tile for each (image, truth, read, probability) of `misses`; nothing if there is none."""
    write_sheet(path, [_tile(data, miss, rows[miss[0]], answers[miss[0]]) for miss in misses])


def draw_find(luma: NDArray[np.uint8], plate: dict[str, Any], name: str) -> NDArray[np.uint8]:
    """The tile of a plate that was told of a picture, with what is around it."""
    corners = np.array(plate["quad"])
    margin = np.ptp(corners, axis=0) + 8
    x_min, y_min = np.maximum(corners.min(axis=0) - margin, 0).astype(int)
    x_max, y_max = np.minimum(corners.max(axis=0) + margin, (luma.shape[1], luma.shape[0])).astype(int)
    part = cv2.cvtColor(np.ascontiguousarray(luma[y_min:y_max, x_min:x_max]), cv2.COLOR_GRAY2BGR)
    return _captioned(
        np.asarray(part, np.uint8), (f"{plate['text'] or plate['unreadable']} {plate['score']:.2f}", name)
    )


def write_sheet(path: Path, tiles: list[NDArray[np.uint8]]) -> None:
    """Write the tiles as one PNG; nothing if there is none."""
    if not tiles:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles = tiles + [np.full_like(tiles[0], 40)] * (-len(tiles) % PER_ROW)
    lines = [np.hstack(tiles[index : index + PER_ROW]) for index in range(0, len(tiles), PER_ROW)]
    cv2.imwrite(str(path), np.vstack(lines))


def _tile(data: Path, miss: Sequence[str], row: dict[str, str], answer: dict[str, Any]) -> NDArray[np.uint8]:
    """One picture, cut to what was read or should have been."""
    image, truth, read, probability = miss
    picture = np.asarray(cv2.imread(str(data / image)), np.uint8)
    x_min, y_min, x_max, y_max = _part(picture, row, answer)
    captions = (f"{truth} > {read or '-'} {probability}", "/".join(Path(image).parts[-2:]))
    return _captioned(picture[y_min:y_max, x_min:x_max], captions)


def _captioned(picture: NDArray[np.uint8], captions: tuple[str, str]) -> NDArray[np.uint8]:
    """A tile that shows the picture as large as it fits, two lines of text under it."""
    width, height = TILE
    scale = min(width / picture.shape[1], height / picture.shape[0])
    part = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((height + CAPTION_PX, width, 3), 40, np.uint8)
    tile[: min(height, part.shape[0]), : min(width, part.shape[1])] = part[:height, :width]
    for y, text in zip((height + 13, height + 28), captions, strict=True):
        cv2.putText(tile, text, (3, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _part(picture: NDArray[np.uint8], row: dict[str, str], answer: dict[str, Any]) -> tuple[int, int, int, int]:
    """(x_min, y_min, x_max, y_max): around the labelled boxes and the plate read first; else all."""
    height, width = picture.shape[:2]
    corners = [corner for x1, y1, x2, y2 in json.loads(row["boxes"] or "[]") for corner in ((x1, y1), (x2, y2))]
    corners += [corner for plate in answer["plates"][:1] for corner in plate["quad"]]
    if row["kind"] == "crop" or not corners:
        return 0, 0, width, height
    points = np.array(corners)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.3 * (high - low) + 8
    x_min, y_min = (int(value) for value in np.maximum(low - margin, 0))
    x_max, y_max = (int(value) for value in np.minimum(high + margin, (width, height)))
    return x_min, y_min, max(x_max, x_min + 1), max(y_max, y_min + 1)
