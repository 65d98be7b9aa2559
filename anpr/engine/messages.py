"""What crosses the border from a worker to the hub: small, and no pixels but the evidence JPEGs."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from anpr.engine.pictures import Picture
from anpr.records import Sighting


class Passage(msgspec.Struct, frozen=True, tag="passage"):
    """A sighting with its pictures, not yet stored."""

    sighting: Sighting
    pictures: tuple[Picture, ...]
    arrival_seconds: float
    """Monotonic time at which the frame that gave rise to it was in hand."""


class CameraReport(msgspec.Struct, frozen=True, tag="camera"):
    """How a camera's loop fares; counts and seconds are sums since its worker started."""

    camera_id: str
    state: str
    """`starting`, `running`, `ended`, `failed`, `crashed`, or what the camera's stream says of itself."""
    idle_seconds: float
    """Since the loop last finished a picture."""
    counts: tuple[tuple[str, str, int], ...]
    """(name, reason, count)."""
    stage_seconds: dict[str, float]
    """Time spent per stage."""

    def to_log(self) -> dict[str, object]:
        """The report as the facts of a log line."""
        counts = {f"{name}.{reason}" if reason else name: count for name, reason, count in self.counts}
        return {"camera": self.camera_id, "state": self.state, **counts}


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The worker's last word: its cameras have ended and everything has been sent."""


Message: TypeAlias = Passage | CameraReport | Ended

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """A message as bytes for the pipe."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """The message in `data`. Raises msgspec.DecodeError if it is none."""
    return _DECODER.decode(data)
