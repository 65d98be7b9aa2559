"""JetStream on a real nats-server: subjects, de-duplication, refusals, kill -9 of the bridge and of the server."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("nats", reason="needs the extra `bridges`: nats-py")

import nats
from bridge_fakes import Program, make_event, running_box, running_bridge
from making_records import make_hit, make_sighting
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from waiting import until

from anpr.bridges import Accepted, Later, Outcome, Refused
from anpr.bridges.nats import NatsOptions, NatsSink, letter_of
from anpr.bus.events import decode
from anpr.records import Event
from scripts.fault_matrix.sockets import free_port

SERVER = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
needs_server = pytest.mark.skipif(SERVER is None, reason="nats-server is not installed: scripts/install_servers")

T = TypeVar("T")


class Server(Program):
    """nats-server with JetStream, which writes each message through to the disk."""

    def __init__(self, folder: Path, *lines: str) -> None:
        port, file = free_port(), folder / "nats.conf"
        self.url = f"nats://127.0.0.1:{port}"
        storage = f'jetstream {{ store_dir: "{folder}/jetstream" }}'
        file.write_text("\n".join([f"listen: 127.0.0.1:{port}", storage, *lines, ""]))
        super().__init__(str(SERVER), "-c", str(file), port=port)

    def ask(self, question: Callable[[JetStreamContext], Coroutine[Any, Any, T]]) -> T:
        """The answer of its JetStream."""

        async def work() -> T:
            client = await nats.connect(self.url)
            try:
                return await question(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(work())

    def add_stream(self, **more: Any) -> None:
        config = StreamConfig(name="ANPR", subjects=["anpr.>"], storage=StorageType.FILE, **more)
        self.ask(lambda stream: stream.add_stream(config))

    def count(self) -> int:
        async def question(stream: JetStreamContext) -> int:
            return (await stream.stream_info("ANPR")).state.messages

        return self.ask(question)

    def messages(self) -> list[tuple[str, dict[str, str], bytes]]:
        """Subject, headers and payload of all that the stream holds."""

        async def question(stream: JetStreamContext) -> list[tuple[str, dict[str, str], bytes]]:
            state = (await stream.stream_info("ANPR")).state
            found = [await stream.get_msg("ANPR", seq) for seq in range(state.first_seq, state.last_seq + 1)]
            return [(str(each.subject), dict(each.headers or {}), each.data or b"") for each in found]

        return self.ask(question)


def send(url: str, *events: Event, **options: Any) -> list[Outcome]:
    async def work() -> list[Outcome]:
        sink = NatsSink(NatsOptions(url=url, name="bridge", timeout_seconds=3.0, **options))
        try:
            return await sink.send(events or [make_event(1)])
        finally:
            await sink.close()

    return asyncio.run(work())


def test_the_letter() -> None:
    event = make_event(3, make_hit(site_id="Km 12.>*"))
    letter = letter_of(event, prefix="vn.anpr")
    assert letter.subject == "vn.anpr.hit.ALERT.Km%2012%2E%3E%2A"
    assert letter.headers == {
        "Nats-Msg-Id": "hit.h-1.1",
        "Content-Type": "application/cloudevents+json",
        "Anpr-Box": "box-1",
        "Anpr-Epoch": "1",
        "Anpr-Sequence": "3",
    }
    assert decode(letter.payload) == event


@needs_server
def test_what_comes_twice_is_kept_once_and_in_order(tmp_path: Path) -> None:
    events = [make_event(seq) for seq in range(1, 65)]
    with Server(tmp_path) as server:
        server.add_stream()
        assert send(server.url, *events[:40]) == [Accepted()] * 40
        assert send(server.url, *events[20:], stream="ANPR") == [Accepted()] * 44
        found = server.messages()
    assert [decode(payload) for _, _, payload in found] == events
    assert {subject for subject, _, _ in found} == {"anpr.sighting.north.gate-1"}
    assert found[0][1]["Nats-Msg-Id"] == "sighting.s-1.1"


@needs_server
def test_without_a_stream_nothing_is_taken_for_delivered(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (outcome,) = send(server.url)
    assert outcome == Later("no such address", "no stream takes the subject anpr.sighting.north.gate-1")


@needs_server
def test_another_stream_than_the_file_names_is_told(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.add_stream()
        (outcome,) = send(server.url, stream="OTHER")
    assert isinstance(outcome, Later)
    assert "expected stream does not match" in outcome.problem


@needs_server
def test_a_full_stream_is_asked_again(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.add_stream(max_msgs=1, discard="new")
        first, second = send(server.url, make_event(1), make_event(2))
    assert first == Accepted()
    assert isinstance(second, Later)
    assert "maximum messages exceeded" in second.problem


@needs_server
@pytest.mark.parametrize("where", ["server", "stream"])
def test_what_is_too_large_is_refused_for_good(tmp_path: Path, where: str) -> None:
    large = make_event(2, make_sighting(id="large", raw="A" * 8000))
    with Server(tmp_path, *(["max_payload: 8000"] if where == "server" else [])) as server:
        server.add_stream(**({"max_msg_size": 8000} if where == "stream" else {}))
        outcomes = send(server.url, make_event(1), large, make_event(3))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].reason == "too large"


@needs_server
def test_a_wrong_token_is_told(tmp_path: Path) -> None:
    with Server(tmp_path, "authorization { token: right }") as server:
        (outcome,) = send(server.url, token="wrong")
    assert isinstance(outcome, Later)
    assert outcome.reason == "not allowed"


def test_a_server_that_says_nothing_is_told_and_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(5.0)
        port = silent.getsockname()[1]

        async def work() -> list[Outcome]:
            sink = NatsSink(NatsOptions(url=f"nats://127.0.0.1:{port}", name="bridge", timeout_seconds=0.2))
            outcomes = await sink.send([make_event(1)])
            connection, _ = silent.accept()
            with connection:
                connection.settimeout(2.0)
                while connection.recv(1000):  # until the connection is closed: each try would leave one open
                    pass
            await sink.close()
            return outcomes

        (outcome,) = asyncio.run(work())
    assert isinstance(outcome, Later)
    assert outcome.reason == "timed out"


def test_a_server_that_is_not_there_is_told() -> None:
    (outcome,) = send(f"nats://127.0.0.1:{free_port()}")
    assert isinstance(outcome, Later)
    assert outcome.reason == "unreachable"


@needs_server
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nats-py leaves a socket that was late
def test_kill_9_of_bridge_and_server_loses_nothing(tmp_path: Path) -> None:
    with running_box(tmp_path) as box, Server(tmp_path) as server:
        server.add_stream()
        file = tmp_path / "bridge.toml"
        file.write_text(
            f'dead_letters = "dead.jsonl"\n[feed]\nendpoint = "{box.endpoint}"\nconsumer = "bridge"\n'
            f'cursor = "cursor"\n[nats]\nurl = "{server.url}"\n'
        )
        with running_bridge(file) as bridge:
            for kills in range(1, 3):
                box.commit(120)
                wanted = 150 * (kills - 1) + 20
                until(lambda wanted=wanted: server.count() > wanted, what=bridge.log.read_text)
                bridge.kill_and_start()
                if kills == 2:
                    server.restart()
            until(lambda: server.count() >= len(box.ids), what=bridge.log.read_text)
            assert bridge.stop() == 0
        ids = [headers["Nats-Msg-Id"] for _, headers, _ in server.messages()]
    assert sorted(ids) == sorted(box.ids), "each is there, and JetStream has dropped the repetitions"
    assert not (tmp_path / "dead.jsonl").exists()
