"""Whole clips: traffic over a road before a camera, frame by frame with the truth, and written to a file.

for picture, plates in render_frames(ClipConfig(seconds=2)): ...      # BGR (h, w, 3) uint8 and what it shows
write_clip(Path("out.mp4"), ClipConfig(seconds=40), truth=Path("out.truth.jsonl"))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.air import Air, stamp
from scripts.render.light import Daylight, Light, light_of
from scripts.render.plate import char_boxes
from scripts.render.raster import Layer, darken, lay_over
from scripts.render.road import Camera, Road, View
from scripts.render.scenery import paint_road
from scripts.render.traffic import Passage, Role, sample_traffic
from scripts.render.vehicles import Vehicle, build_vehicle, draw_vehicle

Picture = NDArray[np.uint8]

READABLE_CHAR_PX = 14.0
"""A plate counts as readable from this height of its characters …"""
READABLE_BLUR = 0.28
"""… while motion smears less than this share of it …"""
READABLE_HIDDEN = 0.02
"""… and no more than this share of it is hidden."""
FARTHEST_M = 230.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipConfig:
    """Everything that decides a clip's pictures, but for the encoder."""

    seconds: float = 40.0
    width_px: int = 1920
    height_px: int = 1080
    fps: int = 25
    view: View = "both"
    lanes_per_direction: int = 0
    """0: one each for a view of both, else two."""
    light: Daylight = "day"
    rain: float = 0.0
    """0 none to 1 heavy."""
    peak_per_second: float = 0.42
    """Vehicles over all lanes in the busiest hour."""
    start_hour: float = 7.0
    seed: int = 0
    cover_m: float = 6.4
    """Width of the road seen at the lower edge: 6.4 m over 1920 pixels is 0.30 px/mm."""
    near_m: float = 27.0
    """Slant distance of a plate at the lower edge."""
    height_m: float = 6.0
    """Of the camera over the road."""
    side_m: float = 0.0
    """0: on a gantry over the middle; else on a pole so far to the right, turned towards the middle."""
    exposure_seconds: float = 0.0
    """0: what the light asks for."""
    cast: tuple[Role, ...] = ()
    """Vehicles that must come."""
    overlay: bool = True
    """The camera's own text in the picture."""

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 60:
            raise ValueError(f"fps must be 1 to 60, got {self.fps}")
        if self.width_px % 2 or self.height_px % 2 or min(self.width_px, self.height_px) < 32:
            raise ValueError(f"size must be even and at least 32, got {self.width_px}x{self.height_px}")
        if not 1 < self.height_m < self.near_m:
            raise ValueError(
                f"height must be over 1 m and under the near distance {self.near_m} m, got {self.height_m}"
            )
        if not 0 <= self.rain <= 1:
            raise ValueError(f"rain must be 0 to 1, got {self.rain}")

    @property
    def frames(self) -> int:
        """Pictures in the clip."""
        return round(self.seconds * self.fps)


@dataclass(frozen=True, slots=True)
class TruthPlate:
    """A plate that a picture shows, wholly or partly."""

    vehicle: int
    text: str
    colour: str
    lines: Literal[1, 2]
    quad: tuple[tuple[float, float], ...]
    """4 corners in source pixels, clockwise from the plate's own top-left; may lie outside the picture."""
    char_px: float
    """Height of its characters."""
    blur_px: float
    """Way of the plate during the exposure."""
    hidden: float
    """Share of it that something else covers or the picture's edge cuts off."""
    readable: bool


