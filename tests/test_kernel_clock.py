"""What the kernel writes of its clock, in the layout of adjtimex(2) on 64-bit Linux."""

from __future__ import annotations

import struct
import time

import pytest

from anpr.kernel_clock import KernelClock, kernel_clock, read_timex

TIME_OK, TIME_ERROR = 0, 5
PLL, UNSYNCHRONISED, NANOSECONDS = 0x0001, 0x0040, 0x2000


def timex(*, offset: int, most_error: int, status: int) -> bytes:
    written = struct.pack("<IxxxxqqqqixxxxqqqQQ", 0, offset, 77, most_error, 88, status, 2, 1, 3, 1_800_000_000, 5)
    return written.ljust(256, b"\0")


@pytest.mark.parametrize(
    ("offset", "status", "state", "synchronised", "seconds"),
    [
        (-1500, PLL, TIME_OK, True, -0.0015),
        (-1500, PLL | NANOSECONDS, TIME_OK, True, -1.5e-6),
        (0, UNSYNCHRONISED, TIME_OK, False, 0.0),
        (0, PLL, TIME_ERROR, False, 0.0),
    ],
)
def test_what_was_written_is_read(offset: int, status: int, state: int, synchronised: bool, seconds: float) -> None:
    said = read_timex(timex(offset=offset, most_error=2_500_000, status=status), state)
    assert said == KernelClock(
        wall_seconds=1_800_000_000,
        synchronised=synchronised,
        offset_seconds=pytest.approx(seconds),
        error_seconds=2.5,
    )


def test_this_machines_kernel_answers() -> None:
    said = kernel_clock()
    assert said is not None
    assert abs(said.wall_seconds - time.time()) < 5.0
    assert 0.0 <= said.error_seconds <= 20.0
    assert abs(said.offset_seconds) <= 1.0  # the kernel slews no more than half a second
