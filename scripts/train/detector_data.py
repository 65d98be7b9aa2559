"""What the detector learns from: real scenes with boxes, rendered plates set into real scenes, and plate-free ones.

Every batch follows from (seed, step) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.nets.detector import Canvas
from anpr.nets.model import ModelFolder
from anpr.nets.session import Session
from anpr.ops import contract
from anpr.ops.quads import box_iou
from scripts.train.detector_net import STRIDE
from scripts.train.labels import Picture
from scripts.train.lettering import Lettering
from scripts.train.reader_data import PlateSample, box_quad

SIDE = 384
"""Training pictures are squares of this many canvas pixels."""
MEAN, SCALE = 110.0, 1 / 60.0
"""The detector's input is (grey level - MEAN) * SCALE."""
STRAIGHT_DEGREES = 1.5
"""A box turned further no longer tells where the plate's corners are."""
PLATE_WIDTH_PX = (14.0, 360.0)
"""Widths, on the canvas, that plates are scaled to."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A grey picture and its plates."""

    luma: NDArray[np.uint8]
    quads: NDArray[np.float32]
    """(n, 4, 2) corners."""
    exact: bool
    """False if the quads are only upright boxes around the plates, True if they are corners found by `quads`."""
    lines: int
    """1 or 2, 0 where unknown."""


@dataclass(slots=True, eq=False)
class View:
    """A scene as the detector gets it."""

    image: NDArray[np.uint8]
    quads: NDArray[np.float32]
    exact: NDArray[np.int64]
    """1: the quad has the plate's corners; 0: the box around them; -1: only its middle is right."""
    lines: NDArray[np.int64]


def load_scenes(pictures: Sequence[Picture]) -> list[Scene]:
    """The pictures that have boxes, or are known to hold no plate."""
    scenes = []
    for picture in pictures:
        if not picture.boxes and not picture.quad and picture.readable != "none":
            continue
        quads = [box_quad(box) for box in picture.boxes] or [np.array(picture.quad, np.float32)][: len(picture.quad)]
        stacked = np.stack(quads) if quads else np.zeros((0, 4, 2), np.float32)
        lines = picture.lines or (2 if picture.category in ("gate-moto", "moto-phone") else 0)
        scenes.append(Scene(picture.load_grey(), stacked, exact=not picture.boxes, lines=lines))
    return scenes


def empty_frames(video: Path, count: int) -> list[Scene]:
    """So many frames, evenly spaced, of a recording that shows no legible plate."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        every = max(1, stream.frames // count)
        frames = [frame for index, frame in enumerate(container.decode(stream)) if index % every == 0]
        pictures = [frame.to_ndarray(format="gray") for frame in frames[:count]]
    none = np.zeros((0, 4, 2), np.float32)
    return [Scene(np.asarray(picture, np.uint8), none, exact=True, lines=0) for picture in pictures]


def random_view(scene: Scene, rng: np.random.Generator) -> View:
    """A random square of the scene at a random size, so that its plates come in every width, seldom cut."""
    height, width = scene.luma.shape
    if len(scene.quads):
        chosen = scene.quads[int(rng.integers(len(scene.quads)))]
        low, high = chosen.min(axis=0), chosen.max(axis=0)
        natural = SIDE / max(height, width)
        wanted = np.exp(rng.uniform(*np.log(PLATE_WIDTH_PX))) / max(1.0, high[0] - low[0])
        zoom = float(np.clip(wanted, 0.25 * natural, 4 * natural)) if rng.random() < 0.8 else natural
        spare = np.maximum(SIDE / zoom - (high - low), 0)
        corner = low - rng.uniform(0, 1, 2) * spare
        if rng.random() < 0.1:
            corner += rng.normal(0, 0.3, 2) * (high - low)
    else:
        zoom = float(np.exp(rng.uniform(np.log(SIDE / max(height, width)), np.log(2.0))))
        corner = rng.uniform(0, 1, 2) * np.maximum(np.array([width, height]) - SIDE / zoom, 0)
    aspect = np.exp(rng.normal(0, 0.08))
    angle = rng.normal(0, 9) if rng.random() < 0.5 else 0.0
    middle = corner + SIDE / zoom / 2
    turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), float(angle), zoom)
    turn[:, 2] += SIDE / 2 - middle
    turn[0] = turn[0] * aspect + [0, 0, SIDE / 2 * (1 - aspect)]
    source = scene.luma
    if zoom < 0.6:
        source = cv2.resize(source, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        back = np.array([width / source.shape[1], height / source.shape[0]])
        used = turn.copy()
        used[:, :2] *= back
    else:
        used = turn
    fill = int(rng.integers(90, 130))
    image = cv2.warpAffine(source, used, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=fill)
    quads = scene.quads @ turn[:, :2].T.astype(np.float32) + turn[:, 2].astype(np.float32)
    exact = np.full(len(quads), 1 if scene.exact else 0 if abs(angle) < STRAIGHT_DEGREES else -1)
    lines = np.full(len(quads), scene.lines)
    return View(np.asarray(image, np.uint8), quads.astype(np.float32), exact, lines)


def plate_pose(width_px: float, aspect: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(4, 2) corners around (0, 0) of a plate turned in space as a roadside camera may see it."""
    height_px = width_px / aspect * np.exp(rng.normal(0, 0.08))
    flat = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width_px / 2, height_px / 2]
    roll, yaw, pitch = np.radians(rng.normal(0, (11, 24, 18)))
    x = flat[:, 0] * np.cos(yaw) + flat[:, 1] * np.sin(yaw) * np.sin(pitch)
    y = flat[:, 1] * np.cos(pitch)
    depth = 1 + (flat[:, 0] * np.sin(yaw) + flat[:, 1] * np.sin(pitch)) / (width_px * rng.uniform(4, 20))
    turned = np.stack([x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)], axis=1)
    return (turned / depth[:, None]).astype(np.float32)


