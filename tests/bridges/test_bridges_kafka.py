"""Kafka over real TCP: topics, keys, headers, order, refusals, TLS, kill -9 of the bridge and of all brokers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("confluent_kafka", reason="needs the extra `bridges`: confluent-kafka")

from bridge_fakes import make_certificate, make_event, running_box, running_bridge
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st
from kafka_cluster import Cluster, Kept, running_cluster
from kafka_sasl import NotLetInError, Porter
from making_records import make_hit, make_sighting
from waiting import until

from anpr.bridges import Accepted, Later, Outcome, Refused
from anpr.bridges.kafka import KafkaOptions, KafkaSink, letter_of, settings_of
from anpr.records import Event, Sighting
from scripts.fault_matrix.sockets import free_port

TIMEOUT_SECONDS = 3.0


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """For tests that leave no fault behind."""
    with running_cluster() as cluster:
        yield cluster


def options_for(servers: tuple[str, ...], **options: Any) -> KafkaOptions:
    return KafkaOptions(**{"servers": servers, "client_id": "test", "tls": False, "timeout_seconds": 3.0} | options)


def send(servers: tuple[str, ...], *events: Event, **options: Any) -> list[Outcome]:
    async def work() -> list[Outcome]:
        sink = KafkaSink(options_for(servers, **options))
        try:
            return await sink.send(events or [make_event(1)])
        finally:
            await sink.close()
            await sink.close()

    return asyncio.run(work())


def sequences(found: list[Kept]) -> list[int]:
    return [int(kept.headers["ce_sequence"]) for kept in found]


def test_the_letter() -> None:
    event = make_event(3, make_hit(site_id="Km 12.>*", camera_id="Bắc"))
    letter = letter_of(event, prefix="vn.anpr")
    assert letter.topic == "vn.anpr.hit"
    assert letter.key == b"Km%2012%2E%3E%2A.B%E1%BA%AFc"
    assert msgspec.json.decode(letter.value, type=type(event.record)) == event.record
    assert dict(letter.headers) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_type": b"vn.anpr.hit.v1",
        "ce_id": b"hit.h-1.1",
        "ce_source": b"/box/box-1",
        "ce_time": b"2026-01-01T00:00:00.500Z",
        "ce_subject": "Bắc".encode(),
        "ce_dataschema": b"urn:anpr:schema:vn.anpr.hit.v1#/$defs/Hit",
        "ce_box": b"box-1",
        "ce_epoch": b"1",
        "ce_sequence": b"0000000000000000003",
        "ce_committed": b"2026-01-01T00:00:01.000Z",
    }


@given(st.from_regex(r"[1-9]{2}[A-Z][1-9]{5}", fullmatch=True))
def test_key_topic_and_headers_say_nothing_of_the_vehicle(plate: str) -> None:
    record = make_sighting(text=plate, raw=plate, display=plate)
    letter = letter_of(make_event(1, record), prefix="anpr")
    assert letter.key == b"north.gate-1"
    assert letter.topic == "anpr.sighting"
    assert all(plate.encode() not in value for _, value in letter.headers)
    assert plate.encode() in letter.value


def test_nothing_is_taken_for_delivered_before_all_replicas_have_it() -> None:
    settings = settings_of(options_for(("a:1", "b:2"), tls=True, user="me", password="hidden", ca_file=Path("/ca.pem")))
    assert (settings["acks"], settings["enable.idempotence"]) == ("all", True)
    assert settings["security.protocol"] == "sasl_ssl"
    assert settings["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (settings["sasl.username"], settings["sasl.password"]) == ("me", "hidden")
    assert settings["ssl.ca.location"] == "/ca.pem"
    assert "hidden" not in repr(options_for(("a:1",), password="hidden"))
    assert settings_of(options_for(("a:1",)))["security.protocol"] == "plaintext"
    assert settings_of(options_for(("a:1",), user="me", tls=False))["security.protocol"] == "sasl_plaintext"


def test_each_camera_keeps_its_order(shared: Cluster) -> None:
    events = [make_event(seq, make_sighting(id=f"order-{seq}", camera_id=f"camera-{seq % 5}")) for seq in range(1, 513)]
    shared.make_topic("order.sighting")

    async def work() -> None:
        sink = KafkaSink(options_for(shared.servers, topic_prefix="order"))
        for begin in range(0, len(events), sink.at_once):
            batch = events[begin : begin + sink.at_once]
            assert await sink.send(batch) == [Accepted()] * len(batch)
        await sink.close()

    asyncio.run(work())
    found = [kept for kept in shared.messages() if kept.topic == "order.sighting"]
    assert len(found) == len(events)
    assert len({kept.partition for kept in found}) > 1, "the load is shared out"
    for number in range(5):
        own = [kept for kept in found if kept.key == f"north.camera-{number}".encode()]
        assert len({kept.partition for kept in own}) == 1
        assert sequences(own) == [event.seq for event in events if event.seq % 5 == number]
    by_seq = {int(kept.headers["ce_sequence"]): kept for kept in found}
    for event in events:
        assert msgspec.json.decode(by_seq[event.seq].value, type=Sighting) == event.record


@pytest.mark.parametrize(
    "error", [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REQUEST_TIMED_OUT]
)
def test_what_a_broker_may_get_over_is_sent_again_in_order(error: int) -> None:
    with running_cluster() as cluster:
        cluster.make_topic("anpr.sighting")
        cluster.fail_requests(error, error)
        assert send(cluster.servers, *map(make_event, range(1, 41))) == [Accepted()] * 40
        assert sequences(cluster.messages()) == list(range(1, 41))


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Later, "not allowed"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, Later, "not allowed"),
        (KafkaError.INVALID_RECORD, Refused, "refused"),
        (KafkaError.POLICY_VIOLATION, Refused, "refused"),
        (KafkaError.MSG_SIZE_TOO_LARGE, Refused, "too large"),
    ],
)
def test_what_a_broker_refuses_is_told_with_its_reason(error: int, kind: type[Outcome], reason: str) -> None:
    with running_cluster() as cluster:
        cluster.fail_requests(*[error] * 8)
        (outcome,) = send(cluster.servers)
        assert isinstance(outcome, Later | Refused)
        assert (type(outcome), outcome.reason) == (kind, reason)
        cluster.forgive_requests()
        assert send(cluster.servers) == [Accepted()]


def test_a_batch_that_is_too_large_is_not_taken_for_its_messages(shared: Cluster) -> None:
    """Brokers measure whole batches."""
    with running_cluster() as cluster:
        cluster.fail_requests(KafkaError.MSG_SIZE_TOO_LARGE)
        assert send(cluster.servers, *map(make_event, range(1, 21))) == [Accepted()] * 20
        assert sequences(cluster.messages()) == list(range(1, 21))


def test_what_is_too_large_for_the_client_is_refused_for_good(shared: Cluster) -> None:
    large = make_event(2, make_sighting(id="large", raw="A" * 1_010_000))
    outcomes = send(shared.servers, make_event(1), large, make_event(3), topic_prefix="large")
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].reason == "too large"


def test_brokers_that_are_not_there_are_told() -> None:
    (outcome,) = send((f"127.0.0.1:{free_port()}",), timeout_seconds=1.0)
    assert isinstance(outcome, Later)
    assert outcome.reason == "unreachable"
    assert "refused" in outcome.problem or "down" in outcome.problem


def test_a_topic_that_nobody_made_is_told() -> None:
    with running_cluster() as cluster:
        cluster.make_topic("anpr.sighting")
        cluster.fail_topic("anpr.sighting", KafkaError.UNKNOWN_TOPIC_OR_PART)
        (outcome,) = send(cluster.servers)
    assert isinstance(outcome, Later)
    assert outcome.reason == "no such address"


def test_silent_brokers_are_told_in_time_and_asked_again() -> None:
    with running_cluster() as cluster:
        assert send(cluster.servers) == [Accepted()]
        cluster.slow_down(60_000)
        began = time.monotonic()
        outcomes = send(cluster.servers, *map(make_event, range(1, 9)), timeout_seconds=1.0)
        assert time.monotonic() - began < 8.0
        assert len(outcomes) == 1, "what follows the first must not be settled"
        assert isinstance(outcomes[0], Later)
        assert outcomes[0].reason in ("timed out", "unreachable")
        cluster.slow_down(0)
        assert send(cluster.servers) == [Accepted()]


def test_what_the_client_has_no_room_for_is_told_at_once() -> None:
    class FullProducer:
        """Takes one message."""

        def __init__(self) -> None:
            self.told: list[Any] = []

        def produce(self, topic: str, value: bytes, *, on_delivery: Any, **_: object) -> None:
            if self.told:
                raise BufferError("Local: Queue full")
            self.told.append(on_delivery)

        def poll(self, _seconds: float) -> int:
            self.told[0](None, None)
            return 1

        def purge(self) -> None:
            pass

    sink = KafkaSink(options_for(("127.0.0.1:1",), timeout_seconds=30.0))
    sink._producer = FullProducer()  # type: ignore[assignment]

    async def work() -> list[Outcome]:
        async with asyncio.timeout(5.0):
            return await sink.send([make_event(seq) for seq in (1, 2, 3)])

    assert asyncio.run(work()) == [Accepted(), Later("busy", "Local: Queue full")]


def test_a_sink_that_is_stopped_while_it_waits_ends_at_once() -> None:
    with running_cluster() as cluster:
        cluster.slow_down(60_000)

        async def work() -> float:
            sink = KafkaSink(options_for(cluster.servers, timeout_seconds=30.0))
            task = asyncio.ensure_future(sink.send([make_event(1)]))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await sink.close()
            return time.monotonic() - began

        assert asyncio.run(work()) < 15.0


def let_in(porter: Porter, client: socket.socket, broker: socket.socket) -> None:
    """Raises OSError for a client that is not let in."""

    def exactly(source: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = source.recv(count - len(data))
            if not piece:
                raise OSError("it went away")
            data += piece
        return data

    def ask(request: bytes) -> bytes:
        broker.sendall(struct.pack(">i", len(request)) + request)
        return exactly(broker, struct.unpack(">i", exactly(broker, 4))[0])

    try:
        porter.greet(lambda count: exactly(client, count), client.sendall, ask)
    except NotLetInError as error:
        raise OSError("not let in") from error


@contextmanager
def tls_before(
    cluster: Cluster, certificate: Path, key: Path, *, client_ca: Path | None = None, porter: Porter | None = None
) -> Iterator[str]:
    """An address at which the cluster's one broker speaks TLS, and `porter` asks who comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    host, _, port = cluster.servers[0].rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    cluster.advertise(listener.getsockname()[1])
    stop = threading.Event()

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as client:
            with socket.create_connection((host, int(port))) as broker:
                if porter is not None:
                    let_in(porter, client, broker)
                back = threading.Thread(target=pump, args=(broker, client))
                back.start()
                pump(client, broker)
                back.join()

    def accept() -> None:
        with suppress(OSError):
            while not stop.is_set():
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(10.0)


