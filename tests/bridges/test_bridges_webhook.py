"""Webhooks: CloudEvents in binary mode, signatures, what each answer means; kill -9 of the bridge."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx", reason="needs the extra `bridges`: httpx")

import httpx
from bridge_fakes import make_event, running_box, running_bridge
from making_records import make_sighting
from waiting import until

from anpr.bridges import Accepted, Later, LeftOut, Outcome, Refused
from anpr.bridges.signature import key_of, signature
from anpr.bridges.webhook import Request, WebhookOptions, WebhookSink, cloud_event
from anpr.clock import ManualClock
from anpr.records import Event

SECRET = "correct horse"


def post(
    answer: Callable[[Any], Any],
    *events: Event,
    key: bytes | None = None,
    token: str | None = None,
    make: Callable[[Event], Request | LeftOut | Refused] | None = None,
) -> list[Outcome]:
    """What the sink makes of a server that answers so."""

    async def work() -> list[Outcome]:
        options = WebhookOptions(url="http://ioc.example/anpr", key=key, token=token, make=make)
        sink = WebhookSink(options, clock=ManualClock(), transport=httpx.MockTransport(answer))
        try:
            return await sink.send(events or [make_event(1)])
        finally:
            await sink.close()

    return asyncio.run(work())


def test_attributes_are_headers_and_the_record_is_the_body() -> None:
    request = cloud_event(make_event(7, make_sighting(id="s-1", camera_id='làn "1" 5%')))
    assert request.headers == {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-type": "vn.anpr.sighting.v1",
        "ce-id": "sighting.s-1.1",
        "ce-source": "/box/box-1",
        "ce-time": "2026-01-01T00:00:00.500Z",
        "ce-subject": "l%C3%A0n%20%221%22%205%25",
        "ce-dataschema": "urn:anpr:schema:vn.anpr.sighting.v1#/$defs/Sighting",
        "ce-box": "box-1",
        "ce-epoch": "1",
        "ce-sequence": "0000000000000000007",
        "ce-committed": "2026-01-01T00:00:01.000Z",
    }
    assert json.loads(request.body)["camera_id"] == 'làn "1" 5%'


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    made = signature(
        key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_that_is_no_base64_is_told() -> None:
    assert key_of("plain") == b"plain"
    with pytest.raises(ValueError, match="Base64"):
        key_of("whsec_not base64")


def test_a_request_is_signed_over_id_time_and_body_and_bears_the_token() -> None:
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request)
        return httpx.Response(202)

    assert post(answer, key=SECRET.encode(), token="let me in") == [Accepted()]
    (request,) = seen
    signed = b"sighting.s-1.1.1767225600." + request.content
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert (request.headers["webhook-id"], request.headers["webhook-timestamp"]) == ("sighting.s-1.1", "1767225600")
    assert request.headers["authorization"] == "Bearer let me in"


def test_without_secrets_there_is_no_signature_and_no_token() -> None:
    seen: list[Any] = []
    post(lambda request: seen.append(request) or httpx.Response(200))
    assert not {"webhook-signature", "authorization"} & set(seen[0].headers)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success_is_accepted(status: int) -> None:
    assert post(lambda request: httpx.Response(status)) == [Accepted()]


@pytest.mark.parametrize("status", [207, 400, 406, 411, 413, 414, 415, 422, 431, 451])
def test_what_is_wrong_with_the_event_is_refused_for_good(status: int) -> None:
    (outcome,) = post(lambda request: httpx.Response(status))
    assert isinstance(outcome, Refused)
    assert outcome.reason == ("too large" if status == 413 else "refused")
    assert str(status) in outcome.problem


@pytest.mark.parametrize(
    "status", [301, 302, 308, 401, 403, 404, 405, 407, 408, 409, 410, 421, 425, 429, 500, 502, 503, 504]
)
def test_what_may_pass_is_sent_again(status: int) -> None:
    (outcome,) = post(lambda request: httpx.Response(status, headers={"location": "/"}))
    assert isinstance(outcome, Later)
    assert outcome.after_seconds is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("17", 17.0), (formatdate(1_767_225_630, usegmt=True), 30.0), (formatdate(1, usegmt=True), 0.0), ("soon", None)],
)
@pytest.mark.parametrize("status", [429, 503, 500])
def test_retry_after_is_honoured_in_both_forms(status: int, header: str, seconds: float | None) -> None:
    (outcome,) = post(lambda request: httpx.Response(status, headers={"retry-after": header}))
    assert isinstance(outcome, Later)
    assert outcome.after_seconds == seconds


def test_nothing_is_sent_after_what_must_come_again() -> None:
    statuses = iter([200, 503, 200])
    outcomes = post(lambda request: httpx.Response(next(statuses)), *(make_event(seq) for seq in (1, 2, 3)))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Later]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(httpx.ReadTimeout("slow"), "timed out"), (httpx.ConnectError("refused"), "unreachable")],
)
def test_a_server_that_is_not_there_is_tried_again(error: Exception, reason: str) -> None:
    def answer(request: Any) -> Any:
        raise error

    (outcome,) = post(answer)
    assert isinstance(outcome, Later)
    assert outcome.reason == reason


def test_what_the_form_leaves_out_is_not_sent() -> None:
    def answer(request: Any) -> Any:
        raise AssertionError("nothing should come")

    assert post(answer, make=lambda event: LeftOut("form")) == [LeftOut("form")]


def post_to_a_server(answer: bytes, count: int, *, timeout_seconds: float = 5.0) -> tuple[list[Outcome], int]:
    """What becomes of so many events at a server that answers each with these bytes, one every 20 ms if they do not end
    the answer; and how many connections that took."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head.lower())
                await reader.readexactly(int(length[1]) if length else 0)
                whole = b"\r\n\r\n" in answer
                for piece in [answer] if whole else [answer[at : at + 1] for at in range(len(answer))]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0 if whole else 0.02)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the bridge has gone
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def work() -> list[Outcome]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/anpr"
        sink = WebhookSink(WebhookOptions(url=url, timeout_seconds=timeout_seconds), clock=ManualClock())
        try:
            return await sink.send([make_event(seq) for seq in range(1, count + 1)])
        finally:
            await sink.close()
            server.close()
            await asyncio.sleep(0.05)  # for the server to see that the bridge has gone

    return asyncio.run(work()), connections


