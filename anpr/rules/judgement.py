"""One sighting being judged: what rules may ask about it, each thing fetched at most once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from anpr.records import Hit, Sighting
from anpr.rules.contract import History, Past, Where
from anpr.rules.glance import NOTHING, DistanceKm, Glance, glance_at
from anpr.rules.language import Value
from anpr.rules.logic import Truth
from anpr.rules.wording import Said


class Judgement:
    """A sighting with its history, asked for lazily."""

    __slots__ = (
        "_glance",
        "_glanced_seconds",
        "_later",
        "_passed",
        "_reach_seconds",
        "history",
        "hits",
        "known_seconds",
        "records",
        "sighting",
    )

    def __init__(self, sighting: Sighting, *, history: History, hits: Sequence[Hit], known_seconds: float) -> None:
        """`hits` are what the watch-lists raised; what happened until `known_seconds` is known."""
        self.sighting = sighting
        self.history = history
        self.hits = hits
        self.known_seconds = known_seconds
        self.records: dict[str, Mapping[str, Value] | None] = {}
        """What the registers that were asked have on the plate."""
        self._glance = NOTHING
        """At the passages before this one, `_glanced_seconds` ago at most."""
        self._glanced_seconds = -inf
        self._passed: Sequence[Past] = ()
        """The plate's passages before this one, `_reach_seconds` ago at most."""
        self._reach_seconds = -inf
        self._later: dict[float, Sequence[Past]] = {}

    def glance(self, within_seconds: float, distance_km: DistanceKm) -> Glance:
        """What `past` comes to."""
        if within_seconds != self._glanced_seconds:
            glance = self.history.glance(self.sighting, within_seconds, distance_km)
            if glance is None:
                glance = glance_at(self.past(within_seconds), self.sighting, distance_km)
            self._glance, self._glanced_seconds = glance, within_seconds
        return self._glance

    def peak_kmh(self, within_seconds: float, distance_km: DistanceKm) -> float:
        """No way here from another camera within a time was faster."""
        if within_seconds > self._glanced_seconds:
            self.glance(within_seconds, distance_km)
        return self._glance.peak_kmh

    def past_where(self, within_seconds: float, where: Where) -> Sequence[Past]:
        """`past`, of which those that `where` leaves out may be missing: for questions that reach far back."""
        if within_seconds <= self._reach_seconds:
            return self.past(within_seconds)
        return self._earlier(within_seconds, where)

    def past(self, within_seconds: float) -> Sequence[Past]:
        """The plate's passages before this one, at most so long ago, in order of time. None of an unreadable plate."""
        if within_seconds > self._reach_seconds:
            self._passed, self._reach_seconds = self._earlier(within_seconds), within_seconds
        passed, begin = self._passed, self.sighting.seen_seconds - within_seconds
        if not passed or passed[0].seen_seconds >= begin:
            return passed
        return passed[bisect_left(passed, begin, key=_seen_seconds) :]

    def later(self, within_seconds: float) -> Sequence[Past]:
        """The plate's passages after this one, at most so much later, in order of time."""
        found = self._later.get(within_seconds)
        if found is None:
            sighting = self.sighting
            until = min(sighting.seen_seconds + within_seconds, self.known_seconds)
            passed = self.history.of_plate(sighting.text, sighting.seen_seconds, until) if sighting.text else ()
            own = (sighting.seen_seconds, sighting.id)
            found = self._later[within_seconds] = [past for past in passed if (past.seen_seconds, past.id) > own]
        return found

    def at_camera(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        """Passages before a camera, not this one, and none after it."""
        own = (self.sighting.seen_seconds, self.sighting.id)
        passed = self.history.at_camera(camera_id, from_seconds, min(until_seconds, own[0]))
        return _before(passed, own)

    def unread_at(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        """The unreadable ones of them."""
        own = (self.sighting.seen_seconds, self.sighting.id)
        passed = self.history.unread_at(camera_id, from_seconds, min(until_seconds, own[0]))
        return _before(passed, own)

    def _earlier(self, within_seconds: float, where: Where | None = None) -> Sequence[Past]:
        sighting = self.sighting
        if not sighting.text:
            return ()
        seen = sighting.seen_seconds
        passed = self.history.of_plate(sighting.text, seen - within_seconds, seen, where)
        return _before(passed, (seen, sighting.id))


def _seen_seconds(past: Past) -> float:
    return past.seen_seconds


def _before(passed: Sequence[Past], own: tuple[float, str]) -> Sequence[Past]:
    """Those of some passages in order of time that come before the place of one in that order."""
    end = len(passed)
    while end and (passed[end - 1].seen_seconds, passed[end - 1].id) >= own:
        end -= 1
    return passed if end == len(passed) else passed[:end]


@dataclass(slots=True)
class Finding:
    """What the true predicates of a rule have to tell."""

    fields: dict[str, Said] = field(default_factory=dict)
    """For the message."""
    evidence: dict[str, Past] = field(default_factory=dict)
    """Other passages, by id."""
    hit: Hit | None = None
    """The list's hit that a rule speaks of."""

    def add(self, passages: Sequence[Past], **fields: Said) -> None:
        """Note evidence and fields; what was noted first stays."""
        for past in passages:
            self.evidence.setdefault(past.id, past)
        for name, said in fields.items():
            self.fields.setdefault(name, said)


DeepTest = Callable[[Judgement], Truth]
Tell = Callable[[Judgement, Finding], None]


class Deep(NamedTuple):
    """A predicate that needs more than the passage."""

    test: DeepTest
    tell: Tell
    """Called when the rule is true and so is this predicate."""
