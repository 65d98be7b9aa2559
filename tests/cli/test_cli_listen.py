from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import typer
from making_records import make_hit, make_sighting
from typer.testing import CliRunner, Result
from waiting import until

from anpr.bus import Publisher
from anpr.cli.listen import listen
from anpr.clock import SystemClock
from anpr.errors import BusError
from anpr.records import Event

APP = typer.Typer()
APP.command()(listen)


@contextmanager
def a_box() -> Iterator[str]:
    """Publishes a sighting and a hit on it every few milliseconds, with gaps; gives its endpoint."""
    stop, ready = threading.Event(), threading.Event()
    endpoints: list[str] = []

    def publish() -> None:
        clock = SystemClock()
        with Publisher("tcp://127.0.0.1:*", box="box-1", epoch=1, clock=clock, heartbeat_seconds=0.01) as publisher:
            endpoints.append(publisher.endpoint)
            ready.set()
            seq = 0
            while not stop.wait(0.005):
                for record in (make_sighting(), make_hit(listed="30A12346", reason="5 read as 6 at position 8")):
                    seq += 2 if seq % 5 == 3 else 1
                    publisher.publish(Event(box="box-1", epoch=1, seq=seq, committed_seconds=1.0, record=record))
                publisher.publish_volatile(make_hit())
                publisher.heartbeat_if_due()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        assert ready.wait(60.0)
        yield endpoints[0]
    finally:
        stop.set()
        thread.join()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(APP, list(arguments))


def test_lines_for_people() -> None:
    with a_box() as endpoint:
        result = run(endpoint, "--count", "10", "--seconds", "60")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    if lines[0].startswith("joined: box box-1, events 1 to "):  # unless it was there from the first event on
        lines = lines[1:]
    gaps = [line for line in lines if line.startswith("gap: ")]
    volatile = [line for line in lines if line.endswith("not on disk: the box's store fails")]
    hits = [line for line in lines if "ALERT" in line and line not in volatile]
    assert volatile
    assert len(lines) - len(gaps) - len(volatile) == 10
    assert len(hits) == 5
    assert gaps
    assert gaps[0].startswith("gap: box box-1, events ")
    assert "30A-123.45" in hits[0]
    assert hits[0].endswith("stolen: 5 read as 6 at position 8 (listed 30A12346), stolen 2025-12-30")
    assert "\x1b" not in result.stdout


def test_json_is_the_message_itself() -> None:
    with a_box() as endpoint:
        result = run(endpoint, "--json", "--topic", "hit.ALERT", "--count", "3", "--seconds", "60")
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    events = [message for message in messages if "gap" not in message]
    assert [event["type"] for event in events] == ["vn.anpr.hit.v1"] * 3
    assert events[0]["data"]["list_name"] == "stolen"
    gaps = [message["gap"]["reason"] for message in messages if "gap" in message]
    assert set(gaps[1:]) <= {"missed"}
    assert set(gaps[:1]) <= {"earlier", "missed"}  # the first only if it was there from the first event on


def test_heartbeats_when_asked_for() -> None:
    def heard() -> bool:
        told = run(endpoint, "--topic", "health.", "--seconds", "0.5").stdout
        assert "30A" not in told
        return "box box-1 lives, epoch 1, last event " in told

    with a_box() as endpoint:
        until(heard)


def test_it_ends_when_nobody_publishes() -> None:
    result = run("tcp://127.0.0.1:9", "--seconds", "0.1")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize("arguments", [["--count", "0", "x"], ["--seconds", "-1", "x"], []])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_wrong_endpoint_is_told() -> None:
    assert isinstance(run("nonsense").exception, BusError)
