"""A line of the event log as bytes: MessagePack of `[kind, box, epoch, committed, record]`, records with field names.

Named fields let a later version add one with a default and still read what is on disk.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from anpr.errors import StoreError
from anpr.records import CoverageGap, Event, Hit, Record, Sighting, State

Kind = Literal["sighting", "hit", "coverage"]


class _Row(msgspec.Struct, frozen=True, array_like=True):
    kind: Kind
    box: str
    epoch: int
    committed_seconds: float
    record: msgspec.Raw


class FoundBy(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a sighting of which its index keys are made."""

    state: State
    camera_id: str
    text: str
    seen_seconds: float


_ENCODER = msgspec.msgpack.Encoder()
_ROW = msgspec.msgpack.Decoder(_Row)
_KINDS: dict[type[Record], Kind] = {Sighting: "sighting", Hit: "hit", CoverageGap: "coverage"}
_RECORDS: dict[Kind, msgspec.msgpack.Decoder[Record]] = {
    kind: msgspec.msgpack.Decoder(record) for record, kind in _KINDS.items()
}
_FOUND_BY: dict[Kind, msgspec.msgpack.Decoder[FoundBy | Hit | CoverageGap]] = {
    "sighting": msgspec.msgpack.Decoder(FoundBy),
    "hit": msgspec.msgpack.Decoder(Hit),
    "coverage": msgspec.msgpack.Decoder(CoverageGap),
}


def kind_of(record: Record) -> Kind:
    """What a record is, in one word."""
    return _KINDS[type(record)]


def encode_row(event: Event) -> bytes:
    """The event without its number, which is its key."""
    record = event.record
    return _ENCODER.encode((_KINDS[type(record)], event.box, event.epoch, event.committed_seconds, record))


def decode_row(seq: int, value: bytes) -> Event:
    """The event of number `seq`. Raises msgspec.MsgspecError if the bytes are damaged."""
    row = _ROW.decode(value)
    record = _RECORDS[row.kind].decode(row.record)
    return Event(box=row.box, epoch=row.epoch, seq=seq, committed_seconds=row.committed_seconds, record=record)


def decode_found_by(value: bytes) -> FoundBy | Hit | CoverageGap:
    """What a row's record is found by, and little more of a sighting. Raises msgspec.MsgspecError if it is damaged."""
    row = _ROW.decode(value)
    return _FOUND_BY[row.kind].decode(row.record)


def is_hit(value: bytes) -> bool:
    """Whether a row holds a hit; looks at its first bytes only."""
    return value[1:5] == b"\xa3hit"  # after the array's own byte, a MessagePack string of three characters


def sighting_of(event: Event) -> Sighting:
    """The event's sighting. Raises StoreError if an index led to something else."""
    if not isinstance(event.record, Sighting):
        raise StoreError(f"event {event.seq} should be a sighting and is not", cure="restore the last backup")
    return event.record


def hit_of(event: Event) -> Hit:
    """The event's hit. Raises StoreError if an index led to something else."""
    if not isinstance(event.record, Hit):
        raise StoreError(f"event {event.seq} should be a hit and is not", cure="restore the last backup")
    return event.record


def gap_of(event: Event) -> CoverageGap:
    """The event's coverage gap. Raises StoreError if an index led to something else."""
    if not isinstance(event.record, CoverageGap):
        raise StoreError(f"event {event.seq} should be a coverage gap and is not", cure="restore the last backup")
    return event.record
