"""The driver over PyCUDA: its context, its stream, and what it says where something is missing."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_pycuda import FakeCuda

from anpr.errors import DeviceError, DeviceMemoryError
from anpr.ops import contract, cpu, gpus
from anpr.ops.cuda_build import Compiler
from anpr.ops.cuda_driver import PyCudaDriver
from anpr.ops.surfaces import Surface


@pytest.fixture
def cuda(kernel_libraries: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCuda:
    """A machine with one GPU of compute capability 9.0, PyCUDA, and kernels that need no compiler."""
    fake = FakeCuda(kernel_libraries)
    monkeypatch.setitem(sys.modules, "pycuda", fake)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    monkeypatch.setattr(Compiler, "find", staticmethod(lambda: Compiler(Path("nvcc"), "13.0")))

    def build_all(self: Compiler, architecture: str) -> dict[str, Path]:
        return {name: tmp_path / f"{name}-{architecture}.cubin" for name in kernel_libraries}

    monkeypatch.setattr(Compiler, "build_all", build_all)
    return fake


def test_a_picture_goes_through_a_gpu_on_its_own_stream_in_the_primary_context(cuda: FakeCuda) -> None:
    batches = contract.open_batches("cuda")
    assert batches.place == "device"
    assert batches.stream_handle == 0x5EED
    assert {path.name for path in cuda.loaded} >= {"letterbox-sm_90.cubin", "rectify-sm_90.cubin"}
    luma = np.random.default_rng(0).integers(0, 256, (90, 160), dtype=np.uint8)
    held, chroma = batches.put(luma), batches.put(np.full((45, 80, 2), 128, np.uint8))
    surface = Surface(160, 90, "nv12", held.address, 160, chroma.address, 160)
    canvas = batches.empty((1, 1, 32, 64), np.float32)
    batches.letterbox_surfaces([surface], canvas, mean=0.0, scale=1.0)
    expected = np.empty((32, 64), np.float32)
    cpu.letterbox_luma(luma, expected, mean=0.0, scale=1.0)
    found, again = batches.fetch(canvas, held)
    assert np.abs(found[0, 0] - expected).max() < 0.02
    assert np.array_equal(again, luma)
    batches.close()
    assert cuda.calls == ["retain", "push", "pop", "detach"]


def test_what_was_fetched_stays_as_it_is(cuda: FakeCuda) -> None:
    batches = contract.open_batches("cuda")
    numbers = batches.put(np.arange(40_000, dtype=np.int32))
    first = batches.fetch(numbers)[0]
    batches.put(np.zeros(40_000, np.int32), numbers)
    second = batches.fetch(numbers)[0]
    assert first[-1] == 39_999
    assert not second.any()
    batches.close()


def test_a_full_gpu_is_told_with_its_cure(cuda: FakeCuda) -> None:
    batches = contract.open_batches("cuda")
    with pytest.raises(DeviceMemoryError, match="fewer cameras or smaller batches"):
        batches.empty((1 << 30, 2), np.float32)
    batches.close()


def test_a_gpu_that_is_not_there_is_refused(cuda: FakeCuda) -> None:
    with pytest.raises(DeviceError, match="GPU 3 was asked for, the machine has 1"):
        contract.open_batches("cuda", device=3)
    assert cuda.calls == []


def test_a_driver_that_does_not_start_is_told_with_its_cure(cuda: FakeCuda) -> None:
    cuda.starts = False
    with pytest.raises(DeviceError, match=r"no CUDA-capable device.*anpr\[gpu\]"):
        PyCudaDriver(0)


def test_a_driver_older_than_the_compiler_is_told_and_the_context_given_back(cuda: FakeCuda) -> None:
    cuda.loads = False
    with pytest.raises(DeviceError, match="update the NVIDIA driver"):
        PyCudaDriver(0)
    assert cuda.calls == ["retain", "push", "pop", "detach"]


def test_a_gpu_that_fails_in_its_work_is_an_error_of_the_device(cuda: FakeCuda) -> None:
    batches = contract.open_batches("cuda")
    numbers = batches.put(np.arange(4))
    cuda.sound = False
    for wait in (batches.synchronize, lambda: batches.fetch(numbers)):
        with pytest.raises(DeviceError, match=r"the GPU fails: .*illegal memory access.*Xid"):
            wait()
    batches.close()


def test_a_gpu_without_room_for_a_stream_leaves_no_context_behind(cuda: FakeCuda) -> None:
    cuda.streams = False
    with pytest.raises(DeviceError, match=r"GPU 0 does not start.*out of memory"):
        PyCudaDriver(0)
    assert cuda.depth == 0
    assert cuda.calls == ["retain", "push", "pop", "detach"]


def test_a_context_is_asked_to_block_as_libav_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    library = SimpleNamespace(
        cuInit=lambda _: 0,
        cuDeviceGet=lambda device, number: number > 0,
        cuDevicePrimaryCtxSetFlags_v2=lambda device, flags: asked.append((device.value, flags)),
    )
    monkeypatch.setattr(gpus, "ctypes", SimpleNamespace(CDLL=lambda _: library, c_int=ctypes.c_int, byref=ctypes.byref))
    gpus.wait_blocking(0)
    gpus.wait_blocking(1)  # is not there
    assert asked == [(0, 4)]


def test_without_pycuda_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(DeviceError, match=r"anpr\[gpu\]"):
        contract.open_batches("cuda")


def test_nothing_imports_pycuda_before_a_gpu_is_opened() -> None:
    program = "import sys, anpr.ops.cuda_batches; sys.exit(any(name.startswith('pycuda') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
