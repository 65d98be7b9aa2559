"""The wire form: CloudEvents 1.0 as JSON, one type and version per kind of record, one topic per place.

Beside the attributes of CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) every
message has `box`, `epoch` and `sequence`. `sequence` is a string of 19 digits, as the CloudEvents sequence extension
asks: it sorts as text, and has room where a CloudEvents integer has only 31 bits.

A consumer must ignore types it does not know; their sequence numbers still count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from anpr.errors import BusError
from anpr.records import CoverageGap, Event, Hit, Record, Sighting

MAX_MESSAGE_BYTES = 1 << 20
"""No message of ours comes near; a larger one is not ours, and a receiver must not make room for it."""

SEQUENCE_DIGITS = 19

_SEQUENCE = rf"^[0-9]{{{SEQUENCE_DIGITS}}}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
Sequence = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _SEQUENCE})]
"""Looked at by `_number`, which is quicker than a pattern."""
Time = Annotated[str, msgspec.Meta(pattern=_TIME)]
Committed = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _TIME})]
"""A Time, looked at by `_wall_seconds`: once for all that were committed together."""
Name = Annotated[str, msgspec.Meta(max_length=256)]
Epoch = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A box says that it lives, and what the newest event is: so that a consumer sees what it missed at the tail."""

    box: str
    epoch: int
    last_seq: int
    """The newest event published; 0 if none."""
    sent_seconds: float
    """Wall time, whole milliseconds."""
    interval_seconds: float
    """When the next one is due."""


class VolatileHit(msgspec.Struct, frozen=True, kw_only=True):
    """A hit that is not on disk because the box's store takes nothing: told at once all the same, and without a number.

    When the store takes it, it comes as an Event with the same id and revision; if the box dies before, it never does.
    """

    box: str
    epoch: int
    last_seq: int
    """The newest event published; 0 if none."""
    told_seconds: float
    """Wall time, whole milliseconds."""
    hit: Hit


