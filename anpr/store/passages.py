"""The store's index for memory: what `anpr.ops.passages` keeps of each sighting, in the order of time.

    passages   stamp → id, plate, probability, speed (32 bytes), traits (MessagePack)

Millions of passages are read in seconds, because no sighting is decoded; blocks.py reads them. In the place of a plate
a pseudonym is PSEUDONYMS and its number: searches know it by that, and the memory leaves it out.
"""

from __future__ import annotations

import struct

import msgspec

from anpr.ops.passages import id_bytes, millionths_of, speed_of, traits_of
from anpr.plates.packed import pack
from anpr.plates.pseudonym import number_of
from anpr.records import Sighting

FIXED_BYTES = 32
"""Of a value, before the traits."""
PLATE_BYTES = slice(16, 24)
"""Where the packed plate lies in a value."""
PSEUDONYMS = 1 << 63
"""No packed plate is so large."""

_FIXED = struct.Struct(">16sQIf")
_ENCODER = msgspec.msgpack.Encoder()


def encode_passage(sighting: Sighting) -> bytes | None:
    """The index's value for a sighting; None if its plate or its id is not of a form that the engine gives."""
    plate, (identity, short) = pack(sighting.text), id_bytes(sighting.id)
    if plate is None:  # no pseudonym can be packed
        pseudonym = number_of(sighting.text)
        plate = None if pseudonym is None else PSEUDONYMS | pseudonym
    if plate is None or identity is None:
        return None
    fixed = _FIXED.pack(identity, plate, millionths_of(sighting), speed_of(sighting))
    return fixed + _ENCODER.encode(traits_of(sighting, short_id=short))
