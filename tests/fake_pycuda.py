"""PyCUDA for tests without a GPU: the names of `pycuda.driver` that anpr uses, over the emulated GPU.

What is queued on a stream happens when somebody waits for it, as late as on a GPU: who reads too early sees old values.
Every call needs the context to be current, as on a GPU.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from emulated_gpu import EmulatedDriver
from numpy.typing import DTypeLike, NDArray


class Error(Exception):
    """The root of PyCUDA's errors."""


class MemoryError(Error):
    """Device memory is full."""


class FakeCuda(ModuleType):
    """The module `pycuda.driver` of a machine with one GPU."""

    Error = Error
    MemoryError = MemoryError

    def __init__(self, libraries: dict[str, ctypes.CDLL]) -> None:
        super().__init__("pycuda.driver")
        self.memory_bytes = 1 << 30
        self.starts = True
        self.loads = True
        self.streams = True
        self.sound = True
        self.calls: list[str] = []
        self.depth = 0
        self.queue: list[Callable[[], object]] = []
        self.loaded: list[Path] = []
        self._emulated = EmulatedDriver(libraries)
        cuda = self

        class Device:
            def __init__(self, number: int) -> None:
                assert number == 0

            @staticmethod
            def count() -> int:
                return 1

            def compute_capability(self) -> tuple[int, int]:
                return (9, 0)

            def retain_primary_context(self) -> Context:
                cuda.calls.append("retain")
                return Context()

        class Context:
            def push(self) -> None:
                cuda.calls.append("push")
                cuda.depth += 1

            @staticmethod
            def pop() -> None:
                cuda.calls.append("pop")
                cuda.depth -= 1

            def detach(self) -> None:
                cuda.calls.append("detach")

        class Stream:
            handle = 0x5EED

            def __init__(self) -> None:
                cuda.check()
                if not cuda.streams:
                    raise Error("cuStreamCreate failed: out of memory")

            def synchronize(self) -> None:
                cuda.check()
                if not cuda.sound:
                    raise Error("cuStreamSynchronize failed: an illegal memory access was encountered")
                for act in cuda.queue:
                    act()
                cuda.queue.clear()

        self.Device, self.Stream = Device, Stream

    def check(self) -> None:
        """A context is current."""
        assert self.depth == 1, "no context is current"

    def init(self) -> None:
        if not self.starts:
            raise Error("cuInit failed: no CUDA-capable device is detected")

    def mem_alloc(self, size: int) -> _Allocation:
        self.check()
        assert size > 0
        if size > self.memory_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        return _Allocation(np.full(size, 0xCD, np.uint8))

    def mem_get_info(self) -> tuple[int, int]:
        return self.memory_bytes, 1 << 31

    def memset_d8_async(self, address: int, value: int, count: int, stream: Any) -> None:
        self._enqueue(stream, lambda: ctypes.memset(address, value, count))

    def memcpy_htod_async(self, address: int, source: NDArray[Any], stream: Any) -> None:
        staged = source.tobytes()
        self._enqueue(stream, lambda: ctypes.memmove(address, staged, len(staged)))

    def memcpy_dtoh_async(self, target: NDArray[Any], address: int, stream: Any) -> None:
        self._enqueue(stream, lambda: ctypes.memmove(target.ctypes.data, address, target.nbytes))

    def memcpy_dtod_async(self, target: int, source: int, size: int, stream: Any) -> None:
        self._enqueue(stream, lambda: ctypes.memmove(target, source, size))

    def pagelocked_empty(self, shape: int, dtype: DTypeLike) -> NDArray[Any]:
        self.check()
        return np.full(shape, 0xEE, dtype)

    def module_from_file(self, path: str) -> _Module:
        self.check()
        if not self.loads:
            raise Error("cuModuleLoad failed: device kernel image is invalid")
        self.loaded.append(Path(path))
        return _Module(self)

    def enqueue_launch(self, name: str, grid: Any, block: Any, stream: Any, arguments: bytes) -> None:
        self._enqueue(stream, lambda: self._emulated.launch(name, grid, block, arguments))

    def _enqueue(self, stream: Any, act: Callable[[], object]) -> None:
        self.check()
        assert stream is not None, "the default stream is not ours"
        self.queue.append(act)


class _Allocation:
    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self._memory = memory

    def __int__(self) -> int:
        return self._memory.ctypes.data


class _Module:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def get_function(self, name: str) -> _Function:
        return _Function(self._cuda, name)


class _Function:
    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self._cuda, self._name, self._format = cuda, name, ""

    def prepare(self, arg_types: list[str]) -> _Function:
        self._format = "".join(arg_types)
        return self

    def prepared_async_call(self, grid: Any, block: tuple[int, int, int], stream: Any, *arguments: Any) -> None:
        assert isinstance(block, tuple)
        self._cuda.enqueue_launch(self._name, grid, block, stream, struct.pack(self._format, *arguments))
