"""What will not come: told as a value among the events, so that nobody overlooks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GapReason = Literal["missed", "renumbered", "earlier", "expired"]
"""`missed`: not connected, or too slow, on the live feed. `renumbered`: the box's numbers went back, its store was
restored or replaced; what came before may come again, and events up to `last_seq` of the new numbering may be unknown
here. `earlier`: what the box had told before we first heard of it. `expired`: a consumer was away for longer than the
box keeps its events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Events of a box that will not come any more on this feed; ask the box's store for them."""

    box: str
    epoch: int
    """Of the message that showed the gap."""
    first_seq: int
    last_seq: int
    reason: GapReason
