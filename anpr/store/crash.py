"""Damage that kills: LMDB aborts the process at some damaged pages, and the kernel kills it where it cannot read one.

    crashed   what a process said when it died so; and which files were found whole since

A start after such a death looks through all files before it trusts them, so that it dies once and not again and again.
A power cut or kill -9 leaves nothing there: it damages no file. Nor does it look after a death far from the store, say
of a watchdog: it would keep the cameras waiting for nothing.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.lock import damage_of
from anpr.store.partitions import folders_of
from anpr.store.salvage import DATA
from anpr.store.wholeness import cure_of

NOTE = "crashed"
MOST_SECONDS = 120.0
"""Of a start that looks: systemd gives it three minutes. The next one goes on."""

_WHOLE = "whole: "
_FRAME = "  File "
_OURS = "anpr/store/"
"""In the frames of who came to a damaged page."""


@contextmanager
def noting_crash(path: Path) -> Iterator[None]:
    """Have a death of this process while the block runs noted in the store's folder, which is made if it is not there.

    It takes the place of Python's fault handler, of which a process has one.
    """
    try:
        path.mkdir(mode=0o770, parents=True, exist_ok=True)
        file = os.open(path / NOTE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    except OSError as error:  # the disk may be full: then what is stored goes on all the same
        structlog.get_logger().warning("crash_not_noted", problem=f"{path / NOTE}: {error.strerror}")
        yield
        return
    faulthandler.enable(file, all_threads=False)
    try:
        yield
    finally:
        faulthandler.disable()
        os.close(file)


def look_after_crash(path: Path, *, clock: Clock) -> None:
    """If a process died so while it had the store in folder `path` open, look through its files, which nobody writes.

    Raises StoreError at the first that is damaged; OSError.
    """
    note = path / NOTE
    said = note.read_text(encoding="utf-8", errors="replace").splitlines() if note.is_file() else []
    if not said or not (path / DATA).is_file():
        return
    log, began_seconds = structlog.get_logger(), clock.monotonic_seconds()
    frames = [line for line in said if line.startswith(_FRAME)]
    if frames and not any(_OURS in frame for frame in frames):
        log.warning("store_crashed", said=said[0], files=0)
        os.truncate(note, 0)
        return
    whole = {line.removeprefix(_WHOLE) for line in said if line.startswith(_WHOLE)}
    left = {name: folder for folder in folders_of(path) if (name := str(folder.relative_to(path))) not in whole}
    log.warning("store_crashed", said=said[0], files=len(left))
    for looked, (name, folder) in enumerate(left.items()):
        if clock.monotonic_seconds() - began_seconds > MOST_SECONDS:
            log.warning("store_looked_through", files=looked, left=len(left) - looked)
            return
        if damage := damage_of(folder):
            problem = f"is damaged, and kills who reads it: {damage}"
            raise StoreError(problem, place=str(folder / DATA), cure=cure_of(folder, path))
        with suppress(OSError), note.open("a", encoding="utf-8") as file:  # the disk may be full: it is looked at again
            file.write(f"{_WHOLE}{name}\n")
    os.truncate(note, 0)
    log.warning("store_looked_through", files=len(left), left=0)
