"""Limits of memory and processor time on processes that run (cgroups, version 1); all is lifted with the block."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.fault_matrix.needs import CGROUPS
from scripts.fault_matrix.processes import is_alive

_PREFIX = "anpr-faults-"
_EMPTY_SECONDS = 5.0


class ControlGroup:
    """A group of one controller, whose limits are its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, *pids: int) -> None:
        """These processes belong to it from now on, and what they start."""
        for pid in pids:
            (self._folder / "cgroup.procs").write_text(str(pid))

    def limit(self, name: str, value: int) -> None:
        """Set a limit."""
        (self._folder / name).write_text(str(value))

    def read(self, name: str) -> int:
        """A count."""
        return int((self._folder / name).read_text())

    def close(self) -> None:
        """Let its processes go, and remove it."""
        until = time.monotonic() + _EMPTY_SECONDS
        while pids := (self._folder / "cgroup.procs").read_text().split():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    (self._folder.parent / "cgroup.procs").write_text(pid)
            if time.monotonic() > until:
                raise RuntimeError(f"{self._folder} does not become empty")
        self._folder.rmdir()


@contextlib.contextmanager
def control_group(controller: str) -> Iterator[ControlGroup]:
    """A new group; those of harnesses that were killed are removed first."""
    for left in (CGROUPS / controller).glob(f"{_PREFIX}*"):
        if not is_alive(int(left.name.removeprefix(_PREFIX))):
            ControlGroup(left).close()
    folder = CGROUPS / controller / f"{_PREFIX}{os.getpid()}"
    folder.mkdir()
    group = ControlGroup(folder)
    try:
        yield group
    finally:
        group.close()
