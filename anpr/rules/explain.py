"""A rule explained to a person, with what it misses at a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from anpr.rules.language import Condition, Rule, ZoneText
from anpr.rules.load import RuleSet
from anpr.rules.sentences import lines_of
from anpr.rules.silence import Known, silence_of
from anpr.rules.wording import Said, duration, moment_of, one_of, percent, same


def explain(name: str, rules: RuleSet, known: Known | None = None) -> tuple[list[str], list[str]]:
    """The lines about a rule in Vietnamese and in English; with what `known` leaves silent, if it is given."""
    said = list(_lines(name, rules, known))
    return [each.vi for each in said], [each.en for each in said]


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
        silence = silence_of(rule, known, rules.zones)
        for reason in silence.missing:
            yield Said(f"Tại điểm này không có: {reason.vi}", f"Missing at this site: {reason.en}")
        if silence.causes:
            causes = Said(*("; ".join(texts) for texts in zip(*silence.causes, strict=True)))
            yield Said(
                f"→ quy tắc im lặng tại điểm này: {causes.vi}", f"→ the rule is silent at this site: {causes.en}"
            )


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
