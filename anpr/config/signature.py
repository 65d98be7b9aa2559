"""Whether a file is still the one that was read; and whether it can be asked at all."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISREG
from threading import Thread

ANSWER_SECONDS = 5.0

Signature = tuple[int, int, int, int]
"""Times in nanoseconds at which the content and the inode changed, size, inode. The second tells of a content that was
written with its old time, and of a file that may be read again."""


def signature_of(file: Path) -> Signature | None:
    """None: there is no such file."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def silent_among(files: Iterable[Path]) -> frozenset[Path]:
    """Those of the files that the file system does not open within `ANSWER_SECONDS`, nor says that there are none: a
    network share that is gone may let whoever asks wait for ever, even if it has kept in mind what the file is. All are
    asked at once; a thread that waits ends with the process."""
    asked = {file: Thread(target=_open, args=(file,), name="anpr-answers", daemon=True) for file in files}
    for thread in asked.values():
        thread.start()
    until_seconds = time.monotonic() + ANSWER_SECONDS
    for thread in asked.values():
        thread.join(max(0.0, until_seconds - time.monotonic()))
    return frozenset(file for file, thread in asked.items() if thread.is_alive())


def _open(file: Path) -> None:
    try:
        if S_ISREG(file.stat().st_mode):  # opening a pipe would wait for its other end
            file.open("rb").close()
    except OSError:
        pass
