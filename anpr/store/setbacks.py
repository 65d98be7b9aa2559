"""What the keeper could not do: told until it is done, and tried again after a pause, so that nothing waits for it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import NamedTuple

from anpr.clock import Clock

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 600.0
"""The pause doubles up to this."""


class _Setback(NamedTuple):
    problem: str
    pause_seconds: float
    until_seconds: float


class Setbacks:
    """By the names of what was tried."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._by_name: dict[str, _Setback] = {}

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """(name, problem) of each."""
        for name, setback in self._by_name.items():
            yield name, setback.problem

    def __len__(self) -> int:
        return len(self._by_name)

    def note(self, name: str, problem: str, *, for_good: bool = False) -> None:
        """It has failed, once more maybe; `for_good`: it is not tried again."""
        before = self._by_name.get(name)
        pause_seconds = min(2 * before.pause_seconds, LONGEST_PAUSE_SECONDS) if before else FIRST_PAUSE_SECONDS
        if for_good:
            pause_seconds = math.inf
        self._by_name[name] = _Setback(problem, pause_seconds, self._clock.monotonic_seconds() + pause_seconds)

    def wait(self, name: str) -> bool:
        """Whether it has failed, and it is too early to try it again."""
        setback = self._by_name.get(name)
        return setback is not None and self._clock.monotonic_seconds() < setback.until_seconds

    def forget(self, name: str) -> None:
        """It was done, or need not be."""
        self._by_name.pop(name, None)

    def forget_others(self, names: Collection[str]) -> None:
        """Nothing else need be done."""
        for name in self._by_name.keys() - set(names):
            del self._by_name[name]
