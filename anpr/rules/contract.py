"""What rules ask of the box's memory, and what they answer.

The engine keeps the memory (`History`); rules only read it. All times are wall times, UTC seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from anpr.records import Colour, Direction, Hit, Sighting
from anpr.rules.glance import DistanceKm, Glance


class Past(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One passage as history remembers it. Its fields have the names and the meaning that they have in a `Sighting`, so
    a predicate over a sighting can be asked about a past one."""

    id: str
    site_id: str
    camera_id: str
    seen_seconds: float
    text: str
    """The settled plate; empty if unreadable."""
    kind: str
    probability: float
    colour: Colour
    province_code: str
    direction: Direction
    unreadable: str = ""
    lane: str = ""
    vehicle_class: str = ""
    speed_kmh: float | None = None


Where = Callable[[Past], bool]
"""Whether passages of a kind may matter: asked of one of each camera, site, direction, plate kind, colour, province
code, reason of unreadability, lane and vehicle class; its time, plate, probability and speed say nothing."""


class History(Protocol):
    """What has passed. Each passage is there once, as its newest revision (a preview if that is all there is), those
    withdrawn not at all. Whether the sighting being judged is in it does not matter: rules leave it out by its id.

    Both bounds of a time span are included. Nothing older than `RuleBook.plate_seconds` (`of_plate`) or
    `RuleBook.camera_seconds` (`at_camera`) before the sighting is ever asked for, and nothing younger than the sighting
    itself, except by rules that wait.
    """

    def of_plate(
        self, plate: str, from_seconds: float, until_seconds: float, where: Where | None = None
    ) -> Sequence[Past]:
        """Passages whose settled text is `plate`, ascending by `(seen_seconds, id)`. Those of which `where` is false
        may be left out."""
        ...

    def at_camera(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        """Passages before one camera, unreadable ones too, ascending by `(seen_seconds, id)`."""
        ...

    def unread_at(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        """The unreadable ones of them."""
        ...

    def glance(self, passage: Sighting, within_seconds: float, distance_km: DistanceKm) -> Glance | None:
        """What the passages by a passage's plate before it come to, at most so long ago. None: ask `of_plate`. So it
        is where the passage is not in the memory."""
        ...

    def may_share_leaders(
        self,
        passage: Sighting,
        from_seconds: float,
        until_seconds: float,
        reach_seconds: float,
        *,
        plates: int,
        cameras: int,
    ) -> bool:
        """False only if no `plates` others passed up to `reach_seconds` before this passage, and also before the last
        passages of `cameras` other cameras by its plate; those that count were seen from `from_seconds` to
        `until_seconds`, before this one. A quick look; the thorough one asks `at_camera` of the same passages."""
        ...

    def raised(self, rule: str, key: str, from_seconds: float, until_seconds: float) -> Sequence[tuple[float, str]]:
        """`(seen_seconds, sighting_id)` of what `rule` raised with that cooldown key and has not withdrawn, ascending.
        Hits of dry runs count for a rule in dry run."""
        ...

    def list_hits(self, list_name: str, from_seconds: float, until_seconds: float) -> int:
        """How many sightings the watch-list `list_name` raised hits about, withdrawn ones not counted."""
        ...


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule says about one revision of a sighting."""

    hit: Hit
    """With the revision and state of the sighting. Its id depends on the rule's name and the sighting's id only."""
    key: str
    """The cooldown key: the plate, or the camera (`cooldown_per`)."""
    dry_run: bool
    """True: log and count it as what would have hit, store and publish nothing."""
