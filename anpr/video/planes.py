"""Luma and chroma planes of a decoded picture, without copying where its format allows.

Values are as the stream stores them: limited range (16 to 235 for luma) for nearly all video and for images through
OpenCV, full range (0 to 255) for `yuvj420p`. No range is converted here.
"""

from __future__ import annotations

import av
import cv2
import numpy as np
from numpy.typing import NDArray

DIRECT_FORMATS = frozenset({"yuv420p", "yuvj420p", "nv12"})
"""Pixel formats whose planes are taken as they lie in the decoder's memory."""

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def planes_from_picture(picture: av.VideoFrame) -> Planes:
    """Luma (height, width), chroma u and v (ceil(height/2), ceil(width/2)), uint8, as read-only views.

    The views keep the picture's memory alive; it is the decoder's own and may serve it as a reference, so nobody may
    write to it. A picture in another format than DIRECT_FORMATS is converted to 4:2:0 first, at the cost of a copy.
    """
    if picture.format.name not in DIRECT_FORMATS:
        picture = picture.reformat(format="yuv420p")
    width, height = picture.width, picture.height
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    luma = _rows(picture, 0, height)[:, :width]
    if picture.format.name == "nv12":
        pairs = _rows(picture, 1, half_height)
        return luma, pairs[:, 0 : 2 * half_width : 2], pairs[:, 1 : 2 * half_width : 2]
    return luma, _rows(picture, 1, half_height)[:, :half_width], _rows(picture, 2, half_height)[:, :half_width]


def planes_from_bgr(bgr: NDArray[np.uint8]) -> Planes:
    """Planes of an image (height, width, 3) in OpenCV's order, limited range (BT.601).

    Odd sizes are handled by repeating the last row or column while converting, so shapes hold as for video.
    """
    if bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.dtype != np.uint8:
        raise ValueError(f"bgr must be uint8 (height, width, 3), got {bgr.dtype} {bgr.shape}")
    height, width = bgr.shape[:2]
    if height % 2 or width % 2:
        bgr = np.pad(bgr, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    even_height, even_width = bgr.shape[:2]
    i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    size, half = even_height * even_width, (even_height // 2, even_width // 2)
    luma = i420[:size].reshape(even_height, even_width)[:height, :width]
    chroma_u, chroma_v = i420[size:].reshape(2, *half)
    return luma, chroma_u, chroma_v


def _rows(picture: av.VideoFrame, index: int, rows: int) -> NDArray[np.uint8]:
    """Plane `index` as (rows, line size), padding included, read-only."""
    plane = picture.planes[index]
    array = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # a plane is a buffer, av's stub hides it
    array.flags.writeable = False
    return array.reshape(rows, plane.line_size)  # type: ignore[no-any-return]
