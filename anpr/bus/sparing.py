"""What peers can bring about, told sparingly: a flood of the same fills no log, and what was left out is counted."""

from __future__ import annotations

from anpr.clock import Clock

INTERVAL_SECONDS = 60.0
MOST_KINDS = 256
"""Kinds that are remembered; beyond it the one whose interval began first is forgotten."""


class Sparing:
    """So many tellings of each kind in an interval."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, ...], tuple[float, int, int]] = {}
        """When its interval began, how often it was told and left out since: in the order of the beginnings."""

    def due(self, *kind: str, most: int = 1) -> int | None:
        """How many of `kind` were left out since the last one told; None if this one is to be left out too."""
        now = self._clock.monotonic_seconds()
        began, told, left_out = self._kinds.get(kind, (now, 0, 0))
        if now - began >= INTERVAL_SECONDS:
            began, told = now, 0
            self._kinds.pop(kind, None)
        if told >= most:
            self._kinds[kind] = began, told, left_out + 1
            return None
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
        self._kinds[kind] = began, told + 1, 0
        return left_out
