"""Reading a store in a process of its own: a damaged page may kill who comes to it, and somebody must be left to tell.

The process is split before it has opened anything or begun a second thread: the child goes on with the verb, its parent
waits, and ends as the child does. That costs a few milliseconds, and no second start of Python.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from anpr.store import Store

OWN_PROCESS = "own process"
"""The typer context's object where the process is the verb's alone: then it may be split."""

_KILLING = (signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)
_HEARD = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def read_apart(context: typer.Context, store: Path, *, unfinished: Callable[[int], Path] | None = None) -> None:
    """Return in a child of this process, if that is the verb's own: what follows may be killed by a store's pages.

    This process ends as the child does, by its exit code or its signal. But if it was a signal that a damaged page may
    have sent, StoreError is raised here, and names the file and what cures it. `unfinished` tells by the child's number
    what it leaves behind when it is killed: a file or folder, which is deleted.
    """
    if context.obj != OWN_PROCESS or not store.is_dir():
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started this process may have had it ignored
    heard_before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    parent, said = os.getpid(), os.memfd_create("said")
    child = os.fork()
    if child == 0:
        from anpr.engine.birth import die_with

        die_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, heard_before)
        _hear_libraries(said)
        return
    code = _wait_for(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, heard_before)
    if code < 0 and unfinished is not None:
        _delete(unfinished(child))
    if -code in _KILLING:
        _explain_death(store, signal.Signals(-code).name)
    os.write(2, os.pread(said, os.fstat(said).st_size, 0))
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)  # it has nothing open, and nothing to say


@contextmanager
def open_to_read(store: Path) -> Iterator[Store]:
    """The store in a folder; a StoreError of damage that is met in it names the damaged file."""
    from anpr.clock import SystemClock
    from anpr.store import Store
    from anpr.store.wholeness import naming_damage

    clock = SystemClock()
    with naming_damage(store, clock=clock), Store.open(store, clock=clock, read_only=True) as opened:
        yield opened


def _hear_libraries(said: int) -> None:
    """What libraries of C write to stderr goes to another file, LMDB's last words among it; what we say does not."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    os.dup2(said, 2)


def _wait_for(child: int) -> int:
    """How it ended: its exit code, or a signal's number below 0. What is sent to this process is sent on to it."""
    while True:
        told = signal.sigwaitinfo(_HEARD)
        if told.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif told.si_pid:  # a terminal's Ctrl-C comes from no process, and goes to both
            os.kill(child, told.si_signo)


def _delete(left: Path) -> None:
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        with suppress(OSError):
            left.unlink()


def _explain_death(store: Path, died: str) -> None:
    from anpr.clock import SystemClock
    from anpr.store.wholeness import explain_damage

    if met := explain_damage(store, clock=SystemClock(), died=died):
        raise met
