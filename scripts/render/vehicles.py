"""Whole vehicles: a body with its livery and a plate at its mount, drawn into a layer as a camera sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render import liveries
from scripts.render.bodies import Shell, Station, box_patches, shell_patches, upright
from scripts.render.light import Light
from scripts.render.plate import PlateSpec, draw_plate, plate_alpha
from scripts.render.raster import Layer, Patch, fill, shade
from scripts.render.road import Camera
from scripts.render.sheet import Bgr, Sheet

Kind = Literal["sedan", "suv", "pickup", "van", "truck", "bus", "motorbike"]

TEXTURE_PX_PER_MM = 1.0
SOFT_AREA_PX = 160_000
"""Smaller layers are drawn at twice the size and reduced; larger ones are only softened."""


@dataclass(frozen=True, slots=True, eq=False)
class Mount:
    """Where the plate hangs: its centre in the body's frame and how far its top leans away, radians."""

    x: float
    y: float
    z: float
    lean: float
    roll: float


@dataclass(frozen=True, slots=True, eq=False)
class Vehicle:
    """A vehicle as seen from one side, ready to be drawn at any place of the road."""

    kind: Kind
    patches: tuple[Patch, ...]
    length_m: float
    width_m: float
    height_m: float
    mount: Mount
    plate_size_m: tuple[float, float]
    plate_bgra: NDArray[np.uint8]
    """At TEXTURE_PX_PER_MM; alpha 0 outside the rounded corners."""
    lamps: tuple[tuple[float, float, float], ...]
    """Head lamps in the body's frame; empty for a rear."""
    plate_shown: bool

    def plate_corners(self) -> NDArray[np.float64]:
        """(4, 3) in the body's frame, clockwise from the plate's own top-left."""
        half_width, half_height = self.plate_size_m[0] / 2, self.plate_size_m[1] / 2
        flat = np.array([(-1, 1), (1, 1), (1, -1), (-1, -1)]) * (half_width, half_height)
        cos_r, sin_r = math.cos(self.mount.roll), math.sin(self.mount.roll)
        across = flat[:, 0] * cos_r - flat[:, 1] * sin_r
        up = flat[:, 0] * sin_r + flat[:, 1] * cos_r
        cos_l, sin_l = math.cos(self.mount.lean), math.sin(self.mount.lean)
        return np.column_stack([across + self.mount.x, self.mount.y + up * sin_l, self.mount.z + up * cos_l])


def build_vehicle(
    kind: Kind, plate: PlateSpec, rng: np.random.Generator, *, rear: bool, dirt: float = 0.0, plate_shown: bool = True
) -> Vehicle:
    """A vehicle of this kind with this plate, seen from its front or rear; looks vary with `rng`."""
    if kind == "truck":
        patches, size, mount, lamps = _truck(rng, plate, rear=rear)
    elif kind == "bus":
        patches, size, mount, lamps = _bus(rng, rear=rear)
    elif kind == "motorbike":
        patches, size, mount, lamps = _motorbike(rng, rear=rear)
    else:
        patches, size, mount, lamps = _car(kind, rng, plate, rear=rear)
    return Vehicle(
        kind, tuple(patches), *size, mount, (plate.width_mm / 1000, plate.height_mm / 1000),
        _plate_picture(plate, rng, dirt), lamps, plate_shown,
    )  # fmt: skip


Parts = tuple[list[Patch], tuple[float, float, float], Mount, tuple[tuple[float, float, float], ...]]