class Scene:
    """A clip's unchanging parts: camera, empty road, vehicles; `frame(index)` gives any picture, always the same."""

    def __init__(self, config: ClipConfig) -> None:
        self.config = config
        looks, arrivals, weather = (np.random.default_rng([config.seed, stream]) for stream in (1, 2, 3))
        count = config.lanes_per_direction or (1 if config.view == "both" else 2)
        self.road = Road.for_view(config.view, count)
        self.light: Light = light_of(config.light)
        self.camera = Camera.over_road(
            (config.width_px, config.height_px), cover_m=config.cover_m, near_m=config.near_m,
            height_m=config.height_m, x_m=config.side_m + float(looks.uniform(-0.5, 0.5)),
            yaw=-math.atan2(config.side_m, 1.3 * config.near_m),
        )  # fmt: skip
        self.exposure_seconds = config.exposure_seconds or self.light.exposure_seconds
        self.reading_m = self.camera.ground_at(config.height_px * 0.72, 0.6)
        self.passages = sample_traffic(
            arrivals, self.road, seconds=config.seconds, peak_per_second=config.peak_per_second,
            start_hour=config.start_hour, cast=config.cast, lead_seconds=FARTHEST_M / (60 / 3.6) / 2,
        )  # fmt: skip
        self.empty_road = paint_road(self.camera, self.road, self.light, looks, rain=config.rain)
        self.air = Air(self.camera, self.light, weather, rain=config.rain)
        self._vehicles: dict[int, Vehicle] = {}

    def vehicle(self, passage: Passage) -> Vehicle:
        """The passage's vehicle; kept while it is in sight."""
        if passage.number not in self._vehicles:
            if len(self._vehicles) > 24:
                del self._vehicles[next(iter(self._vehicles))]
            rng = np.random.default_rng(passage.seed)
            rear = passage.lane.direction == "receding"
            self._vehicles[passage.number] = build_vehicle(
                passage.kind, passage.plate, rng, rear=rear, dirt=passage.dirt, plate_shown=passage.plate_shown
            )
        return self._vehicles[passage.number]

    def place(self, passage: Passage, seconds: float) -> tuple[float, float]:
        """X and Y of the middle of the visible face, metres."""
        sign = -1.0 if passage.lane.direction == "approaching" else 1.0
        y = self.reading_m + sign * passage.speed_mps * (seconds - passage.at_seconds)
        return passage.lane.centre_m + passage.offset_m, y

    def in_sight(self, seconds: float) -> list[tuple[Passage, float, float]]:
        """Passages with their X and Y, farthest first."""
        nearest = self.camera.ground_at(self.config.height_px, 4.0)
        placed = [(passage, *self.place(passage, seconds)) for passage in self.passages]
        seen = [item for item in placed if nearest - 12.0 < item[2] < FARTHEST_M]
        return sorted(seen, key=lambda item: -item[2])

    def frame(self, index: int) -> tuple[Picture, list[TruthPlate]]:
        """The picture with this number and the plates it shows."""
        seconds = index / self.config.fps
        picture = self.empty_road.copy()
        drawn: list[tuple[Passage, Vehicle, Layer, float, float]] = []
        for passage, x, y in self.in_sight(seconds):
            vehicle = self.vehicle(passage)
            layer = draw_vehicle(vehicle, self.camera, self.light, x_m=x, y_m=y)
            if layer is not None:
                _smear(layer.colour, self._motion(passage, vehicle, x, y))
                drawn.append((passage, vehicle, layer, x, y))
        for _, vehicle, _, x, y in drawn:
            self._ground_light(picture, vehicle, x, y)
        for _, vehicle, layer, x, y in drawn:
            lay_over(picture, layer.colour, layer.x, layer.y)
            self.air.glare(picture, vehicle, x, y)
        plates = [
            self._truth(passage, vehicle, x, y, [later[2] for later in drawn[order + 1 :]])
            for order, (passage, vehicle, _, x, y) in enumerate(drawn)
            if passage.plate_shown
        ]
        rng = np.random.default_rng([self.config.seed, 4, index])
        self.air.weather(picture, rng)
        self.air.sensor(picture, rng)
        if self.config.overlay:
            stamp(picture, self.config.start_hour * 3600 + seconds)
        return picture, [plate for plate in plates if plate is not None]

    def _motion(self, passage: Passage, vehicle: Vehicle, x: float, y: float) -> NDArray[np.float32]:
        """(2,) pixels that the plate moves during the exposure."""
        at = np.array([[x, y, vehicle.mount.z], [x, y, vehicle.mount.z]], np.float64)
        at[1, 1] += passage.speed_mps * self.exposure_seconds * (-1 if passage.lane.direction == "approaching" else 1)
        before, after = self.camera.project(at)[:, :2]
        return after - before if y > 4 else np.zeros(2, np.float32)

    def _ground_light(self, picture: Picture, vehicle: Vehicle, x: float, y: float) -> None:
        """The vehicle's shadow on the road, soft and with its dark middle, or its head lamps' pool."""
        half, length, tall = vehicle.width_m / 2, vehicle.length_m, vehicle.height_m
        lean = self.light.towards_sun[:2] / max(float(self.light.towards_sun[2]), 0.2) * tall * 0.85
        base = np.array([(-half, 0.22), (half, 0.22), (half, length), (-half, length)]) * (0.97, 1.0)
        fallen = cv2.convexHull(np.concatenate([base, base - lean]).astype(np.float32))[:, 0]
        at = np.array([x, y])
        if self.light.shadow > 0:
            self._soften(picture, fallen + at, self.light.shadow, 0.12)
        self._soften(picture, base + at, 0.70, 0.13)

    def _soften(self, picture: Picture, outline: NDArray[np.floating], strength: float, edge_m: float) -> None:
        """Darken the ground inside an outline of (n, 2) metres; `edge_m` is the softness of its edge."""
        outline = np.maximum(outline, (-1e9, 6.0))
        pixels = self.camera.project(np.column_stack([outline, np.zeros(len(outline))]))[:, :2]
        pad = edge_m * self.camera.focal_px / max(float(outline[:, 1].min()), 6.0)
        low = np.maximum(np.floor(pixels.min(axis=0) - 2 * pad).astype(int), 0)
        high = np.minimum(
            np.ceil(pixels.max(axis=0) + 2 * pad).astype(int) + 1, (self.config.width_px, self.config.height_px)
        )
        if (high - low).min() < 3:
            return
        coarse = max(1, int(pad / 3))
        size = tuple(int(v) for v in np.maximum((high - low) // coarse, 2))
        mask = np.zeros(size[::-1], np.float32)
        scaled = np.clip((pixels - low) * (np.array(size) / (high - low)), -20000, 20000)
        cv2.fillPoly(mask, [np.round(scaled * 16).astype(np.int32)], strength, cv2.LINE_AA, 4)
        blurred = cv2.GaussianBlur(mask, (0, 0), max(pad / coarse * 0.6, 0.5))
        shade = cv2.resize(blurred, tuple(int(v) for v in high - low), interpolation=cv2.INTER_LINEAR)
        darken(
            picture,
            np.asarray(shade, np.float32),
            int(low[0]),
            int(low[1]),
        )

    def _truth(self, passage: Passage, vehicle: Vehicle, x: float, y: float, nearer: list[Layer]) -> TruthPlate | None:
        """What there is to know of one plate, or None if it lies outside the picture."""
        corners = self.camera.project(vehicle.plate_corners() + np.array([x, y, 0.0]))
        quad = corners[:, :2].astype(np.float64)
        size = np.array([self.config.width_px, self.config.height_px])
        if corners[:, 2].min() < 1 or (quad.max(axis=0) < 0).any() or (quad.min(axis=0) > size - 1).any():
            return None
        spec = passage.plate
        px_per_mm = float(np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2 / spec.height_mm
        char_px = px_per_mm * min(box.height for box in char_boxes(spec) if box.char not in "-.")
        blur_px = float(np.linalg.norm(self._motion(passage, vehicle, x, y)))
        hidden = _hidden_share(quad, size, nearer)
        readable = char_px >= READABLE_CHAR_PX and blur_px <= READABLE_BLUR * char_px and hidden <= READABLE_HIDDEN
        rounded = tuple((round(float(a), 2), round(float(b), 2)) for a, b in quad)
        return TruthPlate(
            passage.number,
            spec.text,
            spec.colour,
            spec.lines,
            rounded,
            round(char_px, 2),
            round(blur_px, 2),
            round(hidden, 3),
            readable,
        )


def _smear(colour: NDArray[np.float32], motion: NDArray[np.float32]) -> None:
    """Blur a layer along a way of pixels, in place: the box filter of an open shutter."""
    length = float(np.hypot(*motion))
    if length < 0.35:
        return
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for step in np.linspace(-0.5, 0.5, max(8, int(length * 4))):
        dx, dy = motion * step
        left, top = int(np.floor(dx)), int(np.floor(dy))
        for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - abs(dx - left - a)) * (1 - abs(dy - top - b))
            kernel[reach + top + b, reach + left + a] += share
    columns = np.flatnonzero(kernel.sum(axis=0) > 1e-3)
    kernel = kernel[:, columns[0] : columns[-1] + 1] / kernel.sum()
    anchor = (reach - int(columns[0]), reach)
    colour[:] = cv2.filter2D(colour, -1, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE)


def _hidden_share(quad: NDArray[np.float64], size: NDArray[np.int64], nearer: list[Layer]) -> float:
    """Share of a quad that the layers cover or that lies outside the picture."""
    low = np.floor(quad.min(axis=0)).astype(int) - 1
    high = np.ceil(quad.max(axis=0)).astype(int) + 2
    mask = np.zeros((high - low)[::-1], np.uint8)
    cv2.fillPoly(mask, [np.round((quad - low) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    cover = np.ones(mask.shape, np.float32)
    left, top = np.maximum(-low, 0)
    right, bottom = np.minimum(size - low, mask.shape[::-1])
    cover[top:bottom, left:right] = 0
    for layer in nearer:
        height, width = layer.colour.shape[:2]
        x, y = layer.x - low[0], layer.y - low[1]
        rows = slice(max(0, y), min(mask.shape[0], y + height))
        columns = slice(max(0, x), min(mask.shape[1], x + width))
        if rows.start < rows.stop and columns.start < columns.stop:
            part = layer.colour[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x, 3]
            cover[rows, columns] = np.maximum(cover[rows, columns], part)
    return float((cover * mask).sum() / max(int(mask.sum()), 1))


def render_frames(config: ClipConfig) -> Iterator[tuple[Picture, list[TruthPlate]]]:
    """Every picture of the clip, (height, width, 3) uint8 BGR, with the plates it shows; decided by the config."""
    scene = Scene(config)
    for index in range(config.frames):
        yield scene.frame(index)