Thing = Event | Heartbeat | VolatileHit
"""What a box publishes."""


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every message says about itself."""

    specversion: Literal["1.0"]
    id: str
    """The same for the same thing, also if it is sent again."""
    source: str
    """`/box/<box>`"""
    time: Time
    """When it happened, UTC."""
    subject: str
    """The camera; for a heartbeat the box."""
    dataschema: str
    datacontenttype: Literal["application/json"] = "application/json"
    box: Name
    epoch: Epoch
    sequence: Sequence


class SightingMessage(_Envelope, frozen=True, kw_only=True, tag_field="type", tag="vn.anpr.sighting.v1"):
    """A vehicle passed a camera."""

    committed: Committed
    """When the box had it on disk, UTC."""
    data: Sighting


class HitMessage(_Envelope, frozen=True, kw_only=True, tag_field="type", tag="vn.anpr.hit.v1"):
    """A watch-list raised something about a sighting."""

    committed: Committed
    """When the box had it on disk, UTC."""
    data: Hit


class CoverageMessage(_Envelope, frozen=True, kw_only=True, tag_field="type", tag="vn.anpr.coverage.v1"):
    """A camera is not watched, or is again."""

    committed: Committed
    """When the box had it on disk, UTC."""
    data: CoverageGap


class HeartbeatMessage(_Envelope, frozen=True, kw_only=True, tag_field="type", tag="vn.anpr.heartbeat.v1"):
    """The box lives; `sequence` is that of the newest event."""

    data: Heartbeat


class VolatileHitMessage(_Envelope, frozen=True, kw_only=True, tag_field="type", tag="vn.anpr.volatile-hit.v1"):
    """A watch-list raised something about a sighting that is not on disk: the box's store takes nothing at the moment.
    It comes again as a hit with a number of its own when it is; `sequence` is that of the newest event."""

    told: Time
    """When it was sent, UTC."""
    data: Hit


Message = SightingMessage | HitMessage | CoverageMessage | HeartbeatMessage | VolatileHitMessage
MESSAGES: tuple[type[Message], ...] = (
    SightingMessage,
    HitMessage,
    CoverageMessage,
    HeartbeatMessage,
    VolatileHitMessage,
)


class _AnyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The least that a message of a later type must have."""

    specversion: Literal["1.0"]
    type: Name
    id: str = ""
    box: Name
    epoch: Epoch
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that this version does not know."""

    type: str
    box: str
    epoch: int
    seq: int
    id: str


_nulls_in = re.compile(b"null").findall
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Message)
_ANY_DECODER = msgspec.json.Decoder(_AnyMessage)
_KINDS: dict[type[Record], tuple[Any, str, str]] = {
    Sighting: (SightingMessage, "urn:anpr:schema:vn.anpr.sighting.v1#/$defs/Sighting", "sighting"),
    Hit: (HitMessage, "urn:anpr:schema:vn.anpr.hit.v1#/$defs/Hit", "hit"),
    CoverageGap: (CoverageMessage, "urn:anpr:schema:vn.anpr.coverage.v1#/$defs/CoverageGap", "coverage"),
}
"""The message that carries each kind of record, the schema of its data, and its name in topics and ids."""
_MAY_BE_NONE = {
    record: tuple(field.name for field in msgspec.structs.fields(record) if field.default is None)
    for record in (Sighting, Hit, CoverageGap)
}
"""Fields of each kind of record whose value may be None: those whose default it is."""
_SECONDS = tuple(b":%02d" % second for second in range(60))
_THOUSANDTHS = tuple(b".%03dZ" % thousandth for thousandth in range(1000))
"""The end of a time."""
_TYPES = frozenset(str(message.__struct_config__.tag) for message in MESSAGES)


def encode(thing: Thing) -> tuple[bytes, bytes]:
    """The two frames of a message: topic and JSON. Raises BusError if the thing does not fit a message."""
    try:
        if isinstance(thing, Event):
            topic, payload, nulls = _encode_event(thing)
        elif isinstance(thing, Heartbeat):
            topic, payload, nulls = _encode_heartbeat(thing)
        else:
            topic, payload, nulls = _encode_volatile(thing)
    except (OverflowError, ValueError) as error:
        raise BusError(f"an event cannot be sent: {error}", cure="see its times and numbers") from error
    if len(payload) > MAX_MESSAGE_BYTES:
        raise BusError(
            f"an event of {len(payload)} bytes cannot be sent", cure=f"keep records below {MAX_MESSAGE_BYTES} bytes"
        )
    if nulls:
        decode(payload)  # NaN and infinity become null, which no receiver takes: better told here than lost there
    return topic, payload


def decode(payload: bytes | memoryview) -> Thing | Unknown:
    """What the JSON of a message says. Raises BusError if it is not a message of ours."""
    if len(payload) > MAX_MESSAGE_BYTES:
        raise BusError(f"a message of {len(payload)} bytes is not ours", cure="see who publishes on this endpoint")
    try:
        return _thing(_DECODER.decode(payload))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        unknown = _unknown(payload)
        if unknown is not None:
            return unknown
        raise BusError(f"a message is not ours: {error}", cure="see who publishes on this endpoint") from error


def event_id(event: Event) -> str:
    """The same for the same thing, also if it is sent again or has another number."""
    record = event.record
    return f"{_KINDS[type(record)][2]}.{record.id}.{record.revision}"


def topic_of(thing: Thing) -> str:
    """`sighting.<site>.<camera>`, `hit.<severity>.<site>`, `coverage.<site>.<camera>`, `health.<box>` or
    `volatile.<severity>.<site>`."""
    match thing:
        case Event():
            match record := thing.record:
                case Sighting() | CoverageGap():
                    return _topic(_KINDS[type(record)][2], record.site_id, record.camera_id)
                case Hit():
                    return _topic("hit", record.severity, record.site_id)
        case VolatileHit():
            return _topic("volatile", thing.hit.severity, thing.hit.site_id)
        case Heartbeat():
            return f"health.{topic_part(thing.box)}"


@lru_cache(maxsize=1024)
def _topic(first: str, second: str, third: str) -> str:
    return f"{first}.{topic_part(second)}.{topic_part(third)}"


@lru_cache(maxsize=1024)
def topic_part(name: str) -> str:
    """`name` as one part of a topic: characters other than `A-Z a-z 0-9 - _ ~` are percent-encoded, the dot too."""
    return quote(name, safe="", errors="replace").replace(".", "%2E")


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of every message, by type and version."""
    found = {}
    for message in MESSAGES:
        name = str(message.__struct_config__.tag)
        found[name] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": _schema_id(name),
            **msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(message))),
        }
    return found


def _schema_id(type_name: str) -> str:
    return f"urn:anpr:schema:{type_name}"


def _encode_heartbeat(beat: Heartbeat) -> tuple[bytes, bytes, bool]:
    message = HeartbeatMessage(
        specversion="1.0",
        id=f"heartbeat.{beat.epoch}.{round(beat.sent_seconds * 1000)}",
        source=f"/box/{beat.box}",
        time=_rfc3339(beat.sent_seconds).decode(),
        subject=beat.box,
        dataschema=_schema_id("vn.anpr.heartbeat.v1") + "#/$defs/Heartbeat",
        box=beat.box,
        epoch=beat.epoch,
        sequence=f"{beat.last_seq:0{SEQUENCE_DIGITS}}",
        data=beat,
    )
    payload = _ENCODER.encode(message)
    return topic_of(beat).encode(), payload, b"null" in payload


