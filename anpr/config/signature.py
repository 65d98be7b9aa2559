"""Whether a file is still the one that was read."""

from __future__ import annotations

from pathlib import Path

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
