"""All rules of a box, and what they say about a sighting."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TypeVar

import structlog

from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.records import Hit, Severity, Sighting
from anpr.rules.compile import CompiledRule
from anpr.rules.contract import History, Raised
from anpr.rules.glance import NOTHING
from anpr.rules.judgement import Finding, Judgement
from anpr.rules.language import Condition, Rule, ZoneText
from anpr.rules.message import fields_of, write
from anpr.rules.outlook import EVERYTHING, MARGIN_SECONDS, Facts, passed_within
from anpr.rules.passage import Passage, standing
from anpr.rules.places import Places

MOST_STANDINGS = 10_000
"""Kept of each kind, camera, direction, colour and class: which rules may be true of such passages."""

_T = TypeVar("_T")
_Candidates = tuple[tuple[CompiledRule, ...], tuple[tuple[str, str], ...]]
"""The rules to ask, and what is to be counted of those of which it is unknown whether they are true."""
_RANK: dict[Severity, int] = {"INFO": 0, "CHECK": 1, "ALERT": 2}


class RuleBook:
    """The enabled rules of a box. Immutable but for its counters; build a new one when a rule changes."""

    def __init__(self, rules: Iterable[CompiledRule], *, zones: Mapping[str, ZoneText] | None = None) -> None:
        """`rules` may hold disabled ones, which are never asked; `zones` are those that they may name."""
        self.rules = tuple(rules)
        self.zones = zones or {}
        self.counters = Counters()
        self.failing: dict[str, str] = {}
        """Rules whose last evaluation ended in a fault of theirs, with the fault."""
        asked = [each for each in self.rules if each.rule.enabled]
        texts = [each.rule for each in asked]
        self._by_wait: dict[float, tuple[CompiledRule, ...]] = {}
        for each in asked:
            wait = each.rule.wait or 0.0
            self._by_wait[wait] = (*self._by_wait.get(wait, ()), each)
        self._by_standing: dict[tuple[object, ...], _Candidates] = {}
        self._waiting: dict[tuple[object, ...], tuple[tuple[float, _Candidates], ...]] = {}
        """The candidates among the rules that wait, by how a passage stands."""
        self._suppressors: dict[str, list[CompiledRule]] = {}
        for each in asked:
            for name in each.rule.suppresses or ():
                self._suppressors.setdefault(name, []).append(each)
        self._by_name = {each.rule.name: each for each in asked}
        self.waits = tuple(sorted(wait for wait in self._by_wait if wait))
        """How long after a passage it is to be evaluated again, for the rules that wait."""
        self.plate_seconds = max((_plate_seconds(rule) for rule in texts), default=0.0)
        """How far before a sighting the history of its plate is asked for."""
        self.camera_seconds = max((_camera_seconds(rule) for rule in texts), default=0.0)
        """How far before a sighting the passages before a camera are asked for."""
        spans = [passed_within(condition) for rule in texts for condition in rule.conditions()]
        self._spans = sorted({span + MARGIN_SECONDS for span in spans if span < inf})
        """Within these spans before a passage rules need another one of its plate."""
        speeds = [each.travel.faster_than_kmh for rule in texts for each in rule.conditions() if each.travel]
        self._speeds_kmh = sorted({kmh for kmh in speeds if kmh is not None})
        """Faster than these the plate must have come here for some rules."""
        self._reach_seconds = max((_reach_seconds(rule) for rule in texts), default=0.0)
        """How far the history of every plate is asked for."""
        self.declarations = asked[0].sources.declarations if asked else None
        """What the rules ask about declarations; None if the box has none."""
        self._distance_km = asked[0].sources.ground.places.distance_km if asked else Places().distance_km
        self._at_hand = {
            condition.lookup.source: each.sources.registers
            for each in asked
            for condition in each.rule.conditions()
            if condition.lookup and each.sources.registers.at_hand(condition.lookup.source)
        }
        """Registers that are asked of every plate."""
        self.cooldown_seconds = max((rule.cooldown or 0.0 for rule in texts), default=0.0)
        """How far before a sighting the rules' own hits are asked for."""
        self.list_seconds = max(
            (each.list_hits.within for rule in texts for each in rule.conditions() if each.list_hits), default=0.0
        )
        """How far before a sighting the watch-lists' hits are counted."""

    @property
    def versions(self) -> dict[str, str]:
        """Of each rule by its name; one changes with all that the rule says."""
        return {each.rule.name: each.version for each in self.rules}

    def __len__(self) -> int:
        return len(self.rules)

    def evaluate(
        self,
        sighting: Sighting,
        *,
        history: History,
        hits: Sequence[Hit] = (),
        wait_seconds: float = 0.0,
        late: bool = False,
    ) -> tuple[Raised, ...]:
        """What the rules raise about one revision of a sighting that is not withdrawn; at most one hit for each.

        `hits` are what the watch-lists raised about this revision. Rules that wait are asked only with their own
        `wait_seconds`, one of `waits`, once so much time has gone by; the others only without. `late`: the sighting
        came later than the box waits for.
        """
        judgement = Judgement(sighting, history=history, hits=hits, known_seconds=sighting.seen_seconds + wait_seconds)
        candidates, unknown = self._candidates(sighting, self._facts(judgement), wait_seconds)
        counts = self.counters.counts
        for key in unknown:
            counts[key] = counts.get(key, 0) + 1
        if not candidates:
            return ()
        true: list[CompiledRule] = []
        for rule in candidates:
            try:
                truth = rule.holds(judgement)
            except Exception as error:  # noqa: BLE001  # a fault in one rule must not cost the others, nor the passage
                self._fail(rule, error)
                continue
            if self.failing:
                self.failing.pop(rule.rule.name, None)
            if truth is None:
                counts[rule.unknown] = counts.get(rule.unknown, 0) + 1
            elif truth and late and rule.rule.late == "skip":
                self.counters.add("rules_skipped", reason=rule.rule.name)
            elif truth:
                true.append(rule)
        if not true:
            return ()
        names = {rule.rule.name for rule in true}
        found: list[Raised] = []
        for rule in true:
            try:
                raised = self._raise(rule, names, judgement)
            except Exception as error:  # noqa: BLE001  # as above
                self._fail(rule, error)
                continue
            if raised is not None:
                found.append(raised)
        return tuple(found)

    def _fail(self, rule: CompiledRule, error: Exception) -> None:
        """Note that a rule could not be asked because of a fault in it."""
        name = rule.rule.name
        self.counters.add("rules_failed", reason=name)
        if name not in self.failing:
            structlog.get_logger().error("rule_failed", rule=name, exc_info=error)
        self.failing[name] = masked(f"{type(error).__name__}: {error}")

    def awaits(self, passage: Passage) -> Sequence[float]:
        """Those of `waits` with which a rule may raise something about a passage, as far as the passage alone tells."""
        key = standing(passage)
        waiting = self._waiting.get(key)
        if waiting is None:
            asked = ((wait, self._candidates(passage, EVERYTHING, wait)) for wait in self.waits)
            waiting = tuple((wait, candidates) for wait, candidates in asked if candidates[0])
            _keep(self._waiting, key, waiting)
        return [wait for wait, (rules, _) in waiting if any(rule.alone(passage) is True for rule in rules)]

    def _facts(self, judgement: Judgement) -> Facts:
        """What is known of a passage before any rule is asked."""
        sighting = judgement.sighting
        listed = bool(judgement.hits)
        text, seen_seconds, reach = sighting.text, sighting.seen_seconds, self._reach_seconds
        if not text:
            return Facts(listed, True, 0.0, inf, ())
        declared = self.declarations is None or text in self.declarations
        unregistered: tuple[str, ...] = ()
        for name, registers in self._at_hand.items():
            record = judgement.records[name] = registers.ask(name, text)
            if record is not None and not record:
                unregistered += (name,)
        _, _, last_seconds, peak_kmh = judgement.glance(reach, self._distance_km) if reach else NOTHING
        last_seconds = max(last_seconds, seen_seconds - reach - 2 * MARGIN_SECONDS)  # before that, it may have passed
        above, slower = bisect_left(self._spans, seen_seconds - last_seconds), bisect_left(self._speeds_kmh, peak_kmh)
        passed_seconds = self._spans[above - 1] if above else 0.0
        return Facts(listed, declared, passed_seconds, self._speeds_kmh[slower - 1] if slower else 0.0, unregistered)

    def _candidates(self, passage: Passage, facts: Facts, wait_seconds: float) -> _Candidates:
        """The rules that may be true of such a passage."""
        key = (standing(passage), facts, wait_seconds)
        found = self._by_standing.get(key)
        if found is None:
            answers = [(rule, rule.concerns(passage, facts)) for rule in self._by_wait.get(wait_seconds, ())]
            found = (
                tuple(rule for rule, truth in answers if truth),
                tuple(rule.unknown for rule, truth in answers if truth is None),
            )
            _keep(self._by_standing, key, found)
        return found

    def _raise(self, rule: CompiledRule, true: set[str], judgement: Judgement) -> Raised | None:
        """What a rule that is true raises, unless something keeps it silent."""
        text = rule.rule
        if any(self._counts(each.rule.name, text, true) for each in self._suppressors.get(text.name, ())):
            silence = "rules_suppressed"
        elif not rule.confirmed(judgement):
            silence = "rules_unconfirmed"
        elif text.silent:
            silence = "rules_passed"
        elif _cooling(text, judgement):
            silence = "rules_cooling"
        else:
            raises = any(self._counts(name, text, true) for name in text.raises_with or ())
            severity = max(text.severity, text.raised_severity, key=_RANK.__getitem__) if raises else text.severity
            return Raised(hit=_hit(rule, severity, judgement), key=_key(text, judgement.sighting), dry_run=text.dry_run)
        self.counters.add(silence, reason=text.name)
        return None

    def _counts(self, name: str, for_rule: Rule, true: set[str]) -> bool:
        """Whether a rule is true, and may change what `for_rule` raises: one in dry run changes only others such."""
        return name in true and (for_rule.dry_run or not self._by_name[name].rule.dry_run)


