"""What some rows need of the machine beside Python, and why a row cannot be played where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from scripts.fault_matrix.network import why_no_network
from scripts.fault_matrix.volume import SYSTEM_PATH

CGROUPS = Path("/sys/fs/cgroup")
INSTALL = "scripts/install_servers installs it"


def missing(needs: tuple[str, ...]) -> str:
    """Why something with these needs cannot be played here; empty if it can."""
    return next((reason for need in needs if (reason := _PROBES[need]())), "")


def _root() -> str:
    return "" if os.geteuid() == 0 else "needs root"


@cache
def _volume() -> str:
    if os.geteuid() != 0:
        return "needs root, to mount a file system of its own"
    lacking = [name for name in ("mkfs.ext4", "mount", "fallocate") if shutil.which(name, path=SYSTEM_PATH) is None]
    if lacking:
        return f"{lacking[0]} is missing: {INSTALL}"
    if not Path("/dev/loop-control").exists():
        return "this machine has no loop devices"
    return "" if _works("unshare", "--mount", "true") else "this machine allows no mount namespaces"


@cache
def _strace() -> str:
    if shutil.which("strace") is None:
        return f"strace is missing: {INSTALL}"
    return "" if _works("strace", "-qq", "-o", "/dev/null", "true") else "this machine lets nobody trace a process"


@cache
def _names() -> str:
    if os.geteuid() != 0:
        return "needs root, for a name server and a mount namespace"
    return "" if _works("unshare", "--mount", "true") else "this machine allows no mount namespaces"


def _faketime() -> str:
    return "" if faketime_library() is not None else f"libfaketime is missing: {INSTALL}"


def faketime_library() -> Path | None:
    """What to preload; None if it is not installed."""
    return next(iter(sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))), None)


def _cgroup(controller: str) -> str:
    if os.geteuid() != 0:
        return "needs root, to make a control group"
    folder = CGROUPS / controller
    return "" if os.access(folder / "tasks", os.W_OK) else f"no {controller} control group (version 1) can be made here"


def _works(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


_PROBES: dict[str, Callable[[], str]] = {
    "network": why_no_network,
    "root": _root,
    "names": _names,
    "volume": _volume,
    "strace": _strace,
    "faketime": _faketime,
    "memory": lambda: _cgroup("memory"),
    "cpu": lambda: _cgroup("cpu"),
}
