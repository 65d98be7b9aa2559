"""Which plates need no read: those of vehicles whose vote another read cannot change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from anpr.tracking.look import GOOD_SIZE_PX
from anpr.tracking.motion import Spot
from anpr.tracking.track import Track

Attention = Literal["none", "following", "reading"]
"""What a vehicle in view needs: nothing, not to be lost, or reads that may change what is told of it."""

SEEN_LATELY = 2
"""Looks in vain after which a vehicle is held to be gone, though its track still waits for it."""
CLEAR_NATS = 3.0
"""A plate is a track's without its text if that is so much likelier than any other explanation."""
NEW_TRACK_FRAMES = 3
"""A vehicle seen in fewer pictures is read whether its reads were readable or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpareOptions:
    """When a plate is not read. The defaults read every one. Raises ValueError for a value out of range."""

    belief: float = 1.0
    """Chance of each character, by all reads so far, from which on a vehicle is settled; 1 never is."""
    reads_least: int = 3
    """Readable reads of a settled vehicle."""
    growth: float = 1.2
    """A plate so many times larger than any that was read is read again."""
    again_seconds: float = 0.5
    """A settled vehicle is read so often all the same: it may have become another one."""
    still_reads: int = 24
    """After so many reads a plate that stands still is read every `again_seconds` only, whatever they say."""

    def __post_init__(self) -> None:
        if not 0.0 < self.belief <= 1.0:
            raise ValueError(f"belief must be above 0 and at most 1, got {self.belief}")
        for name, least in (("reads_least", 1), ("still_reads", 1), ("growth", 1.0), ("again_seconds", 0.01)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def active(self) -> bool:
        """Whether any read may be spared."""
        return self.belief < 1.0


def attention(tracks: Iterable[Track], options: SpareOptions) -> Attention:
    """The most that any of the `tracks` needs."""
    following = False
    for track in tracks:
        if track.missed > SEEN_LATELY or _still(track, options):
            continue
        if not _settled(track, options) and (track.frames < NEW_TRACK_FRAMES or track.last_read_readable):
            return "reading"
        following = following or not track.still
    return "following" if following else "none"


def spare_reason(track: Track, spot: Spot, pts_seconds: float, options: SpareOptions) -> str:
    """Why the vehicle's plate, now at `spot`, need not be read: `settled` or `still`; empty if it should be."""
    if pts_seconds - track.read_seconds >= options.again_seconds:
        return ""
    if _still(track, options):
        return "still"
    if min(spot.size, GOOD_SIZE_PX) > options.growth * min(track.read_size, GOOD_SIZE_PX):
        return ""
    return "settled" if _settled(track, options) else ""


def _settled(track: Track, options: SpareOptions) -> bool:
    return (
        options.active
        and track.revision >= 0
        and track.reads >= options.reads_least
        and not track.doubted
        and track.surety > options.belief
    )


def _still(track: Track, options: SpareOptions) -> bool:
    return options.active and track.still and track.reads_tried >= options.still_reads
