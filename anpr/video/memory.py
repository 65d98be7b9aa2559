"""A bound on what libav takes at once: a camera says how long its answers are, and libav believes it."""

from __future__ import annotations

import ctypes
from pathlib import Path

BLOCK_BYTES_MOST = 128 << 20
"""A picture of 8K and 10 bits takes 95 MiB; a description of a stream takes a few KiB."""


def limit_blocks(most_bytes: int = BLOCK_BYTES_MOST) -> bool:
    """Let libav's `av_max_alloc` refuse larger blocks, in this process and for all cameras; what needs one fails.

    False if libavutil cannot be found among the libraries of this process, and nothing is bounded.
    """
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return False
    paths = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "libavutil" in line}
    bounded = False
    for path in sorted(paths):
        try:
            set_limit = ctypes.CDLL(path).av_max_alloc
        except (OSError, AttributeError):
            continue
        set_limit.argtypes, set_limit.restype = [ctypes.c_size_t], None
        set_limit(most_bytes)
        bounded = True
    return bounded
