"""Keeps what rules ask, registers and declarations, that of their files while the box runs.

A file that has changed is read and checked in a thread; the hub's loop goes on, and takes the finished content from one
passage to the next. A file that is refused leaves the old content as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.config.signature import Signature, signature_of
from anpr.engine.copies import keep_copy
from anpr.engine.judge import Judge
from anpr.engine.lookout import Followed, Lookout
from anpr.errors import ConfigError, DeclarationError, StoreError
from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.rules.data import MOST_TOLD, FreshData, RuleData

THREAD_NAME = "anpr-rule-data"


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


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a changed file says."""

    fresh: FreshData
    unkept: StoreError | None = None
    """No copy of it could be kept."""


class DataKeeper:
    """Follows the files of registers and declarations. Use from the hub's thread."""

    def __init__(self, hub: Hub, *, clock: Clock) -> None:
        self._hub = hub
        self._log = structlog.get_logger()
        data = hub.judge.data if hub.judge is not None else ()
        self._plates = {each.name: each.plates for each in data}
        """How many are asked about now."""
        self.lookout = Lookout(
            {
                each.name: Followed(
                    mark=partial(signature_of, each.file), read=partial(self._read, each), handled=each.signature
                )
                for each in data
            },
            clock=clock,
            counters=hub.counters,
            thread_name=THREAD_NAME,
        )
        """Looks after the files."""
        for each in data:
            self._count_left_out(each.name, each.left_out)

    def turn(self) -> bool:
        """One round of the hub's loop: never waits. True if something else is asked now."""
        judge = self._hub.judge
        if judge is None:
            return False
        taken = False
        for each in self.lookout.turn():
            if each.content is not None:
                self._take(judge, each.name, each.content)
                taken = True
            elif each.error is not None:
                self._refuse(judge, each.name, each.error)
        return taken

    def _take(self, judge: Judge, name: str, taken: _Taken) -> None:
        fresh, before = taken.fresh, self._plates[name]
        fresh.take()
        self._plates[name] = fresh.plates
        judge.refused_data.pop(name, None)
        self._hub.counters.add("rule_data_reloaded")
        self._log.info("rule_data_reloaded", data=name, plates=fresh.plates, plates_before=before)
        fresh.tell_left_out(name)
        self._count_left_out(name, fresh.left_out.rows)
        if taken.unkept is not None:
            self._log.warning("rule_data_not_kept", data=name, problem=str(taken.unkept))

    def _count_left_out(self, name: str, rows: int) -> None:
        if rows:
            self._hub.counters.add("rule_data_rows_left_out", rows, reason=name)

    def _refuse(self, judge: Judge, name: str, error: Exception) -> None:
        if isinstance(error, ConfigError | DeclarationError):
            why, reason = masked(str(error)), "file"
            self._log.error("rule_data_refused", data=name, problem=str(error), problems=error.problems[:MOST_TOLD])
        else:
            why, reason = f"a fault of the program: {type(error).__name__}", "failure"
            self._log.error("rule_data_refused", data=name, problem=repr(error), exc_info=error)
        judge.refused_data[name] = why
        self._hub.counters.add("rule_data_refused", reason=reason)

    def _read(self, data: RuleData) -> _Taken:
        """Read and check a file, and keep a copy of it; in the thread. Raises ConfigError or DeclarationError."""
        signature, before = signature_of(data.file), self._plates[data.name]
        fresh = data.read()
        data.check_vanishing(fresh, before)
        try:
            keep_data(data, signature)
        except StoreError as error:
            return _Taken(fresh, unkept=error)
        return _Taken(fresh)


def keep_data(data: RuleData, signature: Signature | None) -> None:
    """Keep a copy of a file, if it is still that of the signature. Raises StoreError."""
    if signature is not None:
        modified_ns, _, size, _ = signature
        keep_copy(data.file, data.copy, lambda status: (status.st_mtime_ns, status.st_size) == (modified_ns, size))
