"""The reliable feed when a side comes back older than it was, or with another's cursor: told, and nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from bus_fakes import FakeLog, Town, event_lane, seqs

from anpr.bus import Gap, conversation
from anpr.bus.cursor import read_cursor
from anpr.bus.events import Thing, Unknown, event_id
from anpr.bus.protocol import Lane, Position
from anpr.errors import BusError
from anpr.records import Event


def test_a_consumer_restored_from_a_backup_is_refilled(town: Town, tmp_path: Path) -> None:
    town.commit("shssh")
    path = tmp_path / "cursor"
    first = town.subscriber(cursor=path)
    town.take(first, 2)
    first.ack()
    backup = path.read_bytes()
    town.take(first, 3)
    first.ack()
    first.close()
    town.until(lambda: town.log.saved.get("ioc") == (5, 5))
    path.write_bytes(backup)
    again = town.take(town.subscriber(cursor=path), 3)
    assert seqs(again) == [1, 3, 4]


def test_a_box_restored_from_a_backup_is_told_and_loses_nothing(town: Town, tmp_path: Path) -> None:
    town.commit("sss")
    path = tmp_path / "cursor"
    subscriber = town.subscriber(cursor=path)
    town.take(subscriber, 3)
    subscriber.ack()
    town.until(lambda: (subscriber.take(), town.log.saved.get("ioc") == (3, 3))[1])
    backup, saved = list(town.log.events), dict(town.log.saved)
    town.commit("sss", mark="old")
    town.take(subscriber, 3)
    subscriber.ack()
    restored = FakeLog()
    restored.events, restored.saved = backup, saved
    new = restored.add("ssss", epoch=3, mark="new")  # the same numbers, and one more
    town.restart(log=restored, epoch=3)
    gap, *events = town.take(subscriber, 5)
    assert gap == Gap(box="box-1", epoch=3, first_seq=4, last_seq=7, reason="renumbered")
    assert events == list(new)
    subscriber.ack()
    cursor = read_cursor(path, consumer="ioc")
    assert cursor is not None
    assert cursor.rest == Position(7, "sighting.snew-7.1")


def test_a_shorter_restored_box_is_noticed_by_its_numbers(town: Town) -> None:
    town.commit("ssss")
    subscriber = town.subscriber()
    town.take(subscriber, 4)
    subscriber.ack()
    restored = FakeLog()
    restored.add("s", epoch=2, mark="new")
    town.restart(log=restored)
    gap, event = town.take(subscriber, 2)
    assert isinstance(gap, Gap)
    assert gap.reason == "renumbered"
    assert event == restored.events[0]


class LeapingLog(FakeLog):
    """Of a store whose damaged newest day was set aside: its numbers go on far away."""

    def __init__(self, left: list[Event], last_seq: int) -> None:
        super().__init__()
        self.events = left
        self.leapt_to = last_seq

    @property
    def last_seq(self) -> int:
        return max(self.leapt_to, super().last_seq)

    def read(self, lane: Lane, *, after_seq: int, limit: int) -> Sequence[Event]:
        return [event for event in self.events if event.seq > after_seq and event_lane(event) == lane][:limit]

    def event_at(self, seq: int) -> Event | None:
        return next((event for event in self.events if event.seq == seq), None)


@pytest.mark.parametrize("with_cursor", [False, True])
def test_a_leap_of_the_numbers_holds_nobody_up(town: Town, tmp_path: Path, with_cursor: bool) -> None:
    cursor = tmp_path / "cursor" if with_cursor else None
    town.commit("shs")
    first = town.subscriber(cursor=cursor)
    town.take(first, 3)
    first.ack()
    first.close()
    town.until(lambda: not town.bus.standings[0].connected)
    town.until(lambda: town.log.saved.get("ioc") in ((2, 3), (3, 3)))  # whether it had heard that 3 is no hit
    log = LeapingLog(town.log.events[:1], 100_000_003)
    log.saved = town.log.saved
    town.restart(log=log)
    town.commit("sh")
    second = town.subscriber(cursor=cursor)
    assert seqs(town.take(second, 2)) == [100_000_005, 100_000_004]
    assert town.commit("s") == town.take(second, 1)
    second.ack()
    second.close()
    town.until(lambda: not town.bus.standings[0].connected)
    assert town.bus.standings[0].behind == 0


def test_a_restored_box_is_noticed_by_who_did_not_know_the_type_of_the_newest_event(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cursor"
    town.commit("sh")
    subscriber = town.subscriber(cursor=path)
    decoding = conversation.decode

    def older(payload: bytes) -> Thing | Unknown:
        """As a version that knows no hits decodes."""
        thing = decoding(payload)
        if isinstance(thing, Event) and event_lane(thing) == "hits":
            return Unknown("vn.anpr.hit.v1", thing.box, thing.epoch, thing.seq, event_id(thing))
        return thing

    monkeypatch.setattr(conversation, "decode", older)
    town.take(subscriber, 1)
    subscriber.ack()
    subscriber.close()
    restored = FakeLog()
    restored.saved = {"ioc": (0, 0)}
    restored.add("s")
    restored.add("hs", mark="new")
    town.restart(log=restored)
    gap, *events = town.take(town.subscriber(cursor=path), 3)
    assert isinstance(gap, Gap)
    assert gap.reason == "renumbered"
    assert seqs(events) == [1, 3]


def test_the_cursor_of_another_consumer_is_refused(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    town.commit("s")
    subscriber = town.subscriber(cursor=path)
    town.take(subscriber, 1)
    subscriber.ack()
    with pytest.raises(BusError, match="the cursor of ioc, not of archive"):
        town.subscriber("archive", cursor=path)
    unnamed = path.read_bytes().replace(b'"consumer":"ioc"', b'"consumer":""')  # as earlier versions wrote it
    path.write_bytes(unnamed)
    town.subscriber("archive", cursor=path)