def _encode_volatile(told: VolatileHit) -> tuple[bytes, bytes, bool]:
    hit = told.hit
    message = VolatileHitMessage(
        specversion="1.0",
        id=f"volatile.{hit.id}.{hit.revision}",
        source=f"/box/{told.box}",
        time=_rfc3339(hit.seen_seconds).decode(),
        subject=hit.camera_id,
        dataschema=_schema_id("vn.anpr.volatile-hit.v1") + "#/$defs/Hit",
        box=told.box,
        epoch=told.epoch,
        sequence=f"{told.last_seq:0{SEQUENCE_DIGITS}}",
        told=_rfc3339(told.told_seconds).decode(),
        data=hit,
    )
    return topic_of(told).encode(), _ENCODER.encode(message), True


def _encode_event(event: Event) -> tuple[bytes, bytes, bool]:
    """Topic, JSON, and whether it holds more nulls than it should.

    The attributes that a camera's events share are encoded once; the record, and what is its own, for each.
    """
    record = event.record
    kind = type(record)
    severity = record.severity if isinstance(record, Hit) else None
    topic, before_id, before_time, before_sequence = _shared(
        kind, severity, record.site_id, record.camera_id, event.box, event.epoch
    )
    data = _ENCODER.encode(record)
    payload = b"".join(
        (
            before_id,
            _ENCODER.encode(f"{record.id}.{record.revision}")[1:],
            before_time,
            _rfc3339(_when(record)),
            before_sequence,
            b'%019d","committed":"%b","data":' % (event.seq, _committed(event.committed_seconds)),
            data,
            b"}",
        )
    )
    absent = 0
    for name in _MAY_BE_NONE[kind]:
        absent += getattr(record, name) is None
    return topic, payload, len(_nulls_in(data)) != absent


@lru_cache(maxsize=1024)
def _shared(
    kind: type[Record], severity: str | None, site_id: str, camera_id: str, box: str, epoch: int
) -> tuple[bytes, bytes, bytes, bytes]:
    """The topic, and the pieces of a message before what is its own in `id`, `time` and `sequence`."""
    message, dataschema, name = _KINDS[kind]
    before_sequence = _ENCODER.encode(
        {
            "subject": camera_id,
            "dataschema": dataschema,
            "datacontenttype": "application/json",
            "box": box,
            "epoch": epoch,
            "sequence": "",
        }
    )
    return (
        _topic(name, severity or site_id, site_id if severity else camera_id).encode(),
        b'{"type":"%b","specversion":"1.0","id":"%b.' % (message.__struct_config__.tag.encode(), name.encode()),
        b',"source":%b,"time":"' % _ENCODER.encode(f"/box/{box}"),
        b'",' + before_sequence.removeprefix(b"{").removesuffix(b'"}'),
    )


def _when(record: Record) -> float:
    """When it happened: a gap begins, and ends, when its revision says."""
    match record:
        case Sighting() | Hit():
            return record.seen_seconds
        case CoverageGap(state="preview"):
            return record.from_seconds
        case CoverageGap():
            return record.until_seconds


def _thing(message: Message) -> Thing:
    match message:
        case SightingMessage() | HitMessage() | CoverageMessage():
            return Event(
                box=message.box,
                epoch=message.epoch,
                seq=_number(message.sequence),
                committed_seconds=_wall_seconds(message.committed),
                record=message.data,
            )
        case VolatileHitMessage():
            return VolatileHit(
                box=message.box,
                epoch=message.epoch,
                last_seq=_number(message.sequence),
                told_seconds=_wall_seconds(message.told),
                hit=message.data,
            )
        case HeartbeatMessage(data=beat):
            if (beat.box, beat.epoch, beat.last_seq) != (message.box, message.epoch, _number(message.sequence)):
                raise ValueError("a heartbeat contradicts its own attributes")
            return beat


def _unknown(payload: bytes | memoryview) -> Unknown | None:
    try:
        message = _ANY_DECODER.decode(payload)
        seq = _number(message.sequence)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return None if message.type in _TYPES else Unknown(message.type, message.box, message.epoch, seq, message.id)


def _number(sequence: str) -> int:
    if len(sequence) != SEQUENCE_DIGITS or not (sequence.isascii() and sequence.isdecimal()):
        raise ValueError(f"{sequence!r} is no sequence number")
    return int(sequence)


def _rfc3339(wall_seconds: float) -> bytes:
    minute, millionths = divmod(round(wall_seconds * 1e6), 60_000_000)
    second, millionths = divmod(millionths, 1_000_000)
    return _minute(minute) + _SECONDS[second] + _THOUSANDTHS[millionths // 1000]


@lru_cache(maxsize=1024)  # a group of events was committed at one time
def _committed(wall_seconds: float) -> bytes:
    return _rfc3339(wall_seconds)


@lru_cache(maxsize=1024)
def _minute(wall_minutes: int) -> bytes:
    return datetime.fromtimestamp(wall_minutes * 60, UTC).isoformat()[:16].encode()


@lru_cache(maxsize=1024)
def _wall_seconds(rfc3339: str) -> float:
    if not re.fullmatch(_TIME, rfc3339):
        raise ValueError(f"{rfc3339!r} is no time")
    return round(datetime.fromisoformat(rfc3339).timestamp(), 3)
