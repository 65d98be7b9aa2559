"""The store's index for memory: what `anpr.ops.passages` keeps of each sighting, in the order of time.

    passages   stamp → id, plate, probability, speed (32 bytes), traits (MessagePack)

Millions of passages are read in seconds, because no sighting is decoded; blocks.py reads them.
"""

from __future__ import annotations

import struct

import msgspec

from anpr.ops.passages import compact
from anpr.records import Sighting

FIXED_BYTES = 32
"""Of a value, before the traits."""
PLATE_BYTES = slice(16, 24)
"""Where the packed plate lies in a value."""

_FIXED = struct.Struct(">QQQIf")
_ENCODER = msgspec.msgpack.Encoder()


def encode_passage(sighting: Sighting) -> bytes | None:
    """The index's value for a sighting; None if it cannot be kept in a few numbers."""
    told = compact(sighting)
    if told is None:
        return None
    fixed = _FIXED.pack(told.id_high, told.id_low, told.plate, told.millionths, told.speed_kmh)
    return fixed + _ENCODER.encode(told.traits)
