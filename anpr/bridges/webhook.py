"""HTTP: one POST for each event, in CloudEvents 1.0 binary mode, signed; or entities for an NGSI-LD broker.

Binary mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from anpr.bridges.headers import header_value
from anpr.bridges.signature import signature
from anpr.bridges.sink import Accepted, Later, LeftOut, Outcome, Refused
from anpr.bus.events import encode, event_id
from anpr.clock import Clock
from anpr.records import Event

AT_ONCE = 32
"""Events between two acknowledgements to the box; each is a request of its own."""
_SHOWN_CHARACTERS = 200
_MOST_BODY_BYTES = 64 << 10
"""Of an answer that is read to its end, so that the connection can be used again."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for one event."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Where to, and with what secrets."""

    url: str
    timeout_seconds: float = 10.0
    key: bytes | None = field(default=None, repr=False)
    """Signs each request; None: they are not signed."""
    token: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    """None: the system's certificates are trusted."""
    make: Callable[[Event], Request | LeftOut | Refused] | None = None
    """The form; None: CloudEvents. It says what becomes of an event that it cannot put into a request."""


def cloud_event(event: Event) -> Request:
    """CloudEvents binary mode: the attributes as headers `ce-…`, the record as the body."""
    attributes = msgspec.json.decode(encode(event)[1], type=dict[str, msgspec.Raw])
    body = bytes(attributes.pop("data"))
    content_type = msgspec.json.decode(attributes.pop("datacontenttype"), type=str)
    headers = {f"ce-{name}": header_value(msgspec.json.decode(value)) for name, value in attributes.items()}
    return Request({"content-type": content_type} | headers, body)


class WebhookSink:
    """One HTTP connection that is kept open, one request after the other."""

    def __init__(
        self, options: WebhookOptions, *, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` is for tests."""
        self._options = options
        self._make = options.make or cloud_event
        self._clock = clock
        self._client = httpx.AsyncClient(
            timeout=options.timeout_seconds,
            verify=options.tls or ssl.create_default_context(),
            limits=httpx.Limits(max_connections=1),
            headers={"user-agent": "anpr-bridge", "accept-encoding": "identity"},
            transport=transport,
        )

    @property
    def at_once(self) -> int:
        """Requests between two acknowledgements to the box."""
        return AT_ONCE

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        """One POST after the other, until one must come again."""
        outcomes: list[Outcome] = []
        for event in events:
            outcomes.append(await self._post(event))
            if isinstance(outcomes[-1], Later):
                break
        return outcomes

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _post(self, event: Event) -> Outcome:
        request = self._make(event)
        if not isinstance(request, Request):
            return request
        headers = request.headers | self._credentials(event_id(event), request.body)
        timeout_seconds = self._options.timeout_seconds
        try:  # httpx's own limit begins anew with each byte
            async with (
                asyncio.timeout(2 * timeout_seconds),
                self._client.stream("POST", self._options.url, content=request.body, headers=headers) as response,
            ):
                outcome = self._outcome(response)
                with suppress(httpx.TransportError, TimeoutError):
                    async with asyncio.timeout(timeout_seconds):
                        await _take_body(response)
                return outcome
        except (httpx.TimeoutException, TimeoutError):
            return Later("timed out", f"no answer within {timeout_seconds:g} s")
        except httpx.TransportError as error:
            return Later("unreachable", str(error) or type(error).__name__)

    def _credentials(self, message_id: str, body: bytes) -> dict[str, str]:
        """The `webhook-…` headers, which a receiver checks, and the token."""
        timestamp = int(self._clock.wall_seconds())
        message_id = header_value(message_id)
        headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
        if self._options.key is not None:
            headers["webhook-signature"] = signature(
                self._options.key, message_id=message_id, timestamp=timestamp, body=body
            )
        if self._options.token is not None:
            headers["authorization"] = f"Bearer {self._options.token}"
        return headers

    def _outcome(self, response: httpx.Response) -> Outcome:
        status = response.status_code
        problem = f"HTTP {status} {response.reason_phrase}".strip()[:_SHOWN_CHARACTERS]
        if status == 207:
            return Refused("refused", "HTTP 207: the broker took the entity only in part")
        if response.is_success:
            return Accepted()
        asked = self._retry_after(response.headers.get("retry-after"))
        match status:
            case 401 | 403 | 407:
                return Later("not allowed", problem, asked)
            case 404 | 405 | 410 | 421:
                return Later("no such address", problem, asked)
            case 408 | 409 | 425 | 429 | 503:
                return Later("busy", problem, asked)
            case 413:
                return Refused("too large", problem)
            case _ if response.is_client_error:
                return Refused("refused", problem)
            case _:
                return Later("failed", problem, asked)

    def _retry_after(self, value: str | None) -> float | None:
        """Seconds from now, from either form of the header; None if there is none that can be read."""
        if value is None:
            return None
        if value.strip().isdecimal():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._clock.wall_seconds())
        except (ValueError, OverflowError):
            return None


async def _take_body(response: httpx.Response) -> None:
    """Read an answer, of which nothing is wanted; a long one ends the connection."""
    size_bytes = 0
    async for piece in response.aiter_bytes():
        size_bytes += len(piece)
        if size_bytes > _MOST_BODY_BYTES:
            return