def set_plate(view: View, sample: PlateSample, rng: np.random.Generator) -> View:
    """Paste one drawn plate somewhere into the view, unless it would cover another."""
    top, bottom = sample.quad[:, 1].min(), sample.quad[:, 1].max()
    left, right = sample.quad[:, 0].min(), sample.quad[:, 0].max()
    aspect = (right - left) / (bottom - top)
    low, high = PLATE_WIDTH_PX
    width_px = float(np.exp(rng.uniform(np.log(low), np.log(high if rng.random() < 0.4 else 120))))
    pose = plate_pose(width_px, aspect, rng)
    reach = np.abs(pose).max(axis=0)
    if (2 * reach > SIDE * 0.98).any():
        return view
    quad = pose + (rng.uniform(0, 1, 2) * (SIDE - 2 * reach) + reach).astype(np.float32)
    box = (*quad.min(axis=0), *quad.max(axis=0))
    if any(box_iou((*other.min(axis=0), *other.max(axis=0)), box) > 0 for other in view.quads):
        return view
    image = view.image
    if rng.random() < 0.6:
        around = quad.mean(axis=0) + (quad - quad.mean(axis=0)) * rng.uniform(1.04, 1.5, 2).astype(np.float32)
        cv2.fillConvexPoly(image, np.round(around * 16).astype(np.int32), int(rng.integers(0, 256)), cv2.LINE_AA, 4)
    shrink = width_px / (right - left)
    luma, source = sample.luma, sample.quad
    if shrink < 0.6:
        luma = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        source = source * (np.array(luma.shape[::-1]) / np.array(sample.luma.shape[::-1]))
    matrix = cv2.getPerspectiveTransform(source.astype(np.float32), quad)
    gain, shift = np.exp(rng.normal(-0.1, 0.35)), rng.normal(0, 12)
    luma = np.clip(luma.astype(np.float32) * gain + shift, 0, 255).astype(np.uint8)
    warped = cv2.warpPerspective(luma, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(mask, np.round(quad * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    x0, y0 = np.maximum(quad.min(axis=0).astype(int) - 2, 0)
    x1, y1 = quad.max(axis=0).astype(int) + 3
    weight = mask[y0:y1, x0:x1].astype(np.float32) / 255
    part = image[y0:y1, x0:x1]
    image[y0:y1, x0:x1] = (part * (1 - weight) + warped[y0:y1, x0:x1] * weight).astype(np.uint8)
    lines = 2 if aspect < 2.6 else 1
    return View(
        image,
        np.concatenate([view.quads, quad[None]]),
        np.append(view.exact, 1),
        np.append(view.lines, lines),
    )


def spoil(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, blur, noise and compression of a camera, each with some probability."""
    if rng.random() < 0.5:
        curve = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.4))
        curve = (curve - 128) * np.exp(rng.normal(0, 0.25)) + 128 + rng.normal(0, 15)
        image = cv2.LUT(image, np.clip(curve, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.15:
        length = int(rng.integers(3, 10))
        kernel = np.full((length, 1), 1 / length, np.float32)
        image = cv2.filter2D(image, -1, kernel if rng.random() < 0.6 else kernel.T)
    if rng.random() < 0.4:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(1, 12))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 70))])[1]
        image = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    if rng.random() < 0.02:
        image = 255 - image
    return image


def targets(view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heat map (SIDE/8, SIDE/8) and per-cell answers (13, SIDE/8, SIDE/8).

    Answers, by row: weight, exactness as in `View`, 1 for two lines, 8 corner offsets in cells, 1 / plate size in
    cells, 1 where the lines are known.
    """
    cells = SIDE // STRIDE
    heat = np.zeros((cells, cells), np.float32)
    answers = np.zeros((13, cells, cells), np.float32)
    grid = np.arange(cells, dtype=np.float32)
    for quad, exact, lines in zip(view.quads, view.exact, view.lines, strict=True):
        clipped = np.clip(quad, 0, SIDE)
        full = np.prod(quad.max(axis=0) - quad.min(axis=0))
        seen = np.prod(clipped.max(axis=0) - clipped.min(axis=0)) / max(1.0, full)
        size = quad.max(axis=0) - quad.min(axis=0)
        if seen < 0.2 or size[0] < 7:
            continue
        centre = (quad.max(axis=0) + quad.min(axis=0)) / 2
        at = (centre + 0.5) / STRIDE - 0.5
        spread = np.maximum(size / STRIDE * 0.12, 0.6)
        along, down = (grid[None] - at[0]) / spread[0], (grid[:, None] - at[1]) / spread[1]
        bump = np.exp(-(along**2 + down**2) / 2)
        if seen < 0.75:
            heat = np.where(bump > 0.3, -1.0, heat).astype(np.float32)
            continue
        column, row = (int(np.clip(round(float(value)), 0, cells - 1)) for value in at)
        bump[row, column] = 1.0
        heat = np.where(heat < 0, heat, np.maximum(heat, bump))
        near = bump > 0.5
        offsets = (quad + 0.5) / STRIDE
        for corner in range(4):
            answers[3 + 2 * corner][near] = (offsets[corner, 0] - (grid[None] + 0.5).repeat(cells, 0))[near]
            answers[4 + 2 * corner][near] = (offsets[corner, 1] - (grid[:, None] + 0.5).repeat(cells, 1))[near]
        answers[0][near] = bump[near]
        answers[1][near] = float(exact)
        answers[2][near] = float(lines == 2)
        answers[11][near] = STRIDE / float(np.sqrt(size[0] * size[1]))
        answers[12][near] = float(lines > 0)
    return heat.astype(np.float32), answers


class Teacher:
    """A detector that has learned already: its maps tell the new one more than the labels do (Hinton et al. 2015)."""

    def __init__(self, model: str) -> None:
        folder = ModelFolder.load(model, "detector")
        self.session = Session.open(folder)
        self.canvas = Canvas.new(folder.facts.input, (SIDE, SIDE), contract.load("cpu"))

    def maps(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(10, cells, cells) of a training picture."""
        self.canvas.draw(image)
        maps: NDArray[np.float32] = self.session.run(self.canvas.batch)[0]
        return maps


class DetectorBatches:
    """Step -> (inputs (n, 1, SIDE, SIDE), heat (n, cells, cells), answers (n, 13, cells, cells)), by seed.

    With a teacher, its maps (n, 10, cells, cells) are the fourth.
    """

    def __init__(
        self,
        groups: Sequence[tuple[float, Sequence[Scene]]],
        plates: Sequence[PlateSample],
        *,
        batch: int,
        seed: int,
        steps: int,
        teacher: str = "",
    ) -> None:
        """`teacher` names a model folder; empty: nobody teaches."""
        self.teacher = teacher
        self._teacher: Teacher | None = None
        self.groups = [(weight, scenes) for weight, scenes in groups if scenes]
        total = sum(weight for weight, _ in self.groups)
        self.odds = [weight / total for weight, _ in self.groups]
        self.plates, self.batch, self.seed, self.steps = plates, batch, seed, steps
        self.lettering = Lettering.load()

    def __len__(self) -> int:
        return self.steps

    def view(self, rng: np.random.Generator) -> View:
        """One training picture."""
        scenes = self.groups[int(rng.choice(len(self.groups), p=self.odds))][1]
        view = random_view(scenes[int(rng.integers(len(scenes)))], rng)
        if self.plates and rng.random() < (0.75 if len(view.quads) == 0 else 0.25):
            for _ in range(int(rng.integers(1, 4))):
                view = set_plate(view, self.plates[int(rng.integers(len(self.plates)))], rng)
        if rng.random() < 0.35:
            self.lettering.set_words(view.image, view.quads, rng)
        view.image = spoil(view.image, rng)
        return view

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], ...]:
        rng = np.random.default_rng((self.seed, step))
        cells = SIDE // STRIDE
        inputs = np.empty((self.batch, 1, SIDE, SIDE), np.float32)
        heat = np.empty((self.batch, cells, cells), np.float32)
        answers = np.empty((self.batch, 13, cells, cells), np.float32)
        taught = np.empty((self.batch if self.teacher else 0, 10, cells, cells), np.float32)
        if self.teacher and self._teacher is None:
            self._teacher = Teacher(self.teacher)  # in the process that prepares the pictures
        for row in range(self.batch):
            view = self.view(rng)
            inputs[row, 0] = (view.image.astype(np.float32) - MEAN) * SCALE
            heat[row], answers[row] = targets(view)
            if self._teacher is not None:
                taught[row] = self._teacher.maps(view.image)
        return (inputs, heat, answers, taught) if self.teacher else (inputs, heat, answers)
