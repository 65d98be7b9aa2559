"""A rule's condition as sentences, in Vietnamese and English."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from anpr.rules.language import (
    Condition,
    Convoy,
    Declared,
    Dwell,
    Filters,
    Listed,
    ListHits,
    Lookup,
    Order,
    Range,
    Seen,
    Travel,
    UnreadBefore,
    ZoneText,
)
from anpr.rules.wording import (
    BOUNDS,
    CLASSES,
    COLOURS,
    DAYS,
    DIRECTIONS,
    KINDS,
    Said,
    any_word,
    duration,
    one_of,
    percent,
    same,
    word,
)

Zones = Mapping[str, ZoneText]
Line = tuple[int, Said]
"""How deep it is indented, and what it says."""


def lines_of(condition: Condition, zones: Zones, depth: int = 0) -> Iterator[Line]:
    """Every predicate of a condition, one line each; what is inside another stands deeper."""
    for name, value in condition.predicates().items():
        if name in _SENTENCES:
            yield depth, _SENTENCES[name](value, zones)
    if condition.any_of is not None:
        yield depth, Said("ít nhất một trong các điều sau:", "at least one of these:")
        for inside in condition.any_of:
            yield from _grouped(inside, zones, depth + 1)
    for inside in condition.all_of or ():
        yield from lines_of(inside, zones, depth)
    if condition.negated is not None:
        yield depth, Said("không đúng rằng:", "it is not so that:")
        yield from _grouped(condition.negated, zones, depth + 1)


def _grouped(condition: Condition, zones: Zones, depth: int) -> Iterator[Line]:
    """A condition of one line stands alone; of several, under a head."""
    lines = list(lines_of(condition, zones, depth))
    if sum(at == depth for at, _ in lines) > 1:
        yield depth, Said("cả:", "both:" if len(lines) == 2 else "all of:")
        lines = [(at + 1, said) for at, said in lines]
    yield from lines


def _names(values: Iterable[str]) -> Said:
    return one_of(map(same, values))


def _zone(name: str, zones: Zones) -> Said:
    zone = zones.get(name)
    return Said(f"{zone.vi} ({name})", f"the {zone.en} ({name})") if zone else same(name)


def _say(vi: str, en: str) -> Callable[[Any, Zones], Said]:
    """A sentence with the values put in at `{}`."""
    return lambda values, _zones: Said(vi.format(_names(values).vi), en.format(_names(values).en))


def _words(table: Mapping[str, Said], vi: str, en: str) -> Callable[[Any, Zones], Said]:
    def sentence(values: str | tuple[str, ...], _zones: Zones) -> Said:
        said = any_word(table, (values,) if isinstance(values, str) else values)
        return Said(vi.format(said.vi), en.format(said.en))

    return sentence


def _in_zone(vi: str, en: str) -> Callable[[Any, Zones], Said]:
    return lambda name, zones: Said(vi.format(_zone(name, zones).vi), en.format(_zone(name, zones).en))


def _range(vi: str, en: str, unit: str, scale: float = 1.0) -> Callable[[Any, Zones], Said]:
    def sentence(bounds: Range, _zones: Zones) -> Said:
        least = (
            []
            if bounds.min is None
            else [Said(f"ít nhất {bounds.min * scale:g}{unit}", f"at least {bounds.min * scale:g}{unit}")]
        )
        most = (
            []
            if bounds.max is None
            else [Said(f"nhiều nhất {bounds.max * scale:g}{unit}", f"at most {bounds.max * scale:g}{unit}")]
        )
        limits = [*least, *most]
        return Said(
            f"{vi} {' và '.join(each.vi for each in limits)}", f"{en} {' and '.join(each.en for each in limits)}"
        )

    return sentence


def _readable(wanted: bool, _zones: Zones) -> Said:
    return (
        Said("biển số đọc được", "the plate is readable")
        if wanted
        else Said("biển số không đọc được", "the plate is unreadable")
    )


def _filters(filters: Filters, zones: Zones) -> Said:
    """Where and how a past passage must have been; begins with a blank if there is anything to say."""
    said: list[Said] = []
    if filters.camera is not None:
        names = _names(filters.camera)
        said.append(Said(f"tại camera {names.vi}", f"at camera {names.en}"))
    if filters.site is not None:
        names = _names(filters.site)
        said.append(Said(f"tại điểm {names.vi}", f"at site {names.en}"))
    if filters.zone is not None:
        zone = _zone(filters.zone, zones)
        said.append(Said(f"trong {zone.vi} như khi đó", f"in {zone.en} as it was then"))
    if filters.other_camera:
        said.append(Said("tại camera khác", "at another camera"))
    if filters.bound is not None:
        bound = word(BOUNDS, filters.bound)
        said.append(Said(f"khi {bound.vi}", f"driving {bound.en}"))
    if filters.direction is not None:
        direction = word(DIRECTIONS, filters.direction)
        said.append(Said(f"khi {direction.vi}", f"driving {direction.en}"))
    if filters.min_probability is not None:
        share = percent(filters.min_probability)
        said.append(Said(f"đọc chắc chắn ít nhất {share.vi}", f"read with at least {share.en}"))
    return Said("".join(f", {each.vi}" for each in said), "".join(f", {each.en}" for each in said))


def _seen(predicate: Seen, zones: Zones) -> Said:
    within, where = duration(predicate.within), _filters(predicate, zones)
    least, most = predicate.least, predicate.at_most_times
    if most is None:
        times = Said(f"ít nhất {least} lần", f"at least {least} time{'s' * (least > 1)}")
    elif least == 0:
        times = Said(f"nhiều nhất {most} lần", f"at most {most} time{'s' * (most > 1)}")
    else:
        times = Said(f"từ {least} đến {most} lần", f"{least} to {most} times")
    cameras = predicate.cameras
    at = Said(f" qua ít nhất {cameras} camera", f" before at least {cameras} cameras") if cameras > 1 else Said("", "")
    ago = Said("", "")
    if predicate.at_least is not None:
        least_ago = duration(predicate.at_least)
        ago = Said(f", không gần hơn {least_ago.vi}", f", not closer than {least_ago.en}")
    if predicate.later:
        return Said(
            f"biển này đi qua {times.vi}{at.vi} trong {within.vi} sau đó{ago.vi}{where.vi}",
            f"the plate passes {times.en}{at.en} within {within.en} afterwards{ago.en}{where.en}",
        )
    return Said(
        f"biển này đã đi qua {times.vi}{at.vi} trong {within.vi} trước đó{ago.vi}{where.vi}",
        f"the plate passed {times.en}{at.en} within {within.en} before{ago.en}{where.en}",
    )


def _order(predicate: Order, zones: Zones) -> Said:
    within = duration(predicate.within)
    steps = [same(each) for each in predicate.cameras or ()] or [_zone(each, zones) for each in predicate.zones or ()]
    vi, en = " → ".join(each.vi for each in steps), " → ".join(each.en for each in steps)
    return Said(
        f"biển này đi qua theo thứ tự {vi} trong {within.vi}, lần này là cuối",
        f"the plate passed {en} in this order within {within.en}, this passage being the last",
    )


def _dwell(predicate: Dwell, zones: Zones) -> Said:
    where, within = _filters(predicate, zones), duration(predicate.within)
    limits: list[Said] = []
    if predicate.longer_than is not None:
        longer = duration(predicate.longer_than)
        limits.append(Said(f"hơn {longer.vi}", f"more than {longer.en}"))
    if predicate.shorter_than is not None:
        shorter = duration(predicate.shorter_than)
        limits.append(Said(f"không quá {shorter.vi}", f"at most {shorter.en}"))
    vi, en = " và ".join(each.vi for each in limits), " and ".join(each.en for each in limits)
    return Said(
        f"lần đi qua gần nhất (trong {within.vi}{where.vi}) cách đây {vi}",
        f"its most recent passage (within {within.en}{where.en}) was {en} ago",
    )


def _travel(predicate: Travel, zones: Zones) -> Said:
    where, within = _filters(predicate, zones), duration(predicate.within)
    limits: list[Said] = []
    if predicate.faster_than_kmh is not None:
        limits.append(
            Said(f"nhanh hơn {predicate.faster_than_kmh:g} km/h", f"faster than {predicate.faster_than_kmh:g} km/h")
        )
    if predicate.slower_than_kmh is not None:
        limits.append(
            Said(f"chậm hơn {predicate.slower_than_kmh:g} km/h", f"slower than {predicate.slower_than_kmh:g} km/h")
        )
    skew = duration(predicate.clock_skew)
    vi, en = " và ".join(each.vi for each in limits), " and ".join(each.en for each in limits)
    return Said(
        f"từ camera trước đó (trong {within.vi}{where.vi}) xe phải chạy {vi}, cho phép đồng hồ sai {skew.vi}",
        f"from an earlier camera (within {within.en}{where.en}) it would have driven {en}, allowing clocks {skew.en}",
    )


def _convoy(predicate: Convoy, _zones: Zones) -> Said:
    gap, within = duration(predicate.gap), duration(predicate.within)
    return Said(
        f"xe đi cuối đoàn ít nhất {predicate.plates} biển số, cùng thứ tự, cách nhau dưới {gap.vi}, "
        f"qua ít nhất {predicate.cameras} camera trong {within.vi}",
        f"it is the last of at least {predicate.plates} plates that passed in the same order, each less than {gap.en} "
        f"behind the one before, at {predicate.cameras} or more cameras within {within.en}",
    )


_ALIKE = {
    "colour": Said("màu biển không khác nhau", "with no other colour of plate"),
    "vehicle_class": Said("loại xe không khác nhau", "of no other class"),
}


def _unread_before(predicate: UnreadBefore, zones: Zones) -> Said:
    where, within = _filters(predicate, zones), duration(predicate.within)
    vi = en = ""
    for attribute in predicate.alike or ():
        alike = _ALIKE[attribute]
        vi, en = f"{vi}, {alike.vi}", f"{en}, {alike.en}"
    if predicate.at_most is not None:
        vi += f"; nếu có hơn {predicate.at_most} lượt như vậy thì không kết luận"
        en += f"; where more than {predicate.at_most} did, it is unknown"
    speeds = f"{predicate.from_kmh:g}–{predicate.to_kmh:g} km/h"
    return Said(
        f"trong {within.vi} trước có biển không đọc được tại camera khác, hợp với tốc độ {speeds}{where.vi}{vi}",
        f"within {within.en} before, an unreadable plate passed another camera as this vehicle would at {speeds}"
        f"{where.en}{en}",
    )


def _listed(predicate: Listed, _zones: Zones) -> Said:
    names = _names(predicate.list) if predicate.list else Said("bất kỳ danh sách nào", "any watch-list")
    vi, en = f"biển có trong {names.vi}", f"the plate is on {names.en}"
    if predicate.exact is not None:
        vi += ", khớp từng ký tự" if predicate.exact else ", khớp gần đúng"
        en += ", letter for letter" if predicate.exact else ", but not letter for letter"
    if predicate.min_probability is not None:
        share = percent(predicate.min_probability)
        vi, en = f"{vi}, chắc chắn ít nhất {share.vi}", f"{en}, with at least {share.en}"
    if predicate.severity is not None:
        vi, en = f"{vi}, mức {_names(predicate.severity).vi}", f"{en}, with severity {_names(predicate.severity).en}"
    if predicate.without is not None:
        words = {
            "authority": Said("cơ quan yêu cầu", "authority"),
            "expiry": Said("thời hạn", "expiry"),
            "reference": Said("số hồ sơ", "reference"),
            "reason": Said("lý do", "reason"),
        }
        lacking = any_word(words, predicate.without)
        vi, en = f"{vi}, mục đó thiếu {lacking.vi}", f"{en}, and the entry has no {lacking.en}"
    return Said(vi, en)


def _list_hits(predicate: ListHits, _zones: Zones) -> Said:
    name = same(predicate.list) if predicate.list else Said("danh sách khớp", "the list that matched")
    within = duration(predicate.within)
    return Said(
        f"{name.vi} đã báo hơn {predicate.more_than} lần trong {within.vi}",
        f"{name.en} has raised more than {predicate.more_than} hits within {within.en}",
    )


def _declared(predicate: Declared, zones: Zones) -> Said:
    kind = _names(predicate.type) if predicate.type else Said("", "")
    vi = [f"khai báo mới nhất {kind.vi}".rstrip()]
    en = [f"its newest declaration {kind.en}".rstrip()]

    def add(vietnamese: str, english: str) -> None:
        vi.append(vietnamese)
        en.append(english)

    if predicate.within is not None:
        add(f"khai trong {duration(predicate.within).vi} trước", f"made within {duration(predicate.within).en} before")
    if predicate.valid is not None:
        add("còn hiệu lực" if predicate.valid else "hết hiệu lực", "valid" if predicate.valid else "not valid")
    if predicate.test_within is not None:
        age = duration(predicate.test_within)
        add(f"xét nghiệm trong {age.vi}", f"with a test at most {age.en} old")
    if predicate.test_older_than is not None:
        age = duration(predicate.test_older_than)
        add(f"không có xét nghiệm trong {age.vi}", f"with no test of the last {age.en}")
    if predicate.persons_more_than is not None:
        add(f"hơn {predicate.persons_more_than} người", f"for more than {predicate.persons_more_than} person(s)")
    if predicate.origin is not None:
        names = _names(predicate.origin)
        add(f"nơi đi là {names.vi}", f"with origin {names.en}")
    if predicate.origin_zone is not None:
        zone = _zone(predicate.origin_zone, zones)
        add(f"nơi đi thuộc {zone.vi}", f"with an origin in {zone.en}")
    if predicate.origin_is_plate_province is not None:
        be = predicate.origin_is_plate_province
        add(
            "nơi đi là tỉnh đăng ký" if be else "nơi đi khác tỉnh đăng ký",
            f"whose origin is{'' if be else ' not'} the province of registration",
        )
    if predicate.contradicted_within is not None:
        within = duration(predicate.contradicted_within)
        add(
            f"trái với nơi xe được thấy trong {within.vi} trước",
            f"contradicted by where the vehicle was seen within {within.en} before",
        )
    if len(vi) == 1:
        return Said(f"có khai báo {kind.vi}".rstrip(), f"there is a declaration {kind.en}".rstrip())
    return Said(f"{vi[0]}: {', '.join(vi[1:])}", f"{en[0]}: {', '.join(en[1:])}")


def _lookup(predicate: Lookup, _zones: Zones) -> Said:
    source, field = predicate.source, predicate.field
    if predicate.known is not None:
        return (
            Said(f"{source} có biển này", f"{source} has the plate")
            if predicate.known
            else Said(f"{source} không có biển này", f"{source} does not have the plate")
        )
    if predicate.older_than is not None:
        age = duration(predicate.older_than)
        test = (
            Said(f"đã qua {age.vi}", f"lies {age.en} back or more")
            if predicate.older_than
            else Said("đã qua", "is past")
        )
    elif predicate.differs_from is not None:
        test = Said(
            f"khác với {predicate.differs_from} đã thấy", f"differs from the {predicate.differs_from} that was seen"
        )
    elif predicate.over is not None:
        test = Said(f"lớn hơn {predicate.over:g}", f"is over {predicate.over:g}")
    elif predicate.under is not None:
        test = Said(f"nhỏ hơn {predicate.under:g}", f"is under {predicate.under:g}")
    else:
        names = _names(str(value) for value in predicate.one_of or predicate.none_of or ())
        none = predicate.one_of is None
        test = Said(
            f"không là {names.vi}" if none else f"là {names.vi}", f"is not {names.en}" if none else f"is {names.en}"
        )
    return Said(f"theo {source}, {field} {test.vi}", f"by {source}, {field} {test.en}")


def _hours(values: Any, _zones: Zones) -> Said:
    names = _names(map(str, values))
    return Said(f"giờ {names.vi}", f"the time of day is {names.en}")


_SENTENCES: Mapping[str, Callable[[Any, Zones], Said]] = {
    "kind": _words(KINDS, "loại biển: {}", "the plate's kind is {}"),
    "colour": _words(COLOURS, "màu biển: {}", "the plate's colour is {}"),
    "series": _say("sê-ri {}", "its series is {}"),
    "plate": _say("biển số dạng {}", "the plate is {}"),
    "code": _say("mã tỉnh {}", "the province code is {}"),
    "province": _say("đăng ký tại {}", "registered in {}"),
    "province_before": _say("đăng ký tại {} (địa giới trước 01/07/2025)", "registered in {} (map before 2025-07-01)"),
    "province_zone": _in_zone("đăng ký tại {}", "registered in {}"),
    "probability": _range("độ chắc chắn", "read with a probability of", " %", 100.0),
    "readable": _readable,
    "unreadable": _say("không đọc được vì {}", "unreadable because {}"),
    "camera": _say("tại camera {}", "at camera {}"),
    "site": _say("tại điểm {}", "at site {}"),
    "zone": _in_zone("xe ở trong {}", "the vehicle is in {}"),
    "lane": _say("làn {}", "in lane {}"),
    "direction": _words(DIRECTIONS, "xe {}", "it drives {}"),
    "bound": _words(BOUNDS, "xe {}", "it drives {}"),
    "speed_kmh": _range("tốc độ", "its speed is", " km/h"),
    "vehicle_class": _words(CLASSES, "loại xe: {}", "the vehicle is a {}"),
    "time": _hours,
    "weekday": _words(DAYS, "{}", "on {}"),
    "listed": _listed,
    "list_hits": _list_hits,
    "seen": _seen,
    "order": _order,
    "dwell": _dwell,
    "travel": _travel,
    "convoy": _convoy,
    "unread_before": _unread_before,
    "declared": _declared,
    "lookup": _lookup,
}

SAID_PREDICATES = frozenset(_SENTENCES)
