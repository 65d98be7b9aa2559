"""The pictures of a training run: what they show, and that they say so of the right plates and scenes."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="training needs the extra 'train': pip install '.[train]'")

from hypothesis import given
from hypothesis import strategies as st

from anpr.records import ALPHABET, EMPTY
from scripts.train.artefacts import (
    ACROSS,
    CAPTION_PX,
    GREEN,
    RED,
    TILE,
    HeldOutRead,
    HeldOutScene,
    align,
    count_confusions,
    detector_artefacts,
    draw_curves,
    draw_reads,
    reader_artefacts,
)

TEXTS = st.text("018B", max_size=7)


def read(truth: str, text: str, *, probability: float = 0.9, level: float = 0.0) -> HeldOutRead:
    return HeldOutRead(np.full((64, 128), level, np.float32), truth, text, probability)


def scene(*overlaps: float, level: int = 90, found: int = 1) -> HeldOutScene:
    quad = np.array([[40, 40], [80, 40], [80, 60], [40, 60]], np.float32)
    return HeldOutScene(np.full((160, 256), level, np.uint8), [quad] * len(overlaps), [quad + 30] * found, overlaps)


def tile(sheet: np.ndarray, number: int) -> np.ndarray:
    """The picture of one tile of a sheet."""
    row, column = divmod(number, ACROSS)
    top, left = row * (TILE[1] + CAPTION_PX), column * TILE[0]
    return sheet[top : top + TILE[1], left : left + TILE[0]]


def is_in(colour: tuple[int, int, int], picture: np.ndarray) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=-1) < 30).any())


def test_a_missing_character_does_not_move_the_others() -> None:
    assert align("30A12", "30A2") == [("3", "3"), ("0", "0"), ("A", "A"), ("1", ""), ("2", "2")]
    assert align("8", "B") == [("8", "B")]
    assert align("", "7") == [("", "7")]


@given(TEXTS, TEXTS)
def test_an_alignment_holds_both_texts_in_order(truth: str, text: str) -> None:
    pairs = align(truth, text)
    assert "".join(true for true, _ in pairs) == truth
    assert "".join(seen for _, seen in pairs) == text
    assert ("", "") not in pairs
    assert sum(a != b for a, b in pairs) <= max(len(truth), len(text))


def test_confusions_are_counted_by_true_character() -> None:
    counts = count_confusions([read("30A12348", "30A1234B"), read("8", ""), read("8", "8")])
    eight, b = ALPHABET.index("8"), ALPHABET.index("B")
    assert (counts[eight, b], counts[eight, EMPTY], counts[eight, eight], counts[b, eight]) == (1, 1, 1, 0)
    assert counts.sum() == 10


def test_the_worst_reads_come_first(tmp_path: Path) -> None:
    reads = [
        read("30A1", "30A1", probability=0.99, level=-2.0),
        read("30A2", "30A1", probability=0.3, level=0.0),
        read("30A3", "30A1", probability=0.9, level=2.0),
        read("30A4", "30A4", probability=0.5, level=-1.0),
    ]
    draw_reads(reads, tmp_path / "errors.png")
    sheet = cv2.imread(str(tmp_path / "errors.png"))
    middles = [int(tile(sheet, number)[TILE[1] // 2, TILE[0] // 2, 0]) for number in range(4)]
    assert middles == [228, 128, 78, 28]


def test_the_reader_leaves_its_matrix_as_picture_and_table(tmp_path: Path) -> None:
    reader_artefacts(tmp_path, [read("30A12348", "30A1234B")])
    with (tmp_path / "confusions.csv").open(newline="") as file:
        rows = {row["truth"]: row for row in csv.DictReader(file)}
    assert len(rows) == 37
    assert set(rows["8"]) == {"truth", *ALPHABET, "none"}
    assert (rows["8"]["B"], rows["B"]["8"], rows["3"]["3"]) == ("1", "0", "2")
    assert min(cv2.imread(str(tmp_path / "confusions.png")).shape[:2]) >= 500


def test_the_detector_shows_true_and_found_boxes_worst_first(tmp_path: Path) -> None:
    scenes = [scene(0.9, level=60), scene(0.95, 0.1, level=120), scene(level=200)]
    detector_artefacts(tmp_path, scenes, [scene(level=30, found=1), scene(level=60, found=3), scene(found=0)])
    sheet = cv2.imread(str(tmp_path / "errors.png"))
    assert [int(tile(sheet, number)[5, 5, 0]) for number in range(3)] == [120, 60, 200]
    assert is_in(GREEN, tile(sheet, 0))
    assert is_in(RED, tile(sheet, 0))
    assert not is_in(GREEN, tile(sheet, 2))
    false = cv2.imread(str(tmp_path / "false.png"))
    assert [int(tile(false, number)[5, 5, 0]) for number in range(3)] == [60, 30, 0]


def test_nothing_wrong_is_an_empty_sheet(tmp_path: Path) -> None:
    detector_artefacts(tmp_path, [], [scene(found=0)])
    assert cv2.imread(str(tmp_path / "false.png")).max() == 0


def test_curves_hold_the_loss_and_every_figure_also_those_that_came_later(tmp_path: Path) -> None:
    rows = [{"step": 5, "loss": 2.0, "seconds": 1.0}, {"step": 10, "loss": 1.0, "seconds": 2.0, "exact": 0.5}]
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    draw_curves(log, tmp_path / "two.png")
    log.write_text(json.dumps(rows[0]) + "\n")
    draw_curves(log, tmp_path / "one.png")
    two, one = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("two", "one"))
    assert two.shape[1] > 1.8 * one.shape[1]


def test_an_evaluation_costs_little(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list(ALPHABET), 8)) for _ in range(150)]
    reads = [read(text, text[:-1] + "0", level=float(rng.normal())) for text in texts]
    started = time.process_time()
    reader_artefacts(tmp_path, reads)
    detector_artefacts(tmp_path, [scene(0.2)] * 80, [scene()] * 40)
    assert time.process_time() - started < 3.0
