"""MQTT 5, quality of service 1: an event is delivered when the broker's PUBACK says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anpr.bridges.mqtt_connection import MqttConnection, MqttLostError, MqttOptions, user_properties
from anpr.bridges.sink import Accepted, Later, LeftOut, Outcome, Refused
from anpr.bus.events import encode, event_id
from anpr.records import Event

AT_ONCE = 20
"""Messages given to a connection together, in the order of the events: what paho sends at once. Fewer are under way
where the broker takes fewer."""
_ROOM_BYTES = 16
"""Of a packet, for lengths and numbers."""
_FOR_GOOD = {0x90: "its topic", 0x99: "its payload's format"}
_NOT_ALLOWED = 0x87


@dataclass(frozen=True, slots=True)
class Letter:
    """What is published for one event."""

    topic: str
    payload: bytes
    content_type: str
    properties: list[tuple[str, str]] = field(default_factory=list)
    """User properties."""

    @property
    def size_bytes(self) -> int:
        """Of the packet, at most."""
        pairs = sum(len(name.encode()) + len(value.encode()) + 5 for name, value in self.properties)
        return len(self.topic.encode()) + len(self.payload) + len(self.content_type) + pairs + _ROOM_BYTES


def properties_of(event: Event) -> list[tuple[str, str]]:
    """User properties that let a subscriber drop repetitions and see gaps without reading the payload."""
    return [
        ("id", event_id(event)),
        ("box", event.box),
        ("epoch", str(event.epoch)),
        ("sequence", str(event.seq)),
    ]


def cloud_letter(event: Event, *, prefix: str) -> Letter:
    """`<prefix>/sighting/<site>/<camera>`, `<prefix>/hit/<severity>/<site>`, …; CloudEvents JSON, whole."""
    topic, payload = encode(event)
    levels = topic.decode().replace(".", "/")
    return Letter(f"{prefix}/{levels}", payload, "application/cloudevents+json", properties_of(event))


class MqttSink:
    """One broker; it is connected when there is something to send."""

    def __init__(self, options: MqttOptions, *, make: Callable[[Event], Letter | None]) -> None:
        """`make` is the form; it gives None for what has no place in it."""
        self._options = options
        self._make = make
        self._connection: MqttConnection | None = None

    @property
    def at_once(self) -> int:
        """Messages that wait for their acknowledgement together."""
        return AT_ONCE

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        """Publish all, and wait for what the broker says of each."""
        try:
            connection = await self._connect()
        except MqttLostError as error:
            return [_later(error)]
        tasks = [asyncio.ensure_future(self._publish(connection, event)) for event in events]
        outcomes = await asyncio.gather(*tasks)
        if not connection.alive or any(isinstance(outcome, Later) for outcome in outcomes):
            await self.close()  # what is under way on it must not overtake what is sent again
        return outcomes

    async def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> MqttConnection:
        if self._connection is not None and self._connection.alive:
            return self._connection
        await self.close()
        self._connection = MqttConnection(self._options)
        try:
            await self._connection.open()
        except MqttLostError:
            await self.close()
            raise
        return self._connection

    async def _publish(self, connection: MqttConnection, event: Event) -> Outcome:
        letter = self._make(event)
        if letter is None:
            return LeftOut("form")
        if letter.size_bytes > connection.largest_bytes:
            return Refused("too large", f"{letter.size_bytes} bytes, the broker takes {connection.largest_bytes}")
        properties = user_properties(letter.properties, content_type=letter.content_type)
        try:
            code = await connection.publish(letter.topic, letter.payload, properties)
        except MqttLostError as error:
            return _later(error)
        if not code.is_failure:
            return Accepted()
        problem = f"the broker says: {code}"
        if code.value in _FOR_GOOD:
            return Refused("refused", f"{problem} ({_FOR_GOOD[code.value]})")
        return Later("not allowed" if code.value == _NOT_ALLOWED else "failed", problem)


def _later(error: MqttLostError) -> Later:
    return Later("not allowed" if error.not_allowed else "unreachable", str(error))