def _keep(kept: dict[tuple[object, ...], _T], key: tuple[object, ...], value: _T) -> None:
    """Keep something for passages that stand alike, and begin anew when there are too many of them."""
    if len(kept) >= MOST_STANDINGS:
        kept.clear()
    kept[key] = value


def hit_id(rule: str, sighting_id: str) -> str:
    """The id of all revisions of what a rule raises about a sighting."""
    return hashlib.sha256(repr(("rule", rule, sighting_id)).encode()).hexdigest()[:24]


def _key(rule: Rule, sighting: Sighting) -> str:
    match rule.cooldown_per:
        case "plate":
            return sighting.text
        case "camera":
            return sighting.camera_id
        case _:
            return ""


def _cooling(rule: Rule, judgement: Judgement) -> bool:
    """Whether the rule has raised something within its cooldown about another, earlier passage."""
    if rule.cooldown is None:
        return False
    sighting = judgement.sighting
    own = (sighting.seen_seconds, sighting.id)
    begin = sighting.seen_seconds - rule.cooldown
    raised = judgement.history.raised(rule.name, _key(rule, sighting), begin, sighting.seen_seconds)
    return any(begin < seen and (seen, sighting_id) < own and sighting_id != own[1] for seen, sighting_id in raised)


def _hit(rule: CompiledRule, severity: Severity, judgement: Judgement) -> Hit:
    text, sighting = rule.rule, judgement.sighting
    finding = Finding(fields=fields_of(sighting))
    rule.parts.tell(judgement, finding)
    listed = finding.hit
    evidence = sorted(finding.evidence.values(), key=lambda past: (past.seen_seconds, past.id))
    return Hit(
        id=hit_id(text.name, sighting.id),
        revision=sighting.revision,
        state=sighting.state,
        severity=severity,
        sighting_id=sighting.id,
        site_id=sighting.site_id,
        camera_id=sighting.camera_id,
        seen_seconds=sighting.seen_seconds,
        text=sighting.text,
        raw=sighting.raw,
        listed=listed.listed if listed else "",
        display=sighting.display,
        probability=listed.probability if listed else sighting.probability,
        reason=text.en,
        list_name=listed.list_name if listed else "",
        list_version=listed.list_version if listed else "",
        list_age_seconds=listed.list_age_seconds if listed else 0.0,
        entry_reason=listed.entry_reason if listed else "",
        authority=listed.authority if listed else "",
        reference=listed.reference if listed else "",
        evidence=sighting.evidence,
        list_purpose=listed.list_purpose if listed else "",
        entry_until_seconds=listed.entry_until_seconds if listed else None,
        rule=text.name,
        rule_version=rule.version,
        message_vi=write(text.message.vi, finding.fields, 0),
        message_en=write(text.message.en, finding.fields, 1),
        sighting_ids=tuple(past.id for past in evidence),
    )


def _reach_seconds(rule: Rule) -> float:
    """How far back a rule asks for all passages of any plate."""
    asked = [each for condition in rule.conditions() for each in (condition.order, condition.travel, condition.convoy)]
    return max((each.within for each in asked if each), default=0.0)


def _plate_seconds(rule: Rule) -> float:
    spans = [rule.confirmations.within if rule.confirmations else 0.0]
    for condition in rule.conditions():
        spans += [
            each.within for each in (condition.order, condition.dwell, condition.travel, condition.convoy) if each
        ]
        if condition.seen and not condition.seen.later:
            spans.append(condition.seen.within)
        if condition.declared:
            spans.append(condition.declared.contradicted_within or 0.0)
    return max(spans)


def _camera_seconds(rule: Rule) -> float:
    return max((_camera_span(condition) for condition in rule.conditions()), default=0.0)


def _camera_span(condition: Condition) -> float:
    convoy, unread = condition.convoy, condition.unread_before
    reach = convoy.within + convoy.gap * (convoy.plates - 1) if convoy else 0.0
    return max(reach, unread.within if unread else 0.0)
