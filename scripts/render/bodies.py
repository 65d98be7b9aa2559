"""Vehicle bodies as curved surfaces: a shell over the visible face and roof, sides, wheels and boxes.

A body's own frame is metres: X to the right, Y away from the camera starting at its visible face, Z up from the road.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.render.raster import Floats, Patch, make_patch
from scripts.render.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Station:
    """One line across the shell, from the lower lip up over the roof."""

    name: str
    y: float
    z: float
    half_width: float


@dataclass(frozen=True, slots=True, eq=False)
class Shell:
    """The surface swept through the stations; an arc is the way along it in metres from the lip."""

    stations: tuple[Station, ...]
    sweep_m: float
    """How far the corners of the face lie behind its middle."""
    round_m: float
    """Radius of the edge between shell and side."""

    def _path(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = np.array([(s.y, s.z, s.half_width) for s in self.stations])
        steps = np.hypot(np.diff(rows[:, 0]), np.diff(rows[:, 1]))
        return rows, np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def width_m(self) -> float:
        """The widest station."""
        return 2 * max(s.half_width for s in self.stations)

    @property
    def length_m(self) -> float:
        """From the lip along the surface to the last station."""
        return float(self._path()[1][-1])

    def arc(self, name: str) -> float:
        """Way along the surface to the named station."""
        _, arcs = self._path()
        return float(arcs[[s.name for s in self.stations].index(name)])

    def at(self, arc: float) -> tuple[float, float, float, float]:
        """y, z, half width and slope angle (radians, 0 = upright face, pi/2 = flat roof) at a way along the surface."""
        rows, arcs = self._path()
        y, z, half = (float(np.interp(arc, arcs, rows[:, k])) for k in range(3))
        index = int(np.clip(np.searchsorted(arcs, arc) - 1, 0, len(arcs) - 2))
        step = rows[index + 1] - rows[index]
        return y, z, half, float(np.arctan2(step[0], step[1]))

    def arc_at(self, z: float) -> float:
        """Way along the surface at which the upright face reaches a height."""
        rows, arcs = self._path()
        return float(np.interp(z, rows[: int(rows[:, 1].argmax()) + 1, 1], arcs[: int(rows[:, 1].argmax()) + 1]))

    def points(self, columns: int = 25) -> tuple[Floats, Floats]:
        """(rows, columns, 3) points, top row first, and (rows, columns, 2) uv for a sheet whose rows are the arc."""
        rows, arcs = self._path()
        fine = np.unique(np.concatenate([arcs, np.linspace(0, arcs[-1], 44)]))
        y, z, half = (np.interp(fine, arcs, rows[:, k]) for k in range(3))
        smooth = np.array([0.25, 0.5, 0.25])
        y[1:-1] = np.convolve(y, smooth, "valid")
        z[1:-1] = np.convolve(z, smooth, "valid")
        tangent = np.stack([np.gradient(y), np.gradient(z)], axis=1)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
        inward = np.stack([np.abs(tangent[:, 1]), -np.abs(tangent[:, 0])], axis=1)
        s = np.sin(np.linspace(-np.pi / 2, np.pi / 2, columns) * 0.94) / np.sin(np.pi / 2 * 0.94)
        edge = np.clip((np.abs(s) * half[:, None] - (half[:, None] - self.round_m)) / self.round_m, 0, 1)
        sink = self.round_m * (1 - np.sqrt(1 - 0.98 * edge**2))
        upright = np.abs(tangent[:, 1])[:, None]
        swept = self.sweep_m * np.abs(s)[None, :] ** 2.6 * (0.25 + 0.75 * upright)
        grid = np.empty((len(fine), columns, 3))
        grid[:, :, 0] = s * half[:, None]
        grid[:, :, 1] = y[:, None] + sink * inward[:, :1] + swept
        grid[:, :, 2] = z[:, None] + sink * inward[:, 1:]
        uv = np.empty((len(fine), columns, 2))
        uv[:, :, 0] = (s + 1) / 2
        uv[:, :, 1] = 1 - fine[:, None] / arcs[-1]
        return grid[::-1].astype(np.float32), uv[::-1].astype(np.float32)


def shell_patches(shell: Shell, face: Sheet, side: Sheet, *, belt_m: float, sill_m: float) -> list[Patch]:
    """The shell and its two sides; the side's sheet shows y from 0 and z from 0, seen from the left of the picture."""
    grid, uv = shell.points()
    patches = [make_patch(grid, face.texture(), face.px_per_m, uv=uv)]
    texture = side.texture()
    belt_half = max(s.half_width for s in shell.stations if s.z <= belt_m + 0.3)
    for column in (0, -1):
        edge = grid[:, column, :]
        sign = np.sign(edge[0, 0])
        middle = edge.copy()
        middle[:, 2] = np.minimum(edge[:, 2], belt_m)
        middle[:, 0] = sign * np.where(edge[:, 2] > belt_m, belt_half, np.abs(edge[:, 0]))
        foot = middle.copy()
        foot[:, 2] = np.minimum(middle[:, 2], sill_m)
        foot[:, 0] *= 0.985
        wall = np.stack([edge, middle, foot])
        patches.append(make_patch(wall, texture, side.px_per_m, uv=side.uv(wall)))
    return patches


def box_patches(
    *, half_width: float, y: tuple[float, float], z: tuple[float, float], face: Sheet, side: Sheet, roof: Sheet
) -> list[Patch]:
    """A cargo box or any cuboid: near face, both sides, roof."""
    near, far = y
    low, high = z
    patches = [
        make_patch(
            _quad((-half_width, near, high), (half_width, near, high), (half_width, near, low), 5),
            face.texture(),
            face.px_per_m,
        )
    ]
    for x in (-half_width, half_width):
        wall = _quad((x, near, high), (x, far, high), (x, far, low), 14)
        patches.append(make_patch(wall, side.texture(), side.px_per_m))
    top = _quad((-half_width, far, high), (half_width, far, high), (half_width, near, high), 14)
    patches.append(make_patch(top, roof.texture(), roof.px_per_m))
    return patches


def upright(x: tuple[float, float], y: float, z: tuple[float, float], sheet: Sheet) -> Patch:
    """A flat piece facing the camera, such as a tyre's tread, a mirror or a mud flap."""
    return make_patch(_quad((x[0], y, z[1]), (x[1], y, z[1]), (x[1], y, z[0]), 3), sheet.texture(), sheet.px_per_m)


def _quad(
    top_left: tuple[float, ...], top_right: tuple[float, ...], bottom_right: tuple[float, ...], count: int
) -> Floats:
    """A (count, count, 3) grid over the parallelogram of three corners."""
    a, b, c = (np.array(corner, np.float64) for corner in (top_left, top_right, bottom_right))
    u = np.linspace(0, 1, count)[None, :, None]
    v = np.linspace(0, 1, count)[:, None, None]
    return (a + (b - a) * u + (c - b) * v).astype(np.float32)
