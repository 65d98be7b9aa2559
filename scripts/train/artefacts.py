"""The pictures a training run leaves in its folder at every evaluation, each replacing the one before.

`curves.png`: the loss and every figure of `log.jsonl` over the steps. For the reader `errors.png`, a sheet of the worst
held-out reads, and `confusions.png` with `confusions.csv`, which characters were read for which. For the detector
`errors.png`, the scenes whose plates were found worst, and `false.png`, what was found where there is no plate.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from anpr.records import ALPHABET, EMPTY

TILE = (256, 160)
"""Columns and rows of one picture on a sheet, in pixels."""
CAPTION_PX = 20
ACROSS = 5
MOST_TILES = 40
GREEN, RED, WHITE = (80, 200, 80), (60, 60, 255), (235, 235, 235)
LABELS = (*ALPHABET, "none")


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutRead:
    """One held-out plate and what the net says of it."""

    crop: NDArray[np.float32]
    """(height, width) standardised luma, as the net got it."""
    truth: str
    read: str
    probability: float
    """Of `read`, the product over its positions."""

    @property
    def right(self) -> bool:
        return self.read == self.truth


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutScene:
    """One held-out scene, its plates and the plates found in it."""

    luma: NDArray[np.uint8]
    truths: Sequence[NDArray[np.float32]]
    """(4, 2) corners each, source pixels."""
    found: Sequence[NDArray[np.float32]]
    overlaps: Sequence[float]
    """Per truth the best IoU of the upright boxes."""


def draw_curves(log: Path, output: Path) -> None:
    """One small plot for the loss and for each figure of `log` (one JSON object with `step` a line)."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("step", "seconds")))
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(4.2 * across, 2.8 * down), layout="constrained")
    for axes, name in zip(figure.subplots(down, across, squeeze=False).flat, names, strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3)
        axes.set_title(f"{name}: {points[-1][1]:.4g}", fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.grid(visible=True, alpha=0.3)
    for axes in list(figure.axes)[len(names) :]:
        axes.set_visible(False)
    figure.savefig(output, dpi=80)


def draw_reads(reads: Iterable[HeldOutRead], output: Path) -> None:
    """A sheet of the wrong reads, the surest first, then of the right reads, the least sure first."""
    worst = sorted(reads, key=lambda read: (read.right, read.probability if read.right else -read.probability))
    tiles = []
    for read in worst[:MOST_TILES]:
        grey = np.clip(read.crop * 50 + 128, 0, 255).astype(np.uint8)
        texts = read.truth if read.right else f"{read.truth} > {read.read or '-'}"
        tiles.append(_tile(grey, f"{texts} {read.probability:.3f}", GREEN if read.right else RED))
    cv2.imwrite(str(output), _sheet(tiles))


def draw_scenes(scenes: Iterable[HeldOutScene], output: Path) -> None:
    """A sheet of the scenes whose worst plate overlaps least with what was found; green is true, red is found."""
    worst = sorted(scenes, key=lambda scene: min(scene.overlaps, default=1.0))
    tiles = []
    for scene in worst[:MOST_TILES]:
        picture = np.asarray(cv2.cvtColor(scene.luma, cv2.COLOR_GRAY2BGR), np.uint8)
        thick = max(1, round(picture.shape[1] / TILE[0]))
        for quads, colour in ((scene.truths, GREEN), (scene.found, RED)):
            corners = [np.round(quad).astype(np.int32) for quad in quads]
            cv2.polylines(picture, corners, isClosed=True, color=colour, thickness=thick)
        if scene.overlaps:
            least = min(scene.overlaps)
            tiles.append(_tile(picture, f"IoU {least:.2f}", WHITE if least >= 0.5 else RED))
        else:
            tiles.append(_tile(picture, f"{len(scene.found)} false", WHITE))
    cv2.imwrite(str(output), _sheet(tiles))


def align(truth: str, read: str) -> list[tuple[str, str]]:
    """Pairs (true, read) along the shortest edit from one text to the other; '' where a character has no partner."""
    costs = np.zeros((len(truth) + 1, len(read) + 1), np.int64)
    costs[:, 0], costs[0] = np.arange(len(truth) + 1), np.arange(len(read) + 1)
    for row, a in enumerate(truth, 1):
        for column, b in enumerate(read, 1):
            swapped = costs[row - 1, column - 1] + (a != b)
            costs[row, column] = min(swapped, costs[row - 1, column] + 1, costs[row, column - 1] + 1)
    pairs, row, column = [], len(truth), len(read)
    while row or column:
        both = row and column
        if both and costs[row, column] == costs[row - 1, column - 1] + (truth[row - 1] != read[column - 1]):
            row, column = row - 1, column - 1
            pairs.append((truth[row], read[column]))
        elif row and costs[row, column] == costs[row - 1, column] + 1:
            row -= 1
            pairs.append((truth[row], ""))
        else:
            column -= 1
            pairs.append(("", read[column]))
    return pairs[::-1]


def count_confusions(reads: Iterable[HeldOutRead]) -> NDArray[np.int64]:
    """(37 true, 37 read) counts in the order of ALPHABET, then 'none': a character missed, or read where none is."""
    counts = np.zeros((EMPTY + 1, EMPTY + 1), np.int64)
    for read in reads:
        for true, seen in align(read.truth, read.read):
            row, column = (ALPHABET.index(character) if character else EMPTY for character in (true, seen))
            counts[row, column] += 1
    return counts


def write_confusions(counts: NDArray[np.int64], output: Path) -> None:
    """The matrix as CSV: one row per true character, one column per character read."""
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["truth", *LABELS])
        writer.writerows([label, *row] for label, row in zip(LABELS, counts.tolist(), strict=True))


