"""One GPU, one stream, and memory on it, through PyCUDA. PyCUDA is imported only when a GPU is opened."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from anpr.errors import DeviceError, DeviceMemoryError
from anpr.ops.cuda_build import Compiler
from anpr.ops.gpus import wait_blocking
from anpr.ops.surfaces import DeviceArray

Size3 = tuple[int, int, int]

CURE = "pip install 'anpr[gpu]' on a machine with an NVIDIA GPU and its driver, or set device = 'cpu'"
FAILED_CURE = "start the program again; look for Xid in the kernel's log, and at nvidia-smi"


class Driver(Protocol):
    """What the kernels need of a device. Everything is queued in order; `read` and `synchronize` wait, and raise
    DeviceError if something of it has failed."""

    @property
    def place(self) -> Literal["host", "device"]:
        """Where its memory lies."""

    @property
    def stream_handle(self) -> int:
        """The stream's address, for others to share."""

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """New memory, all zero."""

    def write(self, array: DeviceArray, values: NDArray[Any]) -> None:
        """Copy contiguous `values` of `array`'s size onto the device; `values` may change when this returns."""

    def read(self, *arrays: DeviceArray) -> tuple[NDArray[Any], ...]:
        """Wait for everything before, and copy the arrays to the host."""

    def copy(self, source: DeviceArray, target: DeviceArray) -> None:
        """Copy on the device; both are of the same size."""

    def launch(self, kernel: str, grid: Size3, block: Size3, arguments: bytes) -> None:
        """Run the function `kernel` of kernels/`kernel`.cu, its arguments packed as in C."""

    def synchronize(self) -> None:
        """Wait for everything before."""

    def close(self) -> None:
        """Give the device back."""


class PyCudaDriver:
    """A GPU's primary context, which decoder and runtime share, with one stream of our own.

    Handle 0, the default stream, is never used: onnxruntime takes it for no stream at all, and would race with us.
    """

    def __init__(self, device: int) -> None:
        """Make the primary context of GPU number `device` current in this thread, until `close`.

        Raises DeviceError if PyCUDA, the driver, the GPU or the compiler is missing, or the kernels do not load.
        """
        self._cuda = _load_pycuda()
        count = self._cuda.Device.count()
        if not 0 <= device < count:
            raise DeviceError(f"GPU {device} was asked for, the machine has {count}", cure="set a smaller number")
        gpu = self._cuda.Device(device)
        major, minor = gpu.compute_capability()
        built = Compiler.find().build_all(f"sm_{major}{minor}")
        wait_blocking(device)
        try:
            self._context = gpu.retain_primary_context()
            self._context.push()
        except self._cuda.Error as error:
            raise DeviceError(f"GPU {device} does not start: {error}", cure=FAILED_CURE) from error
        self._stream: Any = None
        try:
            self._stream = self._cuda.Stream()
            self._staging = self._cuda.pagelocked_empty(1 << 16, np.uint8)
            self._functions = {name: self._function(name, path) for name, path in built.items()}
        except BaseException as error:
            self.close()
            if isinstance(error, self._cuda.Error):
                raise DeviceError(f"GPU {device} does not start: {error}", cure=FAILED_CURE) from error
            raise

    def _function(self, name: str, path: Path) -> Any:
        try:
            return self._cuda.module_from_file(str(path)).get_function(name)
        except self._cuda.Error as error:
            raise DeviceError(
                f"the driver does not load a kernel: {error}",
                place=str(path),
                cure="update the NVIDIA driver to that of the CUDA version that compiled it, or install an older nvcc",
            ) from error

    @property
    def place(self) -> Literal["host", "device"]:
        return "device"

    @property
    def stream_handle(self) -> int:
        return int(self._stream.handle)

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            memory = self._cuda.mem_alloc(max(1, size))
        except self._cuda.MemoryError as error:
            free, total = self._cuda.mem_get_info()
            raise DeviceMemoryError(
                f"the GPU has no {size >> 20} MiB left: {free >> 20} of {total >> 20} are free",
                cure="give this GPU fewer cameras or smaller batches",
            ) from error
        self._cuda.memset_d8_async(int(memory), 0, max(1, size), self._stream)
        return DeviceArray(int(memory), shape, np.dtype(dtype), memory)

    def write(self, array: DeviceArray, values: NDArray[Any]) -> None:
        self._cuda.memcpy_htod_async(array.address, values, self._stream)

    def read(self, *arrays: DeviceArray) -> tuple[NDArray[Any], ...]:
        total = sum(_aligned(array.nbytes) for array in arrays)
        if total > self._staging.nbytes:
            self._staging = self._cuda.pagelocked_empty(total, np.uint8)
        views, offset = [], 0
        for array in arrays:
            view = self._staging[offset : offset + array.nbytes]
            if array.nbytes:
                self._cuda.memcpy_dtoh_async(view, array.address, self._stream)
            views.append(view)
            offset += _aligned(array.nbytes)
        self.synchronize()
        return tuple(
            view.view(array.dtype).reshape(array.shape).copy() for view, array in zip(views, arrays, strict=True)
        )

    def copy(self, source: DeviceArray, target: DeviceArray) -> None:
        self._cuda.memcpy_dtod_async(target.address, source.address, source.nbytes, self._stream)

    def launch(self, kernel: str, grid: Size3, block: Size3, arguments: bytes) -> None:
        function = self._functions[kernel]
        function.prepare([f"{len(arguments)}s"])
        try:
            function.prepared_async_call(grid, block, self._stream, arguments)
        except self._cuda.Error as error:
            raise DeviceError(f"{kernel} does not start: {error}", cure=FAILED_CURE) from error

    def synchronize(self) -> None:
        try:
            self._stream.synchronize()
        except self._cuda.Error as error:
            raise DeviceError(f"the GPU fails: {error}", cure=FAILED_CURE) from error

    def close(self) -> None:
        self._functions = {}
        self._staging = np.empty(0, np.uint8)
        self._stream = None
        try:
            self._context.pop()  # PyCUDA ends the whole program if a thread ends with a context on its stack
            self._context.detach()
        except self._cuda.Error as error:
            raise DeviceError(f"the GPU is not given back: {error}", cure=FAILED_CURE) from error


def _aligned(size: int) -> int:
    """So that every array in the staging buffer may be viewed as any type."""
    return (size + 63) // 64 * 64


def _load_pycuda() -> ModuleType:
    try:
        cuda = importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise DeviceError(f"PyCUDA does not load: {error}", cure=CURE) from error
    try:
        cuda.init()
    except cuda.Error as error:
        raise DeviceError(f"CUDA does not start: {error}", cure=CURE) from error
    return cuda
