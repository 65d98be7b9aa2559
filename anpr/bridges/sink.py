"""What a broker is to a bridge: it takes events, and says what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from anpr.records import Event

LaterReason = Literal["unreachable", "timed out", "busy", "not allowed", "no such address", "failed"]
RefusedReason = Literal["refused", "too large"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has acknowledged it."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The broker's form has no place for it: it was not sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker will never take this event."""

    reason: RefusedReason
    problem: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: it must be sent again, and all that follow it."""

    reason: LaterReason
    problem: str
    after_seconds: float | None = None
    """When the broker wants to be asked again; None: it did not say."""


Outcome = Accepted | LeftOut | Refused | Later


class Sink(Protocol):
    """One broker. It connects by itself when there is something to send."""

    @property
    def at_once(self) -> int:
        """How many events are best given to it together."""
        ...

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        """Send in this order. An outcome for each event, up to and with the first Later."""
        ...

    async def close(self) -> None:
        """End the connection. Closing twice does no harm."""
        ...
