"""Dead letters sent once more: what is taken leaves the file, all else stays, and nothing is lost in between."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bridge_fakes import FakeSink, make_event

from anpr.bridges import Accepted, DeadLetters, Later, LeftOut, Outcome, Refused, SentAgain, send_again
from anpr.bridges import dead_letters as dead_letters_module
from anpr.bus import Gap
from anpr.clock import ManualClock
from anpr.records import Event

GAP = Gap(box="box-1", epoch=3, first_seq=4, last_seq=9, reason="expired")


@pytest.fixture
def letters(tmp_path: Path) -> DeadLetters:
    """Events 1 to 6, a gap between them, and half a line."""
    made = DeadLetters(tmp_path / "dead.jsonl", clock=ManualClock())
    for seq in range(1, 7):
        made.add(make_event(seq), Refused("refused", "HTTP 400"))
        if seq == 3:
            made.add_gap(GAP)
            with made.path.open("ab") as file:
                file.write(b'{"written": "2026-')
    return made


def again(letters: DeadLetters, answer: Callable[[Event], Outcome]) -> tuple[SentAgain, list[int]]:
    sink = FakeSink(answer)
    return asyncio.run(send_again(letters, sink)), sink.sent


def lines(letters: DeadLetters) -> list[Any]:
    """Numbers of events, reasons of gaps, and `None` for what is damaged."""
    found: list[Any] = []
    for line in letters.path.read_bytes().splitlines() if letters.path.exists() else ():
        try:
            said = json.loads(line)
        except ValueError:
            found.append(None)
        else:
            found.append(int(said["event"]["sequence"]) if "event" in said else said["reason"])
    return found


def test_what_is_taken_leaves_the_file_and_what_is_no_event_stays(letters: DeadLetters) -> None:
    done, sent = again(letters, lambda event: LeftOut("form") if event.seq == 2 else Accepted())
    assert sent == [1, 2, 3, 4, 5, 6]
    assert done == SentAgain(delivered=6, refused=0, left=2)
    assert lines(letters) == ["expired", None]
    assert not letters.aside.exists()
    assert again(letters, lambda event: Accepted()) == (SentAgain(delivered=0, refused=0, left=2), [])


def test_what_is_refused_again_stays_with_its_new_reason(letters: DeadLetters) -> None:
    done, _ = again(letters, lambda event: Refused("too large", "HTTP 413") if event.seq == 4 else Accepted())
    assert done == SentAgain(delivered=5, refused=1, left=2)
    assert lines(letters) == [4, "expired", None]
    assert json.loads(letters.path.read_bytes().splitlines()[0])["reason"] == "too large"


def test_what_must_come_later_stays_with_all_that_follows(letters: DeadLetters) -> None:
    done, _ = again(letters, lambda event: Later("busy", "HTTP 503") if event.seq == 3 else Accepted())
    assert done == SentAgain(delivered=2, refused=0, left=6, problem="busy: HTTP 503")
    assert lines(letters) == ["expired", None, 3, 4, 5, 6]


def test_without_dead_letters_nothing_is_made(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl", clock=ManualClock())
    assert again(letters, lambda event: Accepted()) == (SentAgain(delivered=0, refused=0, left=0), [])
    assert list(tmp_path.iterdir()) == []


def test_what_was_broken_off_is_sent_again_whole(letters: DeadLetters) -> None:
    def broken(event: Event) -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        again(letters, broken)
    letters.add(make_event(7), Refused("refused", "HTTP 400"))
    done, sent = again(letters, lambda event: Accepted())
    assert sent == [1, 2, 3, 4, 5, 6]
    assert done.delivered == 6
    assert lines(letters) == [7, "expired", None]


def test_a_bridge_that_writes_while_the_file_is_set_aside_loses_nothing(
    letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def set_aside_first(file: int, how: int) -> None:
        monkeypatch.setattr(dead_letters_module.fcntl, "flock", lock)
        assert len(letters.set_aside()) == 8
        lock(file, how)

    monkeypatch.setattr(dead_letters_module.fcntl, "flock", set_aside_first)
    letters.add(make_event(7), Refused("refused", "HTTP 400"))
    assert lines(letters) == [7]
