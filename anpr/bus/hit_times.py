"""How long hits take from the camera to the acknowledgement of each consumer (no sockets here)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from anpr.clock import Clock
from anpr.metrics import Histogram
from anpr.records import Event

BOUNDS_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
"""A consumer may be away for a day."""
MOST_TIMED = 10_000
"""Of the newest hits it is known when they began; of each consumer's, so many may wait for its acknowledgement."""


class HitTimes:
    """Use from one thread."""

    def __init__(self, consumers: Collection[str], *, clock: Clock) -> None:
        self.latencies = {name: Histogram(BOUNDS_SECONDS) for name in consumers}
        self._clock = clock
        self._began: dict[int, float] = {}
        """Number of a hit → monotonic time of the picture's arrival."""
        self._sent: dict[str, deque[tuple[int, float]]] = {name: deque(maxlen=MOST_TIMED) for name in consumers}
        """By consumer, (number, monotonic time of its beginning) of hits that are not acknowledged."""

    def begin(self, seq: int, arrival_seconds: float) -> None:
        """The hit of this number goes back to a picture that arrived then (monotonic)."""
        if len(self._began) >= MOST_TIMED:
            del self._began[next(iter(self._began))]
        self._began[seq] = arrival_seconds

    def sent(self, consumer: str, hit: Event) -> None:
        """A hit is on its way. What is not known to have begun earlier, began with its commit."""
        began = self._began.get(hit.seq)
        if began is None:
            age_seconds = max(0.0, self._clock.wall_seconds() - hit.committed_seconds)
            began = self._clock.monotonic_seconds() - age_seconds
        self._sent[consumer].append((hit.seq, began))

    def acknowledged(self, consumer: str, seq: int) -> None:
        """All hits up to this number are safe with the consumer."""
        sent, now = self._sent[consumer], self._clock.monotonic_seconds()
        while sent and sent[0][0] <= seq:
            self.latencies[consumer].add(now - sent.popleft()[1])

    def forget(self, consumer: str) -> None:
        """What it has not acknowledged will be sent anew."""
        self._sent[consumer].clear()
