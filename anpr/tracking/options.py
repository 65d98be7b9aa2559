"""What can be tuned about tracking; the pipeline file's `[track]` table says it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from anpr.records import NO_PLATE, TOO_SMALL

SEEN = 0.5
"""Chance of a readable plate from which on the reader is held to see one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOptions:
    """Raises ValueError for a value out of range."""

    max_gap_seconds: float = 1.0
    """A moving plate unseen for longer is gone."""
    still_gap_seconds: float = 30.0
    """The same for one that stands still: a jam, a parked car behind passing ones."""
    join_seconds: float = 5.0
    """A plate with the same text that continues a track closed no longer ago is the same vehicle."""
    jump_seconds: float = 3.0
    """A greater step of stream time, or any step back, closes all tracks."""
    preview_reads: int = 2
    """Readable reads before a preview."""
    preview_probability: float = 0.95
    """Of the voted text, before a preview."""
    text_probability: float = 0.2
    """Below it the sighting has no text: its reads disagree, or were too blurred."""
    flicker_frames: int = 1
    """A track of so few frames is a sighting only with a plausible text."""
    plate_score: float = 0.65
    """A track in which the detector was never so sure of a plate is a sighting only with a plausible text."""
    plausible_probability: float = 0.5
    """Of the text of such a track, or of one that never moved."""
    max_tracks: int = 64
    """More plates than this in view are held to be noise: the longest unseen track is closed."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_probability", "_score")):
                if not 0.0 <= value <= 1.0:
                    raise ValueError(f"{field.name} must be 0 to 1, got {value}")
            elif not value > 0:
                raise ValueError(f"{field.name} must be above 0, got {value}")

    def score_least(self, unreadable: str, *, readable: float = 1.0) -> float:
        """What the detector must have been sure of before a plate without a plausible text is believed.

        Where the reader sees none, it must have been so sure that only a quarter is missing to 1; where the plate is
        too small for it to see one (`readable`, the chance, is low), only a half. Emblems and letters of shop signs,
        ten pixels high, are told from far plates by this; no plate of the training scenes is lost.
        """
        missing = 1.0 - self.plate_score
        if unreadable == NO_PLATE:
            return 1.0 - missing / 4
        return 1.0 - missing / 2 if unreadable == TOO_SMALL and readable < SEEN else self.plate_score