def draw_confusions(counts: NDArray[np.int64], output: Path) -> None:
    """The matrix as a picture: colour is the share of the true character, numbers are the counts of errors."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        if row != column:
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color="darkred")
    axes.set_xticks(range(len(LABELS)), LABELS, fontsize=8)
    axes.set_yticks(range(len(LABELS)), LABELS, fontsize=8)
    axes.set_xlabel("read")
    axes.set_ylabel("truth")
    wrong = int(counts.sum() - np.trace(counts))
    axes.set_title(f"{int(counts.sum())} characters, {wrong} of them wrong")
    figure.savefig(output, dpi=80)


def reader_artefacts(run: Path, reads: Sequence[HeldOutRead]) -> None:
    """All of one evaluation of a reader but the curves."""
    draw_reads(reads, run / "errors.png")
    counts = count_confusions(reads)
    write_confusions(counts, run / "confusions.csv")
    draw_confusions(counts, run / "confusions.png")


def detector_artefacts(run: Path, scenes: Iterable[HeldOutScene], empty: Iterable[HeldOutScene]) -> None:
    """All of one evaluation of a detector but the curves; `empty` are scenes without a plate."""
    draw_scenes(scenes, run / "errors.png")
    false = [scene for scene in empty if scene.found]
    draw_scenes(sorted(false, key=lambda scene: -len(scene.found)), run / "false.png")


def _tile(picture: NDArray[np.uint8], caption: str, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The picture fitted into TILE over its caption, (rows + CAPTION_PX, columns, 3) BGR."""
    columns, rows = TILE
    scale = min(columns / picture.shape[1], rows / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.zeros((rows + CAPTION_PX, columns, 3), np.uint8)
    top, left = (rows - size[1]) // 2, (columns - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = fitted if fitted.ndim == 3 else fitted[..., None]
    cv2.putText(tile, caption, (4, rows + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return tile


def _sheet(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The tiles row by row; one dark tile where there are none."""
    blank = np.zeros((TILE[1] + CAPTION_PX, TILE[0], 3), np.uint8)
    if not tiles:
        return blank
    padded = [*tiles, *[blank] * (-len(tiles) % ACROSS)]
    return np.vstack([np.hstack(padded[start : start + ACROSS]) for start in range(0, len(padded), ACROSS)])
