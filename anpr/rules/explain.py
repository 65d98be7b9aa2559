"""A rule explained to a person, and what it can never know at a site."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from anpr.rules.language import Condition, Filters, Rule, ZoneText
from anpr.rules.load import RuleSet
from anpr.rules.places import Places
from anpr.rules.sentences import lines_of
from anpr.rules.wording import Said, duration, moment_of, one_of, percent, same

_FIELDS = {
    "lane": Said("làn xe", "lane"),
    "vehicle_class": Said("loại xe", "vehicle class"),
    "speed_kmh": Said("tốc độ", "speed"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What a site can tell."""

    places: Places
    registers: Collection[str] = ()
    declarations: bool = False
    fields: Collection[str] = ()
    """Of `lane`, `vehicle_class` and `speed_kmh`, those that its sightings have."""


def explain(name: str, rules: RuleSet, known: Known | None = None) -> tuple[list[str], list[str]]:
    """The lines about a rule in Vietnamese and in English; with what `known` leaves silent, if it is given."""
    said = list(_lines(name, rules, known))
    return [each.vi for each in said], [each.en for each in said]


def silences(rule: Rule, known: Known, zones: Mapping[str, ZoneText]) -> tuple[list[Said], bool]:
    """What a rule asks that a site can never tell, and whether the rule can therefore never be true there."""
    reasons: dict[str, Said] = {}
    can_be = _can_be(rule.when, known, zones, reasons)[0]
    for condition in rule.unless:
        can_be = _can_be(condition, known, zones, reasons)[1] and can_be
    return list(reasons.values()), not can_be


def _lines(name: str, rules: RuleSet, known: Known | None) -> Iterator[Said]:
    rule = rules.rules[name]
    yield Said(f"{rule.severity} · {rule.vi}", f"{rule.severity} · {rule.en}")
    version = f"{name} · {rules.version(name)}"
    yield Said(f"  quy tắc {version}", f"  rule {version}")
    if not rule.enabled:
        yield Said("  đang tắt", "  disabled")
    if rule.dry_run:
        yield Said("  chạy thử: chỉ ghi lại, không báo", "  dry run: told in the log, raises nothing")
    if rule.silent:
        yield Said("  không báo, chỉ chặn quy tắc khác", "  raises nothing itself, only keeps others silent")
    yield Said("Khi tất cả các điều sau đều đúng:", "When all of these are true:")
    yield from _indented(rule.when, rules.zones)
    for condition in rule.unless:
        yield Said("Trừ khi:", "Unless:")
        yield from _indented(condition, rules.zones)
    yield from _terms(rule)
    yield Said(f"Thông báo: {rule.message.vi}", f"Message: {rule.message.en}")
    if known is not None:
        reasons, silent = silences(rule, known, rules.zones)
        for reason in reasons:
            yield Said(f"Tại điểm này không bao giờ biết: {reason.vi}", f"Never known at this site: {reason.en}")
        if silent:
            yield Said("→ quy tắc im lặng tại điểm này", "→ the rule is silent at this site")


def _indented(condition: Condition, zones: Mapping[str, ZoneText]) -> Iterator[Said]:
    for depth, said in lines_of(condition, zones, 1):
        yield Said(f"{'  ' * depth}- {said.vi}", f"{'  ' * depth}- {said.en}")


