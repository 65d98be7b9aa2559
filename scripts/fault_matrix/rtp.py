"""H.264 and H.265 pictures as RTP packets (RFC 3550, 6184, 7798), pure."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

Codec = Literal["h264", "h265"]

CLOCK_HZ = 90_000
PAYLOAD_TYPE = 96
MOST_PAYLOAD_BYTES = 1400
_SENDER_REPORT = 200
_NTP_SECONDS = 2_208_988_800
"""From 1900, where NTP begins, to 1970."""
_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
_H264_PARAMETER_SETS = frozenset({7, 8})
_H265_PARAMETER_SETS = frozenset({32, 33, 34})


def nal_units(picture: bytes) -> list[bytes]:
    """The NAL units of a picture in Annex B form."""
    return [unit for unit in _START_CODE.split(picture) if unit]


def is_parameter_set(unit: bytes, codec: Codec) -> bool:
    """Whether a decoder needs this unit before its first picture."""
    if codec == "h264":
        return unit[0] & 0x1F in _H264_PARAMETER_SETS
    return unit[0] >> 1 & 0x3F in _H265_PARAMETER_SETS


def is_key(picture: bytes, codec: Codec) -> bool:
    """Whether a decoder may start at this picture."""
    return any(is_parameter_set(unit, codec) for unit in nal_units(picture))


def payloads(unit: bytes, codec: Codec) -> list[bytes]:
    """One NAL unit as RTP payloads: whole if it fits, else in fragmentation units."""
    if len(unit) <= MOST_PAYLOAD_BYTES:
        return [unit]
    if codec == "h264":
        head, kind, body = bytes([unit[0] & 0xE0 | 28]), unit[0] & 0x1F, unit[1:]
    else:
        head, kind, body = bytes([unit[0] & 0x81 | 49 << 1, unit[1]]), unit[0] >> 1 & 0x3F, unit[2:]
    step = MOST_PAYLOAD_BYTES - 3
    parts = [body[place : place + step] for place in range(0, len(body), step)]
    marks = [(place == 0) << 7 | (place == len(parts) - 1) << 6 for place in range(len(parts))]
    return [head + bytes([mark | kind]) + part for mark, part in zip(marks, parts)]


@dataclass(slots=True)
class Packetiser:
    """Numbers the packets of one session."""

    sequence: int = 0
    ssrc: int = 0x5EED

    def packets(self, units: list[bytes], codec: Codec, *, stamp: int) -> list[bytes]:
        """The RTP packets of one picture with the time stamp `stamp`, in ticks of 90 kHz; both count round."""
        bodies = [body for unit in units for body in payloads(unit, codec)]
        packets = []
        for place, body in enumerate(bodies):
            last = place == len(bodies) - 1
            head = struct.pack(
                ">BBHII", 0x80, PAYLOAD_TYPE | last << 7, self.sequence & 0xFFFF, stamp & 0xFFFFFFFF, self.ssrc
            )
            self.sequence += 1
            packets.append(head + body)
        return packets

    def report(self, wall_seconds: float, *, stamp: int) -> bytes:
        """An RTCP sender report (RFC 3550, 6.4.1): by the camera's clock it is so late at the time stamp `stamp`."""
        ntp = round((wall_seconds + _NTP_SECONDS) * (1 << 32)) & (1 << 64) - 1
        return struct.pack(
            ">BBHIQIII", 0x80, _SENDER_REPORT, 6, self.ssrc, ntp, stamp & 0xFFFFFFFF, self.sequence & 0xFFFFFFFF, 0
        )
