"""Waiting for what another process or thread does: until it is so, however busy the machine."""

from __future__ import annotations

import time
from collections.abc import Callable

GENEROUS_SECONDS = 60.0
"""A test that passes never waits so long: this only ends one that would wait in vain."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.0005, 0.02


def until(
    condition: Callable[[], object],
    *,
    meanwhile: Callable[[], object] = lambda: None,
    seconds: float = GENEROUS_SECONDS,
    what: Callable[[], object] = lambda: "",
) -> None:
    """Wait for `condition`; `meanwhile` is done between the looks, `what` tells what there is instead if it fails."""
    end, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"it did not happen in {seconds:g} s {what()}"
        meanwhile()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
