"""Predicates over the history of the plate that is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anpr.rules.contract import Past, Where
from anpr.rules.glance import kmh_of
from anpr.rules.judgement import Deep, Finding, Judgement
from anpr.rules.language import Condition, Dwell, Filters, Order, Seen, Travel
from anpr.rules.logic import Truth, both
from anpr.rules.passage import Ground, PassageTest, passage_tests
from anpr.rules.wording import duration, moment_of, number, same


def fitting(filters: Filters, ground: Ground) -> Callable[[Judgement, Sequence[Past]], list[Past]]:
    """Picks the passages that fit; one of which a filter is unknown does not."""
    asked = {
        name: getattr(filters, name)
        for name in ("camera", "site", "zone", "bound", "direction")
        if getattr(filters, name) is not None
    }
    tests: list[PassageTest] = list(passage_tests(Condition.model_construct(**asked), ground))
    least = filters.min_probability
    if least is not None:
        tests.append(lambda passage: passage.probability >= least)
    fits = both(tests) if tests else None
    other_camera = filters.other_camera

    def pick(judgement: Judgement, passages: Sequence[Past]) -> list[Past]:
        here = judgement.sighting.camera_id if other_camera else None
        return [past for past in passages if past.camera_id != here and (fits is None or fits(past) is True)]

    return pick


def may_fit(filters: Filters, ground: Ground) -> Where:
    """Whether passages of a kind may fit at any time."""
    names = ("camera", "site", "bound", "direction")
    asked = {name: getattr(filters, name) for name in names if getattr(filters, name) is not None}
    tests = passage_tests(Condition.model_construct(**asked), ground)
    zone = ground.zones[filters.zone] if filters.zone is not None else None

    def where(past: Past) -> bool:
        in_zone = zone is None or zone.ever_holds_place(past.camera_id, past.site_id)
        return in_zone and all(test(past) is True for test in tests)

    return where


def seen(predicate: Seen, ground: Ground) -> Deep:
    """The plate passed before, or passes later."""
    pick, where = fitting(predicate, ground), may_fit(predicate, ground)
    within, later, at_least = predicate.within, predicate.later, predicate.at_least or 0.0
    least, most, cameras = predicate.least, predicate.at_most_times, predicate.cameras

    def find(judgement: Judgement) -> list[Past]:
        passages = judgement.later(within) if later else judgement.past_where(within, where)
        if at_least and passages:
            now = judgement.sighting.seen_seconds
            passages = [past for past in passages if abs(now - past.seen_seconds) >= at_least]
        return pick(judgement, passages) if passages else []

    def test(judgement: Judgement) -> Truth:
        if not judgement.sighting.text:
            return None
        found = find(judgement)
        if len(found) < least or (most is not None and len(found) > most):
            return False
        return cameras == 1 or not found or len({past.camera_id for past in found}) >= cameras

    def tell(judgement: Judgement, finding: Finding) -> None:
        found = find(judgement)
        finding.add(found, seen_count=same(str(len(found))))
        if found:
            newest = found[-1]
            finding.add(
                (),
                seen_camera=same(newest.camera_id),
                seen_time=moment_of(newest.seen_seconds),
                seen_ago=duration(abs(judgement.sighting.seen_seconds - newest.seen_seconds)),
            )

    return Deep(test, tell)


def order(predicate: Order, ground: Ground) -> Deep:
    """The plate passed places in an order."""
    if predicate.cameras is not None:
        steps = [Condition.model_construct(camera=(camera,)) for camera in predicate.cameras]
    else:
        steps = [Condition.model_construct(zone=zone) for zone in predicate.zones or ()]
    *before, here = [passage_tests(step, ground)[0] for step in steps]
    within = predicate.within

    def find(judgement: Judgement) -> list[Past] | None:
        """The latest passages that make the order; None if there are none."""
        if here(judgement.sighting) is not True:
            return None
        passages = list(judgement.past(within))
        way: list[Past] = []
        for at_place in reversed(before):
            while passages and at_place(passages[-1]) is not True:
                passages.pop()
            if not passages:
                return None
            way.append(passages.pop())
        return way[::-1]

    def test(judgement: Judgement) -> Truth:
        return find(judgement) is not None if judgement.sighting.text else None

    def tell(judgement: Judgement, finding: Finding) -> None:
        way = find(judgement) or []
        cameras = [*(past.camera_id for past in way), judgement.sighting.camera_id]
        finding.add(way, order_cameras=same(" → ".join(cameras)))

    return Deep(test, tell)


def dwell(predicate: Dwell, ground: Ground) -> Deep:
    """How long ago the most recent passage was that fits."""
    pick, where = fitting(predicate, ground), may_fit(predicate, ground)
    within = predicate.within
    longer = -1.0 if predicate.longer_than is None else predicate.longer_than
    shorter = within if predicate.shorter_than is None else predicate.shorter_than

    def newest(judgement: Judgement) -> Past | None:
        found = pick(judgement, judgement.past_where(within, where))
        return found[-1] if found else None

    def test(judgement: Judgement) -> Truth:
        if not judgement.sighting.text:
            return None
        past = newest(judgement)
        return past is not None and longer < judgement.sighting.seen_seconds - past.seen_seconds <= shorter

    def tell(judgement: Judgement, finding: Finding) -> None:
        past = newest(judgement)
        if past is not None:
            stayed = duration(judgement.sighting.seen_seconds - past.seen_seconds)
            finding.add((past,), dwell_camera=same(past.camera_id), dwell=stayed)

    return Deep(test, tell)


def travel(predicate: Travel, ground: Ground) -> Deep:
    """How fast the vehicle would have driven here from where it passed last before another camera."""
    pick = fitting(predicate, ground)
    distance_km = ground.places.distance_km
    within, skew = predicate.within, predicate.clock_skew
    fast, slow = predicate.faster_than_kmh, predicate.slower_than_kmh

    def ways(judgement: Judgement) -> list[tuple[Past, float | None, float]]:
        """Per other camera its last passage, the distance, and the speed."""
        sighting = judgement.sighting
        last = {past.camera_id: past for past in pick(judgement, judgement.past(within))}
        last.pop(sighting.camera_id, None)
        found: list[tuple[Past, float | None, float]] = []
        for past in last.values():
            km = distance_km(past.camera_id, sighting.camera_id)
            seconds = sighting.seen_seconds - past.seen_seconds + skew
            found.append((past, km, kmh_of(km or 0.0, seconds)))
        return found

    def holds(km: float | None, kmh: float) -> Truth:
        if km is None:
            return None
        return (fast is None or kmh > fast) and (slow is None or kmh < slow)

    def test(judgement: Judgement) -> Truth:
        if not judgement.sighting.text:
            return None
        if fast is not None and judgement.peak_kmh(within, distance_km) <= fast:
            return False
        here, now = judgement.sighting.camera_id, judgement.sighting.seen_seconds + skew
        left, unknown = {here}, False
        for past in reversed(pick(judgement, judgement.past(within))):
            camera = past.camera_id
            if camera in left:
                continue
            left.add(camera)
            km = distance_km(camera, here)
            if km is None:
                unknown = True
            elif holds(km, kmh_of(km, now - past.seen_seconds)):
                return True
        return None if unknown else False

    def tell(judgement: Judgement, finding: Finding) -> None:
        true = [way for way in ways(judgement) if holds(way[1], way[2])]
        past, km, kmh = (max if fast is not None else min)(true, key=lambda way: (way[2], way[0].id))
        finding.add(
            (past,),
            travel_camera=same(past.camera_id),
            travel_km=number(km or 0.0, 1),
            travel_kmh=same("> 999") if kmh > 999.0 else number(kmh),
            travel_ago=duration(judgement.sighting.seen_seconds - past.seen_seconds),
        )

    return Deep(test, tell)
