"""Image operations against slow references."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr.errors import DeviceError
from anpr.ops import contract
from anpr.ops.quads import box_iou, is_convex, quad_area, quad_size

OPERATIONS = contract.load("cpu")


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def test_a_backend_offers_every_operation_of_the_contract() -> None:
    for name in contract.NAMES:
        assert callable(getattr(OPERATIONS, name))
        assert f"{name}(" in (contract.__doc__ or "")


def test_an_unknown_backend_is_refused_with_its_cure() -> None:
    with pytest.raises(DeviceError, match="cpu"):
        contract.load("quantum")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1080, 1920), (720, 1280), (1519, 2687), (600, 401)])
def test_letterbox_shrinks_as_an_area_average(size: tuple[int, int]) -> None:
    luma = noise(*size)
    canvas = np.full((384, 640), 7, np.float32)
    box = OPERATIONS.letterbox_luma(luma, canvas, mean=0.0, scale=1.0)
    expected = cv2.resize(luma.astype(np.float32), (box.width_px, box.height_px), interpolation=cv2.INTER_AREA)
    assert np.abs(canvas[: box.height_px, : box.width_px] - expected).max() < 0.2
    assert not canvas[box.height_px :].any()
    assert not canvas[:, box.width_px :].any()


def test_letterbox_enlarges_bilinearly_and_normalises() -> None:
    luma = noise(90, 120)
    canvas = np.zeros((384, 640), np.float32)
    box = OPERATIONS.letterbox_luma(luma, canvas, mean=110.0, scale=1 / 60)
    expected = cv2.resize(luma.astype(np.float32), (box.width_px, box.height_px), interpolation=cv2.INTER_LINEAR)
    assert np.abs(canvas[: box.height_px, : box.width_px] - (expected - 110) / 60).max() < 0.05


def test_letterbox_takes_planes_whose_rows_are_padded() -> None:
    padded = noise(1080, 1984)
    view, copy = padded[:, :1920], padded[:, :1920].copy()
    canvases = np.zeros((2, 384, 640), np.float32)
    for luma, canvas in zip((view, copy), canvases, strict=True):
        OPERATIONS.letterbox_luma(luma, canvas, mean=0.0, scale=1.0)
    assert np.array_equal(*canvases)


@pytest.mark.parametrize("size", [(1080, 1920), (2160, 3840), (720, 1280), (1519, 2687), (90, 120), (384, 640)])
@pytest.mark.parametrize("canvas", [(384, 640), (288, 480), (32, 64)])
def test_blocks_hold_the_nearest_bytes_of_the_plane(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    luma, (height, width) = noise(size[0], size[1] + 64)[:, : size[1]], canvas
    plane = np.zeros(canvas, np.float32)
    blocks = np.full((height // 4, width // 4, 16), 7, np.uint8)
    expected = OPERATIONS.letterbox_luma(luma, plane, mean=0.0, scale=1.0)
    box = OPERATIONS.letterbox_blocks(luma, blocks, fill=110)
    assert box == expected
    pixels = blocks.reshape(height // 4, width // 4, 4, 4).swapaxes(1, 2).reshape(canvas)
    shown = pixels[: box.height_px, : box.width_px].astype(np.float32)
    assert np.abs(shown - plane[: box.height_px, : box.width_px]).max() <= 0.51
    assert (pixels[box.height_px :] == 110).all()
    assert (pixels[:, box.width_px :] == 110).all()


@given(
    height=st.integers(40, 3000),
    width=st.integers(40, 4000),
    size=st.sampled_from([(384, 640), (160, 256)]),
    points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_a_point_comes_back_from_the_canvas(
    height: int, width: int, size: tuple[int, int], points: list[tuple[float, float]]
) -> None:
    canvas = np.zeros(size, np.float32)
    box = OPERATIONS.letterbox_luma(np.zeros((height, width), np.uint8), canvas, mean=0.0, scale=1.0)
    source = (np.array(points) * [width - 1, height - 1]).astype(np.float32)
    assert np.abs(box.to_source(box.to_canvas(source)) - source).max() < 0.01
    assert box.width_px <= size[1]
    assert box.height_px <= size[0]


def test_a_mark_on_an_odd_camera_is_found_where_it_is() -> None:
    luma = np.zeros((1519, 2687), np.uint8)
    luma[1000:1040, 2000:2080] = 255
    canvas = np.zeros((384, 640), np.float32)
    box = OPERATIONS.letterbox_luma(luma, canvas, mean=0.0, scale=1.0)
    y, x = (canvas * np.indices(canvas.shape)).reshape(2, -1).sum(axis=1) / canvas.sum()
    found = box.to_source(np.array([[x, y]], np.float32))[0]
    assert np.abs(found - [2039.5, 1019.5]).max() <= 0.5


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_rectify_agrees_with_a_perspective_warp(margin: float) -> None:
    luma = cv2.GaussianBlur(noise(200, 300), (0, 0), 3)
    quad = np.array([[90, 60], [210, 70], [205, 130], [85, 118]], np.float32)
    out = np.zeros((64, 128), np.float32)
    contrast = OPERATIONS.rectify(luma, quad, out, margin=margin)
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    target = (unit + margin) / (1 + 2 * margin) * [128, 64] - 0.5
    matrix = cv2.getPerspectiveTransform(quad, target.astype(np.float32))
    expected = cv2.warpPerspective(luma.astype(np.float32), matrix, (128, 64), flags=cv2.INTER_LINEAR)
    assert contrast == pytest.approx(float(expected.std()), rel=0.02)
    assert np.abs(out - (expected - expected.mean()) / expected.std()).max() < 0.12


def test_rectify_averages_what_it_shrinks() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (400, 400))
    out = np.zeros((64, 128), np.float32)
    contrast = OPERATIONS.rectify(
        stripes, np.array([[0, 0], [767, 0], [767, 383], [0, 383]], np.float32), out, margin=0.0
    )
    assert contrast < 70  # nearest sampling would give 127


@given(level=st.integers(0, 255))
@settings(max_examples=10, deadline=None)
def test_a_flat_plate_stays_flat(level: int) -> None:
    out = np.ones((64, 128), np.float32)
    quad = np.array([[10, 10], [50, 10], [50, 30], [10, 30]], np.float32)
    assert OPERATIONS.rectify(np.full((50, 60), level, np.uint8), quad, out, margin=0.02) < 0.1
    assert np.abs(out).max() < 0.1


def test_a_quad_without_area_gives_no_contrast() -> None:
    out = np.ones((64, 128), np.float32)
    assert OPERATIONS.rectify(noise(50, 60), np.zeros((4, 2), np.float32), out, margin=0.0) == 0.0
    assert not out.any()


def test_peaks_are_the_local_maxima_with_their_corners() -> None:
    maps = np.zeros((10, 48, 80), np.float32)
    maps[0, 10, 20], maps[0, 10, 21], maps[0, 40, 60] = 0.9, 0.8, 0.6
    maps[1, 10, 20] = 0.99
    maps[2:, 10, 20] = [-2, -1, 2, -1, 2, 1, -2, 1]
    peaks = OPERATIONS.find_peaks(maps, threshold=0.5, stride=8, most=5)
    assert peaks[:, 0].tolist() == pytest.approx([0.9, 0.6])
    assert peaks[0, 1] == pytest.approx(0.99)
    assert peaks[0, 2:].tolist() == pytest.approx([147.5, 75.5, 179.5, 75.5, 179.5, 91.5, 147.5, 91.5])


def test_of_equal_neighbours_one_is_a_peak() -> None:
    maps = np.zeros((10, 12, 12), np.float32)
    maps[0, 5, 5:7] = 0.9
    assert len(OPERATIONS.find_peaks(maps, threshold=0.5, stride=8, most=5)) == 1


def test_the_number_of_peaks_is_bounded() -> None:
    maps = np.zeros((10, 48, 80), np.float32)
    maps[0, ::2, ::2] = 0.9
    assert len(OPERATIONS.find_peaks(maps, threshold=0.5, stride=8, most=7)) == 7


def test_quads() -> None:
    quad = np.array([[0, 0], [4, 0], [4, 2], [0, 2]], np.float32)
    assert quad_area(quad) == 8
    assert quad_area(quad[::-1]) == -8
    assert is_convex(quad)
    assert not is_convex(quad[[0, 2, 1, 3]])
    assert quad_size(quad) == (4, 2)
    assert box_iou((0, 0, 4, 2), (2, 0, 6, 2)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 1, 1), (1, 1, 2, 2)) == 0