def _car(kind: Kind, rng: np.random.Generator, plate: PlateSpec, *, rear: bool) -> Parts:
    tall = {"sedan": 1.0, "suv": 1.16, "pickup": 1.2, "van": 1.35}[kind] * rng.uniform(0.97, 1.03)
    wide = {"sedan": 0.89, "suv": 0.92, "pickup": 0.93, "van": 0.97}[kind] * rng.uniform(0.97, 1.03)
    length = {"sedan": 4.5, "suv": 4.6, "pickup": 5.2, "van": 5.0}[kind]
    paint = liveries.CAR_PAINTS[int(rng.integers(len(liveries.CAR_PAINTS)))]
    if plate.colour == "red":
        paint = (48, 74, 62)
    roof = 1.46 * tall
    cabin = wide * (0.74 if kind != "van" else 0.86)
    stations: tuple[Station, ...]
    if not rear:
        nose_z, cowl_z = 0.74 * min(tall, 1.2), 0.98 * min(tall, 1.2)
        cowl_y = 1.12 if kind != "van" else 0.72
        stations = (
            Station("lip", 0.14, 0.20, wide * 0.90), Station("chin", 0.03, 0.32, wide * 0.98),
            Station("bumper", 0.0, 0.50, wide), Station("nose", 0.05, nose_z, wide),
            Station("bonnet", 0.40, nose_z + 0.11, wide * 0.99), Station("cowl", cowl_y, cowl_z, wide * 0.96),
            Station("top", cowl_y + 0.72, roof - 0.07, cabin), Station("roof", cowl_y + 1.0, roof, cabin * 0.96),
            Station("end", cowl_y + 2.1, roof - 0.02, cabin * 0.95),
        )  # fmt: skip
        shell = Shell(stations, 0.20, 0.10)
        face = liveries.car_front(shell, rng, paint)
        plate_z, glass = 0.42 + rng.uniform(-0.04, 0.06), (cowl_y + 0.55, length - 0.7)
    else:
        lid_z = (0.96 if kind == "sedan" else 0.98) * min(tall, 1.1)
        deck = {"sedan": 0.55, "suv": 0.06, "van": 0.05, "pickup": 1.5}[kind]
        slope = {"sedan": 0.62, "suv": 0.30, "van": 0.16, "pickup": 0.25}[kind]
        stations = (
            Station("lip", 0.14, 0.26, wide * 0.88), Station("skirt", 0.02, 0.36, wide * 0.97),
            Station("bumper", 0.0, 0.58, wide), Station("panel", 0.05, 0.72, wide),
            Station("lid", 0.07, lid_z, wide * 0.98), Station("edge", 0.14, lid_z + 0.07, wide * 0.96),
            Station("sill", 0.14 + deck, lid_z + 0.10, wide * 0.93),
            Station("top", 0.14 + deck + slope, roof - 0.06, cabin),
            Station("roof", 0.4 + deck + slope, roof, cabin * 0.97),
            Station("end", 1.7 + deck + slope, roof, cabin * 0.96),
        )  # fmt: skip
        shell = Shell(stations, 0.16, 0.10)
        plate_z, glass = (0.58 + lid_z) / 2 - 0.02, (deck + 0.4, length - 1.2)
        face = liveries.car_rear(shell, rng, paint, plate_arc=shell.arc_at(plate_z))
    belt = 0.92 * min(tall, 1.15)
    side = liveries.car_side(length, roof, paint, belt=belt, wheels=(0.85, length - 0.95), glass=glass)
    patches = shell_patches(shell, face, side, belt_m=belt, sill_m=0.24)
    patches += _under(wide, 0.33, 0.85)
    mirror = Sheet(0.2, 0.14, paint=paint if not rear else (30, 30, 30), gloss=0.4)
    mirror_y = 1.45 if not rear else length - 1.9
    for sign in (-1, 1):
        patches.append(
            upright(
                (sign * (wide + 0.05) - 0.09, sign * (wide + 0.05) + 0.09), mirror_y, (belt - 0.06, belt + 0.07), mirror
            )
        )
    lamps = tuple((sign * wide * 0.72, -0.02, 0.66 * min(tall, 1.15)) for sign in (-1, 1)) if not rear else ()
    return patches, (length, wide * 2, roof), _mount_on(shell, plate_z, rng), lamps


def _mount_on(shell: Shell, z: float, rng: np.random.Generator) -> Mount:
    """A plate screwed to the face a little askew, just before the surface."""
    y, _, _, slope = shell.at(shell.arc_at(z))
    return Mount(
        float(rng.normal(0, 0.01)), y - 0.035, z, slope * 0.5 + float(rng.normal(0, 0.03)), float(rng.normal(0, 0.008))
    )


