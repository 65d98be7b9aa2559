"""`python -m scripts.render plates OUTPUT`: a folder of example plates and `labels.csv`."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from scripts.render.plate import draw_plate, sample_face, sample_spec
from scripts.render.weather import photograph, weather


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("output", type=Path, help="folder to write into")
    parser.add_argument("--count", type=int, default=200, help="number of plates (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--px-per-mm", type=float, default=0.6, help="scale (default: %(default)s)")
    parser.add_argument("--clean", action="store_true", help="neither weather nor camera")


def run(arguments: argparse.Namespace) -> int:
    """Draw, write and label the plates."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    with (arguments.output / "labels.csv").open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(("image", "text", "rows", "kind", "colour", "lines", "generation", "face"))
        for index in range(arguments.count):
            spec, face = sample_spec(rng), sample_face(rng)
            picture = draw_plate(spec, rng, px_per_mm=arguments.px_per_mm, face=face)
            if not arguments.clean:
                picture = photograph(weather(picture, rng), rng)
            name = f"{index:05d}.png"
            cv2.imwrite(str(arguments.output / name), picture)
            printed = "|".join(spec.rows)
            table.writerow((name, spec.text, printed, spec.kind, spec.colour, spec.lines, spec.generation, face))
    print(f"{arguments.count} plates in {arguments.output}")
    return 0
