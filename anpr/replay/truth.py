"""What a clip really shows: the truth file that `scripts/render clip` writes beside it, one JSON object per line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from anpr.errors import VideoError

Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


class ClipFacts(msgspec.Struct, frozen=True, tag_field="type", tag="clip"):
    """The first line."""

    file: str
    frames: int
    fps: float


class TrueVehicle(msgspec.Struct, frozen=True, tag_field="type", tag="vehicle"):
    """One vehicle of the clip. Frame numbers are None where there is no such frame."""

    id: int
    text: str
    colour: str
    lines: int
    kind: str
    lane: int
    direction: str
    speed_kmh: float
    first_readable: int | None
    last_readable: int | None
    readable_frames: int


class TruePlate(msgspec.Struct, frozen=True):
    """One vehicle's plate in one frame."""

    vehicle: int
    quad: Quad
    """4 corners `(x, y)` in source pixels, clockwise from the plate's own top-left."""
    readable: bool


class TrueFrame(msgspec.Struct, frozen=True, tag_field="type", tag="frame"):
    """The plates of one frame."""

    index: int
    pts_seconds: float
    plates: tuple[TruePlate, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """A whole truth file."""

    clip: ClipFacts
    vehicles: tuple[TrueVehicle, ...]
    frames: tuple[TrueFrame, ...]


def load_truth(path: Path) -> Truth:
    """Read a truth file. Raises VideoError with the line that is wrong."""
    decoder = msgspec.json.Decoder(ClipFacts | TrueVehicle | TrueFrame)
    clips: list[ClipFacts] = []
    vehicles: list[TrueVehicle] = []
    frames: list[TrueFrame] = []
    cure = "give the .truth.jsonl file that scripts/render wrote with the clip"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise VideoError(f"cannot read the truth file: {error.strerror}", place=str(path), cure=cure) from error
    for number, line in enumerate(lines, start=1):
        try:
            row = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise VideoError(f"not a line of a truth file: {error}", place=f"{path}:{number}", cure=cure) from error
        match row:
            case ClipFacts():
                clips.append(row)
            case TrueVehicle():
                vehicles.append(row)
            case TrueFrame():
                frames.append(row)
    if len(clips) != 1:
        raise VideoError(f"a truth file has one line of type clip, this has {len(clips)}", place=str(path), cure=cure)
    known = {vehicle.id for vehicle in vehicles}
    for frame in frames:
        for plate in frame.plates:
            if plate.vehicle not in known:
                raise VideoError(
                    f"frame {frame.index} shows unknown vehicle {plate.vehicle}", place=str(path), cure=cure
                )
    return Truth(clips[0], tuple(vehicles), tuple(frames))
