"""The hit that a match raises about a sighting."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from anpr.records import Hit, Sighting
from anpr.watch.matcher import Match, Matcher


def find_matches(matcher: Matcher, sightings: Sequence[Sighting]) -> list[tuple[Match, ...]]:
    """What the lists say of each sighting, at the time of its passage; nothing of those that are withdrawn."""
    asked = [sighting for sighting in sightings if sighting.state != "withdrawn"]
    found = iter(matcher.match_all(asked))
    return [() if sighting.state == "withdrawn" else next(found) for sighting in sightings]


def raise_hit(sighting: Sighting, match: Match) -> Hit:
    """The hit of a match. Revisions of a sighting give revisions of the same hit: its id depends on the sighting's id,
    the list's name and the entry's plate and times, not on what was read or on the list's version."""
    entry, watch_list = match.entry, match.watch_list
    return Hit(
        id=_identity(sighting, match),
        revision=sighting.revision,
        state=sighting.state,
        severity=match.severity,
        sighting_id=sighting.id,
        site_id=sighting.site_id,
        camera_id=sighting.camera_id,
        seen_seconds=sighting.seen_seconds,
        text=sighting.text,
        raw=sighting.raw,
        listed=entry.plate,
        display=sighting.display,
        probability=match.probability,
        reason=match.reason,
        list_name=watch_list.name,
        list_version=watch_list.version,
        list_age_seconds=max(0.0, sighting.seen_seconds - watch_list.loaded_seconds),
        entry_reason=entry.reason,
        authority=entry.authority or watch_list.authority,
        reference=entry.reference,
        evidence=sighting.evidence,
        list_purpose=watch_list.purpose,
        entry_until_seconds=entry.valid_until_seconds,
    )


def withdraw_hit(hit: Hit, *, revision: int) -> Hit:
    """The same hit taken back, because a later revision of its sighting no longer matches.

    Raises ValueError if `revision` is not newer than the hit's.
    """
    if revision <= hit.revision:
        raise ValueError(f"a withdrawal needs a revision after {hit.revision}, got {revision}")
    return msgspec.structs.replace(hit, state="withdrawn", revision=revision)


def _identity(sighting: Sighting, match: Match) -> str:
    entry = match.entry
    parts = (sighting.id, match.watch_list.name, entry.plate, entry.valid_from_seconds, entry.valid_until_seconds)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
