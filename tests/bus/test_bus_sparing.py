"""What peers bring about is told sparingly, and nothing of it is forgotten."""

from __future__ import annotations

from anpr.bus.sparing import INTERVAL_SECONDS, MOST_KINDS, Sparing
from anpr.clock import ManualClock


def test_so_many_are_told_in_an_interval_and_the_rest_with_the_next() -> None:
    clock = ManualClock()
    sparing = Sparing(clock)
    assert [sparing.due("a", most=2) for _ in range(5)] == [0, 0, None, None, None]
    assert sparing.due("b") == 0
    clock.advance(INTERVAL_SECONDS)
    assert [sparing.due("a", most=2) for _ in range(3)] == [3, 0, None]
    clock.advance(INTERVAL_SECONDS)
    assert sparing.due("a", most=2) == 1


def test_kinds_without_end_are_bounded() -> None:
    clock = ManualClock()
    sparing = Sparing(clock)
    for number in range(3 * MOST_KINDS):
        assert sparing.due(str(number)) == 0
    assert len(sparing._kinds) == MOST_KINDS
    assert sparing.due(str(3 * MOST_KINDS - 1)) is None
