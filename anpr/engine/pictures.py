"""JPEGs of a sighting: the plate and the whole scene, made from the planes only when they are kept.

Colours are converted as limited-range BT.601, the inverse of how images become planes.
"""

from __future__ import annotations

from typing import Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.config.pipeline import Pictures
from anpr.records import Frame

Quad = tuple[tuple[float, float], ...]


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """An encoded picture on its way to the evidence folder."""

    kind: Literal["plate", "overview"]
    jpeg: bytes

    def __repr__(self) -> str:
        return f"Picture({self.kind}, {len(self.jpeg)} bytes)"


def pictures_of(frame: Frame, quad: Quad, settings: Pictures) -> tuple[Picture, ...]:
    """The plate and the scene; no plate picture if the quad (corners in source pixels) lies outside the frame."""
    overview = Picture("overview", _overview(frame, settings))
    crop = _crop(frame, quad, settings.plate_margin)
    if crop is None:
        return (overview,)
    return (Picture("plate", _jpeg(crop, settings.jpeg_quality)), overview)


def _overview(frame: Frame, settings: Pictures) -> bytes:
    height, width = frame.luma.shape
    ratio = min(1.0, settings.overview_width_px / width)
    size = (max(2, round(width * ratio / 2) * 2), max(2, round(height * ratio / 2) * 2))
    half = (size[0] // 2, size[1] // 2)
    planes = [_shrunk(plane, to) for plane, to in ((frame.luma, size), (frame.chroma_u, half), (frame.chroma_v, half))]
    return _jpeg(_bgr(*planes), settings.jpeg_quality)


def _shrunk(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`plane` at `size` (width, height)."""
    # Down to a half, four neighbours miss no pixel, and cost a fifth of the exact area.
    method = cv2.INTER_LINEAR if 2 * size[0] >= plane.shape[1] else cv2.INTER_AREA
    return np.asarray(cv2.resize(np.ascontiguousarray(plane), size, interpolation=method), dtype=np.uint8)


def _crop(frame: Frame, quad: Quad, margin: float) -> NDArray[np.uint8] | None:
    """The upright box around `quad`, grown by `margin` of its width, on even pixels; None if nothing of it is seen."""
    height, width = frame.luma.shape
    corners = np.array(quad, dtype=np.float64)
    if corners.shape != (4, 2) or not np.isfinite(corners).all():
        return None
    (x_min, y_min), (x_max, y_max) = corners.min(axis=0), corners.max(axis=0)
    grow = (x_max - x_min) * margin
    left, top = (int(max(0.0, low - grow)) // 2 * 2 for low in (x_min, y_min))
    right = int(min(float(width), x_max + grow + 1)) // 2 * 2
    bottom = int(min(float(height), y_max + grow + 1)) // 2 * 2
    if right - left < 2 or bottom - top < 2:
        return None
    half = (slice(top // 2, bottom // 2), slice(left // 2, right // 2))
    return _bgr(frame.luma[top:bottom, left:right], frame.chroma_u[half], frame.chroma_v[half])


def _bgr(luma: NDArray[np.uint8], chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) from planes of even size (h, w) and (h/2, w/2)."""
    height, width = luma.shape
    i420 = np.concatenate([luma.ravel(), chroma_u.ravel(), chroma_v.ravel()]).reshape(height * 3 // 2, width)
    return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420), dtype=np.uint8)


def _jpeg(bgr: NDArray[np.uint8], quality: int) -> bytes:
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {bgr.shape} cannot be encoded as JPEG")
    return bytes(encoded)
