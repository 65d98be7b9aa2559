from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.video.timeline import Timeline

STAMPS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=60)


@given(STAMPS)
def test_never_goes_back(stamps: list[float | None]) -> None:
    timeline = Timeline()
    places = [timeline.place(stamp) for stamp in stamps]
    assert places == sorted(places)
    assert timeline.index == len(stamps)


@given(st.lists(st.floats(0.001, 0.5), min_size=1, max_size=40), st.floats(-1e5, 1e5))
def test_steady_stamps_keep_their_distances(steps: list[float], start: float) -> None:
    timeline, stamp = Timeline(), start
    first = timeline.place(stamp)
    for step in steps:
        stamp += step
        assert timeline.place(stamp) - first == pytest.approx(stamp - start, abs=1e-6)


def test_a_new_count_goes_on_where_the_old_one_ended() -> None:
    timeline = Timeline(period_seconds=0.1)
    places = [timeline.place(stamp) for stamp in (47721.0, 47721.1, 0.0, 0.1, 0.2)]
    assert places == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert timeline.jumps == 1


def test_a_small_step_back_is_held() -> None:
    timeline = Timeline()
    assert [timeline.place(stamp) for stamp in (5.0, 5.08, 5.04, 5.12)] == pytest.approx([0.0, 0.08, 0.08, 0.12])
    assert timeline.jumps == 0


def test_a_pause_is_kept() -> None:
    timeline = Timeline(period_seconds=0.04)
    timeline.place(100.0)
    timeline.resume(62.5)
    assert [timeline.place(0.0), timeline.place(0.04)] == pytest.approx([62.5, 62.54])


def test_without_stamps_it_steps_by_the_period() -> None:
    timeline = Timeline(period_seconds=0.2)
    assert [timeline.place(None) for _ in range(3)] == pytest.approx([0.0, 0.2, 0.4])


def test_a_leap_forward_is_bridged_where_no_pause_can_be_so_long() -> None:
    timeline = Timeline(period_seconds=0.04, longest_step_seconds=30.0)
    places = [timeline.place(stamp) for stamp in (5.0, 5.04, 3605.0, 3605.04)]
    assert places == pytest.approx([0.0, 0.04, 0.08, 0.12])
    assert (timeline.jumps, timeline.leaps) == (0, 1)
    recorded = Timeline(period_seconds=0.04)
    assert [recorded.place(stamp) for stamp in (0.0, 120.0)] == [0.0, 120.0]


@given(st.lists(st.floats(0, 0.2), min_size=2, max_size=60), st.floats(0, 26.5))
def test_a_counter_of_33_bits_may_wrap(steps: list[float], start_from_end: float) -> None:
    length = 2**33 / 90_000
    timeline, stamp, expected = Timeline(longest_step_seconds=30.0), length - start_from_end / 10, 0.0
    timeline.place(stamp)
    for step in steps:
        wrapped = (stamp + step) % length
        period = 0.04 if wrapped < stamp else step
        stamp, expected = wrapped, expected + period
        assert timeline.place(stamp) == pytest.approx(expected, abs=1e-6)
