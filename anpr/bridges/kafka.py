"""Kafka: an event is delivered when all replicas that are in step have it (`acks=all`).

CloudEvents 1.0, binary mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from anpr.bridges.sink import Accepted, Later, LaterReason, Outcome, Refused
from anpr.bus.events import encode, topic_of, topic_part
from anpr.records import Event

AT_ONCE = 256
"""Messages under way, in the order of the events: some 1 MB."""
POLL_SECONDS = 0.002
"""How often the client is asked for what the brokers have acknowledged."""
_LARGEST_GRACE_SECONDS = 5.0
"""Beyond a message's own time limit, after which the client has always told what became of it."""
_TOPIC_SHARE = 0.5
"""Of the time for an acknowledgement: how long a topic may be missing."""

Sasl = Literal["plain", "scram-sha-256", "scram-sha-512"]

_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
_FOR_GOOD = frozenset(
    {
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
    }
)
"""What brokers say of the message itself."""
_LATER: Mapping[int, LaterReason] = {
    KafkaError._ALL_BROKERS_DOWN: "unreachable",
    KafkaError._TRANSPORT: "unreachable",
    KafkaError._RESOLVE: "unreachable",
    KafkaError._SSL: "unreachable",
    KafkaError._MSG_TIMED_OUT: "timed out",
    KafkaError._TIMED_OUT: "timed out",
    KafkaError.REQUEST_TIMED_OUT: "timed out",
    KafkaError._AUTHENTICATION: "not allowed",
    KafkaError.SASL_AUTHENTICATION_FAILED: "not allowed",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "not allowed",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "not allowed",
    KafkaError._UNKNOWN_TOPIC: "no such address",
    KafkaError._UNKNOWN_PARTITION: "no such address",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "no such address",
    KafkaError.TOPIC_EXCEPTION: "no such address",
    KafkaError.NOT_ENOUGH_REPLICAS: "busy",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "busy",
    KafkaError.THROTTLING_QUOTA_EXCEEDED: "busy",
}
"""The others are `failed`."""
_TELLING = frozenset({"not allowed", "unreachable", "no such address"})
"""Why messages ran out of time, if it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaOptions:
    """Which cluster, who we are there, and where to publish."""

    servers: tuple[str, ...]
    """`HOST:PORT` of some of its brokers; they name the others."""
    client_id: str
    topic_prefix: str = "anpr"
    tls: bool = True
    ca_file: Path | None = None
    """None: the system's certificates are trusted."""
    certificate_file: Path | None = None
    """Our own, PEM, where brokers ask for one."""
    key_file: Path | None = None
    sasl: Sasl = "scram-sha-512"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Letter:
    """What is published for one event."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def letter_of(event: Event, *, prefix: str) -> Letter:
    """`<prefix>.sighting`, `<prefix>.hit` or `<prefix>.coverage`, with `<site>.<camera>` as the key.

    All of one camera is in one partition of each topic, and so in order. The key says nothing of the vehicle: keys
    stand in the logs and consoles of brokers, and are kept by compaction.
    """
    attributes = msgspec.json.decode(encode(event)[1], type=dict[str, msgspec.Raw])
    value = bytes(attributes.pop("data"))
    content_type = msgspec.json.decode(attributes.pop("datacontenttype"), type=str)
    headers = [("content-type", content_type.encode())]
    headers += [(f"ce_{name}", str(msgspec.json.decode(raw)).encode()) for name, raw in attributes.items()]
    kind = topic_of(event).partition(".")[0]
    record = event.record
    key = f"{topic_part(record.site_id)}.{topic_part(record.camera_id)}"
    return Letter(f"{prefix}.{kind}", key.encode(), value, headers)


def settings_of(options: KafkaOptions) -> dict[str, object]:
    """librdkafka's own, https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md."""
    milliseconds = round(options.timeout_seconds * 1000)
    settings: dict[str, object] = {
        "bootstrap.servers": ",".join(options.servers),
        "client.id": options.client_id,
        "security.protocol": ("sasl_" if options.user is not None else "") + ("ssl" if options.tls else "plaintext"),
        "enable.idempotence": True,  # what the client sends again by itself is neither doubled nor out of order
        "acks": "all",
        "linger.ms": 1,
        "message.timeout.ms": milliseconds,
        "socket.timeout.ms": milliseconds,
        "socket.connection.setup.timeout.ms": max(1000, milliseconds),
        "topic.metadata.propagation.max.ms": round(milliseconds * _TOPIC_SHARE),
        "reconnect.backoff.max.ms": min(1000, milliseconds),
    }
    if options.tls and options.ca_file is not None:
        settings["ssl.ca.location"] = str(options.ca_file)
    if options.certificate_file is not None and options.key_file is not None:
        settings["ssl.certificate.location"] = str(options.certificate_file)
        settings["ssl.key.location"] = str(options.key_file)
    if options.user is not None:
        settings["sasl.mechanism"] = options.sasl.upper()
        settings["sasl.username"] = options.user
        settings["sasl.password"] = options.password or ""
    return settings


