"""Counters with reasons. Owned by whoever counts and passed in; nothing here is global."""

from __future__ import annotations

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
