"""Keeps the hub's rules those of their files while it runs.

A folder of rules that has changed and has then been the same for two looks is read and compiled in a thread; the hub's
loop goes on. Then the new rules take over from one passage to the next, all of them at once, with what is remembered:
histories, cooldowns, passages that wait. Files with a mistake leave the old rules as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.config.ruling import Rules
from anpr.config.signature import Signature, signature_of
from anpr.engine.judge import Judge
from anpr.errors import ConfigError, StoreError
from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.rules.book import RuleBook
from anpr.rules.load import rule_files

LOOK_SECONDS = 1.0
RETRY_SECONDS = 1.0
"""After the store has failed."""
CLOSE_SECONDS = 2.0
MOST_TOLD = 5
"""Mistakes that are logged one by one."""
THREAD_NAME = "anpr-rules"
_Signature = tuple[tuple[str, Signature | None], ...]
"""Of each file its name and what tells whether it is still the same."""


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


@dataclass(slots=True)
class _Reading:
    """What a thread makes of changed files."""

    signature: _Signature
    book: RuleBook | None = None
    refused: ConfigError | None = None
    failure: Exception | None = None
    """What should never happen."""


class RuleKeeper:
    """Follows the files of `[rules]`. Use from the hub's thread."""

    def __init__(self, rules: Rules | None, hub: Hub, *, clock: Clock) -> None:
        self._rules = rules
        self._hub = hub
        self._clock = clock
        self._log = structlog.get_logger()
        self._handled: _Signature | None = None
        """Of what was taken or refused. At first none: the files may have changed since the start read them."""
        self._seen: _Signature | None = None
        """At the last look."""
        self._look_at_seconds = clock.monotonic_seconds() + LOOK_SECONDS
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._reading = _Reading(())
        self._book: RuleBook | None = None
        """Rules that are taking over."""
        self._steps: Iterator[None] | None = None
        self._step_at_seconds = 0.0

    @property
    def busy(self) -> bool:
        """Whether a thread reads, or other rules are taking over."""
        return self._thread is not None or self._book is not None

    def ask(self) -> None:
        """Have the files read anew at the next turn, changed or not. May be called from a signal's handler."""
        self._asked.set()

    def turn(self) -> None:
        """One round of the hub's loop: never waits, but for a block of passages from the store."""
        judge = self._hub.judge
        if self._rules is None or judge is None or judge.reload is None:
            return
        if self._thread is not None:
            if not self._thread.is_alive():
                self._finish(judge)
            return
        now = self._clock.monotonic_seconds()
        asked = self._asked.is_set()
        if self._book is not None:
            if now >= self._step_at_seconds:
                self._take_over(judge, self._book)
            return
        if not asked and now < self._look_at_seconds:
            return
        self._asked.clear()
        self._look_at_seconds = now + LOOK_SECONDS
        before, self._seen = self._seen, _signature(self._rules)
        if asked or (self._seen != self._handled and self._seen == before):
            self._reading = _Reading(self._seen)
            self._thread = threading.Thread(
                target=_read, args=(judge.reload, self._reading), name=THREAD_NAME, daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Wait a moment for a thread that reads; one that needs longer ends with the process, and nobody misses it."""
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def _finish(self, judge: Judge) -> None:
        self.close()
        reading, at_the_start = self._reading, self._handled is None
        self._handled = reading.signature
        if reading.failure is not None:
            self._refuse(judge, f"a fault of the program: {type(reading.failure).__name__}", "failure")
            self._log.error("rules_refused", problem=repr(reading.failure), exc_info=reading.failure)
        elif reading.refused is not None:
            error = reading.refused
            self._refuse(judge, masked(str(error)), "file")
            self._log.error("rules_refused", problem=str(error), problems=error.problems[:MOST_TOLD])
        elif reading.book is not None:
            judge.refused = ""
            if reading.book.versions != judge.book.versions:
                self._book = reading.book
            elif not at_the_start:
                self._tell_taken(judge.book.versions, reading.book.versions)

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


def _read(reload: Callable[[], RuleBook], reading: _Reading) -> None:
    """The thread: read, check and compile the rules."""
    try:
        reading.book = reload()
    except ConfigError as error:
        reading.refused = error
    except Exception as error:  # noqa: BLE001  # told by the hub's thread: rules must not end the box
        reading.failure = error


def _signature(rules: Rules) -> _Signature:
    """Of all files that the rules are read from; of one that is not there, nothing but its name."""
    try:
        files = [*rule_files(rules.folder), *([rules.zones] if rules.zones is not None else [])]
    except ConfigError:
        files = [rules.folder]
    return tuple((str(file), signature_of(file)) for file in files)
