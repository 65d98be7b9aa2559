"""What the kernel says of its own clock: whether a time service keeps it, and how wrong it may be (adjtimex(2))."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

_TIMEX = struct.Struct("<I4xqqqqi4xqqqqq")
"""The beginning of struct timex on 64-bit Linux: modes, offset, freq, maxerror, esterror, status, constant, precision,
tolerance, time (seconds, and micro- or nanoseconds)."""
_BUFFER_BYTES = 256
_TIME_ERROR = 5
_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000


@dataclass(frozen=True, slots=True)
class KernelClock:
    """At one moment."""

    wall_seconds: int
    """What it shows: whole seconds since 1970, UTC."""
    synchronised: bool
    """A time service keeps it."""
    offset_seconds: float
    """What the kernel still has to slew it by. Services that correct by rate alone, as chrony does, leave it near 0."""
    error_seconds: float
    """How wrong it may be at most, as the time service reckons it; without one it only grows, up to 16 s."""


def kernel_clock() -> KernelClock | None:
    """None where the kernel cannot be asked."""
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    return read_timex(buffer.raw, state) if state >= 0 else None


def read_timex(timex: bytes, state: int) -> KernelClock:
    """What adjtimex(2) wrote, and what it returned."""
    _, offset, _, most_error, _, status, _, _, _, seconds, _ = _TIMEX.unpack_from(timex)
    return KernelClock(
        wall_seconds=seconds,
        synchronised=state != _TIME_ERROR and not status & _STA_UNSYNC,
        offset_seconds=offset / (1e9 if status & _STA_NANO else 1e6),
        error_seconds=most_error / 1e6,
    )