def _under(half_width: float, radius: float, depth: float) -> list[Patch]:
    """Tyres and the dark beneath a vehicle."""
    tread = Sheet(0.2, radius * 2, paint=(26, 26, 27))
    for level in np.arange(0, radius * 2, 0.03):
        tread.line([(0, level), (0.2, level)], (38, 38, 39), 0.008)
    dark = Sheet(half_width * 2, 0.4, paint=(10, 10, 10))
    patches = [upright((-half_width * 0.95, half_width * 0.95), depth + 0.3, (0.02, 0.45), dark)]
    for sign in (-1, 1):
        x = sign * (half_width - 0.14)
        patches.append(upright((x - 0.1, x + 0.1), depth - radius * 0.6, (0.0, radius * 1.6), tread))
    return patches


def _truck(rng: np.random.Generator, plate: PlateSpec, *, rear: bool) -> Parts:
    half = float(rng.uniform(1.05, 1.22))
    high, bed = float(rng.uniform(3.2, 3.9)), 1.05
    paint: Bgr = liveries.TRUCK_PAINTS[int(rng.integers(len(liveries.TRUCK_PAINTS)))]
    if plate.colour == "red":
        paint = (48, 74, 62)
    face, side, roof = liveries.cargo_face(half * 2, high - bed, rng, rear=rear, plate_text=plate.text)
    if rear:
        patches = box_patches(half_width=half, y=(0.0, 7.0), z=(bed, high), face=face, side=side, roof=roof)
        frame = liveries.bed_rear(half * 2 - 0.1, 0.62, rng)
        patches.append(upright((-half + 0.05, half - 0.05), 0.12, (0.43, 1.05), frame))
        patches += _under(half, 0.48, 1.4)
        flap = Sheet(0.5, 0.6, paint=(20, 20, 21))
        for sign in (-1, 1):
            patches.append(upright((sign * (half - 0.3) - 0.24, sign * (half - 0.3) + 0.24), 0.8, (0.15, 0.6), flap))
        mount = Mount(
            float(rng.choice((-0.35, 0.0, 0.0))), 0.08, 0.72, float(rng.normal(0, 0.04)), float(rng.normal(0, 0.012))
        )
        return patches, (9.0, half * 2, high), mount, ()
    cab = half * 0.94
    stations = (
        Station("lip", 0.10, 0.30, cab * 0.94), Station("chin", 0.02, 0.42, cab), Station("bumper", 0.0, 0.80, cab),
        Station("grille", 0.02, 1.28, cab), Station("cowl", 0.05, 1.42, cab * 0.99),
        Station("top", 0.28, 2.30, cab * 0.94),
        Station("brow", 0.48, 2.46, cab * 0.91), Station("end", 1.7, 2.50, cab * 0.91),
    )  # fmt: skip
    shell = Shell(stations, 0.10, 0.12)
    skin = liveries.truck_front(shell, rng, paint)
    cab_side = Sheet(1.8, 2.5, paint=paint, gloss=0.35, px_per_m=110.0)
    cab_side.rectangle(0.35, 1.45, 1.15, 2.2, liveries.GLASS, gloss=0.9)
    cab_side.text(liveries.phone(rng), 0.8, 1.0, 0.14, (30, 30, 150), fit_m=1.0)
    patches = shell_patches(shell, skin, cab_side, belt_m=1.45, sill_m=0.42)
    patches += box_patches(half_width=half, y=(1.85, 8.85), z=(bed, high), face=face, side=side, roof=roof)
    patches += _under(cab, 0.48, 1.3)
    glass = Sheet(0.2, 0.4, paint=(26, 26, 26), gloss=0.3)
    for sign in (-1, 1):
        patches.append(upright((sign * (cab + 0.16) - 0.1, sign * (cab + 0.16) + 0.1), 0.15, (1.55, 2.0), glass))
    lamps = tuple((sign * cab * 0.70, -0.02, 0.62) for sign in (-1, 1))
    return patches, (9.0, half * 2, high), _mount_on(shell, 0.50 + float(rng.uniform(-0.05, 0.03)), rng), lamps


