"""Which NVIDIA GPUs the driver shows. Asks the driver library alone: no context is made, nothing is set."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

DRIVER_LIBRARY = "libcuda.so.1"
_NAME_BYTES = 256
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR (cuda.h)."""


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
