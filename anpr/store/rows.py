"""A line of the event log as bytes: MessagePack of `[kind, box, epoch, committed, record]`, records with field names.

Named fields let a later version add one with a default and still read what is on disk.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from anpr.errors import StoreError
from anpr.records import CoverageGap, Event, Hit, Record, Sighting

Kind = Literal["sighting", "hit", "coverage"]


class _Row(msgspec.Struct, frozen=True, array_like=True):
    kind: Kind
    box: str
    epoch: int
    committed_seconds: float
    record: msgspec.Raw


_ENCODER = msgspec.msgpack.Encoder()
_ROW = msgspec.msgpack.Decoder(_Row)
_KINDS: dict[type[Record], Kind] = {Sighting: "sighting", Hit: "hit", CoverageGap: "coverage"}
_RECORDS: dict[Kind, msgspec.msgpack.Decoder[Record]] = {
    kind: msgspec.msgpack.Decoder(record) for record, kind in _KINDS.items()
}


def kind_of(record: Record) -> Kind:
    """What a record is, in one word."""
    return _KINDS[type(record)]


def encode_row(event: Event) -> bytes:
    """The event without its number, which is its key."""
    record = msgspec.Raw(_ENCODER.encode(event.record))
    return _ENCODER.encode(_Row(kind_of(event.record), event.box, event.epoch, event.committed_seconds, record))


def decode_row(seq: int, value: bytes) -> Event:
    """The event of number `seq`. Raises msgspec.MsgspecError if the bytes are damaged."""
    row = _ROW.decode(value)
    record = _RECORDS[row.kind].decode(row.record)
    return Event(box=row.box, epoch=row.epoch, seq=seq, committed_seconds=row.committed_seconds, record=record)


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
