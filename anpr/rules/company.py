"""Predicates over what other vehicles did: convoys, and unreadable passages that may have been this vehicle's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from anpr.records import Sighting
from anpr.rules.contract import Past
from anpr.rules.glance import SECONDS_PER_HOUR
from anpr.rules.judgement import Deep, Finding, Judgement
from anpr.rules.language import Convoy, UnreadBefore
from anpr.rules.logic import Truth
from anpr.rules.passage import Ground
from anpr.rules.past import fitting
from anpr.rules.wording import duration, same

MOST_LEADERS = 12
"""Vehicles in front that are looked at; the nearest count."""
NOT_KNOWN = ("", "unknown")


def convoy(predicate: Convoy, ground: Ground) -> Deep:
    """The plate is the last of several that passed several cameras in the same order, close to each other."""
    within, gap, others, elsewhere = predicate.within, predicate.gap, predicate.plates - 1, predicate.cameras - 1
    reach = gap * others
    distance_km = ground.places.distance_km

    def may_be_one(judgement: Judgement) -> bool:
        """A quick look, that ends it for nearly all."""
        sighting, (number, first, last, _) = judgement.sighting, judgement.glance(within, distance_km)
        if number < elsewhere:
            return False
        if not elsewhere:
            return True
        share = judgement.history.may_share_leaders
        return share(sighting, first, last, reach, plates=others, cameras=elsewhere)

    def leaders(judgement: Judgement, camera_id: str, own_text: str, own_seconds: float) -> list[Past]:
        """Readable passages in front of one at `own_seconds`."""
        near = judgement.at_camera(camera_id, own_seconds - reach, own_seconds)
        return [past for past in near if past.text and past.text != own_text][-MOST_LEADERS:]

    def find(judgement: Judgement) -> tuple[tuple[str, ...], list[Past]] | None:
        """The plates in front, and the passages that show it; None if there is no convoy."""
        if not may_be_one(judgement):
            return None
        sighting = judgement.sighting
        last = {past.camera_id: past for past in judgement.past(within)}
        last.pop(sighting.camera_id, None)
        if len(last) < elsewhere:
            return None
        here = leaders(judgement, sighting.camera_id, sighting.text, sighting.seen_seconds)
        files = list(dict.fromkeys(_files(here, others, gap, sighting.seen_seconds)))
        if not files:
            return None
        shown = {file: [past for past in here if past.text in file] for file in files}
        cameras = dict.fromkeys(files, 1)
        plates = {plate for file in files for plate in file}
        may_miss = len(last) - elsewhere
        for past in last.values():
            there = leaders(judgement, past.camera_id, sighting.text, past.seen_seconds)
            same_plates = [leader for leader in there if leader.text in plates]
            if len(same_plates) < others:
                may_miss -= 1
                if may_miss < 0:
                    return None
                continue
            for file in cameras.keys() & set(_files(same_plates, others, gap, past.seen_seconds)):
                cameras[file] += 1
                shown[file] += [past, *(leader for leader in there if leader.text in file)]
        found = [file for file in files if cameras[file] >= predicate.cameras]
        return (found[0], shown[found[0]]) if found else None

    def test(judgement: Judgement) -> Truth:
        return find(judgement) is not None if judgement.sighting.text else None

    def tell(judgement: Judgement, finding: Finding) -> None:
        found = find(judgement)
        if found is not None:
            finding.add(found[1], companions=same(", ".join(found[0])))

    return Deep(test, tell)


def _files(leaders: Sequence[Past], length: int, gap_seconds: float, end_seconds: float) -> Iterator[tuple[str, ...]]:
    """Every `length` different plates among the leaders that passed in a file, each less than a gap behind the one
    before, and the end less than a gap behind the last. Leaders are in order of time."""
    for index in range(len(leaders) - 1, length - 2, -1):
        leader = leaders[index]
        if end_seconds - leader.seen_seconds >= gap_seconds:
            return
        if length == 1:
            yield (leader.text,)
            continue
        for front in _files(leaders[:index], length - 1, gap_seconds, leader.seen_seconds):
            if leader.text not in front:
                yield (*front, leader.text)


def unread_before(predicate: UnreadBefore, ground: Ground) -> Deep:
    """An unreadable passage before another camera, at a time at which this vehicle could have been there."""
    within, most = predicate.within, predicate.at_most
    pick = fitting(predicate, ground)
    attributes = tuple(map(attrgetter, predicate.alike or ()))

    may_lead = ground.places.may_lead

    def alike(past: Past, sighting: Sighting) -> bool:
        """Whether nothing that is known of both says that they are two vehicles."""
        if not may_lead(past.camera_id, past.direction, sighting.camera_id, sighting.direction):
            return False
        for attribute in attributes:
            then, now = attribute(past), attribute(sighting)
            if then != now and then not in NOT_KNOWN and now not in NOT_KNOWN:
                return False
        return True

    def find(judgement: Judgement) -> list[Past]:
        sighting = judgement.sighting
        found: list[Past] = []
        for camera_id, km in ground.places.neighbours(sighting.camera_id):
            shortest, longest = (km * SECONDS_PER_HOUR / kmh for kmh in (predicate.to_kmh, predicate.from_kmh))
            if shortest > within:
                continue
            seen = sighting.seen_seconds
            passed = judgement.unread_at(camera_id, seen - min(longest, within), seen - shortest)
            found += pick(judgement, [past for past in passed if alike(past, sighting)])
        return sorted(found, key=lambda past: (past.seen_seconds, past.id))

    def test(judgement: Judgement) -> Truth:
        if not ground.places.neighbours(judgement.sighting.camera_id):
            return None
        found = find(judgement)
        return None if most is not None and len(found) > most else bool(found)

    def tell(judgement: Judgement, finding: Finding) -> None:
        found = find(judgement)
        newest = found[-1]
        ago = duration(judgement.sighting.seen_seconds - newest.seen_seconds)
        finding.add(found, unread_camera=same(newest.camera_id), unread_ago=ago, unread_count=same(str(len(found))))

    return Deep(test, tell)
