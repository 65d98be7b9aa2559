"""Counters with reasons, and how long things take. Owned by whoever counts and passed in; nothing here is global."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Monotone counts by name and reason, e.g. `frames_dropped` / `overload`."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, name: str, amount: int = 1, *, reason: str = "") -> None:
        """Count `amount` more of `name`."""
        key = (name, reason)
        self.counts[key] = self.counts.get(key, 0) + amount

    def total(self, name: str) -> int:
        """The sum of `name` over all reasons."""
        return sum(count for (key, _), count in self.counts.items() if key == name)

    def take(self) -> Mapping[tuple[str, str], int]:
        """What was counted since the last call; counting starts anew."""
        counts, self.counts = self.counts, {}
        return counts

    def merge(self, other: Mapping[tuple[str, str], int]) -> None:
        """Add another set of counts to this one."""
        for (name, reason), count in other.items():
            self.add(name, count, reason=reason)


SECONDS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Histogram:
    """How many measured values lie between bounds, and their sum."""

    bounds: tuple[float, ...] = SECONDS_BOUNDS
    """Rising; each is the highest value of its class, and one more class is above the last."""
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Take in one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
