"""System calls of a running process that fail or dawdle, by strace; when the block ends, so does the harm."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.fault_matrix.processes import die_with_parent

ATTACHED_SECONDS = 10.0


@contextlib.contextmanager
def injected(pid: int, calls: str, harm: str) -> Iterator[None]:
    """While the block runs, `harm` (`error=EIO`, `delay_enter=500ms`) is done to `calls` of all threads of `pid`."""
    words = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid)]
    words += ["-e", f"trace={calls}", "-e", f"inject={calls}:{harm}"]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    try:
        until = time.monotonic() + ATTACHED_SECONDS
        while _tracer_of(pid) != tracer.pid:
            if tracer.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"strace cannot attach: {tracer.stderr.read() if tracer.stderr else ''}")
            time.sleep(0.02)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)  # it lets the process go, as it was
        tracer.wait(ATTACHED_SECONDS)
        if tracer.stderr is not None:
            tracer.stderr.close()


def _tracer_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid"))
