"""`python -m scripts.train quads`: where the plates of labelled scenes lie, found by the models themselves.

A plate counts as found where the current reader, given the current detector's corners, returns exactly the labelled
text. The detector then learns from pictures that had a text but no box, and the reader from plates cut as the detector
cuts them. Training pictures only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.nets.reader import Reader
from anpr.video.images import load_image
from scripts.train.labels import add_open_only, load_pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("output", type=Path, help="the .json to write: image path -> 4 corners")
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and images/")
    add_open_only(parser)
    parser.add_argument("--detector", default="detector", help="model folder or name")
    parser.add_argument("--reader", default="reader", help="model folder or name")


def main(arguments: argparse.Namespace) -> int:
    """Find the plates and write their corners."""
    options = DetectorOptions(threshold=0.15, zooms=(1.0, 0.6, 0.35))
    detector = Detector.open(ModelFolder.load(arguments.detector, "detector"), options)
    reader = Reader.open(ModelFolder.load(arguments.reader, "reader"))
    found: dict[str, list[list[float]]] = {}
    known = load_pictures(arguments.data, split="train", kind="scene", open_only=arguments.open_only)
    pictures = [picture for picture in known if picture.readable == "yes"]
    for picture in pictures:
        frame = load_image(picture.path)
        plates = detector.detect(frame)
        for plate, read in zip(plates, reader.read(frame, plates), strict=True):
            if read.text == picture.text:
                key = str(picture.path.relative_to(arguments.data))
                found[key] = [[round(float(x), 2), round(float(y), 2)] for x, y in plate.quad]
                break
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    counts: dict[str, list[int]] = {}
    for picture in pictures:
        count = counts.setdefault(picture.category, [0, 0])
        count[0] += str(picture.path.relative_to(arguments.data)) in found
        count[1] += 1
    print(json.dumps({category: f"{hit} of {total}" for category, (hit, total) in counts.items()}))
    return 0
