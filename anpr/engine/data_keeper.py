"""Keeps what rules ask, registers and declarations, that of their files while the box runs.

A file that has changed and has then been the same for two looks is read and checked in a thread; the hub's loop goes
on, and takes the finished content from one passage to the next. A file that is refused leaves the old content as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.config.signature import Signature, signature_of
from anpr.engine.copies import is_copy_of, keep_copy
from anpr.engine.judge import Judge
from anpr.errors import ConfigError, DeclarationError, StoreError
from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.rules.data import MOST_TOLD, FreshData, RuleData
from anpr.watch.install import MAX_VANISHING

LOOK_SECONDS = 1.0
CLOSE_SECONDS = 2.0
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


@dataclass(slots=True)
class _Followed:
    """One file and what was last seen of it."""

    data: RuleData
    handled: Signature | None
    """Of the content that was taken or refused."""
    plates: int
    """How many are asked about now."""
    seen: Signature | None = None
    """At the last look."""


@dataclass(slots=True)
class _Reading:
    """What a thread makes of one changed file."""

    data: RuleData
    signature: Signature | None
    plates_before: int
    fresh: FreshData | None = None
    refused: ConfigError | DeclarationError | None = None
    failure: Exception | None = None
    """What should never happen."""
    unkept: StoreError | None = None
    """It was taken, and no copy could be kept."""
    moved: bool = False
    """It changed while it was read, and is read again when it rests."""


class DataKeeper:
    """Follows the files of registers and declarations. Use from the hub's thread."""

    def __init__(self, hub: Hub, *, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._log = structlog.get_logger()
        data = hub.judge.data if hub.judge is not None else ()
        self._followed = [_Followed(each, each.signature, each.plates) for each in data]
        self._look_at_seconds = clock.monotonic_seconds() + LOOK_SECONDS
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._readings: Sequence[_Reading] = ()

    @property
    def busy(self) -> bool:
        """Whether a thread reads, or has read what `turn` has not taken yet."""
        return self._thread is not None

    def ask(self) -> None:
        """Have all files read anew at the next turn, changed or not. May be called from a signal's handler."""
        self._asked.set()

    def turn(self) -> None:
        """One round of the hub's loop: never waits."""
        judge = self._hub.judge
        if judge is None or not self._followed:
            return
        if self._thread is not None:
            if not self._thread.is_alive():
                self._finish(judge)
            return
        now = self._clock.monotonic_seconds()
        asked = self._asked.is_set()
        if not asked and now < self._look_at_seconds:
            return
        self._asked.clear()
        self._look_at_seconds = now + LOOK_SECONDS
        due = [each for each in self._followed if self._look(each) or asked]
        if due:
            self._readings = [_Reading(each.data, each.seen, each.plates) for each in due]
            self._thread = threading.Thread(target=_read, args=(self._readings,), name=THREAD_NAME, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait a moment for a thread that reads; one that needs longer ends with the process, and nobody misses it."""
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def _look(self, followed: _Followed) -> bool:
        """Whether a file has changed and is at rest again."""
        before, followed.seen = followed.seen, signature_of(followed.data.file)
        return followed.seen != followed.handled and followed.seen == before

    def _finish(self, judge: Judge) -> None:
        self.close()
        readings, self._readings = {each.data.name: each for each in self._readings}, ()
        for followed in self._followed:
            reading = readings.get(followed.data.name)
            if reading is None or reading.moved:
                continue
            followed.handled = reading.signature
            if reading.fresh is not None:
                followed.plates = reading.fresh.plates
                self._take(judge, reading, reading.fresh)
            else:
                self._refuse(judge, reading)

    def _take(self, judge: Judge, reading: _Reading, fresh: FreshData) -> None:
        name = reading.data.name
        fresh.take()
        judge.refused_data.pop(name, None)
        self._hub.counters.add("rule_data_reloaded")
        before = reading.plates_before
        self._log.info("rule_data_reloaded", data=name, plates=fresh.plates, plates_before=before)
        if reading.unkept is not None:
            self._log.warning("rule_data_not_kept", data=name, problem=str(reading.unkept))

    def _refuse(self, judge: Judge, reading: _Reading) -> None:
        name, error = reading.data.name, reading.refused
        if error is not None:
            why, reason = masked(str(error)), "file"
            self._log.error("rule_data_refused", data=name, problem=str(error), problems=error.problems[:MOST_TOLD])
        else:
            why, reason = f"a fault of the program: {type(reading.failure).__name__}", "failure"
            self._log.error("rule_data_refused", data=name, problem=repr(reading.failure), exc_info=reading.failure)
        judge.refused_data[name] = why
        self._hub.counters.add("rule_data_refused", reason=reason)


def keep_data(data: RuleData, signature: Signature | None) -> None:
    """Keep a copy of a file, if it is still that of the signature. Raises StoreError."""
    if signature is not None and not is_copy_of(data.file, data.copy):
        modified_ns, _, size, _ = signature
        keep_copy(data.file, data.copy, lambda status: (status.st_mtime_ns, status.st_size) == (modified_ns, size))


def _read(readings: Sequence[_Reading]) -> None:
    """The thread: read and check the files, and keep copies of them."""
    for reading in readings:
        try:
            fresh = reading.data.read()
            if fresh.plates < (1.0 - MAX_VANISHING) * reading.plates_before:
                what = f"the file tells of {fresh.plates} plates, the old one of {reading.plates_before}"
                cure = "check that it is whole; if it is meant so, restart the box"
                raise ConfigError(what, place=str(reading.data.file), cure=cure)
            reading.fresh = fresh
        except (ConfigError, DeclarationError) as error:
            reading.refused = error
        except Exception as error:  # noqa: BLE001  # told by the hub's thread: data must not end the box
            reading.failure = error
        reading.moved = signature_of(reading.data.file) != reading.signature
        if reading.fresh is not None and not reading.moved:
            try:
                keep_data(reading.data, reading.signature)
            except StoreError as error:
                reading.unkept = error