def _terms(rule: Rule) -> Iterator[Said]:
    """When it holds, how sure it must be, and what it does to others."""
    share = percent(rule.min_probability)
    yield Said(
        f"Chỉ xét biển đọc chắc chắn ít nhất {share.vi}.", f"Only passages read with at least {share.en} are judged."
    )
    skipped = [kind for kind in ("military", "foreign") if kind not in (rule.allow_kinds or ())]
    if skipped:
        words = {
            "military": Said("quân đội", "military"),
            "foreign": Said("nước ngoài, ngoại giao", "foreign, diplomatic"),
        }
        kinds = one_of(words[kind] for kind in skipped)
        yield Said(f"Bỏ qua biển {kinds.vi}.", f"Plates that are {kinds.en} are skipped.")
    if rule.valid_from is not None:
        yield Said(
            f"Có hiệu lực từ {moment_of(rule.valid_from).vi}.", f"It holds from {moment_of(rule.valid_from).en}."
        )
    if rule.valid_until is not None:
        until = moment_of(rule.valid_until)
        yield Said(f"Hết hiệu lực lúc {until.vi}.", f"It ends at {until.en}.")
    if rule.wait is not None:
        wait = duration(rule.wait)
        yield Said(f"Xét sau khi xe qua {wait.vi}.", f"It is judged {wait.en} after the passage.")
    if rule.confirmations is not None:
        wanted = rule.confirmations
        within = duration(wanted.within)
        yield Said(
            f"Cần {wanted.sightings} lần đi qua tại {wanted.cameras} camera trong {within.vi}.",
            f"It needs {wanted.sightings} passages before {wanted.cameras} camera(s) within {within.en}.",
        )
    if rule.cooldown is not None:
        pause = duration(rule.cooldown)
        per = {"plate": Said("mỗi biển", "per plate"), "camera": Said("mỗi camera", "per camera"), "rule": same("-")}
        once = per[rule.cooldown_per] if rule.cooldown_per != "rule" else Said("tất cả", "in all")
        yield Said(f"Báo một lần trong {pause.vi}, {once.vi}.", f"It raises once in {pause.en}, {once.en}.")
    if rule.raises_with is not None:
        others = one_of(map(same, rule.raises_with))
        yield Said(
            f"Nâng lên {rule.raised_severity} nếu {others.vi} cũng đúng.",
            f"It rises to {rule.raised_severity} if {others.en} is true too.",
        )
    if rule.suppresses is not None:
        others = Said(", ".join(rule.suppresses), ", ".join(rule.suppresses))
        yield Said(f"Khi đúng thì chặn: {others.vi}.", f"While it is true, these raise nothing: {others.en}.")


def _can_be(
    condition: Condition, known: Known, zones: Mapping[str, ZoneText], reasons: dict[str, Said]
) -> tuple[bool, bool]:
    """Whether a condition can be true, and whether it can be false, where what cannot be known is neither."""
    can_true, can_false = True, False
    for name, value in condition.predicates().items():
        if name in ("any_of", "all_of", "negated"):
            continue
        unknown, never = _unknown(name, value, known), _never(name, value, known, zones)
        can_false = can_false or unknown is None
        for reason in (unknown, never):
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


def _unknown(name: str, value: object, known: Known) -> Said | None:
    """Why a predicate is unknown of every passage at a site; None if it is not."""
    if name in _FIELDS and name not in known.fields:
        field = _FIELDS[name]
        return Said(f"{field.vi}: không camera nào cho biết", f"{field.en}: no camera tells it")
    if name == "lookup":
        source = getattr(value, "source", "")
        if source not in known.registers:
            return Said(f"tra cứu {source}: chưa thiết lập", f"register {source}: not set up")
    if name == "declared" and not known.declarations:
        return Said("khai báo: không có nguồn", "declarations: the site has none")
    if name == "bound" and not _inbound(known):
        return Said("hướng vào tỉnh: không camera nào có inbound", "bound: no camera has inbound")
    cameras = known.places.places
    if name in ("travel", "unread_before") and not any(known.places.neighbours(camera) for camera in cameras):
        return Said("khoảng cách giữa các camera", "road distance between any two cameras")
    return None


def _never(name: str, value: object, known: Known, zones: Mapping[str, ZoneText]) -> Said | None:
    """Why a predicate is false of every passage at a site; None if it is not."""
    named = [value] if name in ("zone", "province_zone") else list(getattr(value, "zones", None) or ())
    named.append(getattr(value, "zone", None) or getattr(value, "origin_zone", None))
    for zone in named:
        if isinstance(zone, str) and zone in zones and not zones[zone].periods:
            return Said(
                f"{zones[zone].vi} ({zone}): khu vực trống", f"the {zones[zone].en} ({zone}): the zone is empty"
            )
    if isinstance(value, Filters) and value.bound is not None and not _inbound(known):
        return Said("hướng vào tỉnh: không camera nào có inbound", "bound: no camera has inbound")
    return None


def _inbound(known: Known) -> bool:
    return any(place.inbound != "unknown" for place in known.places.places.values())
