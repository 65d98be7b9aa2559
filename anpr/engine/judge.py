"""Rules at the hub: each passage is judged at once, and again when one that came late changes what it was judged by.

What rules say of a passage depends only on which passages there are, not on when they came: every answer of the memory
that a judgement asked for is noted, and when a late passage (or a changed, or a withdrawn one) changes such an answer,
the judgements after it in time are made again, in order. What comes out differently is raised, revised or withdrawn.
This holds for passages that come within the site's lateness; what comes later yet is judged by itself alone.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from anpr.health.report import RulesHealth
from anpr.metrics import Counters
from anpr.records import Hit, Sighting
from anpr.rules.book import RuleBook
from anpr.rules.contract import History, Past, Raised, Where
from anpr.rules.history import MOST_PASSAGES, HotHistory
from anpr.rules.language import Rule
from anpr.store import Query, Store

MOST_RECENT = 20_000
"""Passages that may be judged again; the lateness holds far fewer."""
MOST_WAITING = 1_000_000
"""Passages that rules with `wait` have yet to judge."""

Asked = tuple[str, ...]
"""A question of the memory, but for its time: `plate`, `camera`, `raised` or `list`, and of what."""
Span = tuple[float, float]
"""Two wall times, both included."""


class Asking:
    """A `History` that notes what it is asked, as far as the answers may still change."""

    __slots__ = ("_from_seconds", "_history", "asked")

    def __init__(self, history: History, from_seconds: float) -> None:
        """What is about a time before `from_seconds` can change only by passages that come too late to count."""
        self.asked: dict[Asked, Span] = {}
        self._history = history
        self._from_seconds = from_seconds

    def of_plate(
        self, plate: str, from_seconds: float, until_seconds: float, where: Where | None = None
    ) -> Sequence[Past]:
        self._note(("plate", plate), from_seconds, until_seconds)
        return self._history.of_plate(plate, from_seconds, until_seconds, where)

    def at_camera(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        self._note(("camera", camera_id), from_seconds, until_seconds)
        return self._history.at_camera(camera_id, from_seconds, until_seconds)

    def unread_at(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        self._note(("camera", camera_id), from_seconds, until_seconds)
        return self._history.unread_at(camera_id, from_seconds, until_seconds)

    def may_share_leaders(
        self, plate: str, passages: Sequence[tuple[str, float]], reach_seconds: float, *, plates: int, cameras: int
    ) -> bool:
        for camera_id, seen_seconds in passages:
            if seen_seconds >= self._from_seconds:
                self._note(("camera", camera_id), seen_seconds - reach_seconds, seen_seconds)
        return self._history.may_share_leaders(plate, passages, reach_seconds, plates=plates, cameras=cameras)

    def raised(self, rule: str, key: str, from_seconds: float, until_seconds: float) -> Sequence[tuple[float, str]]:
        self._note(("raised", rule, key), from_seconds, until_seconds)
        return self._history.raised(rule, key, from_seconds, until_seconds)

    def list_hits(self, list_name: str, from_seconds: float, until_seconds: float) -> int:
        self._note(("list", list_name), from_seconds, until_seconds)
        return self._history.list_hits(list_name, from_seconds, until_seconds)

    def _note(self, asked: Asked, from_seconds: float, until_seconds: float) -> None:
        if until_seconds < self._from_seconds:
            return
        span = from_seconds, until_seconds
        known = self.asked.setdefault(asked, span)
        if known is not span:
            self.asked[asked] = min(from_seconds, known[0]), max(until_seconds, known[1])


@dataclass(slots=True, eq=False)
class Judged:
    """A passage of late, and what was said of it."""

    sighting: Sighting
    listed: tuple[Hit, ...]
    """What the lists say of it."""
    late: bool = False
    raised: dict[float, dict[str, Raised]] = field(default_factory=dict)
    """What the rules say of it, by their wait (0: none) and the hit's id."""
    told: dict[str, Hit] = field(default_factory=dict)
    """The newest revisions of the rules' hits that were handed out, withdrawn ones too."""
    asked: dict[Asked, Span] = field(default_factory=dict)

    @property
    def place(self) -> tuple[float, str]:
        """Where it stands in the order of time."""
        return self.sighting.seen_seconds, self.sighting.id


