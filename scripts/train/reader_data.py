"""What the reader learns from: labelled plates cut from real pictures, and rendered plates, both distorted at random.

Every batch follows from (seed, step) alone, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.records import ALPHABET, EMPTY
from scripts.train.labels import Picture
from scripts.train.reader_net import HEIGHT, SLOTS, WIDTH

CHARACTER_INDEX = {character: index for index, character in enumerate(ALPHABET)}


@dataclass(frozen=True, slots=True, eq=False)
class PlateSample:
    """A grey picture and where its plate is."""

    luma: NDArray[np.uint8]
    quad: NDArray[np.float32]
    """(4, 2) corners (x, y), clockwise from the plate's top-left."""
    text: str
    loose: bool
    """True if the quad is only an upright box around the plate, not its corners."""
    crop: bool = False
    """True if the picture is a crop of one plate."""


def encode_text(text: str) -> NDArray[np.int64]:
    """(SLOTS,) class of every position. Raises ValueError if the text is too long."""
    if len(text) > SLOTS:
        raise ValueError(f"{text}: {len(text)} characters, the reader has {SLOTS} positions")
    target = np.full(SLOTS, EMPTY, dtype=np.int64)
    target[: len(text)] = [CHARACTER_INDEX[character] for character in text]
    return target


def box_quad(box: Sequence[float]) -> NDArray[np.float32]:
    """(4, 2) corners of (x_min, y_min, x_max, y_max)."""
    x_min, y_min, x_max, y_max = box
    return np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]], dtype=np.float32)


def real_samples(pictures: Sequence[Picture]) -> list[PlateSample]:
    """The readable plates of crops (whole picture) and of scenes with exactly one labelled box."""
    samples = []
    for picture in pictures:
        if picture.readable != "yes" or not 1 <= len(picture.text) <= SLOTS:
            continue
        if picture.kind == "scene" and len(picture.boxes) != 1 and not picture.quad:
            continue
        luma = picture.load_grey()
        height, width = luma.shape
        if picture.quad:
            quad = np.array(picture.quad, dtype=np.float32)
        else:
            quad = box_quad(picture.boxes[0] if picture.kind == "scene" else (0, 0, width, height))
        if picture.kind == "scene":
            luma, quad = cut_around(luma, quad)
        samples.append(PlateSample(luma, quad, picture.text, loose=not picture.quad, crop=picture.kind == "crop"))
    return samples


def cut_around(luma: NDArray[np.uint8], quad: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The part of the picture within one plate size of the plate, and the quad in it (keeps memory small)."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    margin = (high - low) * 0.6
    x_min, y_min = np.maximum(low - margin, 0).astype(int)
    x_max, y_max = np.minimum(high + margin, [luma.shape[1], luma.shape[0]]).astype(int)
    part = np.ascontiguousarray(luma[y_min:y_max, x_min:x_max])
    return part, quad - np.array([x_min, y_min], dtype=np.float32)


def load_rendered(path: Path) -> list[PlateSample]:
    """Plates drawn beforehand by `python -m scripts.train plates`: an .npz of pictures, quads and texts."""
    with np.load(path) as archive:
        pixels, sizes, quads, texts = (archive[name] for name in ("pixels", "sizes", "quads", "texts"))
    samples, offset = [], 0
    for (height, width), quad, text in zip(sizes, quads, texts, strict=True):
        size = int(height) * int(width)
        luma = pixels[offset : offset + size].reshape(int(height), int(width))
        samples.append(PlateSample(luma, quad, str(text), loose=False))
        offset += size
    return samples


def distort(sample: PlateSample, rng: np.random.Generator) -> NDArray[np.float32]:
    """(HEIGHT, WIDTH) standardised crop: corners jittered as a detector's would be, then spoilt as a camera would."""
    quad = sample.quad.astype(np.float64)
    size = np.array([np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])])
    centre = quad.mean(axis=0)
    if sample.loose:
        grow = rng.uniform(-0.03, 0.10, 2)
        shake = 0.03
    else:
        grow = rng.uniform(-0.02, 0.16, 2)
        shake = 0.07 if rng.random() < 0.2 else 0.035
    quad = centre + (quad - centre) * (1 + grow)
    quad += rng.normal(0, shake, (4, 2)) * size
    quad += rng.normal(0, 0.02, 2) * size
    if rng.random() < 0.2:
        turn = np.radians(rng.normal(0, 6))
        quad = centre + (quad - centre) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if rng.random() < 0.25:
        shear = rng.normal(0, 0.10)
        quad[:, 0] += (quad[:, 1] - centre[1]) * shear
    if rng.random() < 0.25:
        quad[:, 1] += (quad[:, 0] - centre[0]) * rng.normal(0, 0.05)
    if rng.random() < 0.15:
        stretch = rng.uniform(0.0, 0.25, 2)
        quad = centre + (quad - centre) * (1 + stretch)
    luma = sample.luma
    detail = size[0] / WIDTH
    if detail > 2.2:
        luma = cv2.resize(luma, None, fx=2 / detail, fy=2 / detail, interpolation=cv2.INTER_AREA)
        quad = quad * (np.array([luma.shape[1], luma.shape[0]]) / [sample.luma.shape[1], sample.luma.shape[0]])
    target = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], dtype=np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_CONSTANT
    fill = float(rng.integers(0, 256))
    crop = cv2.warpPerspective(luma, matrix, (WIDTH, HEIGHT), borderMode=border, borderValue=fill)
    return standardise(spoil(crop, rng))


