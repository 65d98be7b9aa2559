"""Predicates over what the watch-lists said of the passage."""

from __future__ import annotations

from math import nextafter

from anpr.records import Hit
from anpr.rules.judgement import Deep, Finding, Judgement
from anpr.rules.language import Listed, ListHits
from anpr.rules.logic import Truth
from anpr.rules.passage import Ground
from anpr.rules.wording import same

EXACT = "exact"
"""The reason of a hit that is letter for letter what was read."""


def listed(predicate: Listed, _ground: Ground) -> Deep:
    """A watch-list matched the passage."""
    names = None if predicate.list is None else frozenset(predicate.list)
    severities = None if predicate.severity is None else frozenset(predicate.severity)
    least = predicate.min_probability or 0.0
    without = predicate.without

    def fits(hit: Hit) -> bool:
        return (
            (names is None or hit.list_name in names)
            and (predicate.exact is None or (hit.reason == EXACT) is predicate.exact)
            and hit.probability >= least
            and (severities is None or hit.severity in severities)
            and (without is None or any(_lacks(hit, what) for what in without))
        )

    def test(judgement: Judgement) -> Truth:
        return any(fits(hit) for hit in judgement.hits)

    def tell(judgement: Judgement, finding: Finding) -> None:
        hit = next(hit for hit in judgement.hits if fits(hit))
        finding.hit = finding.hit or hit
        finding.add(
            (),
            list=same(hit.list_name),
            listed=same(hit.listed),
            list_match=same(hit.reason),
            entry_reason=same(hit.entry_reason),
            authority=same(hit.authority),
            reference=same(hit.reference),
        )

    return Deep(test, tell)


def list_hits(predicate: ListHits, _ground: Ground) -> Deep:
    """A list has raised many hits of late."""

    def most(judgement: Judgement) -> tuple[int, str]:
        """The largest number of hits, and the list."""
        names = {predicate.list} if predicate.list is not None else {hit.list_name for hit in judgement.hits}
        seen = judgement.sighting.seen_seconds
        begin, before = seen - predicate.within, nextafter(seen, 0.0)
        return max(((judgement.history.list_hits(name, begin, before), name) for name in names), default=(0, ""))

    def test(judgement: Judgement) -> Truth:
        return most(judgement)[0] > predicate.more_than

    def tell(judgement: Judgement, finding: Finding) -> None:
        count, name = most(judgement)
        finding.add((), list_hits=same(str(count)), list=same(name))

    return Deep(test, tell)


def _lacks(hit: Hit, what: str) -> bool:
    match what:
        case "authority":
            return not hit.authority
        case "expiry":
            return hit.entry_until_seconds is None
        case "reference":
            return not hit.reference
        case _:
            return not hit.entry_reason
