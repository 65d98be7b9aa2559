"""Vehicles that nobody saw: what a worker would send to the hub of them, faster than cameras could.

Each comes as a preview with two pictures of its own, then as final; some plates are on a list.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np

from anpr.clock import Clock
from anpr.engine.messages import Passage
from anpr.engine.pictures import Picture
from anpr.records import Sighting

PLATES = tuple(f"30A{number:05d}" for number in range(10_000, 10_500))
LISTED = PLATES[::10]
CAMERA, SITE = "made-up", "fault-site"
LISTED_SHARE = 0.1
_DAY_SECONDS = 86_400.0
_VIET_NAM_SECONDS = 7 * 3600.0
"""Ahead of UTC, where a day of the store begins."""
_QUAD = ((100.5, 200.25), (180.5, 201.0), (180.0, 230.0), (100.0, 229.5))
_SIZES = {"plate": (48, 160), "overview": (180, 320)}


@dataclass(frozen=True, slots=True)
class _Jpeg:
    """A picture that can be told from all others by a comment in it."""

    body: bytes

    def stamped(self) -> bytes:
        """With a comment segment (ITU-T T.81, B.2.4.5) that is in no other picture."""
        mark = uuid.uuid4().bytes
        return b"\xff\xd8\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark + self.body[2:]


def passages(clock: Clock, *, seed: int, by_day: bool = False) -> Iterator[Passage]:
    """Without end; `clock` dates them. `by_day`: what is on no list passes on one day only."""
    chance = random.Random(seed)
    pictures = {kind: _Jpeg(_noise(*size, seed=seed)) for kind, size in _SIZES.items()}
    track = 0
    while True:
        track += 1
        now = clock.wall_seconds()
        preview = _sighting(_of_day(chance, now) if by_day else chance.choice(PLATES), track, now)
        taken = (
            Picture("plate", pictures["plate"].stamped()),
            Picture("overview", pictures["overview"].stamped()),
        )
        yield Passage(preview, taken, clock.monotonic_seconds())
        final = msgspec.structs.replace(preview, revision=1, state="final", last_seconds=clock.wall_seconds())
        yield Passage(final, taken, clock.monotonic_seconds())


def _of_day(chance: random.Random, now: float) -> str:
    """A listed plate, or one that begins with 30B and the day's number."""
    if chance.random() < LISTED_SHARE:
        return chance.choice(LISTED)
    day = int((now + _VIET_NAM_SECONDS) // _DAY_SECONDS)
    return f"30B{100 + day % 900}{chance.randrange(100):02d}"


def _sighting(text: str, track: int, now: float) -> Sighting:
    return Sighting(
        id=uuid.uuid4().hex,
        revision=0,
        state="preview",
        site_id=SITE,
        camera_id=CAMERA,
        track=track,
        text=text,
        raw=text,
        display=f"{text[:3]}-{text[3:6]}.{text[6:]}",
        kind="car",
        probability=0.97,
        alternatives=((text, 0.97),),
        lattice=tuple(((character, 0.98),) for character in text),
        lines=1,
        colour="white",
        province_code="30",
        province="Hà Nội",
        province_before="Hà Nội",
        direction="approaching",
        first_seconds=now - 1.0,
        seen_seconds=now,
        last_seconds=now,
        pts_seconds=float(track),
        frames=14,
        reads=11,
        quad=_QUAD,
        tainted=False,
    )


def _noise(height: int, width: int, *, seed: int) -> bytes:
    picture = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()
