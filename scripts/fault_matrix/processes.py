"""Processes of this machine, looked at from outside."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from pathlib import Path

LOOKS, LOOK_SECONDS = 20, 0.01
"""A file that is just open for a moment hides the first free number."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_PAGE_MIB = os.sysconf("SC_PAGESIZE") / (1 << 20)


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills the process, also a stopped one, when the harness is gone, however it went."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The living processes below `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        below = [child for child, its_parent in parents.items() if its_parent == parent]
        found += below
        waiting += below
    return found


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return False


def own_mib(pid: int) -> float:
    """Resident memory of a process without that of mapped files; 0 if it is gone."""
    resident, mapped = _resident_pages(pid)
    return (resident - mapped) * _PAGE_MIB


def mapped_mib(pid: int) -> float:
    """What of mapped files is resident in a process: the kernel takes it back when it needs it. 0 if it is gone."""
    return _resident_pages(pid)[1] * _PAGE_MIB


def _resident_pages(pid: int) -> tuple[int, int]:
    try:
        resident, mapped = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return resident, mapped


def limit_files(pid: int, most: int = 0) -> int:
    """A process may have so many files open, by default none beside those that it has; returns the limit before."""
    before, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most or min(_first_free(pid) for _ in range(LOOKS)), hard))
    return before


def _first_free(pid: int) -> int:
    time.sleep(LOOK_SECONDS)
    numbers = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(numbers) + 1) if number not in numbers)


def open_files(pid: int) -> int:
    """File descriptors of a process; 0 if it is gone."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return 0
