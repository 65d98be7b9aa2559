"""Which NVIDIA GPUs the driver shows, and how they are waited for. Asks the driver library alone, makes no context."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

DRIVER_LIBRARY = "libcuda.so.1"
_NAME_BYTES = 256
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR (cuda.h)."""
_SCHED_BLOCKING_SYNC = 4
"""CU_CTX_SCHED_BLOCKING_SYNC (cuda.h)."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, by the driver's own count."""

    number: int
    name: str
    capability: tuple[int, int]
    """Compute capability, as (8, 9) of an L4."""
    memory_bytes: int

    @property
    def target(self) -> str:
        """What a compiler calls it, `sm_89`."""
        return f"sm_{self.capability[0]}{self.capability[1]}"


def list_gpus() -> tuple[Gpu, ...]:
    """Every GPU that the driver shows this process; none without a driver, or if it does not start."""
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(gpu for number in range(count.value) if (gpu := _ask(driver, number)) is not None)


def wait_blocking(number: int) -> None:
    """Have whoever waits for GPU `number` in this process sleep meanwhile, as libavcodec asks of the primary context.

    Where somebody has started that context otherwise, it is for the driver to say whether that can still be changed;
    if not, or if there is no such GPU, nothing is raised.
    """
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return
    device = ctypes.c_int()
    if not (driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number)):
        driver.cuDevicePrimaryCtxSetFlags_v2(device, _SCHED_BLOCKING_SYNC)


def _ask(driver: ctypes.CDLL, number: int) -> Gpu | None:
    """The facts of one GPU; None if it does not answer."""
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    failed = (
        driver.cuDeviceGet(ctypes.byref(device), number)
        or driver.cuDeviceGetName(name, _NAME_BYTES, device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
    )
    if failed:
        return None
    return Gpu(number, name.value.decode(errors="replace"), (major.value, minor.value), memory.value)
