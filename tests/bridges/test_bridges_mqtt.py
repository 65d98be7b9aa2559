"""MQTT 5 against a real mosquitto: topics, acknowledgements, refusals, kill -9 of the bridge and of the broker."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt", reason="needs the extra `bridges`: paho-mqtt")

from bridge_fakes import Program, make_certificate, make_event, running_box, running_bridge
from making_records import make_gap, make_hit, make_sighting
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from waiting import until

from anpr.bridges import Accepted, Later, LeftOut, Outcome, Refused
from anpr.bridges.mqtt import MqttSink, cloud_letter
from anpr.bridges.mqtt_connection import MqttOptions
from anpr.bridges.onvif import onvif_letter
from anpr.bus.events import decode
from anpr.records import Event
from scripts.fault_matrix.sockets import free_port

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: scripts/install_servers")


class Broker(Program):
    """mosquitto, which forgets everything when it is killed, for it keeps nothing."""

    def __init__(self, folder: Path, *lines: str) -> None:
        port, file = free_port(), folder / "mosquitto.conf"
        file.write_text("\n".join([f"listener {port} 127.0.0.1", "allow_anonymous true", "user root", *lines, ""]))
        super().__init__(str(MOSQUITTO), "-c", str(file), port=port)


class Listener:
    """A subscriber of everything; it subscribes again when its broker comes back."""

    def __init__(self, port: int) -> None:
        self.messages: list[MQTTMessage] = []
        self.subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.subscribed.wait(60)

    def ids(self) -> list[str]:
        return [dict(message.properties.UserProperty)["id"] for message in list(self.messages)]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()


def send(
    port: int, *events: Event, make: Any = cloud_letter, user: str | None = None, tls: ssl.SSLContext | None = None
) -> list[Outcome]:
    async def work() -> list[Outcome]:
        options = MqttOptions(
            host="127.0.0.1", port=port, client_id="bridge", timeout_seconds=5.0, user=user, password=user, tls=tls
        )
        sink = MqttSink(options, make=lambda event: make(event, prefix="anpr"))
        try:
            return await sink.send(events or [make_event(1)])
        finally:
            await sink.close()

    return asyncio.run(work())


def test_the_letter_of_our_own_form() -> None:
    event = make_event(3, make_hit(site_id="Km 12+/#"))
    letter = cloud_letter(event, prefix="vn/anpr")
    assert letter.topic == "vn/anpr/hit/ALERT/Km%2012%2B%2F%23"
    assert letter.content_type == "application/cloudevents+json"
    assert letter.properties == [("id", "hit.h-1.1"), ("box", "box-1"), ("epoch", "1"), ("sequence", "3")]
    assert decode(letter.payload) == event


def test_the_letter_of_onvif() -> None:
    letter = onvif_letter(make_event(3, make_sighting(vehicle_class="truck", track=7)), prefix="ct07/box-1")
    assert letter is not None
    assert letter.topic == "ct07/box-1/onvif-ej/RuleEngine/Recognition/LicensePlate/&gate-1/anpr"
    assert json.loads(letter.payload) == {
        "UtcTime": "2026-01-01T00:00:00.500Z",
        "Source": {"VideoSource": "gate-1", "Rule": "anpr"},
        "Data": {
            "Likelihood": "0.9700",
            "ObjectId": "7",
            "LicensePlateInfo": {
                "PlateNumber": {"@Likelihood": "0.9700", "#text": "30A12345"},
                "PlateType": {"@Likelihood": "0.9700", "#text": "Normal"},
                "CountryCode": {"@Likelihood": "0.9700", "#text": "VN"},
            },
            "VehicleInfo": {"Type": {"#text": "Truck"}},
        },
    }


@pytest.mark.parametrize(
    ("kind", "text", "plate_type"),
    [
        ("foreign", "80NG12345", "Diplomat"),
        ("foreign", "29NN12345", "Normal"),
        ("temporary", "T29123456", "Temporary"),
        ("military", "TM1234", "Normal"),
    ],
)
def test_onvif_knows_few_types_of_plates(kind: str, text: str, plate_type: str) -> None:
    letter = onvif_letter(make_event(1, make_sighting(kind=kind, text=text)), prefix="anpr")
    assert letter is not None
    assert json.loads(letter.payload)["Data"]["LicensePlateInfo"]["PlateType"]["#text"] == plate_type


@pytest.mark.parametrize(
    "record",
    [
        make_sighting(state="preview"),
        make_sighting(state="withdrawn"),
        make_sighting(text=""),
        make_sighting(text="~7ZK4M0Q2RT9C"),
        make_hit(),
        make_gap(),
    ],
)
def test_what_onvif_has_no_place_for_is_left_out(record: Any) -> None:
    assert onvif_letter(make_event(1, record), prefix="anpr") is None


@needs_mosquitto
def test_what_the_broker_acknowledges_has_arrived(tmp_path: Path) -> None:
    events = [make_event(seq) for seq in range(1, 46)]
    with Broker(tmp_path) as broker, listening(broker.port) as listener:
        assert send(broker.port, *events) == [Accepted()] * 45
        until(lambda: len(listener.messages) == 45)
        assert [decode(message.payload) for message in listener.messages] == events
        assert {message.topic for message in listener.messages} == {"anpr/sighting/north/gate-1"}
        assert listener.messages[0].properties.ContentType == "application/cloudevents+json"


@needs_mosquitto
def test_what_the_broker_does_not_let_us_publish_is_not_taken_for_published(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read #\ntopic write anpr/hit/#\n")
    acl.chmod(0o644)
    with Broker(tmp_path, f"acl_file {acl}") as broker:
        allowed, refused = send(broker.port, make_event(1, make_hit()), make_event(2))
    assert allowed == Accepted()
    assert isinstance(refused, Later)
    assert refused.reason == "not allowed"


@needs_mosquitto
def test_what_is_larger_than_the_broker_takes_is_refused_for_good(tmp_path: Path) -> None:
    large = make_event(2, make_sighting(id="large", raw="A" * 5000))
    with Broker(tmp_path, "max_packet_size 5000") as broker:
        outcomes = send(broker.port, make_event(1), large, make_event(3))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].reason == "too large"


@needs_mosquitto
def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    with Broker(tmp_path, "allow_anonymous false") as broker:
        (outcome,) = send(broker.port)
    assert isinstance(outcome, Later)
    assert outcome.reason == "not allowed"


def test_a_broker_that_is_not_there_is_told() -> None:
    (outcome,) = send(free_port())
    assert outcome == Later("unreachable", "Connection refused")


def test_a_server_that_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        async def work() -> list[Outcome]:
            options = MqttOptions(
                host="127.0.0.1", port=silent.getsockname()[1], client_id="bridge", timeout_seconds=0.2
            )
            sink = MqttSink(options, make=lambda event: cloud_letter(event, prefix="anpr"))
            outcomes = await sink.send([make_event(1)])
            connection, _ = silent.accept()
            with connection:
                connection.settimeout(2.0)
                while connection.recv(1000):  # until the connection is closed: each try would leave one open
                    pass
            return outcomes

        (outcome,) = asyncio.run(work())
    assert outcome == Later("unreachable", "no answer within 0.2 s")


@needs_mosquitto
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # paho leaves the socket of a handshake that failed
def test_over_tls_only_a_trusted_broker_is_given_anything(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    events = [make_event(seq) for seq in range(1, 51)]
    with Broker(tmp_path, f"certfile {certificate}", f"keyfile {key}") as broker:
        trusting = ssl.create_default_context(cafile=certificate)
        assert send(broker.port, *events, tls=trusting) == [Accepted()] * 50
        (outcome,) = send(broker.port, *events, tls=ssl.create_default_context())
    assert isinstance(outcome, Later)
    assert "certificate" in outcome.problem.lower()


class StrictBroker:
    """Takes two messages at once, says so, and counts how many are under way; with `deaf` it acknowledges none."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.most_under_way = 0
        self._deaf = deaf

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: list[bytes] = []
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, body = await self._packet(reader)
                if kind == 0x10:  # CONNECT, answered by a CONNACK with Receive Maximum 2
                    writer.write(b"\x20\x06\x00\x00\x03\x21\x00\x02")
                elif kind == 0x30:  # PUBLISH
                    number = 2 + int.from_bytes(body[:2], "big")
                    under_way.append(body[number : number + 2])
                    self.most_under_way = max(self.most_under_way, len(under_way))
                    if not self._deaf:
                        asyncio.get_running_loop().call_later(
                            0.01, lambda: writer.write(b"\x40\x02" + under_way.pop(0))
                        )
                elif kind == 0xE0:
                    break
        writer.close()

    async def _packet(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind = (await reader.readexactly(1))[0] & 0xF0
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                return kind, await reader.readexactly(length)
            shift += 7


@pytest.mark.parametrize("deaf", [False, True])
def test_no_more_is_under_way_than_the_broker_takes(deaf: bool) -> None:
    broker = StrictBroker(deaf=deaf)

    async def work() -> list[Outcome]:
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        options = MqttOptions(
            host="127.0.0.1",
            port=server.sockets[0].getsockname()[1],
            client_id="bridge",
            timeout_seconds=0.5 if deaf else 5.0,
        )
        sink = MqttSink(options, make=lambda event: cloud_letter(event, prefix="anpr"))
        try:
            async with asyncio.timeout(4.0):
                return await sink.send([make_event(seq) for seq in range(1, 21)])
        finally:
            await sink.close()
            server.close()

    outcomes = asyncio.run(work())
    assert broker.most_under_way <= 2
    if deaf:
        assert outcomes == [Later("unreachable", "no acknowledgement within 0.5 s")] * 20
    else:
        assert outcomes == [Accepted()] * 20


@needs_mosquitto
def test_what_the_form_leaves_out_is_not_published(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        assert send(broker.port, make_event(1, make_gap()), make=onvif_letter) == [LeftOut("form")]


@needs_mosquitto
def test_kill_9_of_bridge_and_broker_loses_nothing(tmp_path: Path) -> None:
    with running_box(tmp_path) as box, Broker(tmp_path) as broker, listening(broker.port) as listener:
        file = tmp_path / "bridge.toml"
        file.write_text(
            f'dead_letters = "dead.jsonl"\n[feed]\nendpoint = "{box.endpoint}"\nconsumer = "bridge"\n'
            f'cursor = "cursor"\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
        )
        with running_bridge(file) as bridge:
            for kills in range(1, 3):
                box.commit(120)
                wanted = 150 * (kills - 1) + 20
                until(lambda wanted=wanted: len(set(listener.ids())) > wanted, what=bridge.log.read_text)
                bridge.kill_and_start()
            until(lambda: set(box.ids) <= set(listener.ids()), what=bridge.log.read_text)
            listener.subscribed.clear()
            broker.restart()  # while nothing is under way: what it had acknowledged is its own to keep
            assert listener.subscribed.wait(60)
            box.commit(20)
            until(lambda: set(box.ids) <= set(listener.ids()), what=bridge.log.read_text)
            assert bridge.stop() == 0
        ids = listener.ids()
        assert set(ids) == set(box.ids)
        assert len(ids) - len(set(ids)) <= 2 * 20, "only what was under way comes again"
        assert not (tmp_path / "dead.jsonl").exists()
        by_id: dict[str, bytes] = {}
        for message in listener.messages:
            name = dict(message.properties.UserProperty)["id"]
            assert by_id.setdefault(name, message.payload) == message.payload
