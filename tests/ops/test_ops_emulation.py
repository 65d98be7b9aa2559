"""The emulated GPU finds what it is there to find: races, barriers that not all threads meet, wrong arguments, writes
beside a buffer. And its float16 is NumPy's."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess

import numpy as np
import pytest
from emulated_gpu import FLAGS, HEADERS, EmulatedDriver

KERNELS = r"""
#include "gpu.h"
#include <cuda_fp16.h>

// The sum of 64 threads' numbers; without `careful` the first thread adds up what the others may not have written yet.
extern "C" __global__ void summed(int *out, int careful) {
    __shared__ int parts[64];
    parts[threadIdx.x] = 0;
    __syncthreads();
    parts[threadIdx.x] = threadIdx.x + blockIdx.x;
    if (careful)
        __syncthreads();
    if (threadIdx.x == 0) {
        int sum = 0;
        for (int thread = 0; thread < 64; ++thread)
            sum += parts[thread];
        out[blockIdx.x] = sum;
    }
}
extern "C" __global__ void diverging(int) {
    if (threadIdx.x < 5)
        __syncthreads();
}
extern "C" __global__ void beside(int *out, int length) {
    if (threadIdx.x <= static_cast<unsigned>(length))
        out[threadIdx.x] = 1;
}
extern "C" __global__ void halves(const float *in, __half *out, float *back, int length) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < length) {
        out[index] = __float2half_rn(in[index]);
        back[index] = __half2float(out[index]);
    }
}
"""
NAMES = ("summed", "diverging", "beside", "halves")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ctypes.CDLL]:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++: the kernels' arithmetic is not emulated")
    folder = tmp_path_factory.mktemp("emulation")
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    entries = "".join(
        f'extern "C" int launch_{name}(const unsigned *grid, const unsigned *block, const unsigned char *packed,'
        f" std::size_t size, int backwards) {{"
        f" return emulation::launch({name}, grid, block, packed, size, backwards); }}\n"
        for name in NAMES
    )
    source.write_text(KERNELS + entries)
    subprocess.run([compiler, *FLAGS, f"-I{HEADERS}", "-o", library, source], check=True)
    return {name: _Entry(ctypes.CDLL(str(library)), name) for name in NAMES}


class _Entry:
    """One kernel of a library that holds several."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.launch = library[f"launch_{name}"]


@pytest.mark.parametrize("backwards", [False, True])
def test_blocks_with_their_barriers_give_the_same_sums_in_any_order(
    libraries: dict[str, ctypes.CDLL], backwards: bool
) -> None:
    driver = EmulatedDriver(libraries, backwards=backwards)
    out = driver.allocate((3,), np.int32)
    driver.launch("summed", (3, 1, 1), (64, 1, 1), struct.pack("@Pi", out.address, 1))
    assert driver.read(out)[0].tolist() == [2016, 2080, 2144]


def test_a_missing_barrier_shows(libraries: dict[str, ctypes.CDLL]) -> None:
    sums = []
    for backwards in (False, True):
        driver = EmulatedDriver(libraries, backwards=backwards)
        out = driver.allocate((3,), np.int32)
        driver.launch("summed", (3, 1, 1), (64, 1, 1), struct.pack("@Pi", out.address, 0))
        sums.append(driver.read(out)[0].tolist())
    assert sums[0] != sums[1]


def test_a_barrier_that_not_all_threads_meet_is_reported(libraries: dict[str, ctypes.CDLL]) -> None:
    with pytest.raises(AssertionError, match="different barriers"):
        EmulatedDriver(libraries).launch("diverging", (1, 1, 1), (32, 1, 1), struct.pack("@i", 0))


def test_arguments_of_another_size_are_reported(libraries: dict[str, ctypes.CDLL]) -> None:
    with pytest.raises(AssertionError, match="packed arguments"):
        EmulatedDriver(libraries).launch("summed", (1, 1, 1), (64, 1, 1), struct.pack("@P", 0))


def test_a_write_beside_a_buffer_is_reported(libraries: dict[str, ctypes.CDLL]) -> None:
    driver = EmulatedDriver(libraries)
    out = driver.allocate((8,), np.int32)
    driver.launch("beside", (1, 1, 1), (32, 1, 1), struct.pack("@Pi", out.address, 8))
    with pytest.raises(AssertionError, match="beside its memory"):
        driver.read(out)


def test_float16_is_rounded_as_numpy_does(libraries: dict[str, ctypes.CDLL]) -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    rng = np.random.default_rng(0)
    between = np.concatenate(
        [
            rng.uniform(-70000, 70000, 20000),
            rng.normal(0, 1e-6, 20000),
            [2**-24, 2**-25, 3 * 2**-25, 65519.9, 65520, np.inf, -np.inf, -0.0],
        ]
    ).astype(np.float32)
    values = np.concatenate([every[np.isfinite(every)], between])
    driver = EmulatedDriver(libraries)
    given = driver.allocate(values.shape, np.float32)
    driver.write(given, values)
    halves, back = driver.allocate(values.shape, np.float16), driver.allocate(values.shape, np.float32)
    packed = struct.pack("@PPPi", given.address, halves.address, back.address, len(values))
    driver.launch("halves", (-(-len(values) // 256), 1, 1), (256, 1, 1), packed)
    found, again = driver.read(halves, back)
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    assert np.array_equal(found.view(np.uint16), expected.view(np.uint16))
    assert np.array_equal(again, expected.astype(np.float32))
