"""The camera's states on a clock that moves only when waited on, and time-outs against sockets that misbehave."""

from __future__ import annotations

import base64
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from urllib.parse import quote

import av
import pytest
from waiting import until

from anpr.clock import ManualClock, SystemClock
from anpr.errors import StreamAuthError, StreamError
from anpr.video import rtsp
from anpr.video.back_off import BackOff, Reconnection
from anpr.video.decode import DecodeOptions
from anpr.video.probe import examine
from anpr.video.rtsp import Gap, RtspSource, StreamState, Transition, probe

CANARY = "Kan4ri"
QUICK = DecodeOptions(open_timeout_seconds=1.0, read_timeout_seconds=1.0)


class WaitingClock(ManualClock):
    """Closes the source after some waits."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left = waits

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.left -= 1
        if self.left <= 0:
            event.set()
        return super().wait(event, seconds)


@contextmanager
def listener(answer: Callable[[socket.socket], None] | None = None) -> Iterator[int]:
    """A TCP port that accepts, and answers each connection by `answer`, or never."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        closing = threading.Event()

        def serve() -> None:
            while not closing.is_set():
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                accepted.append(connection)
                if answer is not None:
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            closing.set()
            server.shutdown(socket.SHUT_RDWR)
            for connection in accepted:
                connection.close()
            thread.join(5)


def replying(status: str, extra: str = "") -> Callable[[socket.socket], None]:
    """Answers every request of a connection with one RTSP status."""

    def answer(connection: socket.socket) -> None:
        connection.settimeout(3)
        try:
            while request := connection.recv(4096):
                number = request.split(b"CSeq: ")[1].split(b"\r\n")[0].decode()
                connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n{extra}\r\n".encode())
        except OSError:
            pass
        finally:
            connection.close()

    return answer


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def run(location: str, clock: ManualClock) -> tuple[list[Transition], list[Gap], RtspSource]:
    states: list[Transition] = []
    gaps: list[Gap] = []
    source = RtspSource(
        location,
        camera_id="gate",
        clock=clock,
        options=QUICK,
        chance=random.Random(1),
        on_state=states.append,
        on_gap=gaps.append,
    )
    with source:
        assert list(source) == []
    return states, gaps, source


def test_back_off_doubles_to_its_limit_and_begins_anew() -> None:
    back_off = BackOff(chance=random.Random(2))
    waits = [back_off.next_seconds() for _ in range(8)]
    for wait, full in zip(waits, [0.5, 1, 2, 3, 3, 3, 3, 3], strict=True):
        assert full / 2 <= wait <= full
    assert len(set(waits)) == 8
    back_off.reset()
    assert back_off.next_seconds() <= 0.5


def test_what_has_been_away_for_long_is_tried_less_often() -> None:
    back_off = BackOff(Reconnection(first_seconds=1.0, short_outage_seconds=60.0), random.Random(2))
    away, waits = 0.0, []
    while away < 400.0:
        waits.append(back_off.next_seconds(away_seconds=away))
        away += waits[-1]
    assert max(wait for wait in waits[:20]) <= 3.0
    assert 15.0 <= waits[-1] <= 30.0
    with pytest.raises(ValueError, match="rise"):
        Reconnection(first_seconds=5.0)


def test_a_camera_that_is_away_is_tried_again_and_the_gap_told() -> None:
    clock = WaitingClock(6)
    states, gaps, source = run(f"rtsp://u:{CANARY}@127.0.0.1:{closed_port()}/x", clock)
    assert [entry.state for entry in states] == ["connecting", "offline"] * 6 + ["closed"]
    assert states[1].reason == "nothing listens there"
    assert len(clock.waits) == 6
    assert 1.5 <= clock.waits[-1] <= 3
    assert source.counters.counts == {("connections_failed", "nothing listens there"): 6}
    (gap,) = gaps
    assert gap.reason == "nothing listens there"
    assert gap.to_wall_seconds - gap.from_wall_seconds == pytest.approx(sum(clock.waits[:5]))


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refused_password_is_tried_once_a_minute(status: str) -> None:
    extra = 'WWW-Authenticate: Basic realm="camera"\r\n' if status.startswith("401") else ""
    clock = WaitingClock(2)
    with listener(replying(status, extra)) as port:
        states, _, source = run(f"rtsp://u:{CANARY}@127.0.0.1:{port}/x", clock)
        with pytest.raises(StreamAuthError) as caught:
            probe(f"rtsp://u:{CANARY}@127.0.0.1:{port}/x", options=QUICK)
    assert [entry.state for entry in states] == ["connecting", "refused", "connecting", "refused", "closed"]
    assert clock.waits == [60.0] * 2
    assert CANARY not in repr([states, source, source.__dict__, caught.value, caught.value.__context__])


