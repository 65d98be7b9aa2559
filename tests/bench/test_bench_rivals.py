"""How lines of text become plates for the engine that we are compared with."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bench.rivals import Line, RapidOcr, fold, plates_among


def line(text: str, left: float, top: float, right: float, bottom: float, score: float = 0.9) -> Line:
    return Line(text, score, (left, top, right, bottom))


def test_texts_are_folded_as_the_scorer_does() -> None:
    assert fold("29-Đ1 123.45 號") == "29D112345"


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        ([line("30A12345", 0, 0, 90, 20), line("20201027", 0, 90, 90, 110)], ["30A12345"]),
        ([line("29H1", 10, 0, 70, 20), line("12345", 0, 24, 80, 44)], ["29H112345"]),
        ([line("30A", 0, 0, 30, 20), line("12345", 36, 1, 90, 21)], ["30A12345"]),
        ([line("29H1", 10, 0, 70, 20), line("12345", 0, 200, 80, 220)], []),
        ([line("29H1", 10, 0, 70, 20), line("12345", 200, 24, 280, 44)], []),
        ([line("HONDA", 0, 0, 60, 20)], []),
    ],
)
def test_lines_that_lie_together_are_joined(lines: list[Line], texts: list[str]) -> None:
    assert [plate.text for plate in plates_among(lines)] == texts


def test_no_line_is_used_twice_and_the_surest_comes_first() -> None:
    lines = [line("29H1", 0, 0, 60, 20, 0.7), line("12345", 0, 22, 60, 42, 0.8), line("51F67890", 200, 0, 300, 20)]
    assert [plate.text for plate in plates_among(lines)] == ["51F67890", "29H112345"]
    assert plates_among(lines)[1].box == (0, 0, 60, 42)


def test_a_crop_of_two_lines_is_cut_in_half() -> None:
    shown: list[tuple[int, ...]] = []

    def engine(picture: np.ndarray, **options: bool) -> tuple[list[list[object]], list[float]]:
        assert options == {"use_det": False, "use_cls": False}
        shown.append(picture.shape)
        return [["29-H1" if len(shown) == 1 else "123.45", 0.9]], [0.0]

    (plate,) = RapidOcr(engine).crop_halved(np.zeros((60, 90, 3), np.uint8))
    assert plate.text == "29H112345"
    assert shown == [(30, 90, 3), (30, 90, 3)]


def test_lines_of_a_crop_that_form_no_plate_are_still_its_text() -> None:
    def engine(picture: np.ndarray) -> tuple[list[list[object]], list[float]]:
        assert picture.shape == (120, 150, 3)
        return [
            [[[0, 40], [90, 40], [90, 60], [0, 60]], "123", 0.8],
            [[[0, 10], [90, 10], [90, 30], [0, 30]], "9H1", 0.9],
        ], []

    assert [plate.text for plate in RapidOcr(engine).crop(np.zeros((60, 90, 3), np.uint8))] == ["9H1123"]


def test_a_picture_without_text_has_no_plates() -> None:
    assert RapidOcr(lambda _: (None, None)).scene(np.zeros((60, 90, 3), np.uint8)) == []


def test_without_the_package_it_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("rapidocr", "rapidocr_onnxruntime"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="rapidocr"):
        RapidOcr.open()
