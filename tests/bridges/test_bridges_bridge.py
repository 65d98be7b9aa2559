"""The loop between a box and a broker: order, acknowledgements, dead letters, waits."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from bridge_fakes import FakeFeed, FakeSink, make_bridge, make_event, run_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making_records import make_hit

from anpr.bridges import Accepted, DeadLetters, Later, LeftOut, Outcome, Refused
from anpr.bridges import bridge as bridge_module
from anpr.bridges.back_off import LONGEST_ASKED_SECONDS, BackOff
from anpr.bus import Gap
from anpr.bus.events import decode
from anpr.clock import ManualClock
from anpr.records import Event


def dead_lines(folder: Path) -> list[dict[str, object]]:
    path = folder / "dead.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_what_the_broker_has_is_acknowledged_in_order(tmp_path: Path) -> None:
    feed = FakeFeed([make_event(seq) for seq in range(1, 11)])
    sink = FakeSink(lambda event: Accepted())
    bridge = make_bridge(feed, sink, tmp_path)
    run_until(bridge.run(), lambda: feed.acknowledged[-1:] == [10])
    assert sink.sent == list(range(1, 11))
    assert feed.acknowledged == [4, 8, 10]
    assert bridge.facts() == {"bridge_delivered": 10}


@pytest.mark.parametrize(("answers_after", "acknowledged"), [(0.05, [4]), (60.0, [])])
def test_what_is_under_way_at_the_end_has_a_moment_to_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers_after: float, acknowledged: list[int]
) -> None:
    monkeypatch.setattr(bridge_module, "FINISH_SECONDS", 0.5)

    class SlowSink(FakeSink):
        async def send(self, events: Sequence[Event]) -> list[Outcome]:
            outcomes = await super().send(events)
            await asyncio.sleep(answers_after)
            return outcomes

    feed = FakeFeed([make_event(seq) for seq in range(1, 11)])
    sink = SlowSink(lambda event: Accepted())
    bridge = make_bridge(feed, sink, tmp_path)
    run_until(bridge.run(), lambda: sink.sent)
    assert sink.sent == [1, 2, 3, 4]  # and nothing more is begun
    assert feed.acknowledged == acknowledged


def test_what_must_come_later_is_sent_again_with_all_that_follows(tmp_path: Path) -> None:
    tries: dict[int, int] = {}

    def answer(event: Event) -> Outcome:
        tries[event.seq] = tries.get(event.seq, 0) + 1
        return Later("busy", "HTTP 503") if event.seq == 2 and tries[2] < 3 else Accepted()

    feed = FakeFeed([make_event(seq) for seq in (1, 2, 3)])
    sink = FakeSink(answer)
    bridge = make_bridge(feed, sink, tmp_path)
    run_until(bridge.run(), lambda: feed.acknowledged[-1:] == [3])
    assert sink.sent == [1, 2, 3, 2, 3, 2, 3]
    assert feed.acknowledged == [1, 3]
    assert bridge.facts() == {"bridge_delivered": 3, "bridge_retries.busy": 2}


def test_what_is_refused_for_good_is_on_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    feed = FakeFeed([make_event(1), make_event(2)])
    on_disk: list[int] = []
    acknowledge = feed.ack

    def ack(event: Event | None = None) -> None:
        on_disk.append(len(dead_lines(tmp_path)))
        acknowledge(event)

    feed.ack = ack  # type: ignore[method-assign]
    sink = FakeSink(lambda event: Refused("too large", "HTTP 413") if event.seq == 1 else Accepted())
    bridge = make_bridge(feed, sink, tmp_path)
    run_until(bridge.run(), lambda: feed.acknowledged == [2])
    assert on_disk == [1]
    (line,) = dead_lines(tmp_path)
    assert (line["reason"], line["problem"]) == ("too large", "HTTP 413")
    assert decode(json.dumps(line["event"]).encode()) == make_event(1)
    assert bridge.facts() == {"bridge_dead_letters.too large": 1, "bridge_delivered": 1}


def test_without_a_dead_letter_file_nothing_is_acknowledged(tmp_path: Path) -> None:
    feed = FakeFeed([make_event(1)])
    bridge = make_bridge(feed, FakeSink(lambda event: Refused("refused", "HTTP 400")), tmp_path)
    (tmp_path / "dead.jsonl").mkdir()
    run_until(bridge.run(), lambda: bridge.counters.total("bridge_retries") > 3)
    assert feed.acknowledged == []


def test_topics_that_are_not_asked_for_are_acknowledged_and_not_sent(tmp_path: Path) -> None:
    feed = FakeFeed([make_event(1), make_event(2, make_hit()), make_event(3)])
    sink = FakeSink(lambda event: Accepted())
    bridge = make_bridge(feed, sink, tmp_path, topics=("hit.ALERT.", "coverage."))
    run_until(bridge.run(), lambda: feed.acknowledged == [3])
    assert sink.sent == [2]
    assert bridge.facts() == {"bridge_left_out.topic": 2, "bridge_delivered": 1}


def test_what_the_form_has_no_place_for_is_counted(tmp_path: Path) -> None:
    feed = FakeFeed([make_event(1)])
    bridge = make_bridge(feed, FakeSink(lambda event: LeftOut("form")), tmp_path)
    run_until(bridge.run(), lambda: feed.acknowledged == [1])
    assert bridge.facts() == {"bridge_left_out.form": 1}


def test_a_gap_is_written_down(tmp_path: Path) -> None:
    gap = Gap(box="box-1", epoch=3, first_seq=4, last_seq=9, reason="expired")
    feed = FakeFeed([make_event(1), gap, make_event(10)])
    run_until(make_bridge(feed, FakeSink(lambda event: Accepted()), tmp_path).run(), lambda: feed.acknowledged == [10])
    (line,) = dead_lines(tmp_path)
    assert line["reason"] == "expired"
    assert line["gap"] == {"box": "box-1", "epoch": 3, "first_seq": 4, "last_seq": 9, "reason": "expired"}


def test_the_box_hears_of_us_while_the_broker_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anpr.bridges.bridge.TELL_SECONDS", 0.005)
    feed = FakeFeed([make_event(1)])
    bridge = make_bridge(feed, FakeSink(lambda event: Later("unreachable", "nobody there", 60.0)), tmp_path)
    run_until(bridge.run(), lambda: feed.told >= 3)
    assert feed.acknowledged == []
    assert bridge.facts() == {"bridge_retries.unreachable": 1}


def test_a_fault_of_the_program_ends_the_bridge_and_acknowledges_nothing(tmp_path: Path) -> None:
    def answer(event: Event) -> Outcome:
        raise ZeroDivisionError

    feed = FakeFeed([make_event(1)])
    with pytest.raises(ZeroDivisionError):
        run_until(make_bridge(feed, FakeSink(answer), tmp_path).run(), lambda: False)
    assert feed.acknowledged == []


def test_a_half_written_line_is_closed_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text('{"written": "2026-')
    DeadLetters(path, clock=ManualClock()).add(make_event(1), Refused("refused", "HTTP 400"))
    first, second = path.read_text().splitlines()
    assert first == '{"written": "2026-'
    assert json.loads(second)["written"] == "2026-01-01T00:00:00.000+00:00"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    answers=st.lists(st.sampled_from(["accept", "later", "refuse", "leave out"]), max_size=60),
    at_once=st.integers(1, 7),
)
def test_whatever_the_broker_answers_each_event_is_settled_once_in_order(
    tmp_path: Path, answers: list[str], at_once: int
) -> None:
    (tmp_path / "dead.jsonl").unlink(missing_ok=True)
    made: dict[str, Outcome] = {
        "accept": Accepted(),
        "later": Later("failed", "HTTP 500"),
        "refuse": Refused("refused", "HTTP 400"),
        "leave out": LeftOut("form"),
    }
    following: Iterator[str] = iter(answers)
    feed = FakeFeed([make_event(seq) for seq in range(1, 13)])
    bridge = make_bridge(feed, FakeSink(lambda event: made[next(following, "accept")], at_once=at_once), tmp_path)
    run_until(bridge.run(), lambda: feed.acknowledged[-1:] == [12])
    assert feed.acknowledged == sorted(set(feed.acknowledged))
    settled = sum(map(bridge.counters.total, ("bridge_delivered", "bridge_dead_letters", "bridge_left_out")))
    assert settled == 12
    assert bridge.counters.total("bridge_dead_letters") == len(dead_lines(tmp_path))


def test_waits_double_up_to_the_longest_and_begin_anew() -> None:
    waits = BackOff(first_seconds=1.0, longest_seconds=5.0, chance=random.Random(1))
    for full in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert full / 2 <= waits.next_seconds() <= full
    waits.reset()
    assert waits.next_seconds() <= 1.0


def test_the_broker_is_never_asked_sooner_than_it_wants_but_at_most_an_hour_later() -> None:
    waits = BackOff()
    assert waits.next_seconds(asked_seconds=7.0) == 7.0
    assert waits.next_seconds(asked_seconds=1e9) == LONGEST_ASKED_SECONDS
    assert waits.next_seconds(asked_seconds=0.0) >= 1.0
