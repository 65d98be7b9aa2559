"""Small clips with known pictures, written by PyAV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

QUIET = {"libx265": {"x265-params": "log-level=none:pools=1:frame-threads=1"}}


def picture(number: int, *, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: a ramp, and a bright bar whose place tells `number`."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[...] = (np.arange(width) * 150 // width + 20)[None, :, None]
    left = number * 8 % max(width - 16, 1)
    rgb[:, left : left + 16] = (230, 220, 60)
    return rgb


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = 30,
    width: int = 160,
    height: int = 120,
    rate: int = 25,
    key_every: int = 10,
    pixel_format: str = "yuv420p",
    b_frames: int = 0,
    metadata: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """A clip of `frames` pictures; the container is told by the name's ending."""
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, options=QUIET.get(codec, {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.gop_size = key_every
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.thread_count = 1
        for number in range(frames):
            image = av.VideoFrame.from_ndarray(picture(number, width=width, height=height), format="rgb24")
            container.mux(stream.encode(image.reformat(format=pixel_format)))
        container.mux(stream.encode())
    return path
