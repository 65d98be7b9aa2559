"""The empty scene before a camera: asphalt, markings, rails, verge, plants, hills and sky, painted once per clip."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.light import Light
from scripts.render.road import Camera, Road


def _noise(rng: np.random.Generator, size: int, scales: tuple[tuple[int, float], ...]) -> NDArray[np.float32]:
    """(size, size) sum of smooth noises; each scale is (cells across, amplitude). Wraps around."""
    total = np.zeros((size, size), np.float32)
    for cells, amplitude in scales:
        cell = rng.standard_normal((cells, cells)).astype(np.float32)
        wrapped = np.pad(cell, ((0, 4), (0, 4)), mode="wrap")
        scale = size / cells
        grown = cv2.resize(wrapped, (round(scale * (cells + 4)),) * 2, interpolation=cv2.INTER_CUBIC)
        offset = round(scale * 2)
        total += amplitude * grown[offset : offset + size, offset : offset + size]
    return total


def _sample(
    tile: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], metres: float
) -> NDArray[np.float32]:
    """A tile of `metres` laid again and again over the ground, read at (x, y)."""
    scale = tile.shape[0] / metres
    columns, rows = (np.asarray(v * scale % tile.shape[0], np.float32) for v in (x, y))
    return np.asarray(cv2.remap(tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def paint_road(camera: Camera, road: Road, light: Light, rng: np.random.Generator, *, rain: float) -> NDArray[np.uint8]:
    """(height, width, 3) BGR of the empty scene."""
    columns, rows = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    rays = (
        np.stack(
            [
                (columns - (camera.width_px - 1) / 2) / camera.focal_px,
                (rows - (camera.height_px - 1) / 2) / camera.focal_px,
                np.ones(columns.shape),
            ],
            axis=2,
        )
        @ camera.axes()
    )
    below = rays[:, :, 2] < -1e-4
    reach = np.where(below, -camera.z_m / np.minimum(rays[:, :, 2], -1e-4), 0.0)
    x = (camera.x_m + rays[:, :, 0] * reach).astype(np.float32)
    y = (rays[:, :, 1] * reach).astype(np.float32)
    far = np.clip(y / 90.0, 0.0, 4.0)

    grain = _noise(rng, 1024, ((1024, 7.0), (340, 4.0), (60, 2.0)))
    blotch = _noise(rng, 512, ((5, 3.0), (17, 2.0), (60, 1.2)))
    ground: NDArray[np.float32] = np.empty((*x.shape, 3), np.float32)
    ground[:] = np.array([108, 112, 113], np.float32) + (_sample(grain, x, y, 6.0) / (1 + far))[..., None]
    ground += _sample(blotch, x, np.asarray(y / 6, np.float32), 17.0)[..., None]
    wear = np.zeros_like(x)
    for lane in road.lanes:
        for track in (-0.8, 0.8):
            wear += 7.0 * np.exp(-(((x - lane.centre_m - track) / 0.32) ** 2))
        wear -= 6.0 * np.exp(-(((x - lane.centre_m) / 0.35) ** 2))
    ground += wear[..., None]
    _cracks(ground, camera, road, rng)

    verge_left, verge_right = road.left_m - 2.6, road.right_m + 2.6
    on_verge = (x < verge_left) | (x > verge_right)
    grass = _sample(_noise(rng, 512, ((512, 17.0), (200, 12.0), (30, 7.0), (7, 8.0))), x, y, 4.0)
    green = np.array([58, 104, 92], np.float32) + grass[..., None] * np.array([0.6, 1.0, 0.9], np.float32)
    ground = np.where(on_verge[..., None], green, ground)

    paint = _markings(x, y, road) * np.clip(0.86 + _sample(blotch, x, y, 5.0) * 0.04, 0, 1)
    yellow = (np.abs(x) < 1.0) & (road.median == "line")
    ink = np.where(yellow[..., None], np.array([70, 178, 212], np.float32), np.array([214, 216, 216], np.float32))
    ground += (ink + (_sample(grain, x, y, 6.0))[..., None] - ground) * paint[..., None]

    lit = light.sun * max(float(light.towards_sun[2]), 0.0) + light.sky
    picture = ground * lit
    if rain > 0:
        gloss = np.float32(rain) * (~on_verge)[..., None]
        picture = picture * (1 - 0.38 * gloss) + light.mirror_high * 0.16 * gloss * np.clip(far, 0.2, 1)[..., None]
    if light.name == "night":
        pool = np.exp(-(((y - 34.0) / 26.0) ** 2) - (x / 9.0) ** 2)
        picture += ground * np.array([0.08, 0.10, 0.11], np.float32) * pool[..., None]
    haze = np.clip(y / 900.0, 0.0, 0.75)[..., None] * (1 + rain)
    picture += (light.mirror_high * 0.8 - picture) * np.clip(haze, 0, 0.85)
    picture = np.where(below[..., None], picture, _sky(rays, light, rng))
    canvas = np.clip(picture, 0, 255).astype(np.uint8)
    _roadside(canvas, camera, road, light, rng)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6), np.uint8)


def _markings(x: NDArray[np.float32], y: NDArray[np.float32], road: Road) -> NDArray[np.float32]:
    """Coverage 0 to 1 of painted lines: edges 20 cm solid, lane lines 15 cm, 6 m of every 15 m, the middle double."""

    def line(centre: float, width: float) -> NDArray[np.float32]:
        return np.asarray(np.clip((width / 2 - np.abs(x - centre)) / 0.012 + 0.5, 0, 1), np.float32)

    paint = np.maximum(line(road.left_m + 0.1, 0.2), line(road.right_m - 0.1, 0.2))
    dashes = np.clip((3.0 - np.abs((y % 15.0) - 7.5)) / 0.05 + 0.5, 0, 1)
    for edge in _inner_edges(road):
        paint = np.maximum(paint, line(edge, 0.15) * dashes)
    if road.median == "line":
        paint = np.maximum(paint, np.maximum(line(-0.15, 0.15), line(0.15, 0.15)))
    elif road.median == "rail":
        paint = np.maximum(paint, np.maximum(line(-0.65, 0.2), line(0.65, 0.2)))
    return paint


def _inner_edges(road: Road) -> list[float]:
    centres = sorted((lane.centre_m, lane.direction) for lane in road.lanes)
    return [(a + b) / 2 for (a, one), (b, other) in pairwise(centres) if one == other]


def _cracks(ground: NDArray[np.float32], camera: Camera, road: Road, rng: np.random.Generator) -> None:
    """Sealed cracks and bridge joints, darker than the road."""
    mask = np.zeros(ground.shape[:2], np.uint8)
    for _ in range(9):
        x, y = rng.uniform(road.left_m, road.right_m), rng.uniform(15, 130)
        steps = rng.normal(0, 0.12, (24, 2)).cumsum(axis=0) + np.arange(24)[:, None] * rng.normal(0, 0.14, 2)
        path = np.column_stack([x + steps[:, 0], y + steps[:, 1] * 3, np.zeros(24)])
        pixels = camera.project(path)[:, :2]
        scale = camera.focal_px / max(y, 5.0)
        cv2.polylines(
            mask, [np.round(pixels * 16).astype(np.int32)], False, 150, max(1, round(0.02 * scale)), cv2.LINE_AA, 4
        )
    ground -= 38.0 * (cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.float32) / 255)[..., None]


def _sky(rays: NDArray[np.float64], light: Light, rng: np.random.Generator) -> NDArray[np.float32]:
    """Sky with clouds over two rows of hills, for rays above the horizon."""
    up = np.clip(rays[:, :, 2], 0, 1).astype(np.float32)
    bearing = rays[:, :, 0].astype(np.float32)
    sky = (
        light.mirror_high
        + (np.array([225, 190, 160], np.float32) / 255 * light.mirror_high - light.mirror_high)
        * np.clip(up * 5, 0, 1)[..., None]
    )
    cloud = _sample(_noise(rng, 512, ((4, 0.5), (11, 0.3), (40, 0.12))), bearing, up * 3, 0.5)
    sky = sky + np.clip(cloud, 0, 1)[..., None] * 22
    for rise, shade in ((0.030, 0.62), (0.018, 0.42)):
        ridge = np.zeros(bearing.shape, np.float32)
        for wave in range(5):
            ridge += np.sin(bearing * (7 * 2.1**wave) + rng.uniform(0, 6.3)) / 1.7**wave
        hill = np.clip((rise * (1.1 + 0.35 * ridge) - up) * 900, 0, 1)[..., None]
        tint = np.array([108, 128, 110], np.float32) * shade * (light.sky + light.sun) + light.mirror_high * (
            0.55 * (1 - 0.6 * shade)
        )
        sky = sky * (1 - hill) + tint * hill
    return sky.astype(np.float32)


def _roadside(canvas: NDArray[np.uint8], camera: Camera, road: Road, light: Light, rng: np.random.Generator) -> None:
    """Bushes, trees, km posts, a sign and the guard rails, painted far to near."""
    lit = np.asarray(light.sun * 0.6 + light.sky * 0.9, np.float32)
    things: list[tuple[float, float, str]] = []
    for side in (-1.0, 1.0):
        edge = road.right_m if side > 0 else road.left_m
        things += [(float(y), edge + side * rng.uniform(4.6, 13.0), "bush") for y in rng.uniform(22, 330, 110)]
        things += [(float(y), edge + side * rng.uniform(9.0, 26.0), "tree") for y in rng.uniform(60, 420, 60)]
    things.append((74.0, road.right_m + 3.6, "sign"))
    for y, x, what in sorted(things, reverse=True):
        _plant(canvas, camera, lit, rng, x, y, what)
    rails = [road.left_m - 2.1, road.right_m + 2.1] + ([0.0] if road.median == "rail" else [])
    for x in rails:
        _guard_rail(canvas, camera, lit, x)


def _plant(
    canvas: NDArray[np.uint8],
    camera: Camera,
    lit: NDArray[np.float32],
    rng: np.random.Generator,
    x: float,
    y: float,
    what: str,
) -> None:
    u, v, depth = (float(part) for part in camera.project(np.array([x, y, 0.0])))
    scale = camera.focal_px / max(depth, 1.0)
    if not -6 * scale < u < camera.width_px + 6 * scale or v < -8 * scale or v > camera.height_px + 3 * scale:
        return
    if what == "sign":
        _sign(canvas, camera, lit, x, y)
        return
    tall, wide, leaves = (1.1, 1.0, 520) if what == "bush" else (6.0, 2.2, 1100)
    tall, wide = tall * rng.uniform(0.6, 1.3), wide * rng.uniform(0.6, 1.4)
    leaves = int(min(leaves, 30 + tall * wide * scale**2 / 10))
    across, up = rng.normal(0, 0.4, leaves), rng.uniform(0, 1, leaves)
    tones = rng.uniform(0.45, 1.0, leaves) * (0.55 + 0.6 * up)
    spread = (520 / leaves) ** 0.5 if what == "bush" else (1100 / leaves) ** 0.5
    radii = rng.uniform(0.025, 0.085, leaves) * (1.0 if what == "bush" else 2.2) * min(spread, 2.5) * scale
    haze = min(y / 600.0, 0.6)
    colours = np.array([46, 92, 72], np.float32) * tones[:, None] * lit * (1 - haze) + 150 * haze * lit
    centres = np.column_stack([u + across * wide * scale, v - up * tall * scale])
    inside = across**2 + (up - 0.5) ** 2 <= 0.3
    for colour, centre, radius in zip(colours[inside].tolist(), centres[inside], radii[inside]):
        place = (round(centre[0] * 16), round(centre[1] * 16))
        cv2.circle(canvas, place, max(6, round(radius * 16)), colour, -1, cv2.LINE_AA, 4)


def _sign(canvas: NDArray[np.uint8], camera: Camera, lit: NDArray[np.float32], x: float, y: float) -> None:
    """A kilometre board: letters beside the road that are no plate."""
    board = np.full((220, 300, 3), (96, 118, 24), np.uint8)
    cv2.rectangle(board, (6, 6), (293, 213), (236, 238, 238), 5)
    cv2.putText(board, "CT.07", (62, 88), cv2.FONT_HERSHEY_DUPLEX, 1.9, (240, 240, 240), 5, cv2.LINE_AA)
    cv2.putText(board, "Km 12", (50, 182), cv2.FONT_HERSHEY_DUPLEX, 2.1, (240, 240, 240), 5, cv2.LINE_AA)
    board = np.clip(board * lit, 0, 255).astype(np.uint8)
    corners = camera.project(np.array([[x, y, 2.1], [x + 1.5, y, 2.1], [x + 1.5, y, 1.0], [x, y, 1.0]]))[:, :2]
    source = np.array([[-0.5, -0.5], [299.5, -0.5], [299.5, 219.5], [-0.5, 219.5]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, np.ascontiguousarray(corners))
    size = (canvas.shape[1], canvas.shape[0])
    warped = cv2.warpPerspective(board, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(np.full(board.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    posts = camera.project(np.array([[x + 0.75, y, 1.0], [x + 0.75, y, 0.0]]))[:, :2]
    head, foot = ((int(p[0]), int(p[1])) for p in posts)
    cv2.line(canvas, head, foot, (90, 92, 92), 3, cv2.LINE_AA)
    np.copyto(canvas, warped, where=mask[..., None] > 127)


def _guard_rail(canvas: NDArray[np.uint8], camera: Camera, lit: NDArray[np.float32], x: float) -> None:
    """A W-beam on posts along the whole road at X = x."""
    near = max(6.0, camera.ground_at(camera.height_px * 1.5, 0.9))

    def strip(low: float, high: float, level: float) -> None:
        stations = np.linspace(near, 400.0, 90)
        top = camera.project(np.column_stack([np.full(90, x), stations, np.full(90, high)]))[:, :2]
        base = camera.project(np.column_stack([np.full(90, x), stations, np.full(90, low)]))[:, :2]
        outline = np.clip(np.concatenate([top, base[::-1]]), -30000, 30000)
        colour = np.clip(np.array([level, level * 0.99, level * 0.97], np.float32) * lit, 0, 255)
        cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], [float(c) for c in colour], cv2.LINE_AA, 4)

    for y in np.arange(near + 300, near, -4.0):
        foot, head = camera.project(np.array([[x, y, 0.0], [x, y, 0.75]]))[:, :2]
        width = max(1, round(0.12 * camera.focal_px / y))
        grey = [float(c) for c in np.clip(105 * lit, 0, 255)]
        cv2.line(canvas, (int(foot[0]), int(foot[1])), (int(head[0]), int(head[1])), grey, width, cv2.LINE_AA)
    for low, high, level in (
        (0.44, 0.52, 150),
        (0.52, 0.57, 196),
        (0.57, 0.63, 128),
        (0.63, 0.69, 190),
        (0.69, 0.76, 160),
    ):
        strip(low, high, level)
