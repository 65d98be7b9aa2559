"""A GPU for tests: the kernels of kernels/*.cu compiled by g++ and run thread by thread on the processor.

Everything but the chip is the real thing: the sources, the launches, the packed arguments, the calls of
`anpr.ops.cuda_batches`. Memory is guarded at both ends, new memory that must be written holds no zeros by chance.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from anpr import assets
from anpr.ops.surfaces import DeviceArray, Surface

HEADERS = Path(__file__).parent / "emulation"
FLAGS = ("-std=c++17", "-O2", "-g0", "-fPIC", "-shared", "-Wall", "-Wno-unknown-pragmas", "-Werror")
OUTCOMES = {1: "threads of a block met different barriers", 2: "the packed arguments are not what the kernel takes"}
GUARD_BYTES = 256
GUARD = 0xA5


def compile_kernels(folder: Path) -> dict[str, ctypes.CDLL]:
    """Every kernel by its name, as a library in `folder`; skips the test where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++: the kernels' arithmetic is not emulated")
    running = []
    for source in sorted(assets.folder("kernels").glob("*.cu")):
        name, library = source.stem, folder / f"{source.stem}.so"
        wrapper = folder / f"{name}.cpp"
        wrapper.write_text(
            f'#include "gpu.h"\n#include "{source}"\n'
            f'extern "C" int launch(const unsigned *grid, const unsigned *block, const unsigned char *packed,'
            f" std::size_t size, int backwards) {{\n"
            f"    return emulation::launch({name}, grid, block, packed, size, backwards);\n}}\n"
        )
        command = [compiler, *FLAGS, f"-I{HEADERS}", "-o", str(library), str(wrapper)]
        running.append((name, library, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)))
    libraries = {}
    for name, library, process in running:
        _, said = process.communicate()
        assert process.returncode == 0, f"{name}.cu does not compile on the host: {said}"
        libraries[name] = ctypes.CDLL(str(library))
    return libraries


class EmulatedDriver:
    """`anpr.ops.cuda_driver.Driver` on the processor. `backwards` runs the threads in the opposite order."""

    def __init__(self, libraries: dict[str, ctypes.CDLL], *, backwards: bool = False) -> None:
        self.launches: list[str] = []
        self._libraries = libraries
        self._backwards = backwards
        self._memory: list[NDArray[np.uint8]] = []

    @property
    def place(self) -> Literal["host", "device"]:
        return "device"

    @property
    def stream_handle(self) -> int:
        return 1

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = np.full(size + 2 * GUARD_BYTES, GUARD, np.uint8)
        memory[GUARD_BYTES : GUARD_BYTES + size] = 0
        self._memory.append(memory)
        return DeviceArray(memory.ctypes.data + GUARD_BYTES, shape, np.dtype(dtype), memory)

    def write(self, array: DeviceArray, values: NDArray[Any]) -> None:
        assert values.flags.c_contiguous
        assert values.nbytes == array.nbytes
        assert values.dtype == array.dtype
        ctypes.memmove(array.address, values.ctypes.data, values.nbytes)

    def read(self, *arrays: DeviceArray) -> tuple[NDArray[Any], ...]:
        self.synchronize()
        values = tuple(np.empty(array.shape, array.dtype) for array in arrays)
        for value, array in zip(values, arrays, strict=True):
            ctypes.memmove(value.ctypes.data, array.address, array.nbytes)
        return values

    def copy(self, source: DeviceArray, target: DeviceArray) -> None:
        assert source.nbytes == target.nbytes
        ctypes.memmove(target.address, source.address, source.nbytes)

    def launch(self, kernel: str, grid: tuple[int, int, int], block: tuple[int, int, int], arguments: bytes) -> None:
        assert 0 < math.prod(block) <= 1024
        assert min(grid) > 0
        assert max(grid[1:]) < 65536
        self.launches.append(kernel)
        sizes = ctypes.c_uint * 3
        outcome = self._libraries[kernel].launch(
            sizes(*grid), sizes(*block), arguments, ctypes.c_size_t(len(arguments)), int(self._backwards)
        )
        assert outcome == 0, f"{kernel}: {OUTCOMES[outcome]}"

    def synchronize(self) -> None:
        for memory in self._memory:
            ends = memory[:GUARD_BYTES], memory[-GUARD_BYTES:]
            assert all((end == GUARD).all() for end in ends), "a kernel wrote beside its memory"

    def close(self) -> None:
        self.synchronize()
        self._memory.clear()


def surface_on(driver: Any, luma: NDArray[Any], chroma: NDArray[Any], *, padding_bytes: int = 0) -> Surface:
    """Planes as a surface in the driver's memory, rows padded."""
    planes = []
    for plane in (luma, chroma):
        rows = np.ascontiguousarray(plane).reshape(len(plane), -1).view(np.uint8)
        padded = np.full((len(rows), rows.shape[1] + padding_bytes), 0x5A, np.uint8)
        padded[:, : rows.shape[1]] = rows
        array = driver.allocate(padded.shape, np.uint8)
        driver.write(array, padded)
        planes.append(array)
    return Surface(
        width_px=luma.shape[1],
        height_px=luma.shape[0],
        layout="nv12" if luma.dtype == np.uint8 else "p010",
        luma_address=planes[0].address,
        luma_pitch_bytes=planes[0].shape[1],
        chroma_address=planes[1].address,
        chroma_pitch_bytes=planes[1].shape[1],
        place=driver.place,
        owner=planes,
    )
