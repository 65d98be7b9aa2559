"""Handing in: kept things are answered, bad ones refused, and nobody can hold up the box."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import zmq
from waiting import until

from anpr.bus.intake import Intake, hand_in
from anpr.clock import SystemClock
from anpr.errors import BusError
from anpr.metrics import Counters


def take(fields: Mapping[str, Any]) -> str:
    """Keeps nothing; refuses what has no id."""
    if "id" not in fields:
        raise ValueError("id is missing\nso is the rest")
    return str(fields["id"])


@contextmanager
def running(intake: Intake) -> Iterator[None]:
    """Somebody hands in while the box takes turns, as its loop does."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def loop() -> None:
        try:
            while not stop.wait(0.005):
                intake.turn()
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        assert failures == []


@pytest.fixture
def intake() -> Iterator[Intake]:
    with Intake("tcp://127.0.0.1:*", take, counters=Counters(), clock=SystemClock()) as made:
        yield made


def test_what_is_kept_is_answered(intake: Intake) -> None:
    with running(intake):
        assert hand_in(intake.endpoint, {"id": "a"}) == "a"
        with pytest.raises(BusError, match="id is missing; so is the rest"):
            hand_in(intake.endpoint, {"plate": "98C-012.34"})
    assert intake.counters.total("intake_taken") == intake.counters.total("intake_refused") == 1


@pytest.mark.parametrize("message", [b"", b"nonsense", b"[1]", b"\xff", b'{"id": ', b'{"id":' + b"[" * 60_000])
def test_what_is_no_object_is_refused(intake: Intake, message: bytes) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as peer, running(intake):
        peer.linger = 0
        peer.connect(intake.endpoint)
        peer.send(message)
        assert peer.poll(5000)
        assert peer.recv().startswith(b'{"refused":[')


def test_a_sender_that_goes_away_harms_nobody(intake: Intake) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 500
        peer.connect(intake.endpoint)
        for _ in range(50):
            peer.send_multipart([b"", b'{"id": "a"}'])
    with running(intake):
        assert hand_in(intake.endpoint, {"id": "b"}) == "b"


def test_connections_are_bounded_and_a_sender_still_gets_in(intake: Intake) -> None:
    with ExitStack() as opened, running(intake):
        place = ("127.0.0.1", int(intake.endpoint.rpartition(":")[2]))
        for _ in range(200):
            opened.enter_context(socket.create_connection(place))
        assert hand_in(intake.endpoint, {"id": "c"}) == "c"
        until(lambda: intake.counters.counts.get(("client_dropped", "too many"), 0) >= 200 - 64 - 1)


def test_without_a_box_there_is_no_answer() -> None:
    with pytest.raises(BusError, match=r"no answer within 0\.05 s"):
        hand_in("tcp://127.0.0.1:9", {"id": "a"}, timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [("tcp://0.0.0.0:*", "unencrypted"), ("http://x", "no endpoint"), ("tcp://nowhere", "no endpoint")],
)
def test_an_endpoint_must_be_ours(endpoint: str, problem: str) -> None:
    with pytest.raises(BusError, match=problem):
        Intake(endpoint, take, counters=Counters(), clock=SystemClock())


def test_an_endpoint_is_had_once(intake: Intake) -> None:
    with pytest.raises(BusError, match="is another anpr running"):
        Intake(intake.endpoint, take, counters=Counters(), clock=SystemClock())
