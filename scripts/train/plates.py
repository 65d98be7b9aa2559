"""`python -m scripts.train plates`: draw plates for the reader to learn from, into one .npz."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.plate import draw_plate, plate_alpha, sample_face
from scripts.render.spec import PlateSpec, sample_spec
from scripts.render.weather import weather
from scripts.train.labels import add_open_only, load_pictures
from scripts.train.reader_data import PlateSample, box_quad, save_samples

MARGIN = 0.18
"""Surroundings kept on every side, as a share of the plate's size."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("output", type=Path, help="the .npz to write")
    parser.add_argument("--data", type=Path, help="folder with labels.csv: its plate-free pictures become surroundings")
    add_open_only(parser)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)


def surroundings(
    grounds: list[NDArray[np.uint8]], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(height, width) of grey car body: flat with a slope, or a piece of a real picture."""
    height, width = size
    if grounds and rng.random() < 0.5:
        ground = grounds[int(rng.integers(len(grounds)))]
        share = rng.uniform(0.1, 0.5)
        rows, columns = max(8, int(ground.shape[0] * share)), max(8, int(ground.shape[1] * share))
        y, x = rng.integers(ground.shape[0] - rows + 1), rng.integers(ground.shape[1] - columns + 1)
        piece = ground[y : y + rows, x : x + columns]
        return np.asarray(cv2.resize(piece, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    level, slope = rng.uniform(0, 230), rng.normal(0, 30, 2)
    plane = level + np.linspace(-1, 1, height)[:, None] * slope[0] + np.linspace(-1, 1, width)[None] * slope[1]
    return np.clip(plane, 0, 255).astype(np.uint8)


def picture_of(
    spec: PlateSpec, grounds: list[NDArray[np.uint8]], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A grey picture of one plate on its surroundings, and its quad."""
    px_per_mm = rng.uniform(110, 190) / spec.width_mm
    plate = weather(draw_plate(spec, rng, px_per_mm=px_per_mm, face=sample_face(rng)), rng, strength=0.7)
    alpha = plate_alpha(spec, px_per_mm=px_per_mm)
    height, width = plate.shape[:2]
    alpha = cv2.resize(alpha, (width, height))
    mixture = rng.dirichlet((2.0, 3.0, 3.0)) if rng.random() < 0.3 else np.array([0.114, 0.587, 0.299])
    grey = np.clip(plate.astype(np.float32) @ mixture.astype(np.float32), 0, 255)
    top, left = round(height * MARGIN), round(width * MARGIN)
    canvas = surroundings(grounds, (height + 2 * top, width + 2 * left), rng).astype(np.float32)
    weight = alpha.astype(np.float32) / 255
    inside = canvas[top : top + height, left : left + width]
    inside[:] = inside * (1 - weight) + grey * weight
    quad = box_quad((left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5))
    return np.clip(canvas, 0, 255).astype(np.uint8), quad


def main(arguments: argparse.Namespace) -> int:
    """Draw `count` plates."""
    rng = np.random.default_rng(arguments.seed)
    grounds = []
    if arguments.data:
        pictures = load_pictures(
            arguments.data, split="train", categories=("road-noplate",), open_only=arguments.open_only
        )
        grounds = [picture.load_grey() for picture in pictures]
    samples = []
    for number in range(arguments.count):
        spec = sample_spec(rng)
        picture, quad = picture_of(spec, grounds, rng)
        samples.append(PlateSample(picture, quad, spec.text, loose=False))
        if (number + 1) % 5000 == 0:
            print(f"{number + 1} plates", flush=True)
    save_samples(arguments.output, samples)
    return 0
