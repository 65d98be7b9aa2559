"""NATS JetStream: an event is delivered when a stream's acknowledgement says so."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.errors import AuthorizationError, Error, MaxPayloadError, NoServersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError, NoStreamResponseError

from anpr.bridges.headers import header_value
from anpr.bridges.sink import Accepted, Later, Outcome, Refused
from anpr.bus.events import encode, event_id
from anpr.records import Event

AT_ONCE = 64
"""Messages under way, in the order of the events."""
_TOO_LARGE_FOR_THE_STREAM = 10054
"""Of JetStream's error codes."""
_FRAME_BYTES = 12
_HEADER_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsOptions:
    """Which server, who we are there, and where to publish."""

    url: str
    name: str
    """Of the connection, for the server's log."""
    subject_prefix: str = "anpr"
    stream: str | None = None
    tls: ssl.SSLContext | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Letter:
    """What is published for one event."""

    subject: str
    payload: bytes
    headers: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """As the server counts it: headers and payload."""
        lines = sum(len(name) + len(value) + _HEADER_BYTES for name, value in self.headers.items())
        return _FRAME_BYTES + lines + len(self.payload)


def letter_of(event: Event, *, prefix: str) -> Letter:
    """`<prefix>.sighting.<site>.<camera>`, `<prefix>.hit.<severity>.<site>`, …; CloudEvents JSON, whole."""
    topic, payload = encode(event)
    headers = {
        "Nats-Msg-Id": header_value(event_id(event)),
        "Content-Type": "application/cloudevents+json",
        "Anpr-Box": header_value(event.box),
        "Anpr-Epoch": str(event.epoch),
        "Anpr-Sequence": str(event.seq),
    }
    return Letter(f"{prefix}.{topic.decode()}", payload, headers)


class NatsSink:
    """One server, or one cluster behind an address; it is connected when there is something to send."""

    def __init__(self, options: NatsOptions) -> None:
        self._options = options
        self._client: Client | None = None
        self._gone = asyncio.Event()
        """The present connection has ended: a request on it would wait for its answer in vain."""

    @property
    def at_once(self) -> int:
        """Messages that wait for their acknowledgement together."""
        return AT_ONCE

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        """Publish all, and wait for what the stream says of each."""
        fresh = self._client is None or not self._client.is_connected
        try:
            client = await self._connect()
        except (Error, OSError, TimeoutError) as error:
            await self.close()
            return [self._later(error)]
        work = asyncio.ensure_future(self._publish_all(client, events, fresh=fresh))
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            outcomes: list[Outcome] = [Later("unreachable", "the connection ended")]
            if work.done():
                outcomes = work.result()
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.wait({work, gone})
        if any(isinstance(outcome, Later) for outcome in outcomes):
            await self.close()  # what is under way on it must not overtake what is sent again
        return outcomes

    async def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            await _end(client)

    async def _connect(self) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        await self.close()
        options = self._options

        client = Client()
        gone = self._gone = asyncio.Event()
        problems: list[Exception] = []

        async def note(error: Exception) -> None:
            """Of a connection that stands, what goes wrong with a message is told by its own outcome."""
            problems.append(error)

        async def end() -> None:
            gone.set()

        try:
            async with asyncio.timeout(options.timeout_seconds):
                await client.connect(
                    options.url,
                    name=options.name,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=max(1, round(options.timeout_seconds)),
                    error_cb=note,
                    closed_cb=end,
                    disconnected_cb=end,
                    tls=options.tls,
                    user=options.user,
                    password=options.password,
                    token=options.token,
                )
        except (Error, OSError, TimeoutError) as error:
            await _end(client)  # it leaves its socket open, one for each try
            vague = isinstance(error, NoServersError | TimeoutError) and problems
            raise problems[-1] if vague else error from None
        self._client = client
        return client

    async def _publish_all(self, client: Client, events: Sequence[Event], *, fresh: bool) -> list[Outcome]:
        """The first request of a connection subscribes to the answers; until then later ones could overtake it."""
        first, rest = (events[:1], events[1:]) if fresh else (events[:0], events)
        outcomes = [await self._publish(client, event) for event in first]
        if not any(isinstance(outcome, Later) for outcome in outcomes):
            outcomes += await asyncio.gather(*(self._publish(client, event) for event in rest))
        return outcomes

    async def _publish(self, client: Client, event: Event) -> Outcome:
        options = self._options
        letter = letter_of(event, prefix=options.subject_prefix)
        if letter.size_bytes > client.max_payload:
            return Refused("too large", f"{letter.size_bytes} bytes, the server takes {client.max_payload}")
        stream = client.jetstream(timeout=options.timeout_seconds)
        try:
            await stream.publish(letter.subject, letter.payload, headers=dict(letter.headers), stream=options.stream)
        except MaxPayloadError:
            return Refused("too large", f"{letter.size_bytes} bytes, the server takes {client.max_payload}")
        except APIError as error:
            problem = f"the stream says: {error.description or error.code} ({error.err_code})"
            if error.err_code == _TOO_LARGE_FOR_THE_STREAM:
                return Refused("too large", problem)
            return Later("failed", problem)
        except NoStreamResponseError:
            return Later("no such address", f"no stream takes the subject {letter.subject}")
        except (Error, OSError, TimeoutError) as error:
            return self._later(error)
        return Accepted()

    def _later(self, error: Exception) -> Later:
        if isinstance(error, TimeoutError | NatsTimeoutError):
            return Later("timed out", f"no answer within {self._options.timeout_seconds:g} s")
        text = str(error) or type(error).__name__
        if isinstance(error, AuthorizationError) or "authorization" in text.lower():
            return Later("not allowed", text)
        return Later("unreachable", text)


async def _end(client: Client) -> None:
    with suppress(Error, OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await client.close()
