"""Pictures and buffers where they lie: in the host's memory, or on a GPU and never brought home."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Place = Literal["host", "device"]
Layout = Literal["nv12", "p010"]
"""4:2:0 with u and v in turn: 8 bits a value, or 10 in the upper bits of little-endian 16. Every operation counts in
grey levels 0 to 255 all the same."""

BYTES: dict[Layout, int] = {"nv12": 1, "p010": 2}
"""A value takes so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """One decoded picture as NV12 or P010. Whoever makes one sees to it that its memory outlives the operations on it:
    what `owner` holds lives as long as the surface."""

    width_px: int
    height_px: int
    layout: Layout
    luma_address: int
    """Of value (0, 0); (height, width) values follow, a row every `luma_pitch_bytes`."""
    luma_pitch_bytes: int
    chroma_address: int
    """(ceil(height/2), ceil(width/2)) pairs u, v, a row every `chroma_pitch_bytes`."""
    chroma_pitch_bytes: int
    place: Place = "device"
    owner: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.width_px < 2 or self.height_px < 2:
            raise ValueError(f"a surface must be at least 2 x 2, got {self.width_px} x {self.height_px}")
        row_bytes = self.width_px * BYTES[self.layout]
        chroma_bytes = (self.width_px + 1) // 2 * 2 * BYTES[self.layout]
        if self.luma_pitch_bytes < row_bytes or self.chroma_pitch_bytes < chroma_bytes:
            raise ValueError(
                f"rows of {row_bytes} bytes need a pitch of at least as many,"
                f" got {self.luma_pitch_bytes} (luma) and {self.chroma_pitch_bytes} (chroma)"
            )
        addresses = self.luma_address | self.chroma_address | self.luma_pitch_bytes | self.chroma_pitch_bytes
        if addresses % BYTES[self.layout]:
            raise ValueError(f"addresses and pitches of {self.layout} must be even")

    @staticmethod
    def on_host(luma: NDArray[Any], chroma: NDArray[Any]) -> Surface:
        """From planes: luma (height, width), chroma (ceil(height/2), ceil(width/2), 2) as u, v; uint8 for NV12, uint16
        for P010. Rows may be padded, values within a row may not."""
        height, width = luma.shape
        if chroma.shape != ((height + 1) // 2, (width + 1) // 2, 2) or chroma.dtype != luma.dtype:
            raise ValueError(f"chroma {chroma.dtype} {chroma.shape} does not belong to luma {luma.dtype} {luma.shape}")
        if luma.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"luma must be uint8 or uint16, got {luma.dtype}")
        layout: Layout = "nv12" if luma.dtype == np.uint8 else "p010"
        size = BYTES[layout]
        if luma.strides[1] != size or chroma.strides[1:] != (2 * size, size):
            raise ValueError(f"values of a row must lie side by side, got strides {luma.strides} and {chroma.strides}")
        return Surface(
            width_px=width,
            height_px=height,
            layout=layout,
            luma_address=luma.ctypes.data,
            luma_pitch_bytes=luma.strides[0],
            chroma_address=chroma.ctypes.data,
            chroma_pitch_bytes=chroma.strides[0],
            place="host",
            owner=(luma, chroma),
        )


class Array(Protocol):
    """A buffer of a batch: a C-contiguous `numpy.ndarray` on the host, a `DeviceArray` on a GPU."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """A C-contiguous array in device memory, which is freed with the last view of it."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: object = field(default=None, repr=False)

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def first(self, count: int) -> DeviceArray:
        """The first `count` rows, in the same memory."""
        if not 0 <= count <= self.shape[0]:
            raise ValueError(f"has {self.shape[0]} rows, {count} were asked for")
        return DeviceArray(self.address, (count, *self.shape[1:]), self.dtype, self.owner)

    def at(self, row: int) -> DeviceArray:
        """Row `row` without its axis, in the same memory."""
        if not 0 <= row < self.shape[0]:
            raise IndexError(f"has {self.shape[0]} rows, row {row} was asked for")
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        return DeviceArray(self.address + row * row_bytes, self.shape[1:], self.dtype, self.owner)