class Judge:
    """Has the rules judge what passes. Use from the hub's thread."""

    def __init__(
        self,
        book: RuleBook,
        store: Store,
        *,
        lateness_seconds: float,
        most_passages: int = MOST_PASSAGES,
        others: Sequence[Counters] = (),
    ) -> None:
        """Fills the memory from what `store` holds. `others` are counters of what the rules ask. Raises StoreError."""
        self.book = book
        self.counters = Counters()
        longest_wait_seconds = max(book.waits, default=0.0)
        slack_seconds = 2 * lateness_seconds + longest_wait_seconds
        self.history = HotHistory(
            keep_seconds=max(book.plate_seconds, book.camera_seconds) + slack_seconds,
            raised_seconds=book.cooldown_seconds + slack_seconds,
            list_seconds=book.list_seconds + slack_seconds,
            most_passages=most_passages,
        )
        self._others = others
        self._rules = {each.rule.name: each.rule for each in book.rules}
        self._store = store
        self._lateness_seconds = lateness_seconds
        self._recent: list[tuple[float, str, Judged]] = []
        """Those that a late passage may change, in order of time."""
        self._by_id: dict[str, Judged] = {}
        self._waiting: list[tuple[float, str, float]] = []
        """A heap of (due, sighting id, wait)."""
        self._log = structlog.get_logger()
        self._fill()

    def totals(self) -> Counters:
        """What it, its memory, its rules and what they ask have counted."""
        total = Counters()
        for counters in (self.counters, self.history.counters, self.book.counters, *self._others):
            total.merge(counters.counts)
        return total

    @property
    def health(self) -> RulesHealth:
        """How it fares."""
        enabled = [rule for rule in self._rules.values() if rule.enabled]
        history = self.history
        return RulesHealth(
            enabled=len(enabled),
            dry_run=sum(rule.dry_run for rule in enabled),
            failing=dict(self.book.failing),
            passages=history.passages,
            plates=history.plates,
            memory_seconds=max(0.0, history.newest_seconds - history.oldest_seconds) if history.passages else 0.0,
            waiting=len(self._waiting),
        )

    # Judging

    def judge(self, sighting: Sighting, listed: Sequence[Hit]) -> tuple[Hit, ...]:
        """What the rules say of a new revision of a sighting, of which the lists say `listed`: hits on it, and
        revisions and withdrawals of hits on passages that were judged before it and passed after it.

        They must be committed with the sighting. A revision that was judged before is not judged again.
        """
        before = self._known(sighting)
        if before is not None and sighting.revision <= before.sighting.revision:
            return ()
        now = Judged(sighting, tuple(listed))
        changed: dict[Asked, Span] = {}
        first = now.place
        if before is not None:
            first = min(first, before.place)
            now.raised, now.told, now.late = before.raised, before.told, before.late
            self._forget(before, changed)
        elif sighting.seen_seconds < self.history.newest_seconds - self._lateness_seconds:
            now.late = True
            self.counters.add("passages_late")
        self._remember(now, changed)
        later = [judged for _, _, judged in self._recent[bisect_left(self._recent, first) :]]
        if sighting.id not in self._by_id:  # too late to be judged again
            later.insert(0, now)
        hits: list[Hit] = []
        for judged in later:
            if judged is now:
                hits += self._say(judged, changed)
            elif _touches(judged.asked, changed):
                self.counters.add("passages_judged_again")
                hits += self._say(judged, changed)
        if sighting.state != "withdrawn":
            self._wait(sighting)
        return tuple(hits)

    def _known(self, sighting: Sighting) -> Judged | None:
        """The revision that was judged last."""
        judged = self._by_id.get(sighting.id)
        if judged is not None or sighting.revision == 0:
            return judged
        stored = self._store.sighting(sighting.id)
        return None if stored is None else self._recall(stored)

    def _recall(self, stored: Sighting) -> Judged:
        """A sighting of the store with what was said of it."""
        hits = self._store.hits_of(stored.id)
        standing = [hit for hit in hits if hit.state != "withdrawn"]
        judged = Judged(stored, tuple(hit for hit in standing if not hit.rule))
        judged.told = {hit.id: hit for hit in hits if hit.rule}
        for hit in standing:
            rule = self._rules.get(hit.rule)
            if rule is not None:
                of_wait = judged.raised.setdefault(rule.wait or 0.0, {})
                of_wait[hit.id] = Raised(hit=hit, key=cooldown_key(rule, hit), dry_run=False)
        return judged

    def _remember(self, judged: Judged, changed: dict[Asked, Span]) -> None:
        """Put a passage into the memory, unless it was withdrawn."""
        sighting = judged.sighting
        if sighting.state != "withdrawn":
            self.history.add(sighting)
            for hit in judged.listed:
                self.history.list_marks.add(hit.list_name, sighting.seen_seconds, sighting.id)
            _note_passage(judged, changed)
        insort(self._recent, (*judged.place, judged))
        self._by_id[sighting.id] = judged
        oldest_seconds = self.history.newest_seconds - self._lateness_seconds
        while len(self._recent) > 1 and (self._recent[0][0] < oldest_seconds or len(self._recent) > MOST_RECENT):
            del self._by_id[self._recent.pop(0)[1]]

    def _forget(self, judged: Judged, changed: dict[Asked, Span]) -> None:
        """Take a passage out of the memory, with what was raised about it."""
        sighting = judged.sighting
        for raised in judged.raised.values():
            self._mark(raised, {}, changed)
        if sighting.state != "withdrawn":
            self.history.remove(sighting)
            for hit in judged.listed:
                self.history.list_marks.discard(hit.list_name, sighting.seen_seconds, sighting.id)
            _note_passage(judged, changed)
        if self._by_id.pop(sighting.id, None) is not None:
            del self._recent[bisect_left(self._recent, judged.place)]

    def _say(self, judged: Judged, changed: dict[Asked, Span]) -> list[Hit]:
        """Judge a passage by the rules that do not wait; what is to be told anew."""
        asking = Asking(self.history, self.history.newest_seconds - self._lateness_seconds)
        hits = self._say_by(judged, 0.0, asking, changed)
        judged.asked = asking.asked
        if judged.sighting.state == "withdrawn":
            for wait_seconds in self.book.waits:
                hits += self._say_by(judged, wait_seconds, asking, changed)
        return hits

    def _say_by(self, judged: Judged, wait_seconds: float, history: History, changed: dict[Asked, Span]) -> list[Hit]:
        """Judge a passage by the rules with one wait; what is to be told anew."""
        said: tuple[Raised, ...] = ()
        if judged.sighting.state != "withdrawn":
            said = self.book.evaluate(
                judged.sighting, history=history, hits=judged.listed, wait_seconds=wait_seconds, late=judged.late
            )
        if not said and not judged.told and not judged.raised:
            return []
        before, now = judged.raised.get(wait_seconds, {}), {each.hit.id: each for each in said}
        judged.raised[wait_seconds] = now
        self._mark(before, now, changed)
        hits = self._raise(judged, before, now)
        for told in judged.told.values():
            standing = now.get(told.id)
            if told.state == "withdrawn" or self._wait_of(told.rule) != wait_seconds:
                continue
            if standing is None or standing.dry_run:
                hits.append(_revised(told, judged.sighting.revision, state="withdrawn"))
        for hit in hits:
            judged.told[hit.id] = hit
            self.counters.add("rule_hits", reason=hit.rule)
        return hits

    def _mark(self, before: Mapping[str, Raised], now: Mapping[str, Raised], changed: dict[Asked, Span]) -> None:
        """Note in the memory what is raised now."""
        marks = self.history.raised_marks
        taken = {_mark_of(each) for each in before.values()}
        given = {_mark_of(each) for each in now.values()}
        for rule, key, seen_seconds, sighting_id in taken - given:
            marks.discard((rule, key), seen_seconds, sighting_id)
            _note(changed, ("raised", rule, key), seen_seconds)
        for rule, key, seen_seconds, sighting_id in given:
            marks.add((rule, key), seen_seconds, sighting_id)
        for rule, key, seen_seconds, _ in given - taken:
            _note(changed, ("raised", rule, key), seen_seconds)

    def _raise(self, judged: Judged, before: Mapping[str, Raised], now: Mapping[str, Raised]) -> list[Hit]:
        """What of `now` was not told so. A dry run is told to the log alone."""
        hits: list[Hit] = []
        for raised in now.values():
            hit, told = raised.hit, judged.told.get(raised.hit.id)
            if raised.dry_run:
                if hit.id not in before:
                    self.counters.add("rules_would_hit", reason=hit.rule)
                    self._log.info("rule_would_hit", rule=hit.rule, severity=hit.severity, sighting=hit.sighting_id)
            elif told is None:
                hits.append(hit)
            elif hit != msgspec.structs.replace(told, revision=hit.revision):
                hits.append(_revised(hit, told.revision + 1))
        return hits

    def _wait_of(self, rule: str) -> float:
        known = self._rules.get(rule)
        return 0.0 if known is None else known.wait or 0.0

    # Rules that wait

    @property
    def is_due(self) -> bool:
        """Whether `judge_due` has something to do."""
        return bool(self._waiting) and self._waiting[0][0] <= self.history.newest_seconds

    def judge_due(self, most: int = 1000) -> tuple[Hit, ...]:
        """What rules that wait say of up to `most` passages whose time has come: later passages have been seen that
        are so much younger. All that was judged must be committed. Raises StoreError.
        """
        hits: list[Hit] = []
        for _ in range(most):
            if not self.is_due:
                break
            _, sighting_id, wait_seconds = self._waiting[0]
            stored = self._store.sighting(sighting_id)
            heapq.heappop(self._waiting)
            if stored is not None and stored.state != "withdrawn":
                judged = self._by_id.get(sighting_id) or self._recall(stored)
                hits += self._say_by(judged, wait_seconds, self.history, {})
        return tuple(hits)

    def _wait(self, sighting: Sighting | Past, due_from_seconds: float = -math.inf) -> None:
        """Have a sighting judged later by the rules that wait and may raise something about it; but for those whose
        wait was over before a time."""
        for wait_seconds in self.book.awaits(sighting):
            if sighting.seen_seconds + wait_seconds < due_from_seconds:
                continue
            if len(self._waiting) >= MOST_WAITING:
                self.counters.add("waits_dropped")
                continue
            due_seconds = sighting.seen_seconds + wait_seconds + self._lateness_seconds
            heapq.heappush(self._waiting, (due_seconds, sighting.id, wait_seconds))

    # After a restart

    def _fill(self) -> None:
        """Remember what the store holds."""
        history, store = self.history, self._store
        newest = store.search(Query(limit=1)).sightings
        if not newest:
            return
        newest_seconds = newest[0].seen_seconds
        for block in store.passages(from_seconds=newest_seconds - history.keep_seconds):
            history.load(block.rows, block.traits)
        marks_seconds = max(history.raised_marks.keep_seconds, history.list_marks.keep_seconds)
        for hit in store.hits_since(newest_seconds - marks_seconds):
            rule = self._rules.get(hit.rule)
            if hit.state == "withdrawn":
                continue
            if not hit.rule:
                history.list_marks.add(hit.list_name, hit.seen_seconds, hit.sighting_id)
            elif rule is not None:
                history.raised_marks.add((hit.rule, cooldown_key(rule, hit)), hit.seen_seconds, hit.sighting_id)
        self._fill_recent(newest_seconds)
        self._log.info("history_filled", passages=history.passages, plates=history.plates, waiting=len(self._waiting))

    def _fill_recent(self, newest_seconds: float) -> None:
        """Know again which passages a late one may change, and which of them rules that wait have yet to judge.

        Some are judged a second time; it comes out the same, and is told once.
        """
        due_from_seconds = newest_seconds - 2 * self._lateness_seconds
        for past in self.history.since(due_from_seconds - max(self.book.waits, default=0.0)):
            self._wait(past, due_from_seconds)
        recent: list[Judged] = []
        cursor = ""
        while True:
            asked = Query(from_seconds=newest_seconds - self._lateness_seconds, cursor=cursor, limit=1000)
            page = self._store.search(asked)
            recent += map(self._recall, page.sightings)
            cursor = page.cursor
            if not cursor:
                break
        for judged in sorted(recent, key=lambda each: each.place):
            asking = Asking(self.history, self.history.newest_seconds - self._lateness_seconds)
            self.book.evaluate(judged.sighting, history=asking, hits=judged.listed)
            judged.asked = asking.asked
            self._recent.append((*judged.place, judged))
            self._by_id[judged.sighting.id] = judged


