"""The backends of the batched operations, each with the way by which pictures come to it.

`cpu` is numba, `cuda` a real GPU, and `emulated` and `emulated-backwards` are the GPU's kernels run on the processor.
Without a GPU `cuda` skips with the reason, and fails under ANPR_REQUIRE_GPU=1.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from emulated_gpu import EmulatedDriver, surface_on
from gpus import do_without
from numpy.typing import NDArray

from anpr.errors import DeviceError
from anpr.ops import contract
from anpr.ops.cuda_batches import CudaBatches
from anpr.ops.cuda_driver import Driver, PyCudaDriver
from anpr.ops.surfaces import Surface

BACKENDS = ("cpu", "emulated", "emulated-backwards", "cuda")


@dataclass
class Bench:
    """A backend and how surfaces come to it."""

    name: str
    batches: contract.Batches
    driver: Driver | None = None

    def surface(self, luma: NDArray[Any], chroma: NDArray[Any] | None = None, *, padding_bytes: int = 64) -> Surface:
        """A picture where the backend works; grey without `chroma`."""
        if chroma is None:
            grey = 128 if luma.dtype == np.uint8 else 128 << 8
            chroma = np.full(((luma.shape[0] + 1) // 2, (luma.shape[1] + 1) // 2, 2), grey, luma.dtype)
        if self.driver is not None:
            return surface_on(self.driver, luma, chroma, padding_bytes=padding_bytes)
        return Surface.on_host(np.ascontiguousarray(luma), np.ascontiguousarray(chroma))


@contextmanager
def open_bench(name: str, libraries: Callable[[], dict[str, ctypes.CDLL]]) -> Iterator[Bench]:
    """One of BACKENDS; `libraries` gives the compiled kernels, and is asked only by who emulates."""
    if name == "cpu":
        yield Bench(name, contract.open_batches("cpu"))
        return
    driver = open_gpu() if name == "cuda" else EmulatedDriver(libraries(), backwards=name.endswith("backwards"))
    batches = CudaBatches(driver)
    yield Bench(name, batches, driver)
    batches.close()


def open_gpu() -> PyCudaDriver:
    """The first GPU, or a skip that says why there is none; a failure under ANPR_REQUIRE_GPU=1."""
    try:
        return PyCudaDriver(0)
    except DeviceError as error:
        do_without(f"no GPU: {error}")