def spoil(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Blur, low resolution, uneven light, noise, compression and occluding specks, each with some probability."""
    if rng.random() < 0.35:
        factor = rng.uniform(1.2, 3.0)
        small = cv2.resize(crop, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
        crop = cv2.resize(small, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.25:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.2:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        reach = (length - 1) / 2
        for step in np.linspace(-reach, reach, 2 * length):
            kernel[round(reach + step * np.sin(angle)), round(reach + step * np.cos(angle))] += 1
        crop = cv2.filter2D(crop, -1, kernel / kernel.sum())
    if rng.random() < 0.15:
        coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))])[1]
        crop = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    image = crop.astype(np.float32)
    if rng.random() < 0.3:
        image = 255 * (np.clip(image / 255, 0, 1) ** np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:
        slope = rng.normal(0, 40, 2)
        rows = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None] * np.float32(slope[0])
        columns = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None] * np.float32(slope[1])
        image = image + rows + columns
    if rng.random() < 0.15:
        edge = rng.uniform(0, HEIGHT), rng.normal(0, 0.4)
        below = np.arange(HEIGHT)[:, None] > edge[0] + edge[1] * np.arange(WIDTH)[None]
        image = np.where(below, image * np.float32(rng.uniform(0.4, 0.8)), image)
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 4))):
            x, y, radius = rng.integers(0, WIDTH), rng.integers(0, HEIGHT), rng.integers(1, 4)
            cv2.circle(image, (int(x), int(y)), int(radius), float(rng.uniform(0, 255)), -1)
    if rng.random() < 0.4:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2, 18))
    if rng.random() < 0.03:
        image = 255 - image
    return image


def standardise(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0, deviation 1: the same as `anpr.ops` does before the reader runs."""
    return (image - image.mean()) / max(float(image.std()), 4.0)


class ReaderBatches:
    """Step -> (inputs (n, 1, HEIGHT, WIDTH) float32, targets (n, SLOTS) int64), by seed."""

    def __init__(
        self, groups: Sequence[tuple[float, Sequence[PlateSample]]], *, batch: int, seed: int, steps: int
    ) -> None:
        self.groups = [(weight, samples) for weight, samples in groups if samples]
        total = sum(weight for weight, _ in self.groups)
        self.odds = [weight / total for weight, _ in self.groups]
        self.batch, self.seed, self.steps = batch, seed, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rng = np.random.default_rng((self.seed, step))
        inputs = np.empty((self.batch, 1, HEIGHT, WIDTH), dtype=np.float32)
        targets = np.empty((self.batch, SLOTS), dtype=np.int64)
        for row, group in enumerate(rng.choice(len(self.groups), self.batch, p=self.odds)):
            samples = self.groups[group][1]
            sample = samples[int(rng.integers(len(samples)))]
            inputs[row, 0] = distort(sample, rng)
            targets[row] = encode_text(sample.text)
        return inputs, targets
