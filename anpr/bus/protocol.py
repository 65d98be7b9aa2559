"""What a box and a consumer say to each other on the reliable link: JSON, one `type` each.

    consumer → box    hello, then progress, at the end leave
    box → consumer    welcome or goodbye; then event (a second frame holds the CloudEvent) and alive

Events travel in two **lanes**: `hits`, and `rest` for sightings and coverage. Within a lane their numbers rise, and
each says which number went before it; so a consumer sees what is missing, and acknowledges a lane by one number. Hits
go first: after an outage they need not wait for the plain sightings. `session` is the consumer's own count of its
hellos: what was said to an earlier one is left aside.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from anpr.bus.events import Epoch, Name
from anpr.errors import BusError

PROTOCOL = 1
MOST_IN_FLIGHT = 1024
"""Events on their way to one consumer."""
MAX_REQUEST_BYTES = 4096
"""All that a consumer may send at once."""

Lane = Literal["hits", "rest"]
LANES: tuple[Lane, ...] = ("hits", "rest")
Seq = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Farewell = Literal["replaced", "unknown consumer", "wrong key", "protocol", "unknown session", "stopping"]


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a lane has come."""

    seq: Seq
    """0: nothing yet."""
    id: str = ""
    """Of the event with that number: a box whose store was restored may have given the number to another since."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """A consumer is here."""

    protocol: Literal[1] = 1
    consumer: Name
    instance: Name
    """Its own, random: tells a consumer that comes back from a second one of the same name."""
    session: Count
    window: Annotated[int, msgspec.Meta(ge=1, le=MOST_IN_FLIGHT)]
    """Events that it has room for."""
    hits: Position | None = None
    """What it holds; None: it leaves it to the box, which knows what it has acknowledged."""
    rest: Position | None = None
    after_seq: Seq | None = None
    """Send all events after this number again, whatever was acknowledged."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """How far a consumer is; also a sign of life, once a second."""

    session: Count
    taken: Count
    """Events taken in this session: makes room for as many."""
    hits: Seq | None = None
    """Everything in this lane up to this number is safe with the consumer; None: nothing more than before."""
    rest: Seq | None = None


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="leave"):
    """A consumer goes."""

    session: Count


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="welcome"):
    """What follows begins after these positions."""

    session: Count
    box: Name
    epoch: Epoch
    hits: Position
    rest: Position
    last_seq: Seq
    renumbered: bool = False
    """The consumer's positions are not this store's: it was restored or replaced."""
    expired_after: Seq | None = None
    """What came after this number, and up to the lower of the positions, is not kept any more."""


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="event"):
    """Goes before an event."""

    session: Count
    lane: Lane
    seq: Seq
    previous: Seq
    """The number that went before it in its lane, in this session or as its beginning."""


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="alive"):
    """Once a second: what was sent last, so that a loss at the tail is seen too."""

    session: Count
    epoch: Epoch
    last_seq: Seq
    """The box's newest event, sent or not."""
    hits: Seq
    rest: Seq
    hits_to: Position | None = None
    """There is nothing more in this lane up to here: hold this position, so that it does not grow old."""
    rest_to: Position | None = None


class Goodbye(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="goodbye"):
    """Nothing follows."""

    session: Count
    reason: Farewell


Request = Hello | Progress | Leave
Reply = Welcome | Sent | Alive | Goodbye

_ENCODER = msgspec.json.Encoder()
_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_REPLY: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


def encode_frame(message: Request | Reply) -> bytes:
    """One frame."""
    return _ENCODER.encode(message)


def decode_request(frame: bytes) -> Request:
    """What a consumer said. Raises BusError."""
    try:
        return _REQUEST.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BusError(f"a request is not ours: {error}", cure="see who connects to this endpoint") from error


def decode_reply(frame: bytes) -> Reply:
    """What a box said. Raises BusError."""
    try:
        return _REPLY.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BusError(f"an answer is not ours: {error}", cure="see who answers on this endpoint") from error
