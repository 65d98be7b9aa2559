"""The arithmetic of the calibration benchmark, on reads made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.calibration import (
    BINS,
    Bin,
    Judged,
    accepted_from,
    bins_of,
    calibration_error,
    draw,
    judge,
    likely_range,
    right_from,
)


def reads(*pairs: tuple[float, bool]) -> list[Judged]:
    return [Judged(probability, right, "yes") for probability, right in pairs]


def plate(text: str, *, probability: float = 0.9, x: float = 0.0) -> dict[str, Any]:
    quad = [[x, 0], [x + 10, 0], [x + 10, 5], [x, 5]]
    return {"text": text, "probability": probability, "quad": quad}


def row(**changes: str) -> dict[str, str]:
    return {"kind": "scene", "readable": "yes", "text": "30A-123.45", "boxes": "[]", **changes}


def test_reads_as_right_as_they_say_have_no_error() -> None:
    assert calibration_error(reads(*[(0.75, True)] * 3, (0.75, False))) == 0.0
    assert calibration_error([]) == 0.0


def test_the_error_is_weighted_by_the_bins() -> None:
    sure, unsure = [(1.0, True)] * 8 + [(1.0, False)] * 2, [(0.5, True)] * 10
    assert calibration_error(reads(*sure)) == pytest.approx(0.2)
    assert calibration_error(reads(*sure, *unsure)) == pytest.approx((10 * 0.2 + 10 * 0.5) / 20)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30))
def test_every_read_is_in_one_bin_that_holds_its_probability(pairs: list[tuple[float, bool]]) -> None:
    bins = bins_of(reads(*pairs))
    assert sum(one.count for one in bins) == len(pairs)
    assert all(one.low - 1e-9 <= one.mean <= one.low + 1 / BINS + 1e-9 for one in bins)
    assert 0.0 <= calibration_error(reads(*pairs)) <= 1.0 + 1e-9


def test_thresholds() -> None:
    some = reads((0.995, True), (0.99, False), (0.9, True), (0.2, False))
    assert right_from(some, 0.99) == 0.5
    assert right_from(some, 0.999) == 1.0
    assert accepted_from(some, 0.9) == 0.75
    assert accepted_from([], 0.9) == 0.0


def test_few_reads_leave_much_open() -> None:
    assert likely_range(Bin(0.9, 1, 0.95, 1.0)) == pytest.approx((0.2065, 1.0), abs=1e-3)
    assert likely_range(Bin(0.9, 100, 0.95, 0.5)) == pytest.approx((0.4038, 0.5962), abs=1e-3)


def test_the_picture_is_drawn_also_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the extra 'train'")
    draw({"crops": reads((0.9, True), (0.2, False)), "scenes": []}, tmp_path / "diagram.png")
    picture = cv2.imread(str(tmp_path / "diagram.png"))
    assert picture.shape[1] > picture.shape[0]


def test_a_scene_with_one_box_is_judged_by_the_plate_in_it() -> None:
    boxes = json.dumps([[100, 0, 110, 5]])
    plates = [plate("30A12345"), plate("30A12346", probability=0.7, x=101)]
    assert judge(row(boxes=boxes), plates) == Judged(0.7, False, "yes")
    assert judge(row(boxes=boxes), plates[:1]) is None
    assert judge(row(), plates) == Judged(0.9, True, "yes")
    assert judge(row(), []) is None


def test_a_refused_plate_counts_as_never_accepted() -> None:
    assert judge(row(), [plate("", probability=0.0)]) == Judged(0.0, False, "yes")
    assert judge(row(readable="foreign"), [plate("", probability=0.0)]) == Judged(0.0, False, "foreign")
    assert judge(row(readable="no"), []) == Judged(0.0, False, "no")
    assert judge(row(readable="no"), [plate("30A12345", probability=0.95)]) == Judged(0.95, False, "no")


def test_a_plate_without_a_labelled_text_says_nothing() -> None:
    assert judge(row(text=""), [plate("30A12345")]) is None