class KafkaSink:
    """One cluster; it is connected when there is something to send."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._producer: Producer | None = None
        self._problem: KafkaError | None = None
        """What the client said last of its connections."""

    @property
    def at_once(self) -> int:
        """Messages that wait for their acknowledgement together."""
        return AT_ONCE

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        """Publish all, and wait for what the brokers say of each."""
        outcomes = await self._publish(events)
        first = next((place for place, each in enumerate(outcomes) if _is_too_large(each)), None)
        if first is not None and len(events) > 1:
            # Brokers measure a batch as a whole: what is really too large shows when each goes alone.
            outcomes = outcomes[:first]
            while len(outcomes) < len(events) and not (outcomes and isinstance(outcomes[-1], Later)):
                outcomes += await self._publish(events[len(outcomes) : len(outcomes) + 1])
        if any(isinstance(outcome, Later) for outcome in outcomes):
            await self.close()  # what is under way must not overtake what is sent again
        return outcomes

    async def close(self) -> None:
        """End the connections, and forget what is under way."""
        producer, self._producer, self._problem = self._producer, None, None
        if producer is not None:
            producer.purge()
            producer.poll(0)

    async def _publish(self, events: Sequence[Event]) -> list[Outcome]:
        """An outcome for each, up to and with the first Later."""
        producer = self._producer = self._producer or self._make()
        self._problem = None
        outcomes: list[Outcome | None] = [None] * len(events)
        for place, event in enumerate(events):
            letter = letter_of(event, prefix=self._options.topic_prefix)

            def told(error: KafkaError | None, _message: Message, place: int = place) -> None:
                outcomes[place] = Accepted() if error is None else self._outcome(error)

            try:
                producer.produce(
                    letter.topic, letter.value, key=letter.key, headers=list(letter.headers), on_delivery=told
                )
            except KafkaException as error:
                outcomes[place] = self._outcome(error.args[0])
            except BufferError as error:
                outcomes[place] = Later("busy", str(error))
            if isinstance(outcomes[place], Later):
                del outcomes[place + 1 :]  # of what is not sent, nothing will be told
                break
        await self._wait_for(producer, outcomes)
        refused = self._refused
        untold = Later("timed out", "the client did not tell what became of it")
        return _up_to_the_first_later(outcomes, untold if refused is None else Later("not allowed", _text(refused)))

    async def _wait_for(self, producer: Producer, outcomes: Sequence[Outcome | None]) -> None:
        """Until the client has told what became of each, or that we are not let in: it would try again and again, and
        may lock our account."""
        loop = asyncio.get_running_loop()
        until_seconds = loop.time() + self._options.timeout_seconds + _LARGEST_GRACE_SECONDS
        while None in outcomes and self._refused is None and loop.time() < until_seconds:
            if not producer.poll(0):
                await asyncio.sleep(POLL_SECONDS)

    def _make(self) -> Producer:
        silent = logging.Logger("librdkafka")  # else it writes to stderr; what matters comes to `_note`
        silent.addHandler(logging.NullHandler())
        return Producer({**settings_of(self._options), "error_cb": self._note}, logger=silent)

    @property
    def _refused(self) -> KafkaError | None:
        """Why the brokers do not let us in."""
        return self._problem if self._problem is not None and _reason(self._problem) == "not allowed" else None

    def _note(self, error: KafkaError) -> None:
        if self._refused is None and (self._problem is None or error.code() != KafkaError._ALL_BROKERS_DOWN):
            self._problem = error

    def _outcome(self, error: KafkaError) -> Outcome:
        """What became of a message that was not taken."""
        if error.code() in _TOO_LARGE:
            return Refused("too large", _text(error))
        if error.code() in _FOR_GOOD:
            return Refused("refused", _text(error))
        if _reason(error) == "timed out" and self._problem is not None and _reason(self._problem) in _TELLING:
            error = self._problem
        return Later(_reason(error), _text(error))


def _reason(error: KafkaError) -> LaterReason:
    return _LATER.get(error.code(), "failed")


def _text(error: KafkaError) -> str:
    return f"{error.str()} ({error.name()})"


def _is_too_large(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.reason == "too large"


def _up_to_the_first_later(outcomes: Sequence[Outcome | None], untold: Later) -> list[Outcome]:
    told: list[Outcome] = []
    for outcome in outcomes:
        told.append(outcome if outcome is not None else untold)
        if isinstance(told[-1], Later):
            break
    return told
