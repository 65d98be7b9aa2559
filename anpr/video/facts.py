"""What is known of a source of pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Size, rate and codec. A source that is not open yet, or a camera that has not answered, has the defaults."""

    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    """Frames per second as the container or the camera says; 0 = unknown."""
    codec: str = ""
    frame_count: int | None = None
    """As the container says; None if it does not know, or the source has no end."""
    start_wall_seconds: float | None = None
    """When a recording began, as well as is known; None for a camera."""
