"""Nothing is old because a clock was wrong: stories of clocks that are set, stand still, and are put right."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anpr.clock import ManualClock, SystemClock
from anpr.store.retention import DAY_SECONDS
from anpr.store.trust import MOST_JUMP_SECONDS, Age, TrustedClock, kernel_says_right

YEAR_SECONDS = 365 * DAY_SECONDS


def trusted(clock: ManualClock, *, lived_seconds: float = 0.0, right: bool = False) -> TrustedClock:
    return TrustedClock(clock, lived_seconds=lived_seconds, synchronised=lambda: right)


def test_time_that_the_box_lives_through_is_believed() -> None:
    clock = ManualClock()
    trust = trusted(clock)
    clock.advance(400 * DAY_SECONDS)
    assert trust.trusted
    assert trust.now_seconds == trust.latest_seconds == clock.wall


@pytest.mark.parametrize("jump", [YEAR_SECONDS, -YEAR_SECONDS, MOST_JUMP_SECONDS + 1, -MOST_JUMP_SECONDS - 1])
def test_a_jump_of_more_than_a_day_is_not_believed_until_somebody_vouches(jump: float) -> None:
    clock = ManualClock()
    trust = trusted(clock)
    clock.wall += jump
    assert trust.turn() is None
    assert not trust.trusted
    assert trust.confirm() == jump
    assert trust.trusted
    assert trust.sure


def test_small_jumps_add_up() -> None:
    clock = ManualClock()
    trust = trusted(clock)
    for _ in range(3):
        clock.advance(3600.0)
        clock.wall += 0.4 * DAY_SECONDS
    assert not trust.trusted


def test_time_away_counts_as_a_jump_for_which_a_time_service_vouches() -> None:
    clock = ManualClock()
    before = trusted(clock)
    clock.wall += 3 * DAY_SECONDS
    assert not trusted(clock, lived_seconds=before.lived_seconds).trusted
    again = trusted(clock, lived_seconds=before.lived_seconds, right=True)
    assert again.turn() == 3 * DAY_SECONDS
    assert again.trusted


def test_in_doubt_now_is_early_and_what_was_written_is_late() -> None:
    clock = ManualClock()
    trust = trusted(clock)
    true = clock.wall
    clock.wall += 0.9 * DAY_SECONDS
    assert (trust.now_seconds, trust.latest_seconds) == (true, clock.wall)
    clock.wall -= 1.8 * DAY_SECONDS
    assert (trust.now_seconds, trust.latest_seconds) == (clock.wall, true)


def test_what_was_written_at_a_time_that_nobody_vouched_for_may_have_been_written_just_now() -> None:
    boot = Age(0.0, 5, sure=False)
    assert boot.after_doubt(2e9, 2e9) == Age(2e9, 5, sure=True)
    assert Age(0.0, 5, sure=True).after_doubt(2e9, 2e9) == Age(0.0, 5, sure=True)
    assert boot.after_doubt(2e9, 60.0) == boot
    ahead = Age(3e9, 5, sure=True)
    assert ahead.after_doubt(2e9, -1e9).until_seconds == 2e9


@dataclass
class Written:
    """A day's records: when they truly were written, and what the box noted of them."""

    true_seconds: float
    age: Age


STEPS = st.one_of(
    st.tuples(st.just("write"), st.just(0.0)),
    st.tuples(st.just("live"), st.floats(1.0, 4 * DAY_SECONDS)),
    st.tuples(st.just("set"), st.floats(-2 * YEAR_SECONDS, 2 * YEAR_SECONDS)),
    st.tuples(st.just("nudge"), st.floats(-DAY_SECONDS, DAY_SECONDS)),
    st.tuples(st.just("off"), st.floats(1.0, 40 * DAY_SECONDS)),
    st.tuples(st.just("off with a dead battery"), st.floats(1.0, 40 * DAY_SECONDS)),
    st.tuples(st.just("put right"), st.just(0.0)),
    st.tuples(st.just("confirm"), st.just(0.0)),
)


@settings(max_examples=600)
@example(0.0, [("write", 0.0), ("set", YEAR_SECONDS)], 1)
@example(0.0, [("put right", 0.0), ("write", 0.0), ("nudge", 0.9 * DAY_SECONDS), ("live", 0.5 * DAY_SECONDS)], 1)
@example(0.0, [("off", 7e4), ("nudge", -7e4), ("write", 0.0), ("put right", 0.0), ("live", 0.5 * DAY_SECONDS)], 1)
@example(-YEAR_SECONDS, [("write", 0.0), ("put right", 0.0)], 30)
@given(st.floats(-40 * YEAR_SECONDS, 10 * YEAR_SECONDS) | st.just(0.0), st.lists(STEPS, max_size=20), st.integers(1, 3))
def test_nothing_is_ever_old_before_its_time(wrong_at_first: float, story: list[tuple[str, float]], days: int) -> None:
    """Whatever happens to the clock, what is found to be older than `days` truly is; as in the keeper's turns."""
    true = 1_800_000_000.0
    clock = ManualClock(wall=true + wrong_at_first)
    right = False

    def service() -> bool:
        return right

    trust = TrustedClock(clock, lived_seconds=0.0, synchronised=service)
    kept: list[Written] = []

    def turn(moved_seconds: float | None = None) -> None:
        moved = trust.turn() if moved_seconds is None else moved_seconds
        if moved is not None:
            for each in kept:
                each.age = each.age.after_doubt(trust.latest_seconds, moved)

    for what, amount in story:
        if what == "live":
            for _ in range(4):
                clock.advance(amount / 4)
                true += amount / 4
                turn()
        elif what in ("set", "nudge"):
            clock.wall, right = clock.wall + amount, False
        elif what.startswith("off"):
            true, right = true + amount, False
            clock.wall += 0.0 if "battery" in what else amount
            clock.monotonic = 0.0
            trust = TrustedClock(clock, lived_seconds=trust.lived_seconds, synchronised=service)
        elif what == "put right":
            clock.wall, right = true, True
        elif what == "confirm":
            clock.wall, right = true, False
            turn(trust.confirm())
        turn()
        if what == "write" and trust.trusted:
            kept.append(Written(true, Age(trust.latest_seconds, 1, trust.sure)))
        if trust.trusted:
            old = [each for each in kept if each.age.latest_seconds + days * DAY_SECONDS <= trust.now_seconds]
            for each in old:
                assert true - each.true_seconds >= days * DAY_SECONDS - 1e-3
            kept = [each for each in kept if each not in old]


def test_the_kernel_is_asked_about_its_own_clock_only() -> None:
    assert kernel_says_right(ManualClock(wall=0.0)) is False
    assert kernel_says_right(SystemClock()) in (True, False)
