"""A small software rasteriser: curved patches with a texture, shaded per vertex, with a depth buffer.

World axes are metres: X right, Y along the road away from the camera, Z up. Colours are BGR, 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from scripts.render.light import Light

Floats = NDArray[np.float32]

GLOSS, GLOW = 4, 5
"""Texture channels after B, G, R, alpha: how much it mirrors the sky, how much it shines by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A grid of points with a texture over it."""

    points: Floats
    """(rows, columns, 3) metres, in the vehicle's own frame."""
    normals: Floats
    """(rows, columns, 3), unit, outwards."""
    uv: Floats
    """(rows, columns, 2), 0 to 1 over the texture."""
    mips: tuple[NDArray[np.uint8], ...]
    """(height, width, 6) textures, each half the size of the one before."""
    px_per_m: float
    """Of the first texture."""


@dataclass(slots=True, eq=False)
class Layer:
    """What one vehicle adds to a picture: premultiplied colour and coverage over a part of it."""

    x: int
    y: int
    colour: Floats
    """(height, width, 4): B, G, R times coverage, then coverage 0 to 1."""


def grid_normals(points: Floats, *, flip: bool = False) -> Floats:
    """(rows, columns, 3) unit normals of a (rows, columns, 3) grid, right-hand rule rows × columns."""
    down = np.gradient(points, axis=0)
    across = np.gradient(points, axis=1)
    normals = np.cross(across, down)
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    return (-normals if flip else normals).astype(np.float32)