def test_tls_is_spoken_and_a_strange_certificate_refused(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    strange, _ = make_certificate(tmp_path / "other")
    with running_cluster(1) as cluster, tls_before(cluster, certificate, key) as server:
        assert send((server,), tls=True, ca_file=certificate) == [Accepted()]
        (outcome,) = send((server,), tls=True, ca_file=strange)
        assert isinstance(outcome, Later)
        assert outcome.reason == "unreachable"
        assert "certificate verify failed" in outcome.problem or "SSL" in outcome.problem


def test_our_own_certificate_is_shown(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    own = {"certificate_file": certificate, "key_file": key}
    with (
        running_cluster(1) as cluster,
        tls_before(cluster, certificate, key, client_ca=certificate) as server,
    ):
        assert send((server,), tls=True, ca_file=certificate, **own) == [Accepted()]
        (outcome,) = send((server,), tls=True, ca_file=certificate)
        assert isinstance(outcome, Later)


@pytest.mark.parametrize("sasl", ["scram-sha-512", "plain"])
def test_user_and_password_are_shown_and_a_wrong_one_told(tmp_path: Path, sasl: str) -> None:
    certificate, key = make_certificate(tmp_path)
    password = "p@ss:w/rd?#%"
    porter = Porter("anpr", password)
    with running_cluster(1) as cluster, tls_before(cluster, certificate, key, porter=porter) as server:
        told: dict[str, Any] = {"tls": True, "ca_file": certificate, "user": "anpr", "sasl": sasl}
        assert send((server,), password=password, **told) == [Accepted()]
        began = time.monotonic()
        (outcome,) = send((server,), password=password + "x", timeout_seconds=60.0, **told)
        assert time.monotonic() - began < 40.0, "not tried until the account is locked"
        assert isinstance(outcome, Later)
        assert outcome.reason == "not allowed"
        assert password not in outcome.problem
    assert set(porter.mechanisms) == {sasl.upper()}
    assert len(porter.mechanisms) <= 4


def test_kill_9_of_the_bridge_and_of_all_brokers_loses_nothing(tmp_path: Path) -> None:
    with running_box(tmp_path) as box, running_cluster() as cluster:
        for kind in ("sighting", "hit"):
            cluster.make_topic(f"anpr.{kind}")
        file = tmp_path / "bridge.toml"
        servers = ", ".join(f'"{server}"' for server in cluster.servers)
        file.write_text(
            f'dead_letters = "dead.jsonl"\n[feed]\nendpoint = "{box.endpoint}"\nconsumer = "bridge"\n'
            f'cursor = "cursor"\n[kafka]\nservers = [{servers}]\ntls = false\nallow_unencrypted = true\n'
            f"timeout_seconds = 2.0\n"
        )

        def ids() -> set[str]:
            return {kept.headers["ce_id"] for kept in cluster.messages()}

        with running_bridge(file) as bridge:
            for kills in range(1, 4):
                box.commit(120)
                wanted = 120 * (kills - 1) + 20
                until(lambda wanted=wanted: len(ids()) > wanted, what=bridge.log.read_text)
                bridge.kill_and_start()
                if kills == 2:
                    cluster.go_down()
                    box.commit(40)
                    until(lambda: "bridge_waits" in bridge.log.read_text(), what=bridge.log.read_text)
                    cluster.come_up()
            until(lambda: ids() >= set(box.ids), what=bridge.log.read_text)
            assert bridge.stop() == 0
        found = cluster.messages()
    assert {kept.headers["ce_id"] for kept in found} == set(box.ids)
    for topic in ("anpr.sighting", "anpr.hit"):
        own = [kept for kept in found if kept.topic == topic]
        assert len({kept.partition for kept in own}) == 1, "one camera, one partition"
        last = {kept.headers["ce_id"]: place for place, kept in enumerate(own)}
        assert [kept.headers["ce_id"] for place, kept in enumerate(own) if last[kept.headers["ce_id"]] == place] == [
            name for name in box.ids if name.startswith(topic.removeprefix("anpr."))
        ], "the last copy of each is in order"
    assert not (tmp_path / "dead.jsonl").exists()
