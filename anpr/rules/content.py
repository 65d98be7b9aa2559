"""What stands in a file that somebody hands in: no more than it may have, and not what a pipe brings."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 256 << 20


def content_of(file: Path) -> bytes:
    """The bytes of a file. Raises OSError, also if it is larger than MAX_BYTES or no file."""
    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for its other end
        raise OSError(errno.EINVAL, "not a file")
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"larger than {MAX_BYTES >> 20} MiB")
        return opened.read(MAX_BYTES)
