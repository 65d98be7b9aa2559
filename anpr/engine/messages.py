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
    busy_seconds: float
    """How long it has been at one picture, decoding or handling it."""
    counts: tuple[tuple[str, str, int], ...]
    """(name, reason, count)."""
    stage_seconds: dict[str, float]
    """Time spent per stage."""
    reason: str = ""
    """Why it is in this state, for a person."""
    since_wall_seconds: float = 0.0
    """When it came into this state; for `streaming`, the first picture."""
    picture_wall_seconds: float = 0.0
    """When the newest picture came; 0 if none did."""
    condition: str = ""
    """What is wrong with the pictures (`frozen`, `black`, `covered`, `blurred`); empty: nothing."""
    condition_wall_seconds: float = 0.0
    """Since when this has been their condition."""
    width: int = 0
    height: int = 0
    codec: str = ""

    @property
    def crashes(self) -> int:
        """How often the camera's loop has crashed: it may run again, and crash again, between two reports."""
        return sum(count for name, _, count in self.counts if name == "camera_crashes")

    def to_log(self) -> dict[str, object]:
        """The report as the facts of a log line."""
        counts = {f"{name}.{reason}" if reason else name: count for name, reason, count in self.counts}
        condition = {"condition": self.condition} if self.condition else {}
        return {"camera": self.camera_id, "state": self.state, **condition, **counts}


class WorkerReport(msgspec.Struct, frozen=True, tag="worker"):
    """What a worker process has used."""

    cpu_seconds: float
    """Since it started."""
    memory_bytes: int
    """That it holds now."""


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The worker's last word: its cameras have ended and everything has been sent."""


Message: TypeAlias = Passage | CameraReport | WorkerReport | Ended

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """A message as bytes for the pipe."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """The message in `data`. Raises msgspec.DecodeError if it is none."""
    return _DECODER.decode(data)
