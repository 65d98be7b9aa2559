"""Rendered plates: what they say, their sizes, and that a seed decides everything."""

import csv
from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest

from anpr.plates.grammar import parse
from anpr.records import ALPHABET
from scripts.render.__main__ import main
from scripts.render.glyphs import BOX_MM, FACES, glyph_mask, outlines
from scripts.render.plate import PlateSpec, char_boxes, draw_plate, plate_alpha, sample_face
from scripts.render.spec import FORMAT_WEIGHTS, SIZES_MM, make_spec, sample_spec
from scripts.render.weather import photograph, weather

CAR = make_spec("30A12345", ("30A-123.45",), "car", "white", "2020")
CAR_SHORT = make_spec("30A12345", ("30A", "123.45"), "car", "white", "2020")
MOTORBIKE = make_spec("29H112345", ("29-H1", "123.45"), "motorbike", "white", "motorbike")


@pytest.mark.parametrize("set_name", BOX_MM)
def test_each_set_has_the_whole_alphabet_inside_its_box(set_name):
    shapes = outlines(set_name)
    assert set(ALPHABET) | {"Đ"} <= set(shapes)
    for char, contours in shapes.items():
        assert contours, char
        points = np.concatenate(contours)
        assert points.min() >= -0.02, char
        assert points.max() <= 1.02, char
        assert np.ptp(points[:, 1]) > 0.95, char


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("set_name", BOX_MM)
def test_no_two_characters_look_the_same(face, set_name):
    masks = {char: glyph_mask(face, set_name, char, 24, 48).astype(np.float32) for char in ALPHABET}
    for first in ALPHABET:
        for second in ALPHABET:
            if first < second and {first, second} != {"0", "O"}:
                assert np.abs(masks[first] - masks[second]).mean() > 4, (first, second)


def test_weight_orders_the_ink():
    ink = [int(glyph_mask("ministry", "car", "8", 38, 63, weight).sum()) for weight in (-2, -1, 0, 1, 2)]
    assert ink == sorted(set(ink))


def test_holes_stay_open():
    mask = glyph_mask("ministry", "car", "0", 38, 63)
    assert mask[31, 19] == 0
    assert mask[31, 4] == 255


@pytest.mark.parametrize("name", FORMAT_WEIGHTS)
def test_every_format_draws_and_is_a_plate_of_its_kind(name):
    rng = np.random.default_rng(7)
    for _ in range(60):
        spec = sample_spec(rng, weights={name: 1.0}, any_letter=0.0)
        assert spec.kind in {reading.kind for reading in parse(spec.text)}, spec
        assert (spec.width_mm, spec.height_mm) == SIZES_MM[spec.generation][spec.lines]
    picture = draw_plate(spec, rng, px_per_mm=0.7)
    assert picture.dtype == np.uint8
    assert picture.shape == (round(spec.height_mm * 0.7), round(spec.width_mm * 0.7), 3)
    assert cv2.meanStdDev(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))[1] > 15


def test_the_mix_teaches_every_character():
    rng = np.random.default_rng(1)
    seen = Counter(char for _ in range(4000) for char in sample_spec(rng).text)
    assert set(seen) == set(ALPHABET)


def test_rows_that_do_not_print_the_text_are_refused():
    with pytest.raises(ValueError, match="do not print"):
        PlateSpec("30A12345", ("30A", "123.46"), "car", "white", "2020", 330.0, 165.0)


def test_new_car_characters_stand_48_mm_apart():
    boxes = char_boxes(CAR)
    assert "".join(box.char for box in boxes) == "30A-123.45"
    assert {(box.width, box.height) for box in boxes if box.char.isalnum()} == {(38.0, 63.0)}
    for first, second in ((0, 1), (1, 2), (4, 5), (5, 6), (8, 9)):
        assert boxes[second].x - boxes[first].x == pytest.approx(48.0)
    assert boxes[0].y == pytest.approx(23.5)
    left, right = boxes[0].x, CAR.width_mm - boxes[-1].x - boxes[-1].width
    assert left == pytest.approx(right)


@pytest.mark.parametrize("seed", range(40))
def test_signs_stay_inside_the_plate_in_reading_order(seed):
    spec = sample_spec(np.random.default_rng(seed))
    boxes = char_boxes(spec)
    assert "".join(box.char for box in boxes) == "".join(spec.rows)
    for box in boxes:
        assert box.x > 0
        assert box.x + box.width < spec.width_mm
        assert box.y > 0
        assert box.y + box.height < spec.height_mm
    for first, second in pairwise(boxes):
        assert second.x >= first.x + first.width or second.y > first.y + first.height * 0.9


@pytest.mark.parametrize("spec", [CAR, CAR_SHORT, MOTORBIKE], ids=lambda spec: "|".join(spec.rows))
def test_ink_lies_where_the_boxes_say(spec):
    picture = draw_plate(spec, np.random.default_rng(3), px_per_mm=1.0)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    paint = float(np.median(grey))
    for box in char_boxes(spec):
        if box.char.isalnum():
            inside = grey[round(box.y) : round(box.y + box.height), round(box.x) : round(box.x + box.width)]
            assert (inside < paint - 60).mean() > 0.15, box


def test_alpha_cuts_the_corners_only():
    alpha = plate_alpha(MOTORBIKE, px_per_mm=1.0)
    assert alpha.shape == (140, 190)
    assert alpha[0, 0] == 0
    assert alpha[70, 95] == alpha[0, 95] == alpha[70, 0] == 255


def test_a_seed_decides_everything():
    def photo(seed):
        rng = np.random.default_rng(seed)
        spec = sample_spec(rng)
        return spec, photograph(weather(draw_plate(spec, rng, px_per_mm=0.6, face=sample_face(rng)), rng), rng)

    for seed in range(12):
        (first, one), (second, two) = photo(seed), photo(seed)
        assert first == second
        np.testing.assert_array_equal(one, two)
    assert photo(1)[0] != photo(2)[0]


def test_weather_and_camera_keep_the_size_the_input_and_some_contrast():
    rng = np.random.default_rng(11)
    plate = draw_plate(CAR_SHORT, rng, px_per_mm=0.7)
    before = plate.copy()
    for _ in range(150):
        seen = photograph(weather(plate, rng), rng)
        assert seen.shape == plate.shape
        assert seen.dtype == np.uint8
        assert float(np.mean(cv2.meanStdDev(seen)[1])) > 3
    np.testing.assert_array_equal(plate, before)


@pytest.mark.parametrize("effect", [weather, photograph])
def test_strength_zero_changes_nothing(effect):
    plate = draw_plate(CAR, np.random.default_rng(0), px_per_mm=0.5)
    np.testing.assert_array_equal(effect(plate, np.random.default_rng(0), strength=0.0), plate)


def test_the_plates_verb_writes_what_its_labels_say(tmp_path):
    assert main(["plates", str(tmp_path), "--count", "4", "--seed", "5"]) == 0
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 4
    for row in rows:
        assert cv2.imread(str(tmp_path / row["image"])) is not None
        assert len(row["rows"].split("|")) == int(row["lines"])


def test_an_unknown_verb_is_a_usage_error(capsys):
    assert main(["plate"]) == 2
    assert "plates" in capsys.readouterr().out
