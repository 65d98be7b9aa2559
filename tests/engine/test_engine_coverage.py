"""The coverage ledger: gaps open and end with what the loops report, never overlap, and survive a death of the box."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_records import make_gap

from anpr.clock import ManualClock
from anpr.engine.coverage import Ledger
from anpr.engine.messages import CameraReport
from anpr.records import CoverageGap


def report(state: str, **facts: Any) -> CameraReport:
    return CameraReport("a", state, 0.0, (), {}, **facts)


class Book:
    """A ledger of one camera, and what it wrote."""

    def __init__(self, wall: float = 1000.0) -> None:
        self.clock = ManualClock(wall=wall)
        self.written: list[CoverageGap] = []
        self.kept = False
        self.ledger = Ledger(
            ["a"], site_id="site", clock=self.clock, take=self.written.append, is_kept=lambda: self.kept
        )

    def hear(self, state: str, **facts: Any) -> None:
        if state in ("streaming", "running"):
            facts.setdefault("picture_wall_seconds", self.clock.wall)
        self.ledger.hear(report(state, **facts))

    def stream(self) -> None:
        """A good start: no gap is left open."""
        self.ledger.begin(alive_seconds=None)
        self.hear("streaming", since_wall_seconds=self.clock.wall)
        self.written.clear()

    def told(self) -> list[tuple[str, str, float, float]]:
        return [(gap.reason, gap.state, gap.from_seconds, gap.until_seconds) for gap in self.written]


def test_an_outage_is_told_when_it_begins_and_when_it_ends() -> None:
    book = Book()
    book.stream()
    book.clock.advance(60)
    book.hear("streaming", since_wall_seconds=1000.0)
    book.clock.advance(5)
    book.hear("stalled", reason="connected, but silent", picture_wall_seconds=1060.5)
    assert book.told() == [("offline", "preview", 1060.5, 1065.0)]
    for state in ("connecting", "offline", "connecting"):
        book.clock.advance(10)
        book.hear(state, reason="no answer in time")
    assert len(book.written) == 1
    book.clock.advance(1)
    book.hear("streaming", since_wall_seconds=1095.25)
    begun, over = book.written
    assert (over.state, over.from_seconds, over.until_seconds) == ("final", 1060.5, 1095.25)
    assert (over.id, over.revision, over.detail) == (begun.id, 1, "connected, but silent")
    assert book.ledger.gap_seconds("a")["offline"] == pytest.approx(34.75)


def test_another_reason_is_another_gap_and_they_touch() -> None:
    book = Book()
    book.stream()
    book.clock.advance(10)
    book.hear("offline", reason="nothing listens there")
    book.clock.advance(10)
    book.hear("refused", reason="refused the user or the password")
    book.clock.advance(10)
    book.hear("streaming", since_wall_seconds=book.clock.wall)
    finals = [gap for gap in book.written if gap.state == "final"]
    assert [gap.reason for gap in finals] == ["offline", "refused"]
    assert finals[0].until_seconds == finals[1].from_seconds == 1020.0
    assert finals[1].until_seconds == 1030.0


def test_a_picture_that_shows_nothing_is_a_gap_from_where_that_began() -> None:
    book = Book()
    book.stream()
    book.clock.advance(100)
    book.hear("streaming", since_wall_seconds=1000.0)
    book.clock.advance(25)
    book.hear("streaming", since_wall_seconds=1000.0, condition="frozen", condition_wall_seconds=1090.0)
    book.clock.advance(25)
    book.hear("streaming", since_wall_seconds=1000.0, condition="", condition_wall_seconds=1148.0)
    assert book.told() == [("frozen", "preview", 1090.0, 1125.0), ("frozen", "final", 1090.0, 1148.0)]


def test_the_sum_of_the_gaps_never_falls() -> None:
    """Prometheus takes a counter that falls for one that began anew, and would count all of it twice."""
    book = Book()
    book.stream()
    book.clock.advance(25)
    book.hear("streaming", since_wall_seconds=1000.0, condition="frozen", condition_wall_seconds=1007.0)
    book.clock.advance(3600)
    before = book.ledger.gap_seconds("a")
    assert before == {"starting": 0.0, "frozen": 3625.0}
    book.hear("streaming", since_wall_seconds=1000.0, condition_wall_seconds=book.clock.wall - 4.0)
    assert book.written[-1].until_seconds - book.written[-1].from_seconds == 3621.0
    assert book.ledger.gap_seconds("a") == before
    book.clock.wall -= 86_400.0
    assert book.ledger.gap_seconds("a") == before


def test_too_many_dropped_pictures_are_a_gap_until_they_are_few() -> None:
    book = Book()
    book.stream()
    book.ledger.burden("a", "overload")
    book.clock.advance(30)
    book.hear("streaming", since_wall_seconds=1000.0)
    book.ledger.burden("a", None)
    assert book.told() == [("overload", "preview", 1000.0, 1000.0), ("overload", "final", 1000.0, 1030.0)]


def test_a_dead_worker_is_a_gap_until_pictures_come_again() -> None:
    book = Book()
    book.stream()
    book.clock.advance(10)
    book.ledger.lose(["a", "of another ledger"], "exit code -9")
    for state in ("starting", "connecting"):
        book.clock.advance(1)
        book.hear(state)
    book.hear("streaming", since_wall_seconds=1012.0)
    assert [(gap.reason, gap.detail) for gap in book.written] == [("failed", "exit code -9")] * 2
    assert book.written[-1].until_seconds == 1012.0


def test_a_start_finds_the_time_in_which_nothing_ran() -> None:
    book = Book()
    left = make_gap(camera_id="a", from_seconds=700.0)
    book.ledger.begin(alive_seconds=900.0, left_open=[left])
    assert book.written[0].until_seconds == 900.0
    assert (book.written[0].id, book.written[0].state) == (left.id, "final")
    book.hear("starting")
    book.hear("connecting")
    book.clock.advance(3)
    book.hear("streaming", since_wall_seconds=1003.0)
    assert book.told()[1:] == [("not_running", "preview", 900.0, 1000.0), ("not_running", "final", 900.0, 1003.0)]


def test_a_box_that_never_ran_begins_with_its_start() -> None:
    book = Book()
    book.ledger.begin(alive_seconds=None)
    assert book.told() == [("starting", "preview", 1000.0, 1000.0)]


def test_the_end_ends_all_gaps() -> None:
    book = Book()
    book.stream()
    book.hear("offline")
    book.clock.advance(7)
    book.hear("closed")
    book.ledger.end()
    assert [gap.state for gap in book.written] == ["preview", "final"]
    assert book.written[-1].until_seconds == 1007.0
    assert book.ledger.open_gap("a") is None


def test_a_clock_that_is_set_back_hides_no_outage() -> None:
    book = Book()
    book.stream()
    book.clock.advance(60)
    book.hear("offline", reason="no answer in time", picture_wall_seconds=1060.0)
    book.clock.advance(600)
    book.clock.wall -= 3600  # it was an hour ahead
    book.ledger.look()
    book.clock.advance(1200)
    book.hear("streaming", since_wall_seconds=book.clock.wall)
    finals = [gap for gap in book.written if gap.state == "final"]
    assert [(gap.reason, gap.detail) for gap in finals] == [("offline", "no answer in time")] * 2
    assert [(gap.from_seconds, gap.until_seconds) for gap in finals] == [(1060.0, 1660.0), (-1940.0, -740.0)]
    assert book.ledger.gap_seconds("a")["offline"] == 1800.0


@pytest.mark.parametrize("boots_at", [-1e6, 1000.0])
def test_a_box_without_a_clock_of_its_own_learns_for_how_long_it_was_off(boots_at: float) -> None:
    """It goes on where it was cut off, or long ago, until a time service sets it."""
    book = Book(wall=boots_at)
    book.ledger.begin(alive_seconds=999.0)
    book.hear("streaming", since_wall_seconds=boots_at)
    book.written.clear()
    book.clock.advance(20)
    before = max(book.clock.wall, 999.0)
    book.clock.wall = 9000.0
    book.ledger.look()
    assert book.written == [], "nobody says that this is the right time"
    book.kept = True
    for _ in range(2):
        book.clock.advance(5)
        book.ledger.look()
    assert book.told() == [("not_running", "preview", before, 9010.0 - 5.0), ("not_running", "final", before, 9000.0)]
    assert book.written[1].detail == f"the clock was behind until it was set forward by {9000.0 - before:.0f} s"
    assert book.ledger.open_gap("a") is None


@pytest.mark.parametrize("known", [True, False])
def test_a_clock_that_leaps_is_no_outage_if_it_was_kept_or_if_the_box_is_new(known: bool) -> None:
    book = Book()
    book.kept = known
    book.ledger.begin(alive_seconds=990.0 if known else None)
    book.hear("streaming", since_wall_seconds=1000.0)
    book.written.clear()
    book.clock.wall += 7200.0
    book.ledger.look()
    book.kept = True
    book.clock.advance(5)
    book.ledger.look()
    assert book.written == []


@pytest.mark.parametrize(
    ("alive", "told"), [(5000.0, [(-1e6, 10 - 1e6), (5000.0, 9005.0)]), (None, [(-1e6, 10 - 1e6), (9000.0, 9005.0)])]
)
def test_a_box_that_boots_long_ago_was_not_off_for_all_the_time_since(
    alive: float | None, told: list[tuple[float, float]]
) -> None:
    book = Book(wall=-1e6)
    book.ledger.begin(alive_seconds=alive)
    book.clock.advance(10)
    book.clock.wall = 9000.0
    book.hear("connecting")
    book.clock.advance(5)
    book.hear("streaming", since_wall_seconds=9005.0)
    finals = [(gap.from_seconds, gap.until_seconds) for gap in book.written if gap.state == "final"]
    assert finals == told


def test_a_machine_that_slept_was_not_watching() -> None:
    book = Book()
    book.kept = True
    book.ledger.begin(alive_seconds=990.0)
    book.hear("streaming", since_wall_seconds=1000.0)
    book.written.clear()
    book.clock.wall += 3600.0
    book.ledger.look()
    book.clock.advance(2)
    book.hear("offline", reason="the connection broke", picture_wall_seconds=1000.0)
    assert book.told() == [("offline", "preview", 1000.0, 4602.0)]


def test_a_clock_that_is_set_by_a_blink_is_not_followed() -> None:
    book = Book()
    book.stream()
    book.clock.wall += 4.0
    book.ledger.look()
    assert book.written == []


REPORTS = st.builds(
    lambda state, condition, since, good: (state, condition, since, good),
    st.sampled_from(["starting", "connecting", "streaming", "stalled", "offline", "refused", "crashed", "closed"]),
    st.sampled_from(["", "", "frozen", "black"]),
    st.floats(-20, 0),
    st.floats(-20, 0),
)


@given(st.lists(st.tuples(REPORTS, st.floats(-60, 30), st.sampled_from([None, None, "overload", "lose"])), max_size=30))
def test_whatever_is_reported_gaps_never_overlap_and_each_is_ended_once(
    story: list[tuple[tuple[str, str, float, float], float, str | None]],
) -> None:
    book = Book()
    book.ledger.begin(alive_seconds=990.0)
    steps_back = False
    for (state, condition, since, good), seconds, event in story:
        steps_back = steps_back or seconds < 0
        book.clock.wall += seconds
        book.clock.monotonic += max(seconds, 0.0)
        now = book.clock.wall
        book.hear(
            state,
            condition=condition,
            since_wall_seconds=now + since,
            condition_wall_seconds=now + since,
            picture_wall_seconds=now + good,
        )
        if event == "lose":
            book.ledger.lose(["a"], "exit code 1")
        else:
            book.ledger.burden("a", "overload" if event else None)
    book.ledger.end()
    previews = [gap for gap in book.written if gap.state == "preview"]
    finals = [gap for gap in book.written if gap.state == "final"]
    assert [gap.id for gap in previews] == [gap.id for gap in finals]
    assert len({gap.id for gap in finals}) == len(finals)
    assert all(gap.until_seconds >= gap.from_seconds for gap in finals)
    if not steps_back:
        assert all(one.until_seconds <= other.from_seconds for one, other in pairwise(finals))
