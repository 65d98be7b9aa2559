"""Every backend of the batched operations, for one shared test body."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
from emulated_gpu import compile_kernels
from making_benches import BACKENDS, Bench, open_bench


@pytest.fixture(scope="session")
def kernel_libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ctypes.CDLL]:
    return compile_kernels(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=BACKENDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each backend in turn."""
    with open_bench(request.param, lambda: request.getfixturevalue("kernel_libraries")) as opened:
        yield opened
