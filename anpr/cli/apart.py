"""Reading a store in a process of its own: a damaged page may kill who comes to it, and somebody must be left to tell.

The process is split before it has opened anything or begun a second thread: the child goes on with the verb, its parent
waits, and ends as the child does. That costs a few milliseconds, and no second start of Python.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from anpr.cli import exits
from anpr.errors import AnprError

if TYPE_CHECKING:
    from anpr.store import Store

OWN_PROCESS = "own process"
"""The typer context's object where the process is the verb's alone: then it may be split."""

_KILLING = (signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)
_HEARD = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SENT_BY_KERNEL = 0x80
"""SI_KERNEL, see sigaction(2): such a SIGINT is a terminal's, which sends it to both processes."""
_ONCE_SECONDS = 1.0
"""SIGINT that comes twice within this was sent once: to a group of processes, and so to this one and its parent."""


def read_apart(context: typer.Context, store: Path | Callable[[], Path], *, makes: Path | None = None) -> None:
    """Return in a child of this process, if that is the verb's own: what follows may be killed by a store's pages.

    This process ends as the child does, by its exit code or its signal. But if it was a signal that a damaged page may
    have sent, StoreError is raised here, and names the file and what cures it. What the child leaves half-made when it
    is killed or interrupted is deleted: in the store's days, and of the file or folder that the verb `makes`. A `store`
    that something must be read for, which may begin threads, is asked for once the child has ended so.
    """
    if context.obj != OWN_PROCESS or (isinstance(store, Path) and not store.is_dir()):
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
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            _interrupt_once()
        return
    code = _wait_for(child)
    if code < 0 or code == exits.INTERRUPTED:
        with suppress(AnprError):  # it was interrupted before it knew the store
            store = store if isinstance(store, Path) else store()
            _delete_halves(child, store, makes)
            _give_to_owner(store)
    signal.pthread_sigmask(signal.SIG_SETMASK, heard_before)
    if -code in _KILLING and isinstance(store, Path):
        _explain_death(store, signal.Signals(-code).name)
    with suppress(OSError):  # nobody may hear it
        os.write(2, os.pread(said, os.fstat(said).st_size, 0))
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)  # it has nothing open, and nothing to say; signals do not end PID 1


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
    if sys.stderr is None:
        return
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    os.dup2(said, 2)


def _interrupt_once() -> None:
    """Have SIGINT raise KeyboardInterrupt as ever, but not again at once, where the first is still cleaned up after."""
    heard_seconds = -_ONCE_SECONDS

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal heard_seconds
        before_seconds, heard_seconds = heard_seconds, time.monotonic()
        if heard_seconds - before_seconds >= _ONCE_SECONDS:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)


def _wait_for(child: int) -> int:
    """How it ended: its exit code, or a signal's number below 0. What is sent to this process is sent on to it."""
    while True:
        told = signal.sigwaitinfo(_HEARD)
        if told.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif told.si_signo != signal.SIGINT or told.si_code != _SENT_BY_KERNEL:
            os.kill(child, told.si_signo)


def _delete_halves(child: int, store: Path, makes: Path | None) -> None:
    from anpr.store.column_file import FILE as COLUMNS
    from anpr.store.durable import half_of
    from anpr.store.naming import FILE as PICTURES
    from anpr.store.partitions import folders_of

    halves = [half_of(makes, child)] if makes else []
    with suppress(OSError):
        halves += [half_of(folder / name, child) for folder in folders_of(store) for name in (COLUMNS, PICTURES)]
    for half in halves:
        if half.is_dir():
            shutil.rmtree(half, ignore_errors=True)
        else:
            with suppress(OSError):
                half.unlink()


def _give_to_owner(store: Path) -> None:
    """What root has made in a store is its owner's: else the box could not open it."""
    from anpr.store.owner import giving_to_owner

    if os.geteuid() == 0:
        with suppress(OSError), giving_to_owner(store):
            pass


def _explain_death(store: Path, died: str) -> None:
    from anpr.clock import SystemClock
    from anpr.store.wholeness import explain_damage

    if met := explain_damage(store, clock=SystemClock(), died=died):
        raise met
