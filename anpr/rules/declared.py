"""Predicates over the newest declaration of the plate that is judged."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from anpr.plates.provinces import codes
from anpr.rules.contract import Past
from anpr.rules.declaration import Declaration
from anpr.rules.declarations import Declarations
from anpr.rules.judgement import Deep, Finding, Judgement
from anpr.rules.language import Declared
from anpr.rules.logic import Truth, both
from anpr.rules.passage import MERGER_SECONDS, Ground
from anpr.rules.places import same_province
from anpr.rules.wording import duration, moment_of, same

_Asked = tuple[Declaration, Judgement]
_Ask = Callable[[_Asked], Truth]


def declared(predicate: Declared, ground: Ground, declarations: Declarations | None) -> Deep:
    """The newest declaration fulfils all that is asked. Unknown without `declarations`."""
    types = None if predicate.type is None else frozenset(predicate.type)
    asks = _asks(predicate, ground)
    fulfils = both(asks) if asks else None

    def newest(judgement: Judgement) -> Declaration | None:
        if declarations is None:
            return None
        return declarations.newest(judgement.sighting.text, types, judgement.known_seconds)

    def test(judgement: Judgement) -> Truth:
        if declarations is None or not judgement.sighting.text:
            return None
        declaration = newest(judgement)
        if declaration is None:
            return False
        return True if fulfils is None else fulfils((declaration, judgement))

    def tell(judgement: Judgement, finding: Finding) -> None:
        declaration = newest(judgement)
        if declaration is None:
            return
        until = declaration.valid_until_seconds
        finding.add(
            (),
            declared_type=same(declaration.type),
            declared_origin=same(declaration.origin),
            declared_until=same("") if until is None else moment_of(until),
            declared_persons=same("" if declaration.persons is None else str(declaration.persons)),
            declared_reference=same(declaration.reference),
        )
        if predicate.contradicted_within is not None:
            against = _contradictions(declaration, judgement, ground, predicate.contradicted_within)[0]
            newest_past = against[-1]
            finding.add(
                against,
                contradicted_camera=same(newest_past.camera_id),
                contradicted_province=same(ground.places.province(newest_past.camera_id)),
                contradicted_ago=duration(judgement.sighting.seen_seconds - newest_past.seen_seconds),
            )

    return Deep(test, tell)


def _asks(predicate: Declared, ground: Ground) -> list[_Ask]:
    """What is asked of the declaration, the cheapest first."""
    asks: list[_Ask] = []
    within, valid, persons = predicate.within, predicate.valid, predicate.persons_more_than
    fresh, stale = predicate.test_within, predicate.test_older_than
    if within is not None:
        asks.append(lambda asked: asked[1].sighting.seen_seconds - asked[0].declared_seconds <= within)
    if valid is not None:
        asks.append(lambda asked: asked[0].valid_at(asked[1].sighting.seen_seconds) is valid)
    if fresh is not None:
        asks.append(lambda asked: 0.0 <= _test_age(asked) <= fresh)
    if stale is not None:
        asks.append(lambda asked: _test_age(asked) > stale)
    if persons is not None:
        asks.append(lambda asked: None if asked[0].persons is None else asked[0].persons > persons)
    if predicate.origin is not None:
        origins = predicate.origin
        asks.append(lambda asked: _any_province(asked[0].origin, origins))
    if predicate.origin_zone is not None:
        zone = ground.zones[predicate.origin_zone]
        asks.append(
            lambda asked: (
                zone.holds_province(asked[0].origin, asked[1].sighting.seen_seconds) if asked[0].origin else None
            )
        )
    if predicate.origin_is_plate_province is not None:
        wanted = predicate.origin_is_plate_province
        asks.append(lambda asked: _agrees(asked, wanted))
    if predicate.contradicted_within is not None:
        span = predicate.contradicted_within
        asks.append(lambda asked: _contradicted(*asked, ground, span))
    return asks


def _test_age(asked: _Asked) -> float:
    """How old the test was; infinitely if there is none."""
    taken = asked[0].test_seconds
    return inf if taken is None else asked[1].sighting.seen_seconds - taken


def _any_province(origin: str, wanted: tuple[str, ...]) -> Truth:
    return any(same_province(origin, each) for each in wanted) if origin else None


def _agrees(asked: _Asked, wanted: bool) -> Truth:
    declaration, judgement = asked
    code = codes().get(judgement.sighting.province_code)
    if not declaration.origin or code is None or not code.before:
        return None
    registered = code.before if judgement.sighting.seen_seconds < MERGER_SECONDS else code.after
    return (declaration.origin in (code.before, registered)) is wanted


def _contradicted(declaration: Declaration, judgement: Judgement, ground: Ground, within_seconds: float) -> Truth:
    if not declaration.origin:
        return None
    against, unsure = _contradictions(declaration, judgement, ground, within_seconds)
    return True if against else None if unsure else False


def _contradictions(
    declaration: Declaration, judgement: Judgement, ground: Ground, within_seconds: float
) -> tuple[list[Past], bool]:
    """Passages where the vehicle had no business by its declaration; and whether some were before cameras of which
    nobody knows where they stand."""
    here = ground.places.province(judgement.sighting.camera_id)
    allowed = [declaration.origin, *declaration.route, *([here] if here else [])]
    against: list[Past] = []
    unsure = False
    for past in judgement.past(within_seconds):
        province = ground.places.province(past.camera_id)
        if not province:
            unsure = True
        elif not any(same_province(province, each) for each in allowed):
            against.append(past)
    return against, unsure
