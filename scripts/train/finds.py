"""`python -m scripts.train finds`: what is no plate, cut from pictures without plates or beside them, into one .npz.

The places that a detector took for plates there, however unsure, and places at random: the reader learns from them to
say that nothing is there, which makes it the detector's second look.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.ops.quads import box_iou
from anpr.records import Frame
from scripts.train.detector_data import empty_frames, plate_pose
from scripts.train.labels import add_open_only, load_pictures
from scripts.train.reader_data import PlateSample, cut_around, save_samples

CATEGORIES = ("road-noplate", "dashcam-ro")
"""Street scenes without a legible plate, and such in which every legible one has its box."""
THRESHOLD = 0.04
"""Of the detector: low, so that there is enough to learn from."""
AT_RANDOM = 6
"""Places a picture, beside those that the detector finds."""
FILMED = 60
"""Frames taken of every recording."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("output", type=Path, help="the .npz to write")
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and images/")
    add_open_only(parser)
    parser.add_argument("--detector", default="detector", help="model folder or name")
    parser.add_argument(
        "--empty-video", type=Path, action="append", default=[], help="recording without legible plates"
    )
    parser.add_argument("--seed", type=int, default=1)


def random_quad(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """(4, 2) corners of a plate-shaped place in a picture of (height, width)."""
    width_px = float(np.exp(rng.uniform(np.log(20), np.log(0.4 * size[1]))))
    pose = plate_pose(width_px, float(rng.choice([1.35, 2.0, 4.5])), rng)
    return np.asarray(pose + rng.uniform(0, 1, 2) * (size[1], size[0]), np.float32)


def main(arguments: argparse.Namespace) -> int:
    """Look for what is no plate."""
    rng = np.random.default_rng(arguments.seed)
    options = DetectorOptions(threshold=THRESHOLD, zooms=(1.0, 0.6, 0.4), overlap_most=0.6)
    detector = Detector.open(ModelFolder.load(arguments.detector, "detector"), options)
    pictures = load_pictures(
        arguments.data, split="train", kind="scene", categories=CATEGORIES, open_only=arguments.open_only
    )
    scenes = [(picture.load_grey(), picture.boxes) for picture in pictures]
    scenes += [(scene.luma, ()) for path in arguments.empty_video for scene in empty_frames(path, FILMED)]
    samples = []
    for luma, boxes in scenes:
        grey = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128, np.uint8)
        quads = [plate.quad for plate in detector.detect(Frame("", 0, 0.0, 0.0, luma, grey, grey))]
        quads += [random_quad((luma.shape[0], luma.shape[1]), rng) for _ in range(AT_RANDOM)]
        for quad in quads:
            around = (*quad.min(axis=0), *quad.max(axis=0))
            if any(box_iou(around, box) > 0 for box in boxes):
                continue
            part, corners = cut_around(luma, quad)
            if min(part.shape) >= 8:
                samples.append(PlateSample(part, corners, "", loose=False))
    save_samples(arguments.output, samples)
    print(f"{len(samples)} places of {len(scenes)} pictures")
    return 0
