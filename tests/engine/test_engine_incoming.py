"""Messages of a worker are taken whole, and a half one is never waited for."""

from __future__ import annotations

import multiprocessing
import struct
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest
from engine_fakes import PIPELINE, CollectingHub, fake_stages
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from anpr.clock import SystemClock
from anpr.config.site import Camera
from anpr.engine.assignment import Assignment
from anpr.engine.incoming import MOST_BYTES, Incoming
from anpr.engine.messages import CameraReport, encode
from anpr.engine.supervisor import Supervisor


@pytest.fixture
def pipe() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        yield ours, theirs


def send_raw(connection: Connection, data: bytes) -> None:
    with open(connection.fileno(), "wb", buffering=0, closefd=False) as raw:
        assert raw.write(data) == len(data)


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.integers(1, 30), max_size=20))
def test_messages_come_whole_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        incoming, taken = Incoming(ours), list[bytes]()
        stream = b"".join(struct.pack("!i", len(message)) + message for message in messages)
        while stream:
            size = cuts.pop() if cuts else len(stream)
            send_raw(theirs, stream[:size])
            stream = stream[size:]
            while (message := incoming.take()) is not None:
                taken.append(message)
        assert taken == messages
        assert incoming.take() is None


def test_a_large_message_comes_in_parts(pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    incoming, large = Incoming(ours), bytes(range(256)) * 20_000
    sender = threading.Thread(target=theirs.send_bytes, args=(large,))
    sender.start()
    whole: list[bytes | None] = [None]

    def come() -> bool:
        whole[0] = incoming.take()
        return whole[0] is not None

    until(come)
    sender.join(5)
    assert whole[0] == large


def test_the_end_is_told_also_in_the_middle_of_a_message(pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    incoming = Incoming(ours)
    send_raw(theirs, struct.pack("!i", 100) + b"half")
    assert incoming.take() is None
    theirs.close()
    with pytest.raises(EOFError):
        incoming.take()


@pytest.mark.parametrize("length", [-1, MOST_BYTES + 1])
def test_what_is_no_message_is_refused(pipe: tuple[Connection, Connection], length: int) -> None:
    ours, theirs = pipe
    send_raw(theirs, struct.pack("!i", length))
    with pytest.raises(OSError, match="a message of"):
        Incoming(ours).take()


def stop_in_the_middle(connection: Connection, assignment: Assignment) -> None:
    """A worker that says how it fares; that of camera `b` stops dead in the middle of its second report."""
    (camera, _), *_ = assignment.cameras
    report = encode(CameraReport(camera.id, "streaming", 0.0, (), {}))
    connection.send_bytes(report)
    if camera.id == "b":
        send_raw(connection, struct.pack("!i", len(report)) + report[:5])
        time.sleep(600)
    while not connection.poll(0.05):
        connection.send_bytes(report)


def test_a_worker_that_stops_in_the_middle_of_a_word_stops_nobody_else() -> None:
    assignments = [
        Assignment(
            site_id="site",
            cameras=((Camera.model_validate({"id": name, "url": "rtsp://127.0.0.1:9/none"}), PIPELINE),),
            build=fake_stages,
            log_level="error",
            log_as_json=True,
        )
        for name in ("a", "b")
    ]
    hub = CollectingHub()
    supervisor = Supervisor(
        assignments,
        hub,
        clock=SystemClock(),
        silent_seconds=1.0,
        first_pause_seconds=60.0,
        work=stop_in_the_middle,
    )
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,), daemon=True)
    thread.start()
    until(lambda: hub.settled == ["b"], what=lambda: supervisor.reports)
    healthy = supervisor._slots[0]
    heard = healthy.heard_seconds
    until(lambda: healthy.heard_seconds > heard)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
