"""Registers: an answer in time, or unknown; a slow one is left alone for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from web_servers import QuietHandler, serving

from anpr.clock import ManualClock
from anpr.errors import ConfigError
from anpr.rules.lookups import KEPT_SECONDS, REST_SECONDS, Lookups, Record
from anpr.rules.registers import MOST_ANSWER_BYTES, http_register, parse_register
from anpr.rules.values import MOMENT


class Register:
    """Counts what it is asked; may be held up or made to fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.error: Exception | None = None

    def __call__(self, plate: str) -> Record | None:
        self.asked.append(plate)
        self.open.wait(5.0)
        if self.error is not None:
            raise self.error
        return {"status": "ok"} if plate.startswith("2") else None


def test_answers_are_kept_for_a_while() -> None:
    register, clock = Register(), ManualClock()
    lookups = Lookups(clock)
    lookups.register("r", register)
    try:
        assert lookups.ask("r", "29A12345") == {"status": "ok"}
        assert lookups.ask("r", "30A12345") == {}
        assert lookups.ask("r", "29A12345") == {"status": "ok"}
        assert register.asked == ["29A12345", "30A12345"]
        clock.advance(KEPT_SECONDS)
        lookups.ask("r", "29A12345")
        assert len(register.asked) == 3
    finally:
        lookups.close()


def test_a_register_that_is_not_there_is_unknown() -> None:
    assert Lookups(ManualClock()).ask("r", "29A12345") is None


def test_a_name_is_taken_once() -> None:
    lookups = Lookups(ManualClock())
    lookups.register("r", Register(), timeout_seconds=None)
    assert lookups.names == {"r"}
    with pytest.raises(ValueError, match="there already"):
        lookups.register("r", Register())


def test_a_late_answer_is_unknown_and_the_register_rests() -> None:
    register, clock = Register(), ManualClock()
    register.open.clear()
    lookups = Lookups(clock)
    lookups.register("r", register, timeout_seconds=0.02)
    try:
        assert lookups.ask("r", "29A12345") is None
        assert lookups.ask("r", "29A12346") is None
        assert lookups.counters.counts == {("lookups_unknown", "late"): 1, ("lookups_unknown", "resting"): 1}
        assert register.asked == ["29A12345"], "a resting register is left alone"
        register.open.set()
        clock.advance(REST_SECONDS)
        lookups.register("other", lambda _: {"x": 1}, timeout_seconds=None)
        assert _ask_until_known(lookups, clock) == {"status": "ok"}
    finally:
        lookups.close()


def _ask_until_known(lookups: Lookups, clock: ManualClock) -> Record | None:
    for _ in range(100):
        answer = lookups.ask("r", "29A12345")
        if answer is not None:
            return answer
        clock.advance(REST_SECONDS)
    return None


def test_a_failure_is_unknown_and_counted() -> None:
    register, clock = Register(), ManualClock()
    register.error = ConnectionError("refused")
    lookups = Lookups(clock)
    lookups.register("r", register)
    try:
        assert lookups.ask("r", "29A12345") is None
        assert lookups.counters.counts == {("lookups_unknown", "failed"): 1}
        register.error = None
        clock.advance(REST_SECONDS)
        assert lookups.ask("r", "29A12345") == {"status": "ok"}
    finally:
        lookups.close()


def test_what_nobody_can_read_is_counted_and_told_once() -> None:
    lookups = Lookups(ManualClock())
    with capture_logs() as logged:
        for name in ("until", "until", "tonnes"):
            lookups.tell_unreadable("r", name, MOMENT)
    assert lookups.counters.counts == {("lookups_unknown", "unreadable"): 3}
    assert [entry["event"] for entry in logged] == ["register_unreadable"] * 2
    assert logged[0]["problem"].startswith("until is not a date (day/month/year like 31/03/2026")


def test_a_register_that_never_answers_does_not_hold_up_the_end() -> None:
    register = Register()
    register.open.clear()
    lookups = Lookups(ManualClock())
    lookups.register("r", register, timeout_seconds=0.01)
    lookups.ask("r", "29A12345")
    lookups.close()
    threads = [thread for thread in threading.enumerate() if thread.name == "register-r"]
    assert {thread.daemon for thread in threads} == {True}
    register.open.set()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()


def test_a_daily_list(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    path.write_text("\ufeffplate,inspection_until,status\n29A-123.45,2026-10-02,\n30A-123.45,,ok\n", encoding="utf-8")
    records, left_out = parse_register(path.read_bytes(), path)
    assert left_out.rows == 0
    assert records.get("29A12345") == {"inspection_until": "2026-10-02"}
    assert records.get("30A12345") == {"status": "ok"}
    assert records.get("98C01234") is None


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x0c"])
def test_what_is_a_new_line_elsewhere_makes_no_row(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "registry.csv"
    path.write_text(f"plate,owner,status\n29A-123.45,evil{mark}51F-678.90,ok\n", encoding="utf-8")
    assert parse_register(path.read_bytes(), path)[0] == {
        "29A12345": {"owner": f"evil{mark}51F-678.90", "status": "ok"}
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("number,status\n", ":1: the column 'plate' is missing (add it)"),
        ("plate,status\n29A-123.45\n", ":2: 1 fields where the header has 2 (put texts in quotes)"),
        ("plate,status\n29A-123.45,a,b\n", ":2: 3 fields where the header has 2 (put texts in quotes)"),
        (
            "plate,status\nX,a\n",
            ":2: plate 'X' is no Vietnamese plate: 1 characters are too few, a plate has at least 5 (like",
        ),
        ('plate,status\n"29A\n', ":2: broken quoting: unexpected end of data (close the quote on the same line)"),
    ],
)
def test_a_bad_daily_list(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "registry.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        parse_register(path.read_bytes(), path)
    assert caught.value.problems[0].startswith(f"{path}{expected}")


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, tuple[int, bytes]]]]:
    """A register's address, and what it answers by path."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.answer(*answers.get(self.path, (404, b"")))

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/vehicles/{{plate}}", answers


def test_a_register_over_http(served: tuple[str, dict[str, tuple[int, bytes]]]) -> None:
    url, answers = served
    answers["/vehicles/29A12345"] = (200, b'{"fines": 2, "status": "ok", "stolen": false, "owner": null, "more": [1]}')
    ask = http_register(url, timeout_seconds=5.0)
    assert ask("29A12345") == {"fines": 2, "status": "ok", "stolen": False}
    assert ask("30A12345") is None


@pytest.mark.parametrize(
    ("code", "body"), [(500, b""), (200, b"nonsense"), (200, b"[1]"), (200, b'"' + b"x" * MOST_ANSWER_BYTES + b'"')]
)
def test_a_wrong_answer_over_http_is_unknown(
    served: tuple[str, dict[str, tuple[int, bytes]]], code: int, body: bytes
) -> None:
    url, answers = served
    answers["/vehicles/29A12345"] = (code, body)
    lookups = Lookups(ManualClock())
    lookups.register("r", http_register(url, timeout_seconds=5.0), timeout_seconds=5.0)
    try:
        assert lookups.ask("r", "29A12345") is None
        assert lookups.counters.counts == {("lookups_unknown", "failed"): 1}
    finally:
        lookups.close()


def test_nobody_there_is_unknown() -> None:
    lookups = Lookups(ManualClock())
    lookups.register("r", http_register("http://127.0.0.1:9/{plate}", timeout_seconds=1.0), timeout_seconds=5.0)
    try:
        assert lookups.ask("r", "29A12345") is None
    finally:
        lookups.close()
