"""Why a rule is not true of a passage, for the one who wrote it."""

from __future__ import annotations

from anpr.rules.compile import CompiledRule, parts_of
from anpr.rules.judgement import Judgement
from anpr.rules.language import Condition

_WORDS = {True: "true", False: "false", None: "unknown"}


def why_not(rule: CompiledRule, judgement: Judgement) -> str:
    """What keeps a rule from being true: `province_zone is false, seen is unknown`."""
    sighting, text = judgement.sighting, rule.rule
    if not rule.from_seconds <= sighting.seen_seconds < rule.until_seconds:
        return "the rule does not hold at that time"
    if not sighting.text and not rule.judges_unreadable:
        return "the passage is unreadable"
    if sighting.text and sighting.kind in rule.skipped_kinds:
        return f"rules skip plates of kind {sighting.kind}"
    if sighting.text and sighting.probability < text.min_probability:
        return f"its probability {sighting.probability:g} is below {text.min_probability:g}"
    answers = _answers(text.when, rule, judgement)
    wanting = [f"{key} is {_WORDS[truth]}" for key, truth in answers if truth is not True]
    if wanting:
        return ", ".join(wanting)
    if rule.needs_hits and not judgement.hits:
        return "no watch-list matched the passage"
    exempt = [parts_of(condition, rule.sources).whole()(judgement) for condition in text.unless]
    if exempt and any(truth is not False for truth in exempt):
        return "an exemption is true" if True in exempt else "an exemption is unknown"
    if not rule.confirmed(judgement):
        return "it is true, but not confirmed yet"
    return "it is true, but suppressed, silent or cooling down"


def _answers(condition: Condition, rule: CompiledRule, judgement: Judgement) -> list[tuple[str, bool | None]]:
    """Each predicate of a condition with its answer."""
    fields = type(condition).model_fields
    answers: list[tuple[str, bool | None]] = []
    for name, value in condition.predicates().items():
        alone = parts_of(Condition.model_construct(**{name: value}), rule.sources)
        answers.append((fields[name].alias or name, alone.whole()(judgement)))
    return answers
