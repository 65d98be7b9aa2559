"""A passage that the rules have judged, and the hits that they raised about it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from anpr.engine.asking import Asked, Span, note
from anpr.records import Hit, Sighting
from anpr.rules.contract import Raised
from anpr.rules.language import Rule


class Judged:
    """A passage of late, and what was said of it."""

    __slots__ = ("ahead", "asked", "late", "listed", "place", "raised", "sighting", "told")

    def __init__(self, sighting: Sighting, listed: tuple[Hit, ...], *, ahead: bool = False) -> None:
        """`listed`: what the lists say of it. `ahead`: it lies ahead of the clock, and nothing remembers it."""
        self.sighting = sighting
        self.listed = listed
        self.place = (sighting.seen_seconds, sighting.id)
        """Where it stands in the order of time."""
        self.ahead = ahead
        self.late = False
        self.raised: dict[float, dict[str, Raised]] = {}
        """What the rules say of it, by their wait (0: none) and the hit's id."""
        self.told: dict[str, Hit] = {}
        """The newest revisions of the rules' hits that were handed out, withdrawn ones too."""
        self.asked: Mapping[Asked, Span] = {}
        """What the rules asked of the memory about it."""

    def note(self, changed: dict[Asked, Span]) -> None:
        """Note which answers it changes by coming or going."""
        seen_seconds = self.sighting.seen_seconds
        note(changed, ("camera", self.sighting.camera_id), seen_seconds)
        if self.sighting.text:
            note(changed, ("plate", self.sighting.text), seen_seconds)
        for hit in self.listed:
            note(changed, ("list", hit.list_name), seen_seconds)


def cooldown_key(rule: Rule, hit: Hit) -> str:
    """The key under which a hit silences its rule."""
    match rule.cooldown_per:
        case "plate":
            return hit.text
        case "camera":
            return hit.camera_id
        case _:
            return ""


def revised(hit: Hit, least: int, **changes: str) -> Hit:
    """The hit with these changes and a revision of at least `least`, later than its own if it is changed."""
    return msgspec.structs.replace(hit, revision=max(hit.revision + bool(changes), least), **changes)


def mark_of(raised: Raised) -> tuple[str, str, float, str]:
    """What the memory is told: the rule, its cooldown key, and of which passage."""
    hit = raised.hit
    return hit.rule, raised.key, hit.seen_seconds, hit.sighting_id
