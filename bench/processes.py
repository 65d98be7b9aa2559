"""What processes cost, read from /proc (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel ends the new process when the thread that started it ends, however it does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it, as far as they still run."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from tree(child)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its descendants that run."""
    return sum(_cpu_seconds(each) for each in tree(pid))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND  # utime and stime, proc(5)


def pss_bytes(pid: int) -> int:
    """Memory of a process and its descendants: their own pages, and their share of those that several have."""
    return sum(_pss_bytes(each) for each in tree(pid))


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
