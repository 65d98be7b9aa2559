"""What the reader learns from: labelled plates cut from real pictures, and rendered plates, both distorted at random;
and, for its judgement, plates that nobody could read: real ones, and readable ones blurred or cut until they are.

Every batch follows from (seed, step) alone, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.records import ALPHABET, EMPTY
from scripts.train.labels import Picture
from scripts.train.reader_net import HEIGHT, SLOTS, STATES, WIDTH

CHARACTER_INDEX = {character: index for index, character in enumerate(ALPHABET)}
READABLE, BLURRED, CUT, FOREIGN, NONE = range(len(STATES))
UNJUDGED = -1
"""Target of the judgement where the distortion may have made the plate unreadable, or not."""
UNREAD = -1
"""Target of every position where no characters are known."""
GENTLE = 0.4
"""Share of the plates that keep their sharpness, so that they surely stay as readable as they were."""
RUINED = 0.08
"""Share of the readable plates that are made unreadable."""


Crop: TypeAlias = NDArray[np.float32]


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
    state: int = READABLE


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


def unreadable_samples(pictures: Sequence[Picture]) -> list[PlateSample]:
    """The crops that are labelled as blurred, or are another country's plate, and the plates of foreign scenes."""
    samples = []
    for picture in pictures:
        if picture.kind == "scene":
            luma = picture.load_grey()
            parts = [cut_around(luma, box_quad(box)) for box in picture.boxes]
            samples += [PlateSample(part, quad, "", loose=True, state=FOREIGN) for part, quad in parts]
        elif picture.readable in ("no", "foreign"):
            foreign = picture.readable == "foreign" or picture.category.startswith("crops-foreign")
            luma = picture.load_grey()
            quad = box_quad((0, 0, luma.shape[1], luma.shape[0]))
            samples.append(PlateSample(luma, quad, "", loose=True, crop=True, state=FOREIGN if foreign else BLURRED))
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


def save_samples(path: Path, samples: Sequence[PlateSample]) -> None:
    """Write what `load_rendered` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        pixels=np.concatenate([np.zeros(0, np.uint8), *(sample.luma.ravel() for sample in samples)]),
        sizes=np.array([sample.luma.shape for sample in samples], dtype=np.int32).reshape(-1, 2),
        quads=np.array([sample.quad for sample in samples], dtype=np.float32).reshape(-1, 4, 2),
        texts=np.array([sample.text for sample in samples], dtype=np.str_),
    )


def distort(sample: PlateSample, rng: np.random.Generator, *, gentle: bool = False, ruin: int = READABLE) -> Crop:
    """(HEIGHT, WIDTH) standardised crop: corners jittered as a detector's would be, then spoilt as a camera would.

    `gentle` keeps the sharpness; `ruin` is BLURRED or CUT to make it unreadable.
    """
    quad = sample.quad.astype(np.float64)
    if ruin == CUT:
        quad = cut_off(quad, rng)
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
    if rng.random() < 0.3:
        turn = np.radians(rng.normal(0, 6 if rng.random() < 0.6 else 15))
        quad = centre + (quad - centre) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if rng.random() < 0.25:
        shear = rng.normal(0, 0.15)
        quad[:, 0] += (quad[:, 1] - centre[1]) * shear
    if rng.random() < 0.25:
        quad[:, 1] += (quad[:, 0] - centre[0]) * rng.normal(0, 0.08)
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
    if ruin == BLURRED:
        crop = blur_away(crop, rng, two_lines=size[0] < 2.6 * size[1])
    elif not gentle:
        crop = blur(crop, rng)
    return standardise(shade(crop, rng))


def cut_off(quad: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The quad moved along or across the plate, so that characters fall outside it."""
    right, down = quad[1] - quad[0], quad[3] - quad[0]
    two_lines = np.linalg.norm(right) < 2.6 * np.linalg.norm(down)
    sign = rng.choice([-1.0, 1.0])
    if two_lines and rng.random() < 0.4:
        return np.asarray(quad + sign * rng.uniform(0.3, 0.6) * down)
    return np.asarray(quad + sign * rng.uniform(0.22, 0.6) * right)


def blur_away(crop: NDArray[np.uint8], rng: np.random.Generator, *, two_lines: bool) -> NDArray[np.uint8]:
    """So little resolution, or so much motion, that no character keeps a shape."""
    if rng.random() < 0.3:
        return motion(crop, int(rng.integers(22, 45)), rng.normal(0, 0.3))
    columns = rng.uniform(5, 13) if two_lines else rng.uniform(8, 20)
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(crop, (0, 0), WIDTH / columns / 2), np.uint8)
    rows = max(2, round(columns * (0.7 if two_lines else 0.3)))
    return _by_way_of(crop, (max(3, round(columns)), rows))


def _by_way_of(crop: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The crop as a sensor with so few pixels (width, height) shows it."""
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR), np.uint8)


def motion(crop: NDArray[np.uint8], length: int, angle: float) -> NDArray[np.uint8]:
    """Smeared over `length` pixels in the direction `angle` (radians)."""
    kernel = np.zeros((length, length), np.float32)
    reach = (length - 1) / 2
    for step in np.linspace(-reach, reach, 2 * length):
        kernel[round(reach + step * np.sin(angle)), round(reach + step * np.cos(angle))] += 1
    return np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum()), np.uint8)


def blur(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Low resolution, defocus, motion and compression, each with some probability."""
    if rng.random() < 0.35:
        factor = rng.uniform(1.2, 3.0)
        crop = _by_way_of(crop, (round(crop.shape[1] / factor), round(crop.shape[0] / factor)))
    if rng.random() < 0.25:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.5)), np.uint8)
    if rng.random() < 0.2:
        crop = motion(crop, int(rng.integers(3, 8)), rng.uniform(0, np.pi))
    if rng.random() < 0.15:
        coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))])[1]
        crop = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return crop


def shade(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Uneven light, specks and noise, each with some probability."""
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
    """Step -> (inputs (n, 1, HEIGHT, WIDTH) float32, characters (n, SLOTS) and states (n,) int64), by seed."""

    def __init__(
        self, groups: Sequence[tuple[float, Sequence[PlateSample]]], *, batch: int, seed: int, steps: int
    ) -> None:
        self.groups = [(weight, samples) for weight, samples in groups if samples]
        total = sum(weight for weight, _ in self.groups)
        self.odds = [weight / total for weight, _ in self.groups]
        self.batch, self.seed, self.steps = batch, seed, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        rng = np.random.default_rng((self.seed, step))
        inputs = np.empty((self.batch, 1, HEIGHT, WIDTH), dtype=np.float32)
        characters = np.full((self.batch, SLOTS), UNREAD, dtype=np.int64)
        states = np.empty(self.batch, dtype=np.int64)
        for row, group in enumerate(rng.choice(len(self.groups), self.batch, p=self.odds)):
            samples = self.groups[group][1]
            sample = samples[int(rng.integers(len(samples)))]
            if sample.state == READABLE and rng.random() < RUINED:
                states[row] = int(rng.choice([BLURRED, CUT]))
                inputs[row, 0] = distort(sample, rng, ruin=int(states[row]))
                continue
            gentle = sample.state != READABLE or rng.random() < GENTLE
            inputs[row, 0] = distort(sample, rng, gentle=gentle)
            states[row] = sample.state if gentle else UNJUDGED
            if sample.state == READABLE:
                characters[row] = encode_text(sample.text)
        return inputs, characters, states