def cooldown_key(rule: Rule, hit: Hit) -> str:
    """The key under which a hit silences its rule."""
    match rule.cooldown_per:
        case "plate":
            return hit.text
        case "camera":
            return hit.camera_id
        case _:
            return ""


def _revised(hit: Hit, least: int, **changes: str) -> Hit:
    """The hit with these changes and a revision of at least `least`, later than its own if it is changed."""
    return msgspec.structs.replace(hit, revision=max(hit.revision + bool(changes), least), **changes)


def _mark_of(raised: Raised) -> tuple[str, str, float, str]:
    hit = raised.hit
    return hit.rule, raised.key, hit.seen_seconds, hit.sighting_id


def _note_passage(judged: Judged, changed: dict[Asked, Span]) -> None:
    """Note which answers a passage that comes or goes changes."""
    sighting = judged.sighting
    _note(changed, ("camera", sighting.camera_id), sighting.seen_seconds)
    if sighting.text:
        _note(changed, ("plate", sighting.text), sighting.seen_seconds)
    for hit in judged.listed:
        _note(changed, ("list", hit.list_name), sighting.seen_seconds)


def _note(changed: dict[Asked, Span], asked: Asked, seen_seconds: float) -> None:
    span = seen_seconds, seen_seconds
    known = changed.setdefault(asked, span)
    if known is not span:
        changed[asked] = min(known[0], seen_seconds), max(known[1], seen_seconds)


def _touches(asked: Mapping[Asked, Span], changed: Mapping[Asked, Span]) -> bool:
    """Whether some answer that was asked for has changed."""
    for key, (first, last) in changed.items():
        span = asked.get(key)
        if span is not None and first <= span[1] and last >= span[0]:
            return True
    return False
