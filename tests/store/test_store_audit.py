from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store.audit import AuditLog, Head, Request

REQUEST = Request("search", "a stolen car", "17/2026", {"plate": "30A*"})


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> AuditLog:
    log = AuditLog(tmp_path, clock=clock)
    for rows in range(5):
        log.append(REQUEST, rows=rows)
    return log


def change(log: AuditLog, alter: Callable[[list[bytes]], list[bytes]]) -> tuple[str, ...]:
    log.file.write_bytes(b"".join(alter(log.file.read_bytes().splitlines(keepends=True))))
    return log.verify().problems


def test_lines_say_who_when_why_and_how_many(log: AuditLog) -> None:
    lines = list(log.lines())
    assert [(line.number, line.rows) for line in lines] == [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]
    assert (lines[0].purpose, lines[0].case, lines[0].asked) == ("a stolen car", "17/2026", {"plate": "30A*"})
    assert lines[0].user_id == os.getuid()
    assert lines[0].at.endswith("+00:00")
    verdict = log.verify()
    assert verdict == (Head(5, lines[4].sha256), ())
    assert stat.S_IMODE(log.file.stat().st_mode) == 0o660
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o2770


@pytest.mark.parametrize("at", range(5))
def test_a_line_that_is_gone_is_told(log: AuditLog, at: int) -> None:
    problems = change(log, lambda lines: lines[:at] + lines[at + 1 :])
    place = "log.jsonl:" + str(at + 1) if at < 4 else "ends with line 4, but the newest written was 5"
    assert any(place in problem for problem in problems)


@pytest.mark.parametrize("at", range(5))
def test_a_changed_byte_is_told_with_its_line(log: AuditLog, at: int) -> None:
    whole = log.file.read_bytes().splitlines(keepends=True)
    for byte in range(0, len(whole[at]) - 1, 9):
        line = bytearray(whole[at])
        line[byte] ^= 1
        problems = change(log, lambda _, line=line: [*whole[:at], bytes(line), *whole[at + 1 :]])  # type: ignore[misc]
        assert any(f"log.jsonl:{number}:" in problem for problem in problems for number in (at + 1, at + 2)), byte


def test_a_line_written_anew_with_its_own_hash_is_told(log: AuditLog, tmp_path: Path, clock: ManualClock) -> None:
    other = AuditLog(tmp_path / "other", clock=clock)
    for rows in (0, 1, 99, 3, 4):
        other.append(REQUEST, rows=rows)
    forged = other.file.read_bytes().splitlines(keepends=True)
    assert "log.jsonl:4:" in change(log, lambda lines: [*lines[:2], forged[2], *lines[3:]])[0]
    assert change(log, lambda lines: [*lines[:2], *forged[2:]])[-1].endswith("is not the line that was written last")


def test_lines_in_another_order_are_told(log: AuditLog) -> None:
    problems = change(log, lambda lines: [lines[0], lines[2], lines[1], *lines[3:]])
    assert "log.jsonl:2: entry 2 is missing: entry 3 stands here" in problems[0]
    assert "log.jsonl:3: entry 2 stands here, out of order" in problems[1]


def test_a_log_written_anew_is_found_by_a_head_that_was_noted(log: AuditLog, clock: ManualClock) -> None:
    noted = log.verify().head
    log.append(REQUEST, rows=9)
    assert log.verify(noted).problems == ()
    for path in log.path.iterdir():
        path.unlink()
    clock.advance(1.0)
    for _ in range(6):
        log.append(REQUEST, rows=0)
    assert log.verify().problems == ()
    assert "line 5 is not the one whose hash was noted" in log.verify(noted).problems[0]


def test_after_lines_were_taken_away_nothing_is_answered(log: AuditLog) -> None:
    change(log, lambda lines: lines[:3])
    with pytest.raises(StoreError, match=r"does not end with line 5.*anpr audit verify"):
        log.append(REQUEST, rows=1)
    log.file.unlink()
    with pytest.raises(StoreError, match="does not end with line 5"):
        log.append(REQUEST, rows=1)


def test_a_power_cut_within_a_line_or_before_the_head_does_no_harm(log: AuditLog) -> None:
    head = (log.path / "head.json").read_bytes()
    log.append(REQUEST, rows=5)
    (log.path / "head.json").write_bytes(head)
    assert log.verify().problems == ()
    with log.file.open("ab") as file:
        file.write(b'{"number":7,"at"')
    assert "log.jsonl:7: the last line is cut off" in log.verify().problems[0]
    assert log.append(REQUEST, rows=6).number == 7
    assert log.verify().problems == ()


def test_what_cannot_be_written_raises(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "log.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        AuditLog(tmp_path, clock=clock).append(REQUEST, rows=0)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(StoreError, match="request is too long"):
        AuditLog(tmp_path / "b", clock=clock).append(Request("search", "x", "y", {"plate": "x" * 70_000}), rows=0)


@pytest.mark.parametrize(("purpose", "case"), [("", "1"), (" ", "1"), ("x", "\n"), ("x\x1b[2J", "1"), ("x" * 201, "1")])
def test_a_request_without_words_is_refused(purpose: str, case: str) -> None:
    with pytest.raises(StoreError):
        Request("search", purpose, case)


def test_a_line_is_plain_json(log: AuditLog) -> None:
    assert json.loads(log.file.read_bytes().splitlines()[0])["previous"] == "0" * 64


def test_who_waits_while_lines_are_taken_away_adds_to_the_new_log(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, clock=ManualClock())
    for _ in range(3):
        log.append(REQUEST, rows=1)
    waiting = threading.Thread(target=lambda: AuditLog(tmp_path, clock=ManualClock()).append(REQUEST, rows=4))
    told: list[tuple[int, int]] = []

    def note(first: int, last: Head) -> None:
        told.append((first, last.number))
        waiting.start()
        time.sleep(0.2)

    assert log.cut(2, note) == 2
    waiting.join(10)
    assert told == [(1, 2)]
    assert [(line.number, line.rows) for line in log.lines()] == [(3, 1), (4, 4)]
    begins = [Head(2, next(iter(log.lines())).previous)]
    assert log.verify(begins=begins).problems == ()
    assert log.verify(begins=[Head(2, "f" * 64)]).problems != ()
    assert log.cut(9, note=lambda first, last: None) == 1
    assert [line.number for line in log.lines()] == [4]


def test_what_cannot_be_told_is_not_taken_away(tmp_path: Path) -> None:
    def refuse(_first: int, _last: Head) -> None:
        raise StoreError("the disk is full")

    log = AuditLog(tmp_path, clock=ManualClock())
    for _ in range(3):
        log.append(REQUEST, rows=1)
    with pytest.raises(StoreError, match="full"):
        log.cut(2, refuse)
    assert log.verify().problems == ()
    assert log.verify().head.number == 3


def test_no_line_is_added_while_it_rests_also_if_some_are_taken_away_just_then(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, kinds = fcntl.flock, list[int]()

    def lock_late(file: BinaryIO, kind: int) -> None:
        if not kinds:
            shutil.copy(log.file, log.path / "log.new")
            (log.path / "log.new").replace(log.file)
        kinds.append(kind)
        lock(file, kind)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with log.at_rest(), log.file.open("rb") as again, pytest.raises(BlockingIOError):
        lock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert kinds == [fcntl.LOCK_SH] * 2
