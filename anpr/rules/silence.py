"""Which rules can never be true at a site, and for want of what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from anpr.rules.language import Condition, Declared, Filters, ListHits, Lookup, Order, Rule, Seen, ZoneText
from anpr.rules.places import Places, same_province
from anpr.rules.wording import Said, moment_of
from anpr.rules.zones import Zone

_FIELDS = {
    "lane": Said("làn xe", "lane"),
    "vehicle_class": Said("loại xe", "vehicle class"),
    "speed_kmh": Said("tốc độ", "speed"),
}
_NO_INBOUND = Said("hướng vào tỉnh: không camera nào có inbound", "bound: no camera has inbound")


@dataclass(frozen=True, slots=True)
class Known:
    """What a site can tell."""

    places: Places
    registers: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    """The fields of each; None: nobody knows them before it is asked."""
    declarations: bool = False
    fields: Collection[str] = ()
    """Of `lane`, `vehicle_class` and `speed_kmh`, those that its sightings have."""
    lists: Collection[str] = ()
    now_seconds: float = -inf
    """Wall time: what was over before it never comes again."""


class Silence(NamedTuple):
    """What a rule asks in vain at a site."""

    missing: Sequence[Said]
    """All that is never known or never so there."""
    causes: Sequence[Said]
    """Those for which the rule can never be true; empty if it can be."""


Zones = Mapping[str, ZoneText]
_Reasons = dict[str, Said]
_Never = Iterator[Said]


def silence_of(rule: Rule, known: Known, zones: Zones) -> Silence:
    """What a rule asks in vain, and whether it can therefore never be true."""
    missing: _Reasons = {}
    causes: _Reasons = {}

    def look(found: _Reasons, can_be: bool) -> None:
        missing.update(found)
        if not can_be:
            causes.update(found)

    for piece in _pieces(rule.when):
        found: _Reasons = {}
        look(found, _can_be(piece, known, zones, found)[0])
    for condition in rule.unless:
        found = {}
        look(found, _can_be(condition, known, zones, found)[1])
    for reason in _of_terms(rule, known):
        look({reason.en: reason}, False)
    return Silence(list(missing.values()), list(causes.values()))


def silent_rules(rules: Mapping[str, Rule], known: Known, zones: Zones) -> tuple[str, ...]:
    """A line for all enabled rules that can never be true for the same causes, in English."""
    alike: dict[str, list[str]] = {}
    for name, rule in rules.items():
        causes = silence_of(rule, known, zones).causes if rule.enabled else ()
        if causes:
            alike.setdefault("; ".join(each.en for each in causes), []).append(name)
    return tuple(f"{', '.join(names)}: {causes}" for causes, names in alike.items())


def _pieces(condition: Condition) -> Iterator[Condition]:
    """The conditions of one predicate each that make up a condition."""
    for name, value in condition.predicates().items():
        if name == "all_of":
            for inside in value:
                yield from _pieces(inside)
        else:
            yield Condition.model_construct(**{name: value})


def _of_terms(rule: Rule, known: Known) -> _Never:
    """Why a rule is silent, whatever its condition."""
    if rule.valid_until is not None and rule.valid_until <= known.now_seconds:
        until = moment_of(rule.valid_until)
        yield Said(f"quy tắc đã hết hiệu lực lúc {until.vi}", f"the rule ended at {until.en}")
    if rule.confirmations is not None:
        yield from _too_many_cameras("confirmations", rule.confirmations, known)


def _can_be(condition: Condition, known: Known, zones: Zones, reasons: _Reasons) -> tuple[bool, bool]:
    """Whether a condition can be true, and whether it can be false, where what cannot be known is neither."""
    can_true, can_false = True, False
    for name, value in condition.predicates().items():
        if name in ("any_of", "all_of", "negated"):
            continue
        unknown = _unknown(name, value, known)
        can_false = can_false or unknown is None
        for reason in (unknown, *_never(name, value, known, zones)):
            if reason is not None:
                reasons.setdefault(reason.en, reason)
                can_true = False
    for inside in condition.all_of or ():
        true, false = _can_be(inside, known, zones, reasons)
        can_true, can_false = can_true and true, can_false or false
    if condition.any_of is not None:
        branches = [_can_be(inside, known, zones, reasons) for inside in condition.any_of]
        can_true = can_true and any(true for true, _ in branches)
        can_false = can_false or all(false for _, false in branches)
    if condition.negated is not None:
        true, false = _can_be(condition.negated, known, zones, reasons)
        can_true, can_false = can_true and false, can_false or true
    return can_true, can_false


def _unknown(name: str, value: Any, known: Known) -> Said | None:
    """Why a predicate is unknown of every passage at a site; None if it is not."""
    if name in _FIELDS and name not in known.fields:
        return _not_told(name)
    if isinstance(value, Lookup):
        return _unknown_lookup(value, known)
    if isinstance(value, Declared):
        if not known.declarations:
            return Said("khai báo: không có nguồn", "declarations: the site has none")
        if value.contradicted_within is not None and not any(_provinces(known)):
            return Said("tỉnh của camera: không camera nào có province", "provinces: no camera has one")
    if name == "bound" and not _inbound(known):
        return _NO_INBOUND
    cameras = known.places.places
    if name in ("travel", "unread_before") and not any(known.places.neighbours(camera) for camera in cameras):
        return Said("khoảng cách giữa các camera", "road distance between any two cameras")
    return None


def _unknown_lookup(value: Lookup, known: Known) -> Said | None:
    source = value.source
    if source not in known.registers:
        return Said(f"tra cứu {source}: chưa thiết lập", f"register {source}: not set up")
    columns = known.registers[source]
    if value.field is not None and columns is not None and value.field not in columns:
        return Said(f"tra cứu {source}: không có cột {value.field}", f"register {source}: no column {value.field}")
    compared = value.differs_from
    return _not_told(compared) if compared in _FIELDS and compared not in known.fields else None


def _not_told(name: str) -> Said:
    what = _FIELDS[name]
    return Said(f"{what.vi}: không camera nào cho biết", f"{what.en}: no camera tells it")


def _never(name: str, value: Any, known: Known, zones: Zones) -> _Never:
    """Why a predicate is false of every passage at a site."""
    if name in ("listed", "list_hits"):
        yield from _no_list((value.list,) if isinstance(value, ListHits) and value.list else value.list, known)
    elif name in ("camera", "site"):
        yield from _no_place(name, value, known)
    elif name == "zone":
        yield from _not_in(value, zones, known, 0.0, _holds_place)
    elif name == "province_zone":
        yield from _not_in(value, zones, known, 0.0, _holds_code)
    elif isinstance(value, Order):
        for zone in value.zones or ():
            yield from _not_in(zone, zones, known, value.within, _holds_place)
        for camera in value.cameras or ():
            yield from _no_place("camera", (camera,), known)
    elif isinstance(value, Filters):
        yield from _never_fits(value, known, zones)
    elif isinstance(value, Declared):
        if value.origin_zone is not None:
            yield from _not_in(value.origin_zone, zones, known, 0.0, _holds_code)
        if value.contradicted_within is not None and _one_province(known):
            yield Said("tỉnh của camera: mọi camera ở cùng một tỉnh", "provinces: all cameras stand in the same")
    yield from _too_many_cameras(name, value, known)


def _never_fits(value: Any, known: Known, zones: Zones) -> _Never:
    """Why filters leave no passage."""
    if value.bound is not None and not _inbound(known):
        yield _NO_INBOUND
    if value.zone is not None:
        yield from _not_in(value.zone, zones, known, value.within, _holds_place)
    for key in ("camera", "site"):
        yield from _no_place(key, getattr(value, key) or (), known)


def _no_list(names: Sequence[str] | None, known: Known) -> _Never:
    if names and not set(names) & set(known.lists):
        asked, has = " / ".join(names), ", ".join(sorted(known.lists))
        yield Said(
            f"danh sách {asked}: không có danh sách nào như vậy tại điểm này" + (f" (chỉ có {has})" if has else ""),
            f"list {asked}: none of this name holds at the site" + (f" (it has {has})" if has else ""),
        )
    elif not known.lists:
        yield Said("danh sách: không có danh sách nào", "lists: none holds at the site")


def _no_place(key: str, names: Sequence[str], known: Known) -> _Never:
    places = known.places.places
    there = set(places) if key == "camera" else {place.site_id for place in places.values()}
    if names and not set(names) & there:
        asked = " / ".join(names)
        what = "camera" if key == "camera" else "điểm"
        yield Said(f"{what} {asked}: không có", f"{key} {asked}: the site file has none of this name")


def _not_in(
    name: str, zones: Zones, known: Known, within_seconds: float, holds: Callable[[ZoneText, Known], bool]
) -> _Never:
    """Why nothing is in a zone any more, where `within_seconds` back still count."""
    if name not in zones:
        return
    zone = zones[name]
    head = Said(f"{zone.vi} ({name}): ", f"the {zone.en} ({name}): ")
    if not zone.periods:
        yield Said(f"{head.vi}khu vực trống", f"{head.en}the zone is empty")
        return
    since_seconds = known.now_seconds - within_seconds
    left = [period for period in zone.periods if period.end is None or period.end > since_seconds]
    if not left:
        end = moment_of(max(period.end or 0.0 for period in zone.periods))
        yield Said(f"{head.vi}đã hết hiệu lực lúc {end.vi}", f"{head.en}all its periods are over since {end.en}")
    elif not holds(zone.model_copy(update={"periods": tuple(left)}), known):
        what = Said("camera, điểm", "camera or site") if holds is _holds_place else Said("tỉnh", "province")
        where = Said(" của điểm này", " of this site") if holds is _holds_place else Said("", "")
        yield Said(f"{head.vi}không chứa {what.vi} nào{where.vi}", f"{head.en}it holds no {what.en}{where.en}")


def _holds_place(zone: ZoneText, known: Known) -> bool:
    ever_holds = Zone.of(zone).ever_holds_place
    return any(ever_holds(place.camera_id, place.site_id) for place in known.places.places.values())


def _holds_code(zone: ZoneText, _known: Known) -> bool:
    return any(span.codes for span in Zone.of(zone).spans)


def _too_many_cameras(name: str, value: Any, known: Known) -> _Never:
    """Where a predicate needs more cameras than there are."""
    needed = getattr(value, "cameras", None)
    there = len(known.places.places)
    maybe_none = isinstance(value, Seen) and value.least == 0
    if isinstance(needed, int) and needed > max(there, 1) and not maybe_none:
        yield Said(f"{name}: cần {needed} camera, chỉ có {there}", f"{name}: needs {needed} cameras, there are {there}")


def _provinces(known: Known) -> list[str]:
    return [place.province for place in known.places.places.values() if place.province]


def _one_province(known: Known) -> bool:
    provinces = _provinces(known)
    return bool(provinces) and all(same_province(provinces[0], each) for each in provinces[1:])


def _inbound(known: Known) -> bool:
    return any(place.inbound != "unknown" for place in known.places.places.values())
