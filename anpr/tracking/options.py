"""What can be tuned about tracking; the pipeline file's `[track]` table says it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from anpr.records import NO_PLATE


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

    def score_least(self, unreadable: str) -> float:
        """What the detector must have been sure of before a plate without a plausible text is believed.

        Where the reader sees none, it must have been so sure that only a quarter is missing to 1.
        """
        return 1.0 - (1.0 - self.plate_score) / 4 if unreadable == NO_PLATE else self.plate_score
