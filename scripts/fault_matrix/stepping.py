"""A program that is stopped just after one of the calls by which it changes files, by strace: after each of them, if it
is run often enough.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.fault_matrix.processes import descendants, die_with_parent
from scripts.fault_matrix.world import ROOT

CALLS = (
    *("write", "pwrite64", "pwritev", "writev", "ftruncate", "fsync", "fdatasync", "rename", "renameat", "renameat2"),
    *("mkdir", "mkdirat", "unlink", "unlinkat", "chown", "fchown", "chmod", "fchmod"),
)
END_SECONDS = 60.0
KILLED_SECONDS = 10.0
LOOK_SECONDS = 0.01
_STOPPED = b"--- stopped by SIGSTOP ---"


def calls_of(command: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What came of a program, and its calls of that kind in order. RuntimeError if strace cannot tell."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "calls"
        done = subprocess.run(
            _traced(command, told), cwd=ROOT, capture_output=True, text=True, timeout=END_SECONDS, check=False
        )
        calls = [line.partition("(")[0] for line in told.read_text(errors="replace").splitlines()]
    if not set(CALLS).intersection(calls):
        raise RuntimeError(f"strace saw nothing: {done.stderr[-300:]}")
    return done, [call for call in calls if call in CALLS]


@contextmanager
def stopped_after(command: Sequence[str], calls: Sequence[str], step: int) -> Iterator[bool]:
    """While the block runs, the program stands still just after call `step` of `calls`, which it makes; it is killed at
    the end. False: it came to its end before."""
    call = calls[step]
    harm = ("-e", f"inject={call}:signal=SIGSTOP:when={calls[: step + 1].count(call)}")
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "calls"
        told.touch()
        tracer = subprocess.Popen(
            _traced(command, told, *harm),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        try:
            until = time.monotonic() + END_SECONDS
            while not (stopped := _STOPPED in told.read_bytes()) and tracer.poll() is None:
                if time.monotonic() > until:
                    raise RuntimeError(f"neither stopped nor ended within {END_SECONDS:g} s: {' '.join(command)}")
                time.sleep(LOOK_SECONDS)
            yield stopped
        finally:
            for pid in descendants(tracer.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                tracer.wait(KILLED_SECONDS)  # it ends with the program
            tracer.kill()
            tracer.wait()


def _traced(command: Sequence[str], told: Path, *harm: str) -> list[str]:
    return ["strace", "-qq", "-o", str(told), "-e", f"trace={','.join(CALLS)}", *harm, *command]
