"""When something was marked, by key, for a time that is looked back on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MOST_MARKS = 2_000_000
"""Some 200 bytes each."""


class Marks(Generic[K]):
    """Marks by key: the time of a passage and the id of its sighting, each once.

    Marks are forgotten `keep_seconds` before the newest, and the first to come if there are more than `most`.
    """

    def __init__(self, keep_seconds: float, *, most: int = MOST_MARKS) -> None:
        self.keep_seconds = keep_seconds
        self._most = most
        self._marks: dict[K, list[tuple[float, str]]] = {}
        self._came: deque[tuple[float, K]] = deque()
        """Every mark in the order in which it came, those taken back, too."""
        self._newest_seconds = float("-inf")

    def __len__(self) -> int:
        return len(self._came)

    def add(self, key: K, seen_seconds: float, sighting_id: str) -> None:
        """Mark `key`; a mark that is there stays as it is."""
        self._newest_seconds = max(self._newest_seconds, seen_seconds)
        oldest_seconds = self._newest_seconds - self.keep_seconds
        for _ in range(2):
            if self._came and (self._came[0][0] < oldest_seconds or len(self._came) >= self._most):
                self._forget(*self._came.popleft())
        marks = self._marks.setdefault(key, [])
        mark = (seen_seconds, sighting_id)
        if not marks or marks[-1] < mark:
            marks.append(mark)
        elif marks[(at := bisect_left(marks, mark))] != mark:
            marks.insert(at, mark)
        else:
            return
        self._came.append((seen_seconds, key))

    def discard(self, key: K, seen_seconds: float, sighting_id: str) -> None:
        """Take a mark back, if it is there."""
        marks = self._marks.get(key, [])
        mark = (seen_seconds, sighting_id)
        at = bisect_left(marks, mark)
        if at < len(marks) and marks[at] == mark:
            del marks[at]
            if not marks:
                del self._marks[key]

    def between(self, key: K, from_seconds: float, until_seconds: float) -> Sequence[tuple[float, str]]:
        """The key's marks from one time to another, both included, ascending."""
        marks = self._marks.get(key)
        if marks is None:
            return ()
        low, high = _span(marks, from_seconds, until_seconds)
        return marks[low:high]

    def count(self, key: K, from_seconds: float, until_seconds: float) -> int:
        """How many they are."""
        marks = self._marks.get(key)
        if marks is None:
            return 0
        low, high = _span(marks, from_seconds, until_seconds)
        return high - low

    def _forget(self, seen_seconds: float, key: K) -> None:
        """Drop the key's marks up to a time."""
        marks = self._marks.get(key)
        if marks is None:
            return
        del marks[: bisect_right(marks, (seen_seconds, "\U0010ffff"))]
        if not marks:
            del self._marks[key]


def _span(marks: Sequence[tuple[float, str]], from_seconds: float, until_seconds: float) -> tuple[int, int]:
    return bisect_left(marks, (from_seconds, "")), bisect_right(marks, (until_seconds, "\U0010ffff"))