def _bus(rng: np.random.Generator, *, rear: bool) -> Parts:
    half, high, length = 1.22, float(rng.uniform(3.1, 3.5)), 10.5
    paint = liveries.TRUCK_PAINTS[int(rng.integers(len(liveries.TRUCK_PAINTS)))]
    stations = (
        Station("lip", 0.10, 0.28, half * 0.95), Station("chin", 0.02, 0.40, half), Station("bumper", 0.0, 0.85, half),
        Station("cowl", 0.03, 1.25 if not rear else 1.75, half), Station("screen", 0.18, high - 0.75, half * 0.98),
        Station("top", 0.32, high - 0.16, half * 0.95), Station("brow", 0.55, high, half * 0.92),
        Station("end", length, high, half * 0.92),
    )  # fmt: skip
    shell = Shell(stations, 0.14, 0.14)
    plate_z = 0.52 if not rear else 0.82
    if rear:
        face = liveries.bus_rear(shell, rng, paint, plate_arc=shell.arc_at(plate_z))
    else:
        face = liveries.bus_front(shell, rng, paint)
    side = liveries.coach_side(length, high, paint, rng, belt=1.5, wheels=(2.0, length - 2.6))
    patches = shell_patches(shell, face, side, belt_m=1.4, sill_m=0.34) + _under(half, 0.5, 2.0)
    glass = Sheet(0.2, 0.4, paint=(26, 26, 26), gloss=0.3)
    if not rear:
        for sign in (-1, 1):
            patches.append(upright((sign * (half + 0.15) - 0.1, sign * (half + 0.15) + 0.1), 0.05, (1.9, 2.4), glass))
    lamps = tuple((sign * half * 0.75, -0.02, 0.80) for sign in (-1, 1)) if not rear else ()
    return patches, (length, half * 2, high), _mount_on(shell, plate_z, rng), lamps


def _motorbike(rng: np.random.Generator, *, rear: bool) -> Parts:
    picture = liveries.rider(rng, rear=rear)
    patch = upright((-0.45, 0.45), 0.3, (0.0, 1.75), picture)
    mount = Mount(0.0, 0.15, 0.62 if rear else 0.78, 0.18, float(rng.normal(0, 0.02)))
    lamps = () if rear else ((0.0, 0.2, 0.9),)
    return [patch], (2.0, 0.4, 1.75), mount, lamps


def _plate_picture(plate: PlateSpec, rng: np.random.Generator, dirt: float) -> NDArray[np.uint8]:
    """(height, width, 4) of the plate, soiled by `dirt` 0 to 1."""
    picture = draw_plate(plate, rng, px_per_mm=TEXTURE_PX_PER_MM)
    if dirt > 0:
        height, width = picture.shape[:2]
        cells = rng.uniform(0, 1, (5, 12)).astype(np.float32)
        cover = np.clip(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * dirt, 0, 0.9)[..., None]
        picture = (picture * (1 - cover) + np.array([96, 116, 130], np.float32) * cover).astype(np.uint8)
    alpha = plate_alpha(plate, px_per_mm=TEXTURE_PX_PER_MM)
    return np.dstack([picture, alpha])