@pytest.mark.parametrize("body", [b"", b'{"taken": true}'])
def test_one_connection_serves_for_all(body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    assert post_to_a_server(answer, 5) == ([Accepted()] * 5, 1)


def test_an_endless_answer_does_not_hold_up_what_follows() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + bytes(100_000)
    assert post_to_a_server(answer, 2) == ([Accepted()] * 2, 2)


def test_an_answer_that_never_begins_is_given_up_in_time() -> None:
    began = time.monotonic()
    outcomes, _ = post_to_a_server(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 500, 1, timeout_seconds=0.1)
    assert time.monotonic() - began < 5.0, "each byte began the wait anew"
    assert outcomes == [Later("timed out", "no answer within 0.1 s")]


class Receiver:
    """An operations centre: it verifies each request and keeps its id."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.before: Callable[[int], None] = lambda count: None
        """Called with the number of requests so far, before the answer."""

        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
                expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
                good = self.headers["webhook-signature"] == f"v1,{expected}"
                if good:
                    name = self.headers["ce-id"]
                    assert receiver.bodies.setdefault(name, body) == body
                    receiver.ids.append(name)
                receiver.before(len(receiver.ids))
                try:
                    self.send_response(204 if good else 401)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A killed bridge breaks its connection."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/anpr"


@contextmanager
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


def bridge_file(folder: Path, endpoint: str, url: str, *, cursor: bool) -> Path:
    remembered = f'cursor = "{folder}/cursor"' if cursor else ""
    file = folder / "bridge.toml"
    file.write_text(
        f'dead_letters = "dead.jsonl"\n[feed]\nendpoint = "{endpoint}"\nconsumer = "bridge"\n{remembered}\n'
        f'[webhook]\nurl = "{url}"\nsecret = "${{BRIDGE_SECRET}}"\n'
    )
    return file


@pytest.mark.parametrize("cursor", [True, False])
def test_kill_9_between_sending_and_the_answer_loses_nothing(tmp_path: Path, cursor: bool) -> None:
    with running_box(tmp_path) as box, receiver() as ioc:
        box.commit(120)
        file = bridge_file(tmp_path, box.endpoint, ioc.url, cursor=cursor)
        with running_bridge(file, BRIDGE_SECRET=SECRET) as bridge:

            def kill(count: int) -> None:
                if count in (3, 70):
                    bridge.kill_and_start()

            ioc.before = kill
            until(lambda: set(box.ids) <= set(ioc.ids) and box.behind == 0, what=lambda: bridge.log.read_text()[-2000:])
            assert bridge.stop() == 0
        twice = len(ioc.ids) - len(set(ioc.ids))
        assert 1 <= twice <= 3 * 32  # what was under way, with the same ids
        assert set(ioc.ids) == set(box.ids)
        assert not (tmp_path / "dead.jsonl").exists()
        box.commit(1)
        with running_bridge(file, BRIDGE_SECRET=SECRET):
            until(lambda: set(box.ids) <= set(ioc.ids))
        assert len(ioc.ids) - len(set(ioc.ids)) == twice, "what was acknowledged came again after an orderly stop"


def test_an_ioc_that_comes_back_is_given_everything(tmp_path: Path) -> None:
    with running_box(tmp_path) as box, receiver() as ioc:
        box.commit(10)
        file = bridge_file(tmp_path, box.endpoint, ioc.url, cursor=True)
        with running_bridge(file, BRIDGE_SECRET="wrong") as bridge:
            until(lambda: '"reason": "not allowed"' in bridge.log.read_text())
            assert bridge.stop() == 0
        assert not (tmp_path / "dead.jsonl").exists(), "a wrong secret is no fault of the events"
        with running_bridge(file, BRIDGE_SECRET=SECRET):
            until(lambda: set(box.ids) <= set(ioc.ids))
    assert ioc.ids[:3] == ["hit.h0.1", "hit.h4.1", "hit.h8.1"], "hits go first"
