"""An MQTT 5 connection for asyncio that says what the broker thought of each message.

paho-mqtt's own loop, driven by the event loop's readers and writers. aiomqtt would do that too, but tells a message
that the broker refused in its PUBACK (not authorised, quota exceeded) as published.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, MQTT_ERR_SUCCESS, Client, MQTTv5, error_string
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

KEEPALIVE_SECONDS = 30
_MISC_SECONDS = 1.0
_LARGEST_BYTES = (1 << 28) - 1
"""Of any MQTT packet."""
_MOST_UNDER_WAY = (1 << 16) - 1
"""Messages without an acknowledgement that a broker takes if it does not say (Receive Maximum)."""


class MqttLostError(Exception):
    """There is no connection, or it ended; the text says why."""

    def __init__(self, problem: str, *, not_allowed: bool = False) -> None:
        super().__init__(problem)
        self.not_allowed = not_allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
    """Which broker, and who we are there."""

    host: str
    port: int
    client_id: str
    tls: ssl.SSLContext | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 10.0


class MqttConnection:
    """One connection; when it is lost, make another."""

    def __init__(self, options: MqttOptions) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[ReasonCode]] = {}
        self._lost: MqttLostError | None = None
        self._misc: asyncio.Task[None] | None = None
        self.largest_bytes = _LARGEST_BYTES
        """Of a packet that the broker takes."""
        self._room = asyncio.Semaphore(_MOST_UNDER_WAY)
        """For messages under way: paho does not ask how many the broker takes, which ends the connection if it is one
        too many."""
        client = self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=options.client_id, protocol=MQTTv5, reconnect_on_failure=False
        )
        client.connect_timeout = options.timeout_seconds
        if options.user is not None:
            client.username_pw_set(options.user, options.password)
        if options.tls is not None:
            client.tls_set_context(options.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write

    @property
    def alive(self) -> bool:
        """Whether messages may be published."""
        return self._lost is None and self._connected.done()

    async def open(self) -> None:
        """Raises MqttLostError if the broker is not there, or does not let us in."""
        try:
            await asyncio.to_thread(self._connect)
            self._misc = self._loop.create_task(self._look_after())
            async with asyncio.timeout(self._options.timeout_seconds):
                await self._connected
        except TimeoutError:
            raise MqttLostError(f"no answer within {self._options.timeout_seconds:g} s") from None
        except OSError as error:
            raise MqttLostError(error.strerror or str(error)) from error

    async def publish(self, topic: str, payload: bytes, properties: Properties) -> ReasonCode:
        """Send with quality of service 1; what the broker's acknowledgement says. Raises MqttLostError."""
        async with self._room:
            if self._lost is not None:
                raise self._lost
            sent = self._client.publish(topic, payload, qos=1, properties=properties)
            if sent.rc != MQTT_ERR_SUCCESS:
                raise MqttLostError(error_string(sent.rc))
            answer = self._answers[sent.mid] = self._loop.create_future()
            try:
                async with asyncio.timeout(self._options.timeout_seconds):
                    code: ReasonCode = await answer
                    return code
            except TimeoutError:
                lost = MqttLostError(f"no acknowledgement within {self._options.timeout_seconds:g} s")
                self._lose(lost)  # those that wait for room would wait for as long, one after the other
                raise lost from None
            finally:
                self._answers.pop(sent.mid, None)

    async def close(self) -> None:
        """Say goodbye, if somebody hears it. The socket is closed also where nobody does: each try would leave one."""
        if self._misc is not None:
            self._misc.cancel()
        if self._client.socket() is not None:
            self._client.disconnect()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    while self._client.socket() is not None:
                        await asyncio.sleep(0.01)
        left: Any = self._client.socket()
        if left is not None:
            self._on_socket_close(self._client, None, left)
            left.close()
        self._lose(MqttLostError("closed"))

    def _connect(self) -> None:
        """In a thread: paho resolves the name and connects without giving way."""
        options = self._options
        self._client.connect(
            options.host, options.port, keepalive=KEEPALIVE_SECONDS, clean_start=MQTT_CLEAN_START_FIRST_ONLY
        )

    async def _look_after(self) -> None:
        while self._client.loop_misc() == MQTT_ERR_SUCCESS:
            await asyncio.sleep(_MISC_SECONDS)

    def _lose(self, problem: MqttLostError) -> None:
        if self._lost is None:
            self._lost = problem
        futures: list[asyncio.Future[Any]] = [self._connected, *self._answers.values()]
        for waiting in futures:
            if not waiting.done():
                waiting.set_exception(problem)
        if self._connected.done() and not self._connected.cancelled():
            self._connected.exception()  # nobody may be waiting any more

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            self._lose(MqttLostError(f"the broker refuses us: {code}", not_allowed=code.value in (0x86, 0x87, 0x8C)))
            return
        self.largest_bytes = getattr(properties, "MaximumPacketSize", _LARGEST_BYTES)
        self._room = asyncio.Semaphore(max(1, getattr(properties, "ReceiveMaximum", _MOST_UNDER_WAY)))
        if not self._connected.done():
            self._connected.set_result(None)

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._lose(MqttLostError(f"the connection ended: {code}"))

    def _on_publish(self, _client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(code)

    # paho calls what it gives these four a SocketLike; over TCP it is a socket.

    def _on_socket_open(self, _client: Client, _data: Any, opened: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch, opened, self._loop.add_reader, self._read)

    def _on_socket_close(self, _client: Client, _data: Any, closed: Any) -> None:
        if closed.fileno() >= 0:
            self._loop.remove_reader(closed)
            self._loop.remove_writer(closed)

    def _on_register_write(self, _client: Client, _data: Any, opened: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch, opened, self._loop.add_writer, self._write)

    def _on_unregister_write(self, _client: Client, _data: Any, opened: Any) -> None:
        if opened.fileno() >= 0:
            self._loop.call_soon_threadsafe(self._loop.remove_writer, opened.fileno())

    def _watch(self, opened: socket.socket, add: Callable[..., None], work: Callable[[socket.socket], None]) -> None:
        if opened.fileno() >= 0:
            add(opened, work, opened)

    def _write(self, _opened: socket.socket) -> None:
        self._client.loop_write()

    def _read(self, opened: socket.socket) -> None:
        """All that has come; what lies in a TLS socket's own buffer wakes nobody."""
        self._client.loop_read()
        while opened.fileno() >= 0 and isinstance(opened, ssl.SSLSocket) and opened.pending():
            self._client.loop_read()


def user_properties(pairs: list[tuple[str, str]], *, content_type: str) -> Properties:
    """The properties of a message."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = content_type
    properties.PayloadFormatIndicator = 1
    properties.UserProperty = pairs
    return properties