@pytest.mark.parametrize("password", ["x" * 121, "@:/?#%[]+ " * 4 + "y", "!$&'()*,;=~" * 11, "mật khẩu rất dài"])
def test_a_password_comes_whole(password: str) -> None:
    heard: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while request := connection.recv(4096):
                heard.extend(line.split()[-1] for line in request.split(b"\r\n") if line.startswith(b"Authorization"))
                number = request.split(b"CSeq: ")[1].split(b"\r\n")[0].decode()
                refusal = f'RTSP/1.0 401 No\r\nCSeq: {number}\r\nWWW-Authenticate: Basic realm="camera"\r\n\r\n'
                connection.sendall(refusal.encode())

    with listener(answer) as port, pytest.raises(StreamAuthError):
        probe(f"rtsp://guard:{quote(password, safe='')}@127.0.0.1:{port}/x", options=QUICK)
    assert {base64.b64decode(each).decode() for each in heard} == {f"guard:{password}"}


@pytest.mark.parametrize("password", ["x" * 122, "mật khẩu rất dài " * 4])
def test_a_password_that_would_be_cut_off_is_told_before_the_camera_refuses_it(password: str) -> None:
    with pytest.raises(StreamError, match="take more than 127 characters") as caught:
        RtspSource(f"rtsp://guard:{quote(password)}@10.0.0.7/x", camera_id="gate", clock=ManualClock())
    assert password not in str(caught.value)


