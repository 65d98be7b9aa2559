"""A piece of the keeper's work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from anpr.store.deleting import Progress


@dataclass(slots=True)
class Job:
    """Something that is being done."""

    what: str
    """For a person."""
    slices: Iterator[Progress | None]
    reason: str = ""
    done: Callable[[], None] | None = None
    plan: str = ""
    """Which of the keeper's plans it is of."""
