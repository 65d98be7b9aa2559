"""`python -m scripts.train frames`: render expressway pictures for the detector to learn from, into one .npz."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from scripts.render.clip import ClipConfig
from scripts.render.clip import Scene as RoadScene
from scripts.train.detector_data import Scene

SHRINK = 2
"""Pictures are kept at half of 1080p: the detector sees a third."""
PLATE_WIDTH_LEAST_PX = 18.0
"""Of the 1080p picture; smaller plates are not counted as plates."""
HIDDEN_MOST = 0.4
PER_CLIP = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("output", type=Path, help="the .npz to write")
    parser.add_argument("--count", type=int, default=480)
    parser.add_argument("--seed", type=int, default=1000, help="of the first clip; the demo and benchmarks use others")


def random_config(seed: int) -> ClipConfig:
    """A camera, a light and a weather."""
    rng = np.random.default_rng(seed)
    return ClipConfig(
        seconds=40,
        fps=10,
        view=("approaching", "receding", "both")[int(rng.integers(3))],
        light=("day", "day", "dusk", "night")[int(rng.integers(4))],
        rain=float(rng.choice([0.0, 0.0, 0.3, 0.8])),
        peak_per_second=1.0,
        cover_m=float(rng.uniform(5.0, 9.0)),
        side_m=float(rng.choice([0.0, 3.0, 6.0])),
        seed=seed,
        overlay=bool(rng.random() < 0.7),
    )


def load_frames(path: Path) -> list[Scene]:
    """The scenes of an .npz."""
    with np.load(path) as archive:
        pixels, quads, lines, owners = (archive[name] for name in ("pixels", "quads", "lines", "owners"))
    return [
        Scene(luma, quads[owners == index], exact=True, lines=int(lines[owners == index][0]) if index in owners else 0)
        for index, luma in enumerate(pixels)
    ]


def main(arguments: argparse.Namespace) -> int:
    """Render `count` pictures, a few of each of many clips."""
    pixels: list[np.ndarray] = []
    quads: list[np.ndarray] = []
    lines: list[int] = []
    owners: list[int] = []
    seed = arguments.seed
    while len(pixels) < arguments.count:
        road = RoadScene(random_config(seed))
        chosen = np.random.default_rng(seed).choice(road.config.frames, PER_CLIP, replace=False)
        seed += 1
        for index in sorted(int(number) for number in chosen):
            picture, plates = road.frame(index)
            grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            small = cv2.resize(grey, None, fx=1 / SHRINK, fy=1 / SHRINK, interpolation=cv2.INTER_AREA)
            shown = [plate for plate in plates if plate.hidden <= HIDDEN_MOST]
            shown = [plate for plate in shown if np.ptp([x for x, _ in plate.quad]) >= PLATE_WIDTH_LEAST_PX]
            if len({plate.lines for plate in shown}) > 1:
                continue
            for plate in shown:
                quads.append((np.array(plate.quad, np.float32) + 0.5) / SHRINK - 0.5)
                lines.append(plate.lines)
                owners.append(len(pixels))
            pixels.append(small)
        print(f"{len(pixels)} pictures, {len(quads)} plates", flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        arguments.output,
        pixels=np.stack(pixels),
        quads=np.array(quads, np.float32).reshape(-1, 4, 2),
        lines=np.array(lines, np.int32),
        owners=np.array(owners, np.int32),
    )
    return 0
