"""How arguments reach a kernel: C structures by value, packed on the host; kernels/*.cu declare the same ones.

A launch takes its surfaces as an argument and not from memory: nothing has to be copied to the GPU beforehand, and
nothing has to live until the kernel has run. 4096 bytes of arguments are what every GPU takes.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anpr.ops.surfaces import BYTES, Surface

SURFACE = np.dtype(
    [
        ("luma", np.uint64),
        ("chroma", np.uint64),
        ("luma_pitch", np.int32),
        ("chroma_pitch", np.int32),
        ("width", np.int32),
        ("height", np.int32),
        ("bytes", np.int32),
        ("unused", np.int32),
    ]
)
LETTERBOX = np.dtype([("surface", SURFACE), ("out_width", np.int32), ("out_height", np.int32)])
PLATE = np.dtype([("surface", SURFACE), ("quad", np.float32, 8)])
CELLS = np.dtype([("surface", SURFACE), ("levels", np.uint64), ("rows", np.int32), ("columns", np.int32)])
MOTION = np.dtype(
    [
        ("levels", np.uint64),
        ("scene", np.uint64),
        ("lanes", np.uint64),
        ("rows", np.int32),
        ("columns", np.int32),
    ]
)

LETTERBOX_JOBS = CELL_JOBS = MOTION_JOBS = 64
PLATE_JOBS = 48
"""As many fit one launch."""


def surface_row(surface: Surface) -> tuple[int, ...]:
    """A surface as `SURFACE`."""
    return (
        surface.luma_address,
        surface.chroma_address,
        surface.luma_pitch_bytes,
        surface.chroma_pitch_bytes,
        surface.width_px,
        surface.height_px,
        BYTES[surface.layout],
        0,
    )


def jobs(dtype: np.dtype[Any], capacity: int, rows: list[tuple[Any, ...]]) -> NDArray[Any]:
    """`rows` as structures, filled up with empty ones to the `capacity` that the kernel declares."""
    packed = np.zeros(capacity, dtype)
    packed[: len(rows)] = rows
    return packed


def pack(first: NDArray[Any] | None, layout: str, *values: float) -> bytes:
    """A kernel's arguments: the structures `first`, if any, whose size is a multiple of 8, then `values` as the letters
    of `layout` say (`P` pointer, `i` int, `f` float, `I` unsigned, `q` long long), each where C aligns it."""
    head = b"" if first is None else first.tobytes()
    return head + struct.pack(f"@{layout}", *values)