def test_a_refusal_that_comes_late_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the camera would be asked with the wrong password every few seconds, and might lock the account."""

    def refuse_late(*_: object, **__: object) -> None:
        time.sleep(QUICK.open_timeout_seconds)
        raise av.error.HTTPUnauthorizedError(1, "Server returned 401 Unauthorized")

    monkeypatch.setattr(rtsp, "open_container", refuse_late)
    states, _, _ = run(f"rtsp://u:{CANARY}@127.0.0.1:9/x", WaitingClock(1))
    assert [entry.state for entry in states] == ["connecting", "refused", "closed"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("400 Bad Request", "does not understand the address (RTSP status 400)"),
        ("404 Not Found", "has no such stream"),
        ("453 Not Enough Bandwidth", "refuses the stream (an RTSP status from 402 to 499)"),
        ("454 Session Not Found", "refuses the stream (an RTSP status from 402 to 499)"),
        ("461 Unsupported Transport", "refuses the stream (an RTSP status from 402 to 499)"),
        ("503 Service Unavailable", "reports a fault of its own (an RTSP status of 500 or above)"),
        ("200 OK", "its answer is not that of an RTSP camera"),
        ("301 Moved\r\nLocation: file:///etc/passwd", "sends on to what is no RTSP address"),
        ("301 Moved\r\nLocation: concat:/etc/passwd", "sends on to what is no RTSP address"),
        ("302 Moved\r\nLocation: http://127.0.0.1/x", "sends on to what is no RTSP address"),
        ("302 Moved\r\nLocation: rtsp://-.invalid/x", "sends on to a name that is unknown"),
    ],
)
def test_other_answers_mean_offline(status: str, reason: str) -> None:
    with listener(replying(status)) as port:
        states, _, _ = run(f"rtsp://u:{CANARY}@127.0.0.1:{port}/x", WaitingClock(1))
    assert [entry.state for entry in states] == ["connecting", "offline", "closed"]
    assert states[1].reason == reason
    assert CANARY not in repr(states)


def test_a_camera_that_sends_on_to_itself_is_not_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """libav would go round thousands of times a second, at the cost of the other cameras."""
    monkeypatch.setattr(rtsp, "WORK_SHARE", 0.005)  # also where the machine has little time for this
    port: list[int] = []

    def answer(connection: socket.socket) -> None:
        replying(f"302 Moved\r\nLocation: rtsp://127.0.0.1:{port[0]}/x")(connection)

    with listener(answer) as own:
        port.append(own)
        clock = WaitingClock(4)
        states, _, _ = run(f"rtsp://127.0.0.1:{own}/x", clock)
    assert [entry.state for entry in states] == [*["connecting", "offline"] * 4, "closed"]
    assert {entry.reason for entry in states[1::2]} == {"answers without end, and gives no stream"}
    assert max(clock.waits[:2]) <= 3.0
    assert clock.waits[2:] == [30.0, 30.0]


@pytest.mark.parametrize("look", [probe, partial(examine, clock=SystemClock(), seconds=1.0)])
def test_a_name_that_nobody_knows_is_told_as_such(look: Callable[..., object]) -> None:
    with pytest.raises(StreamError, match=r"its name is unknown|no name server answers") as caught:
        look(f"rtsp://u:{CANARY}@no-such-camera.invalid/x", camera_id="gate", options=QUICK)
    assert "check the name" in caught.value.cure
    assert CANARY not in repr([caught.value, caught.value.__context__])


def test_a_port_that_speaks_no_tls_is_told() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"RTSP/1.0 400 Bad Request\r\n\r\n" * 10)
        connection.close()

    with listener(answer) as port, pytest.raises(StreamError) as caught:
        probe(f"rtsps://127.0.0.1:{port}/x", options=QUICK)
    assert caught.value.problem == "no encrypted connection comes about"


def test_an_address_of_one_link_must_say_which() -> None:
    with pytest.raises(StreamError, match="does not say which"):
        probe("rtsp://[fe80::1]/x", options=QUICK)


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" * 100,
        b"\x00" * 5000,
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"A" * 200_000,
    ],
)
def test_garbage_means_offline(garbage: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        try:
            connection.sendall(garbage)
        except OSError:
            pass
        finally:
            connection.close()

    with listener(answer) as port:
        states, _, _ = run(f"rtsp://127.0.0.1:{port}/x", WaitingClock(1))
    assert [entry.state for entry in states] == ["connecting", "offline", "closed"]


def test_a_camera_that_accepts_and_never_answers_runs_into_the_time_out() -> None:
    with listener() as port:
        began = time.monotonic()
        with pytest.raises(StreamError, match=r"no answer in time") as caught:
            probe(f"rtsp://u:{CANARY}@127.0.0.1:{port}/x", camera_id="gate", options=QUICK)
        assert 0.9 <= time.monotonic() - began <= 10.0
    assert f"gate rtsp://***@127.0.0.1:{port}/x" in str(caught.value)


def test_close_from_another_thread_ends_the_waiting() -> None:
    source = RtspSource(
        f"rtsp://127.0.0.1:{closed_port()}/x",
        camera_id="gate",
        clock=SystemClock(),
        options=QUICK,
        reconnection=Reconnection(first_seconds=600.0, longest_seconds=600.0, longest_after_seconds=600.0),
    )
    thread = threading.Thread(target=lambda: list(source))
    thread.start()
    until(lambda: source.state is StreamState.OFFLINE)
    source.close()
    thread.join(30)
    assert not thread.is_alive()
    assert source.state is StreamState.CLOSED


def test_the_address_never_shows_its_secret() -> None:
    source = RtspSource(f"rtsp://u:{CANARY}@10.0.0.7/x", camera_id="gate", clock=ManualClock())
    assert repr(source) == "RtspSource(gate rtsp://***@10.0.0.7/x closed)"
    assert CANARY not in repr(vars(source))
