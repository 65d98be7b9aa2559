"""The road that the cameras watch: the demo clip made small and light, going round for ever, and who passes when.

The world goes on while a camera is away, as the real one does: picture n is shown at `t0 + n / PICTURES_PER_SECOND`.
So it is known from the clip's own truth, without asking anpr, which vehicles could be seen at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from scripts.fault_matrix.pictures import PICTURES_PER_SECOND, path_of, read_head, write_pictures
from scripts.fault_matrix.rtp import Codec
from scripts.fault_matrix.verdict import Passage

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "configs" / "demo" / "expressway.mp4"
TRUTH = CLIP.with_suffix(".truth.jsonl")
EVERY = 2
"""Pictures of the clip, which has 25 a second, for one of the world's."""
KEY_PICTURES = 12
"""From key frame to key frame: about a second."""
SIZE = (960, 540)
FORM = 4
"""Of the files; a new one makes old files be written anew."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to encode the world, or what a faulty camera shows instead of it."""

    name: str
    codec: Codec = "h264"
    width: int = SIZE[0]
    height: int = SIZE[1]
    repeats: int = 1
    """Pictures sent for one of the world's."""
    shows: str = "world"
    """`world`, `frozen` or `black`."""
    blur: int = 1
    """By how much the picture is made smaller before it is made large again."""


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("usual"),
        Variant("h265", codec="h265"),
        Variant("large", width=1280, height=720),
        Variant("fast", repeats=4),
        Variant("frozen", shows="frozen"),
        Variant("black", shows="black"),
        Variant("blurred", blur=20),
        Variant("smeared", blur=60),
    )
}


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One that shows a plate in every round of the clip; times in seconds from the round's beginning."""

    text: str
    readable_from: float
    readable_until: float
    shown_from: float
    shown_until: float


def vehicles() -> tuple[Vehicle, ...]:
    """Those of the clip whose plate can be read at some time, by its truth file."""
    rows = [json.loads(line) for line in TRUTH.read_text(encoding="utf-8").splitlines()]
    fps = float(next(row["fps"] for row in rows if row["type"] == "clip"))
    return tuple(
        Vehicle(
            text=row["text"],
            readable_from=row["first_readable"] / fps,
            readable_until=row["last_readable"] / fps,
            shown_from=row["first_shown"] / fps,
            shown_until=row["last_shown"] / fps,
        )
        for row in rows
        if row["type"] == "vehicle" and row["passes"] and row["plate_shown"] and row["readable_frames"]
    )


def round_seconds() -> float:
    """How long one round of the world takes."""
    rows = (json.loads(line) for line in TRUTH.read_text(encoding="utf-8").splitlines())
    return next(int(row["frames"]) // EVERY for row in rows if row["type"] == "clip") / PICTURES_PER_SECOND


def passages(t0: float, seconds: float) -> list[Passage]:
    """Everybody who passes a camera whose world began at `t0`, for at least `seconds`; in the clock of `t0`."""
    length = round_seconds()
    starts = [t0 + turn * length for turn in range(int(seconds / length) + 1)]
    return [
        Passage(
            text=vehicle.text,
            readable_from=start + vehicle.readable_from,
            readable_until=start + vehicle.readable_until,
            shown_from=start + vehicle.shown_from,
            shown_until=start + vehicle.shown_until,
        )
        for start in starts
        for vehicle in vehicles()
    ]


def prepare(folder: Path, names: set[str]) -> None:
    """Write the variants `names` into `folder`, unless they are there and up to date."""
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(CLIP.read_bytes() + bytes([FORM])).hexdigest()[:12]
    for name in sorted(names):
        path, variant = path_of(folder, name), VARIANTS[name]
        if not path.exists() or read_head(path)["key"] != key:
            head = {"key": key, "codec": variant.codec, "repeats": variant.repeats, "shows": variant.shows}
            write_pictures(path, head, _encoded(variant))


def _encoded(variant: Variant) -> Iterator[bytes]:
    rate = Fraction(PICTURES_PER_SECOND).limit_denominator() * variant.repeats
    encoder = av.CodecContext.create("libx264" if variant.codec == "h264" else "libx265", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = variant.width, variant.height, "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    length = KEY_PICTURES * variant.repeats
    encoder.options = {
        "crf": "20",
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": str(length),
        "x264-params": f"keyint={length}:min-keyint={length}:scenecut=0:threads=1",
        "x265-params": f"keyint={length}:min-keyint={length}:scenecut=0:pools=1:frame-threads=1:repeat-headers=1"
        ":log-level=none",
    }
    number = 0
    for picture in _shown(variant):
        for _ in range(variant.repeats):
            picture.pts, picture.time_base, picture.pict_type = number, 1 / rate, 0
            number += 1
            yield from map(bytes, encoder.encode(picture))
    yield from map(bytes, encoder.encode(None))


def _shown(variant: Variant) -> Iterator[av.VideoFrame]:
    width, height = variant.width, variant.height
    with av.open(str(CLIP)) as clip:
        for number, picture in enumerate(clip.decode(video=0)):
            if number % EVERY:
                continue
            if variant.shows == "black":
                dark = np.full((height * 3 // 2, width), 128, np.uint8)
                dark[:height] = 16
                picture = av.VideoFrame.from_ndarray(dark, format="yuv420p")
            else:
                small = picture.reformat(width // variant.blur, height // variant.blur)
                picture = small.reformat(width, height, format="yuv420p")
            if variant.shows == "world":
                yield picture
            else:
                for _ in range(KEY_PICTURES):
                    yield picture
                return
