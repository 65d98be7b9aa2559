"""How small, and how large, may a plate be? Found and read plates by their width in rendered 1080p and 4K pictures.

The pictures are drawn by `scripts.render` from seeds that no training used, by day, by night and in rain, from near and
far. A plate counts as found where the detector's upright box and the true one overlap by half (IoU).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.config import load_pipeline
from anpr.engine.pipeline import Stages, build_stages
from anpr.ops.quads import box_iou
from anpr.records import Frame
from bench import report
from scripts.render.clip import ClipConfig, Scene
from scripts.render.light import Daylight

SIZES = {"1080p": (1920, 1080), "4k": (3840, 2160)}
WIDTHS_PX = (20, 30, 45, 70, 110, 200, 400)
"""Edges of the groups, px of the picture."""
LIGHTS: tuple[tuple[Daylight, float], ...] = (("day", 0.0), ("night", 0.0), ("day", 0.8))
COVERS_M = (2.6, 4.5, 6.4, 9.0)
"""Widths of road at the picture's lower edge."""
HIDDEN_MOST = 0.1
FIRST_SEED = 90_000


@dataclass(frozen=True, slots=True)
class Looked:
    """One true plate and what came of it."""

    width_px: float
    found: bool
    exact: bool


def pictures(size: tuple[int, int], count: int) -> Iterator[tuple[Frame, list[tuple[NDArray[np.float64], str]]]]:
    """Frames with the quads and texts of their plates, every light and every distance in turn."""
    for number in range(count):
        light, rain = LIGHTS[number % len(LIGHTS)]
        config = ClipConfig(
            seconds=40,
            fps=10,
            width_px=size[0],
            height_px=size[1],
            view="approaching",
            light=light,
            rain=rain,
            peak_per_second=4.0,
            cover_m=COVERS_M[number // len(LIGHTS) % len(COVERS_M)],
            seed=FIRST_SEED + number,
        )
        road = Scene(config)
        for moment in np.random.default_rng(number).permutation(np.arange(100, config.frames)).tolist():
            picture, plates = road.frame(moment)
            shown = [(np.array(plate.quad), plate.text) for plate in plates if plate.hidden <= HIDDEN_MOST]
            truths = [(quad, text) for quad, text in shown if np.ptp(quad[:, 0]) >= WIDTHS_PX[0]]
            if truths:
                break
        planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
        width, height = size
        chroma = planes[height:].reshape(2, height // 2, width // 2)
        luma = np.ascontiguousarray(planes[:height])
        yield Frame("", 0, 0.0, 0.0, luma, chroma[0], chroma[1]), truths


def look(stages: Stages, frame: Frame, truths: list[tuple[NDArray[np.float64], str]]) -> Iterator[Looked]:
    """What one pipeline makes of each plate of a frame."""
    plates = stages.detector.detect(frame)
    reads = stages.reader.read(frame, plates)
    for quad, text in truths:
        box = (*quad.min(axis=0), *quad.max(axis=0))
        overlaps = [box_iou(plate.to_xyxy(), box) for plate in plates]
        best = int(np.argmax(overlaps)) if overlaps else -1
        found = best >= 0 and overlaps[best] >= 0.5
        yield Looked(float(np.ptp(quad[:, 0])), found, found and reads[best].text == text)


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--pipeline", action="append", help="as often as wanted; the default: cpu and stills")
    parser.add_argument("--pictures", type=int, default=48, help="of each size")
    arguments = parser.parse_args()
    names = arguments.pipeline or ["cpu", "stills"]
    pipelines = {name: build_stages(load_pipeline(name)) for name in names}
    figures: dict[str, float] = {}
    table: list[list[object]] = []
    for size_name in ["1080p"] if arguments.quick else list(SIZES):
        looked: dict[str, list[Looked]] = {name: [] for name in names}
        for frame, truths in pictures(SIZES[size_name], 1 if arguments.quick else arguments.pictures):
            for name, stages in pipelines.items():
                looked[name] += look(stages, frame, truths)
        for name, all_plates in looked.items():
            for low, high in pairwise(WIDTHS_PX):
                group = [plate for plate in all_plates if low <= plate.width_px < high]
                if not group:
                    continue
                found = sum(plate.found for plate in group) / len(group)
                exact = sum(plate.exact for plate in group) / len(group)
                table.append([f"{size_name}, {low} to {high} px", name, len(group), found, exact])
                figures |= {f"{name}_{size_name}_{low}px_found": found, f"{name}_{size_name}_{low}px_exact": exact}
    report.show("plates by width", ["picture, plate width", "pipeline", "plates", "found", "read exactly"], table)
    report.finish("plate_width", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