def mip_chain(texture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """The texture and its halves down to a few pixels."""
    mips = [np.ascontiguousarray(texture)]
    while min(mips[-1].shape[:2]) >= 8:
        height, width = mips[-1].shape[:2]
        halves = [
            cv2.resize(mips[-1][:, :, part], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            for part in (slice(0, 3), slice(3, 6))
        ]
        mips.append(np.ascontiguousarray(np.concatenate(halves, axis=2)))
    return tuple(mips)


def make_patch(points: Floats, texture: NDArray[np.uint8], px_per_m: float, *, uv: Floats | None = None) -> Patch:
    """A patch whose normals point to the camera's side (towards -Y or up, else away from X = 0)."""
    points = np.ascontiguousarray(points, np.float32)
    rows, columns = points.shape[:2]
    if uv is None:
        u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
        uv = np.stack([u, v], axis=2).astype(np.float32)
    normals = grid_normals(points)
    centre = points.reshape(-1, 3).mean(axis=0)
    outwards = np.array([np.sign(centre[0]) * (abs(centre[0]) > 0.6), -1.0, 1.0], np.float32)
    if float((normals.reshape(-1, 3) @ outwards).sum()) < 0:
        normals = -normals
    return Patch(points, normals, np.ascontiguousarray(uv, np.float32), mip_chain(texture), px_per_m)


def shade(points: Floats, normals: Floats, eye: Floats, light: Light) -> tuple[Floats, Floats]:
    """Per vertex, (…, 3) light that multiplies the texture and (…, 3) mirrored sky that a glossy texture adds."""
    sun = np.maximum(normals @ light.towards_sun, 0.0)[..., None]
    upward = (0.5 + 0.5 * normals[..., 2:3]).astype(np.float32)
    diffuse = light.sun * sun + light.sky * upward + light.ground * (1.0 - upward)
    view = eye - points
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    facing = np.maximum((view * normals).sum(axis=-1, keepdims=True), 0.0)
    mirrored = 2.0 * facing * normals - view
    height = np.clip(mirrored[..., 2:3] * 2.0 + 0.15, 0.0, 1.0)
    sky = light.mirror_low * (1.0 - height) + light.mirror_high * height
    fresnel = 0.08 + 0.92 * (1.0 - facing) ** 5
    highlight = np.maximum(mirrored @ light.towards_sun, 0.0)[..., None] ** 60 * light.sun * 160.0
    return diffuse.astype(np.float32), (sky * fresnel + highlight * (0.15 + fresnel)).astype(np.float32)


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def fill(
    colour: NDArray[np.float32],
    depth: NDArray[np.float32],
    screen: NDArray[np.float32],
    attributes: NDArray[np.float32],
    texture: NDArray[np.uint8],
    glow: float,
) -> None:
    """Draw a patch: `screen` is (rows, columns, 3) of x, y, depth in pixels of `colour` (height, width, 4).

    `attributes` are (rows, columns, 8): light and mirrored sky of `shade`, then u, v in texels. They run linearly over
    each small triangle; a texel with alpha under one half is a hole.
    """
    height, width = depth.shape
    last_u, last_v = np.float32(texture.shape[1] - 1.001), np.float32(texture.shape[0] - 1.001)
    rows, columns = screen.shape[:2]
    base = np.empty(8, np.float32)
    slope = np.empty(8, np.float32)
    value = np.empty(8, np.float32)
    one = np.float32(1)
    for cell in range((rows - 1) * (columns - 1) * 2):
        half = cell & 1
        row, column = (cell >> 1) // (columns - 1), (cell >> 1) % (columns - 1)
        x0, y0, z0 = screen[row + half, column + half]
        x1, y1, z1 = screen[row, column + 1]
        x2, y2, z2 = screen[row + 1, column]
        if z0 < 0.5 or z1 < 0.5 or z2 < 0.5:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-6:
            continue
        top = max(0, int(np.ceil(min(y0, y1, y2))))
        bottom = min(height - 1, int(np.floor(max(y0, y1, y2))))
        leftmost, rightmost = np.ceil(min(x0, x1, x2)), np.floor(max(x0, x1, x2))
        if leftmost >= width or rightmost < 0:
            continue
        w1x, w2x = (y2 - y0) / area, -(y1 - y0) / area
        w1y, w2y = -(x2 - x0) / area, (x1 - x0) / area
        first, second, third = (
            attributes[row + half, column + half],
            attributes[row, column + 1],
            attributes[row + 1, column],
        )
        for k in range(8):
            slope[k] = w1x * (second[k] - first[k]) + w2x * (third[k] - first[k])
        z_slope = w1x * (z1 - z0) + w2x * (z2 - z0)
        for y in range(top, bottom + 1):
            w1, w2 = (y - y0) * w1y - x0 * w1x, (y - y0) * w2y - x0 * w2x
            low, high = max(leftmost, 0.0), min(rightmost, width - 1.0)
            for start, step in ((w1, w1x), (w2, w2x), (one - w1 - w2, -w1x - w2x)):
                if step > 1e-9:
                    low = max(low, np.ceil((-1e-5 - start) / step))
                elif step < -1e-9:
                    high = min(high, np.floor((-1e-5 - start) / step))
                elif start < -1e-5:
                    high = low - 1
            if high < low:
                continue
            z_row = z0 + w1 * (z1 - z0) + w2 * (z2 - z0)
            for k in range(8):
                base[k] = first[k] + w1 * (second[k] - first[k]) + w2 * (third[k] - first[k])
            for x in range(int(low), int(high) + 1):
                z = z_row + z_slope * x
                if z >= depth[y, x]:
                    continue
                for k in range(8):
                    value[k] = base[k] + slope[k] * x
                u, v = min(max(value[6], np.float32(0)), last_u), min(max(value[7], np.float32(0)), last_v)
                ui, vi = int(u), int(v)
                fu, fv = u - ui, v - vi
                nearest = texture[int(v + 0.5), int(u + 0.5)]
                if nearest[3] < 128:
                    continue
                gloss = np.float32(nearest[4]) * np.float32(1 / 255)
                own = np.float32(nearest[5]) * np.float32(glow / 255)
                for k in range(3):
                    upper = texture[vi, ui, k] * (one - fu) + texture[vi, ui + 1, k] * fu
                    lower = texture[vi + 1, ui, k] * (one - fu) + texture[vi + 1, ui + 1, k] * fu
                    colour[y, x, k] = (upper * (one - fv) + lower * fv) * (value[k] + own) + gloss * value[3 + k]
                colour[y, x, 3] = one
                depth[y, x] = z


@numba.njit(cache=True)
def lay_over(picture: NDArray[np.uint8], colour: NDArray[np.float32], x: int, y: int) -> None:
    """Put a premultiplied (height, width, 4) layer on a picture with its corner at (x, y), in place."""
    height, width = picture.shape[:2]
    for row in range(max(0, -y), min(colour.shape[0], height - y)):
        for column in range(max(0, -x), min(colour.shape[1], width - x)):
            cover = colour[row, column, 3]
            if cover > 0.002:
                for k in range(3):
                    mixed = colour[row, column, k] + picture[y + row, x + column, k] * (1.0 - cover)
                    picture[y + row, x + column, k] = np.uint8(min(max(mixed + 0.5, 0.0), 255.0))


@numba.njit(cache=True)
def darken(picture: NDArray[np.uint8], shadow: NDArray[np.float32], x: int, y: int) -> None:
    """Multiply a part of the picture by 1 - shadow, in place."""
    height, width = picture.shape[:2]
    for row in range(max(0, -y), min(shadow.shape[0], height - y)):
        for column in range(max(0, -x), min(shadow.shape[1], width - x)):
            keep = 1.0 - shadow[row, column]
            if keep < 0.998:
                for k in range(3):
                    picture[y + row, x + column, k] = np.uint8(picture[y + row, x + column, k] * keep)


@numba.njit(cache=True)
def brighten(picture: NDArray[np.uint8], light: NDArray[np.float32], x: int, y: int) -> None:
    """Add a (height, width, 3) light to a part of the picture, saturating, in place."""
    height, width = picture.shape[:2]
    for row in range(max(0, -y), min(light.shape[0], height - y)):
        for column in range(max(0, -x), min(light.shape[1], width - x)):
            for k in range(3):
                mixed = picture[y + row, x + column, k] + light[row, column, k]
                picture[y + row, x + column, k] = np.uint8(min(mixed, 255.0))
