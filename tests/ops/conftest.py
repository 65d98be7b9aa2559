"""Every backend of the batched operations, for one shared test body.

`cpu` is numba, `cuda` a real GPU, and `emulated` and `emulated-backwards` are the GPU's kernels run on the processor.
Without a GPU `cuda` skips with the reason, and fails under ANPR_REQUIRE_GPU=1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from emulated_gpu import EmulatedDriver, compile_kernels, surface_on
from gpus import do_without
from numpy.typing import NDArray

from anpr.errors import DeviceError
from anpr.ops import contract
from anpr.ops.cuda_batches import CudaBatches
from anpr.ops.cuda_driver import Driver, PyCudaDriver
from anpr.ops.surfaces import Surface

GPU_BACKENDS = ("emulated", "emulated-backwards", "cuda")


@dataclass
class Bench:
    """A backend and how surfaces come to it."""

    name: str
    batches: contract.Batches
    driver: Driver | None = None
    kept: list[Any] = field(default_factory=list)

    def surface(self, luma: NDArray[Any], chroma: NDArray[Any] | None = None, *, padding_bytes: int = 64) -> Surface:
        """A picture where the backend works; grey without `chroma`."""
        if chroma is None:
            grey = 128 if luma.dtype == np.uint8 else 128 << 8
            chroma = np.full(((luma.shape[0] + 1) // 2, (luma.shape[1] + 1) // 2, 2), grey, luma.dtype)
        if self.driver is not None:
            return surface_on(self.driver, luma, chroma, padding_bytes=padding_bytes)
        return Surface.on_host(np.ascontiguousarray(luma), np.ascontiguousarray(chroma))


def open_gpu() -> PyCudaDriver:
    """The first GPU, or a skip that says why there is none; a failure under ANPR_REQUIRE_GPU=1."""
    try:
        return PyCudaDriver(0)
    except DeviceError as error:
        do_without(f"no GPU: {error}")


@pytest.fixture(scope="session")
def kernel_libraries(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compile_kernels(tmp_path_factory.mktemp("kernels"))


def open_driver(name: str, request: pytest.FixtureRequest) -> Driver:
    """The driver of one of GPU_BACKENDS."""
    if name == "cuda":
        return open_gpu()
    return EmulatedDriver(request.getfixturevalue("kernel_libraries"), backwards=name.endswith("backwards"))


@pytest.fixture(params=["cpu", *GPU_BACKENDS])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each backend in turn."""
    if request.param == "cpu":
        yield Bench("cpu", contract.open_batches("cpu"))
        return
    driver = open_driver(request.param, request)
    batches = CudaBatches(driver)
    yield Bench(request.param, batches, driver)
    batches.close()
