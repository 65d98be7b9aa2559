"""Plates in parts of a picture are those of the whole picture, at a part of the cost."""

from __future__ import annotations

import numpy as np
import pytest

from anpr import assets
from anpr.clock import SystemClock
from anpr.nets.detector import CANVAS_MULTIPLE, Canvas, Detector, DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.ops import contract
from anpr.ops.quads import box_iou
from anpr.ops.window import Window
from anpr.records import Frame, Plate
from anpr.video.source import open_source

DEMO = assets.folder("configs") / "demo" / "expressway.mp4"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.open(ModelFolder.load("detector", "detector"))


@pytest.fixture(scope="module")
def looks(detector: Detector) -> list[tuple[Frame, list[Plate]]]:
    """Pictures of the demo clip with their plates, found in the whole."""
    with open_source(DEMO, camera_id="demo", clock=SystemClock()) as source:
        frames = [frame for frame in source if frame.index % 9 == 0][:60]
    return [(frame, detector.detect(frame)) for frame in frames]


def around(plate: Plate, *, px: int = 40) -> Window:
    left, top, right, bottom = (round(edge) for edge in plate.to_xyxy())
    return Window(left, top, right, bottom).grown(px)


def same(plate: Plate, found: list[Plate]) -> Plate | None:
    return next((other for other in found if box_iou(plate.to_xyxy(), other.to_xyxy()) > 0.6), None)


def test_a_plate_is_found_in_its_window_as_in_the_whole_picture(
    detector: Detector, looks: list[tuple[Frame, list[Plate]]]
) -> None:
    apart: list[float] = []
    clear = missed = 0
    for frame, plates in looks:
        for plate in plates:
            if plate.score < 0.7:
                continue  # one that is barely found may barely be missed
            clear += 1
            other = same(plate, detector.detect(frame, [around(plate)]))
            missed += other is None
            if other is not None:
                apart.append(float(np.abs(other.quad - plate.quad).max()))
    assert clear > 40
    assert missed == 0
    assert float(np.median(apart)) < 1.0
    assert max(apart) < 12.0


def test_nothing_is_told_of_the_rest_of_the_picture(detector: Detector, looks: list[tuple[Frame, list[Plate]]]) -> None:
    told = left_out = 0
    for frame, plates in looks:
        if len(plates) < 2:
            continue
        window = around(plates[0])
        parts = detector.canvases[0].parts(frame.luma.shape, [window])
        if len(parts) != 1:
            continue
        found = detector.detect(frame, [window])
        left_out += len(plates) > len(found)
        for plate in found:
            told += 1
            assert parts[0].left <= plate.quad[:, 0].min() <= plate.quad[:, 0].max() <= parts[0].right
            assert parts[0].top <= plate.quad[:, 1].min() <= plate.quad[:, 1].max() <= parts[0].bottom
    assert min(told, left_out) > 5


def test_a_plate_that_the_edge_of_a_part_cuts_is_not_told(
    detector: Detector, looks: list[tuple[Frame, list[Plate]]]
) -> None:
    cut = 0
    for frame, plates in looks:
        for plate in plates:
            left, top, right, bottom = plate.to_xyxy()
            middle = (left + right) / 2
            # A part whose right edge runs through the plate: the tiles end there, whatever the window.
            edge = round(middle / 96) * 96
            if plate.score < 0.6 or not left + 8 < edge < right - 8 or not 300 < edge < 1800:
                continue
            cut += 1
            window = Window(edge - 96 - 100, round(top), edge - 96, round(bottom))
            parts = detector.canvases[0].parts(frame.luma.shape, [window])
            assert [part.right for part in parts] == [edge]
            found = detector.detect(frame, [window])
            assert all(other.quad[:, 0].max() < edge - 8 for other in found)
            assert same(plate, found) is None
    assert cut >= 2


def test_both_layouts_and_two_windows(detector: Detector, looks: list[tuple[Frame, list[Plate]]]) -> None:
    frame, plates = max(looks, key=lambda look: len(look[1]))
    assert len(plates) >= 2
    ends = sorted(plates, key=lambda plate: plate.quad[:, 1].mean())
    found = detector.detect(frame, [around(ends[0], px=10), around(ends[-1], px=10)])
    assert same(ends[0], found) is not None
    assert same(ends[-1], found) is not None


@pytest.mark.parametrize(
    ("shape", "times"),
    [
        ((1080, 1920), 3),
        ((2160, 3840), 6),
        ((720, 1280), 2),
        ((1440, 2560), 4),
        ((1520, 2688), 0),
        ((1080, 1440), 0),
        ((240, 320), 0),
    ],
)
def test_a_picture_that_is_not_shrunk_evenly_is_looked_at_as_a_whole(shape: tuple[int, int], times: int) -> None:
    canvas = Canvas.new(ModelFolder.load("detector", "detector").facts.input, (384, 640), contract.load("cpu"))
    assert canvas.times(shape) == times
    window = Window(shape[1] // 2, shape[0] // 2, shape[1] // 2 + 10, shape[0] // 2 + 10)
    parts = canvas.parts(shape, [window])
    assert bool(parts) == bool(times)
    for part in parts:
        assert (part.right - part.left) % (CANVAS_MULTIPLE * times) == 0
        assert part.area < 0.1 * shape[0] * shape[1]


def test_much_of_the_picture_is_the_whole() -> None:
    canvas = Canvas.new(ModelFolder.load("detector", "detector").facts.input, (384, 640), contract.load("cpu"))
    assert canvas.parts((1080, 1920), [Window(100, 100, 1800, 1000)]) == []
    assert canvas.parts((1080, 1920), []) == []


def test_on_every_canvas_of_a_detector_with_zooms(looks: list[tuple[Frame, list[Plate]]]) -> None:
    detector = Detector.open(ModelFolder.load("detector", "detector"), DetectorOptions(zooms=(1.0, 0.75)))
    frame, plates = max(looks, key=lambda look: max((plate.score for plate in look[1]), default=0.0))
    best = plates[0]
    assert same(best, detector.detect(frame, [around(best)])) is not None