def draw_vehicle(vehicle: Vehicle, camera: Camera, light: Light, *, x_m: float, y_m: float) -> Layer | None:
    """The vehicle with its face at (x, y) of the road, or None if outside the picture."""
    at = np.array([x_m, y_m, 0.0], np.float32)
    if not _may_be_seen(vehicle, camera, at):
        return None
    screens = [camera.project(patch.points + at) for patch in vehicle.patches]
    ahead = [screen[screen[..., 2] > 0.5] for screen in screens]
    pixels = np.concatenate([points[:, :2] for points in ahead])
    if len(pixels) == 0:
        return None
    low, high = np.floor(pixels.min(axis=0)).astype(int) - 2, np.ceil(pixels.max(axis=0)).astype(int) + 3
    left, top = max(0, low[0]), max(0, low[1])
    right, bottom = min(camera.width_px, high[0]), min(camera.height_px, high[1])
    if right - left < 2 or bottom - top < 2:
        return None
    times = 2 if (right - left) * (bottom - top) < SOFT_AREA_PX else 1
    colour = np.zeros(((bottom - top) * times, (right - left) * times, 4), np.float32)
    depth = np.full(colour.shape[:2], np.inf, np.float32)
    px_per_m = camera.focal_px / max(y_m, 3.0) * times
    for patch, screen in zip(vehicle.patches, screens):
        points = patch.points + at
        diffuse, mirror = shade(points, patch.normals, camera.eye, light)
        screen[..., 0] = (screen[..., 0] - left + 0.5) * times - 0.5
        screen[..., 1] = (screen[..., 1] - top + 0.5) * times - 0.5
        level = int(np.clip(math.floor(math.log2(max(patch.px_per_m / px_per_m, 1.0)) + 0.3), 0, len(patch.mips) - 1))
        texture = patch.mips[level]
        texels = patch.uv * np.array([texture.shape[1], texture.shape[0]], np.float32) - np.float32(0.5)
        fill(colour, depth, screen, np.concatenate([diffuse, mirror, texels], axis=2), texture, light.glow)
    if times == 2:
        colour = cv2.resize(colour, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    else:
        colour = cv2.GaussianBlur(colour, (3, 3), 0.55)
    layer = Layer(left, top, np.asarray(colour, np.float32))
    if vehicle.plate_shown:
        _hang_plate(layer, vehicle, camera, light, at)
    return layer


def _may_be_seen(vehicle: Vehicle, camera: Camera, at: NDArray[np.float32]) -> bool:
    """False if the box around the vehicle lies beyond the picture's edge; mirrors stand out by 0.3 m."""
    half = vehicle.width_m / 2 + 0.3
    ends = [
        (x, max(y, 1.0 - at[1]), z)
        for x in (-half, half)
        for y in (-0.1, vehicle.length_m)
        for z in (0.0, vehicle.height_m)
    ]
    box = camera.project(np.array(ends) + at)[:, :2]
    beyond = (box.max(axis=0) < 0) | (box.min(axis=0) > (camera.width_px, camera.height_px))
    return at[1] + vehicle.length_m > 1.0 and not beyond.any()


def _hang_plate(layer: Layer, vehicle: Vehicle, camera: Camera, light: Light, at: NDArray[np.float32]) -> None:
    """Warp the plate's picture to its exact corners on the layer, in place."""
    corners = camera.project(vehicle.plate_corners() + at)
    if corners[:, 2].min() < 0.5:
        return
    quad = corners[:, :2] - (layer.x, layer.y)
    low = np.maximum(np.floor(quad.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + 3, layer.colour.shape[1::-1])
    if (high - low).min() < 2:
        return
    times = 3
    across = float(np.linalg.norm(quad[1] - quad[0])) * times
    picture = vehicle.plate_bgra
    shrink = min(1.0, across * 1.2 / picture.shape[1])
    if shrink < 1:
        size = (max(8, round(picture.shape[1] * shrink)), max(4, round(picture.shape[0] * shrink)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    height, width = picture.shape[:2]
    source = np.array(
        [[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]], np.float32
    )
    target = ((quad - low + 0.5) * times - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    large = cv2.warpPerspective(picture, matrix, tuple(int(v) for v in (high - low) * times), flags=cv2.INTER_LINEAR)
    cover = large[:, :, 3:].astype(np.float32) / 255
    lit = _plate_light(vehicle, light)
    premultiplied = np.concatenate([large[:, :, :3] * lit * cover, cover], axis=2).astype(np.float32)
    small = cv2.resize(premultiplied, tuple(int(v) for v in high - low), interpolation=cv2.INTER_AREA)
    view = layer.colour[low[1] : high[1], low[0] : high[0]]
    view[:] = small + view * (1 - small[:, :, 3:])


def _plate_light(vehicle: Vehicle, light: Light) -> NDArray[np.float32]:
    """(3,) factor on the plate's colours: like an upright face, plus the camera's lamp thrown back."""
    normal = np.array([0.0, -math.cos(vehicle.mount.lean), math.sin(vehicle.mount.lean)], np.float32)
    sun = max(float(normal @ light.towards_sun), 0.0)
    upward = 0.5 + 0.5 * float(normal[2])
    factor = (light.sun * sun + light.sky * upward + light.ground * (1 - upward)) * light.plate
    return np.asarray(np.minimum(factor, 1.12), np.float32)
