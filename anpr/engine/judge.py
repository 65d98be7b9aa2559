"""Rules at the hub: each passage is judged at once, and again when one that came late changes what it was judged by.

What rules say of a passage depends only on which passages there are, not on when they came: every answer of the memory
that a judgement asked for is noted, and when a late passage (or a changed, or a withdrawn one) changes such an answer,
the judgements after it in time are made again, in order. What comes out differently is raised, revised or withdrawn.
This holds for passages that come within the site's lateness; what comes later yet is judged by itself alone. So is what
lies ahead of the box's clock (`present.py`): it is not remembered, and after the clock was set the memory is filled
anew with what has passed.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec
import numpy as np
import structlog

from anpr.clock import Clock
from anpr.engine.asking import Asked, Asking, Span, note, touches
from anpr.engine.judged import Judged, cooldown_key, mark_of, revised
from anpr.engine.present import Present
from anpr.engine.stored_past import StoredPast
from anpr.health.report import RulesHealth
from anpr.metrics import Counters
from anpr.plates.pseudonym import is_pseudonym
from anpr.records import Hit, Sighting
from anpr.rules.book import RuleBook
from anpr.rules.contract import History, Past, Raised
from anpr.rules.data import RuleData
from anpr.rules.history import MOST_PASSAGES, HotHistory
from anpr.store import Store

MOST_RECENT = 20_000
"""Passages that may be judged again; the lateness holds far fewer."""
MOST_WAITING = 1_000_000
"""Passages that rules with `wait` have yet to judge."""


class Judge:
    """Has the rules judge what passes. Use from the hub's thread."""

    def __init__(
        self,
        book: RuleBook,
        store: Store,
        *,
        lateness_seconds: float,
        clock: Clock | None = None,
        most_passages: int = MOST_PASSAGES,
        others: Sequence[Counters] = (),
        reload: Callable[[], RuleBook] | None = None,
        silent_of: Callable[[RuleBook, Collection[str]], tuple[str, ...]] | None = None,
        data: Sequence[RuleData] = (),
    ) -> None:
        """Fills the memory from what `store` holds. `clock` is that of the box where passages are live; None: they are
        recorded, and their own times are the clock. `others` are counters of what the rules ask; `reload` reads the
        rules anew, in any thread, and raises ConfigError; `silent_of` tells of rules, and the names of lists that may
        match, which can never be true; `data` are the files that they ask. Raises StoreError."""
        self.book = book
        self.counters = Counters()
        self.reload = reload
        self.silent_of = silent_of
        self.refused = ""
        """Why the rules' newest files were refused; whoever looks after them keeps it up to date."""
        self.data = tuple(data)
        self.refused_data = {each.name: each.refused for each in self.data if each.refused}
        """The same of these files, by name."""
        self.most_passages = most_passages
        self._lateness_seconds = lateness_seconds
        self._present = Present(clock, lateness_seconds=lateness_seconds)
        self.history = self.memory_for(book)
        self._others = others
        self._rules = {each.rule.name: each.rule for each in book.rules}
        self._store = store
        self._past = StoredPast(store, self._present)
        self._is_ahead = False
        """Whether passages were left out of the memory because they lay ahead of the clock."""
        self._is_filling = False
        self._noted: list[tuple[Sighting, bool]] | None = None
        """What has come into the memory (True) and gone from it since another one is being filled."""
        self._recent: list[tuple[float, str, Judged]] = []
        """Those that a late passage may change, in order of time."""
        self._by_id: dict[str, Judged] = {}
        self._waiting: list[tuple[float, str, float]] = []
        """A heap of (due, sighting id, wait)."""
        self._log = structlog.get_logger()
        for _ in self._fill(self.history):
            pass

    def memory_for(self, book: RuleBook) -> HotHistory:
        """An empty memory that reaches as far back as these rules look."""
        slack_seconds = 2 * self._lateness_seconds + max(book.waits, default=0.0)
        return HotHistory(
            keep_seconds=max(book.plate_seconds, book.camera_seconds) + slack_seconds,
            raised_seconds=book.cooldown_seconds + slack_seconds,
            list_seconds=book.list_seconds + slack_seconds,
            most_passages=self.most_passages,
        )

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
            refused=self.refused,
            refused_data=dict(self.refused_data),
        )

    # Judging

    def judge(self, sighting: Sighting, listed: Sequence[Hit]) -> tuple[Hit, ...]:
        """What the rules say of a new revision of a sighting, of which the lists say `listed`: hits on it; revisions
        and withdrawals of hits on passages that were judged before it and passed after it; and what rules that wait
        say of passages whose time has come with it.

        They must be committed with the sighting. A revision that was judged before is not judged again. Where there is
        a clock, `clock_was_set` must be asked before.
        """
        before = self._known(sighting)
        if before is not None and sighting.revision <= before.sighting.revision:
            return ()
        now = Judged(sighting, tuple(listed), ahead=sighting.seen_seconds >= self._present.until_seconds)
        if now.ahead:
            self._is_ahead = True
            self.counters.add("passages_ahead")
            hits = []
        else:  # before what they ask of is forgotten: nobody may have passed
            hits = self._say_waiting(sighting.seen_seconds)
        changed: dict[Asked, Span] = {}
        first = now.place
        if before is not None:
            first = min(first, before.place)
            now.raised, now.told, now.late = before.raised, before.told, before.late
            self._forget(before, changed)
        elif sighting.seen_seconds < self.history.newest_seconds - self._lateness_seconds:
            now.late = True
            self.counters.add("passages_late")
        if not now.ahead:
            self._remember(now, changed)
        later = [judged for _, _, judged in self._recent[bisect_left(self._recent, first) :]]
        if sighting.id not in self._by_id:  # too late to be judged again, or ahead
            later.insert(0, now)
        for judged in later:
            if judged is now:
                hits += self._say(judged, changed)
            elif touches(judged.asked, changed):
                self.counters.add("passages_judged_again")
                hits += self._say(judged, changed)
        if sighting.state != "withdrawn" and not now.ahead:
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
            if self._noted is not None:
                self._noted.append((sighting, True))
            for hit in judged.listed:
                self.history.list_marks.add(hit.list_name, sighting.seen_seconds, sighting.id)
            judged.note(changed)
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
            if self._noted is not None:
                self._noted.append((sighting, False))
            for hit in judged.listed:
                self.history.list_marks.discard(hit.list_name, sighting.seen_seconds, sighting.id)
            judged.note(changed)
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
        if not judged.ahead:
            self._mark(before, now, changed)
        hits = self._raise(judged, before, now)
        for told in judged.told.values():
            standing = now.get(told.id)
            if told.state == "withdrawn" or self._wait_of(told.rule) != wait_seconds:
                continue
            if standing is None or standing.dry_run:
                hits.append(revised(told, judged.sighting.revision, state="withdrawn"))
        for hit in hits:
            judged.told[hit.id] = hit
            self.counters.add("rule_hits", reason=hit.rule)
        return hits

    def _mark(self, before: Mapping[str, Raised], now: Mapping[str, Raised], changed: dict[Asked, Span]) -> None:
        """Note in the memory what is raised now."""
        marks = self.history.raised_marks
        taken = {mark_of(each) for each in before.values()}
        given = {mark_of(each) for each in now.values()}
        for rule, key, seen_seconds, sighting_id in taken - given:
            marks.discard((rule, key), seen_seconds, sighting_id)
            note(changed, ("raised", rule, key), seen_seconds)
        for rule, key, seen_seconds, sighting_id in given:
            marks.add((rule, key), seen_seconds, sighting_id)
        for rule, key, seen_seconds, _ in given - taken:
            note(changed, ("raised", rule, key), seen_seconds)

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
                hits.append(revised(hit, told.revision + 1))
        return hits

    def _wait_of(self, rule: str) -> float:
        known = self._rules.get(rule)
        return 0.0 if known is None else known.wait or 0.0

    # Rules that wait

    @property
    def is_due(self) -> bool:
        """Whether `judge_due` has something to do."""
        return bool(self._waiting) and self._waiting[0][0] <= self._reached_seconds

    def judge_due(self, most: int = 1000) -> tuple[Hit, ...]:
        """What rules that wait say of up to `most` passages whose time has come: later passages have been seen that
        are so much younger, or the clock says so. All that came must be judged, and committed. Raises StoreError.
        """
        return tuple(self._say_waiting(self._reached_seconds, most))

    @property
    def _reached_seconds(self) -> float:
        """The wall time that has been reached: nobody need pass for that."""
        return max(self.history.newest_seconds, self._present.whole_until_seconds)

    def _say_waiting(self, until_seconds: float, most: int = MOST_WAITING) -> list[Hit]:
        """The same, of those that are due by then."""
        hits: list[Hit] = []
        for _ in range(most):
            if not self._waiting or self._waiting[0][0] > until_seconds:
                break
            due_seconds, sighting_id, wait_seconds = self._waiting[0]
            judged = self._by_id.get(sighting_id)
            if judged is None:
                stored = self._store.sighting(sighting_id)
                judged = None if stored is None or is_pseudonym(stored.text) else self._recall(stored)
            heapq.heappop(self._waiting)
            if judged is None or self._due(judged.sighting.seen_seconds, wait_seconds) != due_seconds:
                continue  # a newer revision moved it, and is due at its own time
            if judged.sighting.state != "withdrawn":
                hits += self._say_by(judged, wait_seconds, self.history, {})
        return hits

    def _wait(self, sighting: Sighting | Past, due_from_seconds: float = -math.inf) -> None:
        """Have a sighting judged later by the rules that wait and may raise something about it; but for those whose
        wait was over before a time."""
        for wait_seconds in self.book.awaits(sighting):
            if sighting.seen_seconds + wait_seconds < due_from_seconds:
                continue
            if len(self._waiting) >= MOST_WAITING:
                self.counters.add("waits_dropped")
                continue
            due_seconds = self._due(sighting.seen_seconds, wait_seconds)
            heapq.heappush(self._waiting, (due_seconds, sighting.id, wait_seconds))

    def _due(self, seen_seconds: float, wait_seconds: float) -> float:
        """When a passage is judged by rules with that wait: everything that may come late has come."""
        return seen_seconds + wait_seconds + self._lateness_seconds

    # After a restart, and when other rules take over

    def take_over(self, book: RuleBook) -> Iterator[None]:
        """Judge by other rules, with all that is remembered: of passages, of what was raised, of who waits.

        Iterate it to its end, between judgements, all that was judged being committed. Where these rules look further
        back, their memory is read from the store first, a block with each step, and meanwhile the old rules judge. What
        those said of a passage stands until it has a new revision. Raises StoreError, and then nothing has changed.
        """
        while self._is_filling:
            yield
        while (fresh := self.memory_for(book)).keep_seconds > self.history.keep_seconds:
            yield from self._refill(fresh)
            while self._is_filling:
                yield
        for now, then in ((self.history.raised_marks, fresh.raised_marks), (self.history.list_marks, fresh.list_marks)):
            now.keep_seconds = max(now.keep_seconds, then.keep_seconds)
        raised = self._raised_lately()
        book.counters.merge(self.book.counters.counts)
        self.book = book
        self._rules = {each.rule.name: each.rule for each in book.rules}
        waiting = {each for each in self._waiting if each[2] in book.waits}
        self._waiting.clear()
        if self.history.passages:
            newest_seconds = self.history.newest_seconds
            self._fill_marks(raised)
            self._await_again(newest_seconds - 2 * self._lateness_seconds)
            for _, _, judged in self._recent:
                self._ask_again(judged)
        self._waiting = sorted(waiting.union(self._waiting))

    def _refill(self, fresh: HotHistory) -> Iterator[None]:
        """Read `fresh` from the store, and have it take the place of the memory, unless that is filled anew meanwhile.

        What comes and goes meanwhile is noted; the newest passages, of which most does, are read last, at once.
        """
        old = self.history
        settled_seconds = old.newest_seconds - self._lateness_seconds
        self._noted = []
        try:
            if old.passages:
                for rows, traits in self._past.passages(old.newest_seconds - fresh.keep_seconds):
                    settled = rows[: int(np.searchsorted(rows["seen"], settled_seconds))]
                    fresh.load(settled, traits)
                    yield
                    if self._is_filling or self.history is not old:
                        return
                    if len(settled) < len(rows):
                        break
            for sighting, came in self._noted:
                if sighting.seen_seconds < settled_seconds:
                    fresh.remove(sighting)
                    if came:
                        fresh.add(sighting)
        finally:
            self._noted = None
        if self.history.passages:
            for rows, traits in self._past.passages(settled_seconds):
                fresh.load(rows, traits)
        fresh.counters, fresh.raised_marks, fresh.list_marks = old.counters, old.raised_marks, old.list_marks
        self.history = fresh

    # When the clock was set

    @property
    def clock_was_set(self) -> bool:
        """Whether `follow_clock` must be gone through before anything is judged."""
        moved_seconds = self._present.moved_seconds()
        if self._is_filling or moved_seconds < 0.0 or self.history.newest_seconds >= self._present.until_seconds:
            return True
        if moved_seconds > 0.0:
            if self._is_ahead:
                return True
            self._present.accept()
        return False

    def follow_clock(self) -> Iterator[None]:
        """Fill the memory anew with what has passed by the clock as it is now, a block with each step.

        Iterate it to its end, all that was judged being committed, and judge nothing meanwhile. Raises StoreError; then
        begin again.
        """
        self._present.accept()
        if not self._is_filling:
            self._is_filling = True
            ahead = sum(1 for _ in self.history.since(self._present.until_seconds))
            if ahead:
                self.counters.add("passages_ahead", ahead)
        fresh = self.memory_for(self.book)
        fresh.counters = self.history.counters
        yield from self._fill(fresh)
        self._is_filling = False

    def _fill(self, history: HotHistory) -> Iterator[None]:
        """Remember in `history` what the store holds, and nothing else; a block with each step."""
        newest_seconds, ahead_seconds = self._past.newest_seconds(), self._past.ahead_seconds()
        if newest_seconds is not None:
            for rows, traits in self._past.passages(newest_seconds - history.keep_seconds):
                history.load(rows, traits)
                yield
        self.history = history
        self._waiting.clear()
        self._recent.clear()
        self._by_id.clear()
        if newest_seconds is not None:
            self._fill_marks(self._raised_lately())
            self._fill_recent(newest_seconds)
            waiting = len(self._waiting)
            self._log.info("history_filled", passages=history.passages, plates=history.plates, waiting=waiting)
        self._is_ahead = ahead_seconds > 0.0
        if self._is_ahead:
            cure = "see to it that a time service keeps the clock; if the clock is right now, nothing need be done"
            self._log.warning("passages_ahead", ahead_seconds=round(ahead_seconds), cure=cure)

    def _raised_lately(self) -> list[Hit]:
        """What lists and rules have raised within the time that is remembered of it."""
        history = self.history
        marks_seconds = max(history.raised_marks.keep_seconds, history.list_marks.keep_seconds)
        return list(self._past.hits(history.newest_seconds - marks_seconds)) if history.passages else []

    def _fill_marks(self, hits: Sequence[Hit]) -> None:
        """Know again what was raised."""
        history = self.history
        for hit in hits:
            rule = self._rules.get(hit.rule)
            if hit.state == "withdrawn":
                continue
            if not hit.rule:
                history.list_marks.add(hit.list_name, hit.seen_seconds, hit.sighting_id)
            elif rule is not None:
                history.raised_marks.add((hit.rule, cooldown_key(rule, hit)), hit.seen_seconds, hit.sighting_id)

    def _await_again(self, due_from_seconds: float) -> None:
        """Know again which passages rules that wait have yet to judge.

        Some are judged a second time; it comes out the same, and is told once.
        """
        for past in self.history.since(due_from_seconds - max(self.book.waits, default=0.0)):
            self._wait(past, due_from_seconds)

    def _fill_recent(self, newest_seconds: float) -> None:
        """Know again which passages a late one may change, and which of them rules that wait have yet to judge."""
        self._await_again(newest_seconds - 2 * self._lateness_seconds)
        stored = self._past.sightings(newest_seconds - self._lateness_seconds)
        recent = [self._recall(each) for each in stored if not is_pseudonym(each.text)]
        for judged in sorted(recent, key=lambda each: each.place):
            self._ask_again(judged)
            self._recent.append((*judged.place, judged))
            self._by_id[judged.sighting.id] = judged

    def _ask_again(self, judged: Judged) -> None:
        """Know again what a judgement asked for."""
        asking = Asking(self.history, self.history.newest_seconds - self._lateness_seconds)
        if judged.sighting.state != "withdrawn":
            self.book.evaluate(judged.sighting, history=asking, hits=judged.listed, late=judged.late)
        judged.asked = asking.asked
