"""What lies between the scene and the file: glare of lamps, rain, the sensor's noise, the camera's own text."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.light import Light
from scripts.render.raster import brighten
from scripts.render.road import Camera
from scripts.render.vehicles import Vehicle

Picture = NDArray[np.uint8]


class Air:
    """Prepared sprites and noise of one clip; every method changes the picture in place."""

    def __init__(self, camera: Camera, light: Light, rng: np.random.Generator, *, rain: float) -> None:
        self.camera, self.light, self.rain = camera, light, rain
        height, width = camera.height_px, camera.width_px
        grain = rng.normal(0, 1, (height + 64, width + 64)).astype(np.float32)
        tint = cv2.GaussianBlur(rng.normal(0, 1, (height + 64, width + 64, 3)).astype(np.float32), (0, 0), 0.8)
        self._noise = np.clip((grain[..., None] * 0.8 + tint) * light.noise_sigma, -60, 60).round().astype(np.int16)
        offset = np.linspace(-1, 1, 129)
        x, y = np.meshgrid(offset, offset)
        r = np.hypot(x, y)
        spikes = np.exp(-np.abs(x * 40)) + np.exp(-np.abs(y * 40))
        bloom = np.exp(-((r / 0.10) ** 2)) * 1.6 + 0.30 * np.exp(-((r / 0.38) ** 2)) + 0.16 * spikes * np.exp(-r * 3.2)
        self._bloom = (np.clip(bloom - bloom[0, 64], 0, None)[..., None] * np.array([225, 240, 255])).astype(np.float32)
        self._pool = (np.clip(1 - r, 0, 1)[..., None] ** 1.6 * np.array([46, 52, 56])).astype(np.float32)
        self._streaks = [self._rain_sheet(rng) for _ in range(4)] if rain > 0 else []

    def _rain_sheet(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """(height, width) of falling drops as the shutter draws them: pale, slanted, of several distances."""
        height, width = self.camera.height_px, self.camera.width_px
        sheet = np.zeros((height, width), np.uint8)
        for _ in range(int(520 * self.rain * width * height / 2_073_600) + 8):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            long = rng.gamma(2.0, 0.012) * height
            tip = (round((x + long * 0.16) * 8), round((y + long) * 8))
            cv2.line(
                sheet,
                (round(x * 8), round(y * 8)),
                tip,
                float(rng.uniform(14, 60)),
                int(rng.integers(1, 3)),
                cv2.LINE_AA,
                3,
            )
        return np.asarray(cv2.GaussianBlur(sheet, (0, 0), 0.7), np.uint8)

    def glare(self, picture: Picture, vehicle: Vehicle, x_m: float, y_m: float) -> None:
        """Head lamps shining into the camera, and their light on the road."""
        if self.light.glare <= 0 or not vehicle.lamps:
            return
        centres = self.camera.project(np.array(vehicle.lamps) + np.array([x_m, y_m, 0.0]))
        for u, v, depth in centres:
            if depth < 5:
                continue
            radius = self.camera.focal_px * (0.55 + 18.0 / depth * 0.2) / depth * (0.6 + 0.7 * self.light.glare)
            size = int(2 * radius) | 1
            if (
                size > 5
                and -radius < u < self.camera.width_px + radius
                and -radius < v < self.camera.height_px + radius
            ):
                sprite = cv2.resize(self._bloom, (size, size), interpolation=cv2.INTER_LINEAR) * self.light.glare
                brighten(picture, sprite, round(float(u)) - size // 2, round(float(v)) - size // 2)
        near = max(y_m - 13.0, 4.0)
        front, back = self.camera.project(np.array([[x_m, near, 0.0], [x_m, y_m + 1.0, 0.0]]))[:, :2]
        wide = int(4.4 * self.camera.focal_px / max(y_m - 4.0, 5.0))
        tall = int(max(front[1] - back[1], 0)) + 1
        if 4 < tall < 4 * self.camera.height_px and wide > 4:
            pool = cv2.resize(self._pool, (wide, tall), interpolation=cv2.INTER_LINEAR) * self.light.glare
            brighten(picture, pool, round(float(front[0])) - wide // 2, round(float(back[1])))

    def weather(self, picture: Picture, rng: np.random.Generator) -> None:
        """Rain before the lens: a veil and streaks, other ones in every picture."""
        if self.rain <= 0:
            return
        veil = 26.0 * self.rain * float(self.light.mirror_high.mean()) / 225
        cv2.convertScaleAbs(picture, dst=picture, alpha=1 - 0.22 * self.rain, beta=veil)
        sheet = self._streaks[int(rng.integers(len(self._streaks)))]
        rolled = np.roll(sheet, (int(rng.integers(sheet.shape[0])), int(rng.integers(sheet.shape[1]))), (0, 1))
        scale = max(0.35, float(self.light.mirror_high.mean()) / 225)
        cv2.add(picture, cv2.merge([cv2.convertScaleAbs(rolled, alpha=scale)] * 3), dst=picture)

    def sensor(self, picture: Picture, rng: np.random.Generator) -> None:
        """Noise of the sensor after its own smoothing, another cut of it in every picture."""
        x, y = (int(v) for v in rng.integers(0, 64, 2))
        noise = self._noise[y : y + picture.shape[0], x : x + picture.shape[1]]
        cv2.add(picture, noise, dst=picture, dtype=cv2.CV_8U)


CLIP_DATE = "2026-05-14"
"""The day of every rendered clip, Viet Nam time."""


def stamp(picture: Picture, day_seconds: float) -> None:
    """The camera's date, time and name in the corner: characters that are no plate."""
    hours, rest = divmod(int(day_seconds), 3600)
    words = f"{CLIP_DATE} {hours % 24:02}:{rest // 60:02}:{rest % 60:02}  CT07-KM12-CAM02"
    size = picture.shape[0] / 1080
    for paint, weight in (((0, 0, 0), 6), ((250, 250, 250), 2)):
        place = (round(28 * size), round(52 * size))
        cv2.putText(
            picture,
            words,
            place,
            cv2.FONT_HERSHEY_SIMPLEX,
            1.15 * size,
            paint,
            max(1, round(weight * size)),
            cv2.LINE_AA,
        )
