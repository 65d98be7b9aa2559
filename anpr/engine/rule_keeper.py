"""Keeps the hub's rules those of their files while it runs.

A folder of rules that has changed is read and compiled in a thread; the hub's loop goes on. Then the new rules take
over from one passage to the next, all of them at once, with what is remembered: histories, cooldowns, passages that
wait. Files with a mistake leave the old rules as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.config.ruling import Rules
from anpr.config.signature import signature_of
from anpr.engine.judge import Judge
from anpr.engine.lookout import Followed, Lookout, Mark, Reading
from anpr.errors import ConfigError, StoreError
from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.rules.book import RuleBook
from anpr.rules.load import rule_files

RETRY_SECONDS = 1.0
"""After the store has failed."""
MOST_TOLD = 5
"""Mistakes that are logged one by one."""
THREAD_NAME = "anpr-rules"


class Hub(Protocol):
    """What is asked of the hub."""

    @property
    def judge(self) -> Judge | None:
        """Who judges by the rules; None: there are none."""
        ...

    @property
    def counters(self) -> Counters:
        """Where reloads are counted."""
        ...

    def commit(self) -> None:
        """Commit what was judged. Raises StoreError."""
        ...


class RuleKeeper:
    """Follows the files of `[rules]`. Use from the hub's thread."""

    def __init__(self, rules: Rules | None, hub: Hub, *, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._log = structlog.get_logger()
        self._begun = False
        """Whether the files were read since the start: before, they may be others than the start has read."""
        self._book: RuleBook | None = None
        """Rules that are taking over."""
        self._steps: Iterator[None] | None = None
        self._step_at_seconds = 0.0
        followed = {}
        if rules is not None and hub.judge is not None and hub.judge.reload is not None:
            followed["rules"] = Followed(mark=partial(_mark, rules), read=hub.judge.reload)
        self.lookout = Lookout(followed, clock=clock, counters=hub.counters, thread_name=THREAD_NAME)
        """Looks after the files."""

    @property
    def busy(self) -> bool:
        """Whether the files are looked at, or other rules are taking over."""
        return self.lookout.busy or self._book is not None

    def turn(self) -> bool:
        """One round of the hub's loop: never waits, but for a block of passages from the store. True if other rules
        have taken over."""
        judge = self._hub.judge
        if judge is None:
            return False
        if self._book is None:
            for reading in self.lookout.turn():
                self._finish(judge, reading)
            return False
        if self._clock.monotonic_seconds() >= self._step_at_seconds:
            self._take_over(judge, self._book)
        return self._book is None

    def _finish(self, judge: Judge, reading: Reading[RuleBook]) -> None:
        at_the_start, self._begun = not self._begun, True
        book, error = reading.content, reading.error
        if isinstance(error, ConfigError):
            self._refuse(judge, masked(str(error)), "file")
            self._log.error("rules_refused", problem=str(error), problems=error.problems[:MOST_TOLD])
        elif error is not None:
            self._refuse(judge, f"a fault of the program: {type(error).__name__}", "failure")
            self._log.error("rules_refused", problem=repr(error), exc_info=error)
        elif book is not None:
            judge.refused = ""
            if book.versions != judge.book.versions:
                self._book = book
            elif not at_the_start:
                self._tell_taken(judge.book.versions, book.versions)

    def _tell_taken(self, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        changed = sum(old[name] != new[name] for name in old.keys() & new.keys())
        difference = f"+{len(new.keys() - old.keys())} −{len(old.keys() - new.keys())} ~{changed}"
        self._hub.counters.add("rules_reloaded")
        self._log.info("rules_reloaded", rules=len(new), difference=difference)

    def _refuse(self, judge: Judge, why: str, reason: str) -> None:
        judge.refused = why
        self._hub.counters.add("rules_refused", reason=reason)

    def _take_over(self, judge: Judge, book: RuleBook) -> None:
        """The next step of it."""
        try:
            self._hub.commit()
            self._steps = self._steps or judge.take_over(book)
            old = judge.book.versions
            next(self._steps)
        except StopIteration:
            self._book = self._steps = None
            self._tell_taken(old, book.versions)
        except StoreError as error:
            self._steps = None  # from the beginning, when the store works again
            self._step_at_seconds = self._clock.monotonic_seconds() + RETRY_SECONDS
            self._log.error("rules_wait", problem=str(error), retry_in_seconds=RETRY_SECONDS)


def _mark(rules: Rules) -> Mark:
    """Of all files that the rules are read from; of one that is not there, nothing but its name."""
    try:
        files = [*rule_files(rules.folder), *([rules.zones] if rules.zones is not None else [])]
    except ConfigError:
        files = [rules.folder]
    return tuple((str(file), signature_of(file)) for file in files)
