"""The first moments of a worker process: bound to the hub's life before anything slow is imported."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = 500
"""Of 1000: as if it held half of the machine's memory besides its own."""


def enter(connection: Connection, task: bytes) -> None:
    """A worker process's first function; `task` is the pickled pair of its main function and assignment.

    Unpickling them imports the engine, which takes seconds: a hub that is killed meanwhile would leave an orphan.
    """
    die_with_parent()
    die_before_parent()
    work, assignment = pickle.loads(task)
    work(connection, assignment)


def die_before_parent() -> None:
    """When memory is short, Linux kills a worker, who is started again, and not the hub, who holds what waits."""
    with contextlib.suppress(OSError):  # where this is not to be had, the kernel judges by size alone
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def die_with_parent() -> None:
    """Linux kills this process when the hub's process ends, however it ends."""
    from multiprocessing import parent_process

    parent = parent_process()
    die_with(0 if parent is None else parent.pid or 0)


def die_with(parent_pid: int) -> None:
    """Linux kills this process when its parent ends, however that ends; now, if that is not this process."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(1)
