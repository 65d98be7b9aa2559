"""A sighting in a few numbers: what millions of remembered passages are kept as, in memory and in the store's index."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np

from anpr.records import Colour, Direction, Sighting

ROW = np.dtype(
    [
        ("seen", np.float64),
        ("plate", np.uint64),
        ("id_high", np.uint64),
        ("id_low", np.uint64),
        ("older", np.int32),
        ("younger", np.int32),
        ("older_here", np.int32),
        ("younger_here", np.int32),
        ("arrived_next", np.int32),
        ("millionths", np.uint32),
        ("speed_kmh", np.float32),
        ("place", np.uint16),
        ("traits", np.uint16),
    ],
    align=True,
)
"""64 bytes, a line of the processor's cache. The five links are rows, or NONE. The probability in `millionths`, the
speed and the `traits` are the caller's."""

LONGEST_SHORT_ID = 16
"""Bytes; ids of the engine are 32 hex digits."""
_HALVES = struct.Struct(">qq")
_SAME = "="
"""Province code that is the plate's beginning."""


class Traits(NamedTuple):
    """What a passage shares with many others."""

    camera_id: str
    site_id: str
    kind: str
    colour: Colour
    province_code: str
    """`=`: the first two characters of the plate."""
    direction: Direction
    unreadable: str
    lane: str
    vehicle_class: str
    short_id: bool
    """The id is text of at most 16 bytes, not 32 hex digits."""


def millionths_of(sighting: Sighting) -> int:
    """The probability, as rows keep it."""
    return round(sighting.probability * 1e6)


def speed_of(sighting: Sighting) -> float:
    """Rounded as rows keep it; NaN if unknown."""
    return math.nan if sighting.speed_kmh is None else float(np.float32(sighting.speed_kmh))


def traits_of(
    sighting: Sighting, *, short_id: bool
) -> tuple[str, str, str, Colour, str, Direction, str, str, str, bool]:
    """The fields of `Traits`."""
    code = sighting.province_code
    return (
        sighting.camera_id,
        sighting.site_id,
        sighting.kind,
        sighting.colour,
        _SAME if code and code == sighting.text[:2] else code,
        sighting.direction,
        sighting.unreadable,
        sighting.lane,
        sighting.vehicle_class,
        short_id,
    )


def id_halves(identity: bytes) -> tuple[int, int]:
    """The two halves of `id_bytes` as signed numbers: what fits 64 bits of any kind."""
    high, low = _HALVES.unpack(identity)
    return high, low


def id_bytes(sighting_id: str) -> tuple[bytes | None, bool]:
    """16 bytes, and whether they are a short text; None if the id is neither that nor 32 hex digits."""
    if len(sighting_id) == 32:
        try:
            identity = bytes.fromhex(sighting_id)
        except ValueError:
            return None, False
        return (identity, False) if identity.hex() == sighting_id else (None, False)
    encoded = sighting_id.encode(errors="surrogatepass")
    if not encoded or len(encoded) > LONGEST_SHORT_ID or encoded.endswith(b"\0"):
        return None, True
    return encoded.ljust(LONGEST_SHORT_ID, b"\0"), True


def unpack_id(id_high: int, id_low: int, *, short: bool) -> str:
    """The id of `id_bytes`, as two numbers."""
    number = id_high << 64 | id_low
    if not short:
        return f"{number:032x}"
    return number.to_bytes(LONGEST_SHORT_ID, "big").rstrip(b"\0").decode(errors="surrogatepass")


def province_code_of(traits: Traits, text: str) -> str:
    """The province code of a passage with these traits."""
    return text[:2] if traits.province_code == _SAME else traits.province_code
