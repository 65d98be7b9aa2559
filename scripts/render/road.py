"""Where things are: the camera over the road, its lanes and edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

View = Literal["approaching", "receding", "both"]

LANE_M = 3.75
PLATE_Z_M = 0.6
"""Height of a plate above the road at which sizes and distances of a view are stated."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole over the road, looking along +Y and down."""

    width_px: int
    height_px: int
    focal_px: float
    x_m: float
    z_m: float
    pitch: float
    """Radians below the horizon of the picture's centre."""
    yaw: float = 0.0
    """Radians to the right."""

    @staticmethod
    def over_road(
        size: tuple[int, int], *, cover_m: float, near_m: float, height_m: float, x_m: float, yaw: float
    ) -> Camera:
        """A camera whose lower edge sees plates at slant distance `near_m`, where the picture is `cover_m` wide."""
        width, height = size
        focal = width * near_m / cover_m
        lowest = math.asin((height_m - PLATE_Z_M) / near_m)
        return Camera(width, height, focal, x_m, height_m, lowest - math.atan(height / 2 / focal), yaw)

    @property
    def eye(self) -> NDArray[np.float32]:
        """(3,) metres."""
        return np.array([self.x_m, 0.0, self.z_m], np.float32)

    def axes(self) -> NDArray[np.float64]:
        """(3, 3): rows are the picture's right, down and forward in the world."""
        sin_p, cos_p, sin_y, cos_y = math.sin(self.pitch), math.cos(self.pitch), math.sin(self.yaw), math.cos(self.yaw)
        forward = (cos_p * sin_y, cos_p * cos_y, -sin_p)
        right = (cos_y, -sin_y, 0.0)
        down = (-sin_p * sin_y, -sin_p * cos_y, -cos_p)
        return np.array([right, down, forward])

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """(…, 3) world metres to (…, 3): x, y in pixels (0, 0 = centre of the top-left pixel), depth in metres."""
        seen = (np.asarray(points, np.float64) - self.eye) @ self.axes().T
        depth = np.where(np.abs(seen[..., 2]) < 1e-6, 1e-6, seen[..., 2])
        x = seen[..., 0] / depth * self.focal_px + (self.width_px - 1) / 2
        y = seen[..., 1] / depth * self.focal_px + (self.height_px - 1) / 2
        return np.stack([x, y, seen[..., 2]], axis=-1).astype(np.float32)

    def ground_at(self, y_px: float, z_m: float = 0.0) -> float:
        """Metres along the road at which the picture's row sees height `z_m`; infinity above the horizon."""
        below = self.pitch + math.atan((y_px - (self.height_px - 1) / 2) / self.focal_px)
        return (self.z_m - z_m) / math.tan(below) if below > 1e-3 else math.inf


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane; traffic keeps to the right, so receding lanes have positive X."""

    index: int
    centre_m: float
    direction: Literal["approaching", "receding"]


@dataclass(frozen=True, slots=True)
class Road:
    """The lanes before one camera and the edges of the carriageways."""

    lanes: tuple[Lane, ...]
    left_m: float
    right_m: float
    median: Literal["none", "line", "rail"]

    @staticmethod
    def for_view(view: View, lanes_per_direction: int) -> Road:
        """The road around X = 0, the middle between the outermost lanes."""
        count = lanes_per_direction
        if view == "both":
            gap = 0.5 if count == 1 else 1.5
            inner = [gap / 2 + LANE_M * (i + 0.5) for i in range(count)]
            receding = [Lane(i, x, "receding") for i, x in enumerate(inner)]
            approaching = [Lane(count + i, -x, "approaching") for i, x in enumerate(inner)]
            edge = gap / 2 + LANE_M * count
            return Road((*receding, *approaching), -edge, edge, "line" if count == 1 else "rail")
        edge = LANE_M * count / 2
        lanes = tuple(Lane(i, LANE_M * (i + 0.5) - edge, view) for i in range(count))
        return Road(lanes, -edge, edge, "none")
