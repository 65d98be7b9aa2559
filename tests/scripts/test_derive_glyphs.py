"""Letter shapes from crops: finding the characters, and giving a shape its box and stroke."""

import cv2
import numpy as np
import pytest

from scripts.render.derive_glyphs import PX_PER_MM, cut_plate, find_rows, finish
from scripts.render.glyphs import BOX_MM
from scripts.render.plate import draw_plate
from scripts.render.spec import make_spec
from scripts.render.strokes import stroke_mask

ONE_LINE = make_spec("51F44683", ("51F-446.83",), "car", "white", "old")
TWO_LINES = make_spec("59X250273", ("59-X2", "502.73"), "motorbike", "white", "motorbike")

NO_BOLTS = 9
"""A seed whose plates have no bolts: one that touches a character makes its component taller."""


def crop(spec, degrees=0.0):
    """A grey crop of a drawn plate on a dark car, turned a little."""
    plate = cv2.cvtColor(draw_plate(spec, np.random.default_rng(NO_BOLTS), px_per_mm=1.5), cv2.COLOR_BGR2GRAY)
    height, width = plate.shape
    canvas = cv2.copyMakeBorder(plate, 25, 25, 12, 12, cv2.BORDER_CONSTANT, value=50)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(canvas, turn, (canvas.shape[1], canvas.shape[0]), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("degrees", [-2.0, 0.0, 3.0])
@pytest.mark.parametrize("spec", [ONE_LINE, TWO_LINES], ids=["one line", "two lines"])
def test_every_character_is_cut_in_reading_order(spec, degrees):
    found = find_rows(crop(spec, degrees), spec.lines, len(spec.text))
    assert found is not None
    grey, rows = found
    assert [len(row) for row in rows] == ([8] if spec.lines == 1 else [4, 5])
    tops = [[box[1] for box in row] for row in rows]
    assert all(max(row) - min(row) < 9 for row in tops)
    cuts = list(cut_plate(grey, rows, spec.text))
    assert "".join(char for char, _ in cuts) == spec.text
    for char, cut in cuts:
        assert (cut.width < 0.8) == (char == "1"), char


def test_a_text_that_does_not_fit_is_left_out():
    assert find_rows(crop(ONE_LINE), 1, 7) is None


@pytest.mark.parametrize("set_name", BOX_MM)
def test_a_thin_shape_gets_its_box_and_pen(set_name):
    width, height, pen = BOX_MM[set_name]
    thin = stroke_mask("0", width_mm=38.0, height_mm=63.0, pen_mm=6.0, px_per_mm=12.0)
    mask = finish(set_name, {"0": thin})["0"]
    assert mask.shape == (round(height * PX_PER_MM), round(width * PX_PER_MM))
    assert cv2.boundingRect(mask)[2:] == pytest.approx((mask.shape[1], mask.shape[0]), abs=4)
    stroke = (mask[mask.shape[0] // 2] > 0).sum() / 2 / PX_PER_MM
    assert stroke == pytest.approx(pen, rel=0.2)
