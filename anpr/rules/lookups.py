"""Look-ups in external registers: named callables with a time limit. One that fails or is late is unknown, and counted.

Each register has one thread of its own, which waits for it. After a question that it answered late or not at all, a
register rests: until then all answers are unknown at once, so that a slow register cannot hold up the box. Answers are
kept for a while, so that the several rules that ask about a passage, and its revisions, cost one question.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from math import inf
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.metrics import Counters
from anpr.rules.judgement import Deep, Finding, Judgement
from anpr.rules.language import Lookup, Value
from anpr.rules.logic import Truth
from anpr.rules.values import Asked, Form, Meaning, form_of, said_of, wanted_of

Record = Mapping[str, Value]
"""What a register has on a plate, by field."""
Ask = Callable[[str], Record | None]
"""A register: takes a plate in the engine's form; None: it has no such plate. May take its time, and may raise."""

TIMEOUT_SECONDS = 0.2
REST_SECONDS = 5.0
"""After a late or failed answer."""
KEPT_SECONDS = 60.0
MOST_KEPT = 10_000


class _Worker:
    """Asks one register in a thread of its own, which ends with the process even if the register never answers."""

    def __init__(self, name: str, ask: Ask) -> None:
        self._questions: SimpleQueue[tuple[str, Future[Record | None]] | None] = SimpleQueue()
        self._ask = ask
        Thread(target=self._run, name=f"register-{name}", daemon=True).start()

    def submit(self, plate: str) -> Future[Record | None]:
        """The answer to come."""
        answer: Future[Record | None] = Future()
        self._questions.put((plate, answer))
        return answer

    def close(self) -> None:
        """Ask no more."""
        self._questions.put(None)

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            plate, answer = question
            try:
                answer.set_result(self._ask(plate))
            except Exception as error:  # noqa: BLE001  # whatever went wrong is told to who waits for the answer
                answer.set_exception(error)


@dataclass(slots=True)
class _Register:
    ask: Ask
    timeout_seconds: float
    worker: _Worker | None
    """None: it answers from memory, and is asked directly."""
    rests_until_seconds: float = -inf
    failing: bool = False


class Registers(Protocol):
    """What rules ask."""

    def ask(self, name: str, plate: str) -> Record | None:
        """What register `name` has on a plate, nothing for a plate it does not have; None if that is unknown."""
        ...

    def at_hand(self, name: str) -> bool:
        """Whether register `name` answers from memory, so that it may be asked of every plate."""
        ...

    def tell_unreadable(self, name: str, field: str, form: Form) -> None:
        """Take note that register `name` has in a field something else than rules ask."""
        ...


@dataclass(slots=True)
class Lookups:
    """The registers of a box, by name. Ask from one thread; close it when done."""

    clock: Clock
    counters: Counters = field(default_factory=Counters)
    asked: Mapping[str, Mapping[str, Asked]] = field(default_factory=dict)
    """By register and field what rules ask."""
    columns: dict[str, Collection[str]] = field(default_factory=dict)
    """By register that answers from records which are held: the fields of these."""
    _registers: dict[str, _Register] = field(default_factory=dict)
    _kept: dict[tuple[str, str], tuple[float, Record]] = field(default_factory=dict)
    _unreadable: set[tuple[str, str]] = field(default_factory=set)
    """Registers and fields that were told of."""

    def register(self, name: str, ask: Ask, *, timeout_seconds: float | None = TIMEOUT_SECONDS) -> None:
        """Let rules ask `ask` as `name`; `timeout_seconds` None: it answers from memory and needs no time limit.

        Raises ValueError if the name is taken.
        """
        if name in self._registers:
            raise ValueError(f"a register {name!r} is there already")
        worker = None if timeout_seconds is None else _Worker(name, ask)
        self._registers[name] = _Register(ask, timeout_seconds or 0.0, worker)

    def hold(self, name: str, records: Mapping[str, Record], columns: Collection[str] = ()) -> None:
        """Answer as `name` from these records by plate, in place of those that were held before."""
        self._registers[name] = _Register(records.get, 0.0, None)
        self.columns[name] = columns

    @property
    def names(self) -> frozenset[str]:
        """The registers that are set up."""
        return frozenset(self._registers)

    def ask(self, name: str, plate: str) -> Record | None:
        """What register `name` has on a plate, nothing for a plate it does not have; None if that is unknown."""
        register = self._registers.get(name)
        if register is None:
            return None
        if register.worker is None:
            return self._answer(name, register, plate)
        now = self.clock.monotonic_seconds()
        kept = self._kept.get((name, plate))
        if kept is not None and now < kept[0]:
            return kept[1]
        if now < register.rests_until_seconds:
            self.counters.add("lookups_unknown", reason="resting")
            return None
        answer = self._answer(name, register, plate)
        if answer is not None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[name, plate] = (now + KEPT_SECONDS, answer)
        return answer

    def at_hand(self, name: str) -> bool:
        """Whether register `name` answers from memory, so that it may be asked of every plate."""
        register = self._registers.get(name)
        return register is not None and register.worker is None

    def tell_unreadable(self, name: str, field: str, form: Form) -> None:
        """Count that register `name` has in a field something else than rules ask, and log the first such answer."""
        self.counters.add("lookups_unknown", reason="unreadable")
        if (name, field) not in self._unreadable:
            self._unreadable.add((name, field))
            problem = f"{field} is not {form.name} ({form.cure})"
            structlog.get_logger().warning("register_unreadable", register=name, problem=problem)

    def close(self) -> None:
        """Ask no more; a register that never answers is not waited for."""
        for register in self._registers.values():
            if register.worker is not None:
                register.worker.close()

    def _answer(self, name: str, register: _Register, plate: str) -> Record | None:
        try:
            if register.worker is None:
                answer = register.ask(plate)
            else:
                answer = register.worker.submit(plate).result(register.timeout_seconds)
        except NotInTime:
            self._fail(name, register, "late", f"no answer within {register.timeout_seconds:g} s")
            return None
        except Exception as error:  # noqa: BLE001  # a register is somebody else's program
            self._fail(name, register, "failed", f"{type(error).__name__}: {error}")
            return None
        if register.failing:
            register.failing = False
            structlog.get_logger().info("register_answers", register=name)
        return answer or {}

    def _fail(self, name: str, register: _Register, reason: str, problem: str) -> None:
        self.counters.add("lookups_unknown", reason=reason)
        if register.worker is not None:
            register.rests_until_seconds = self.clock.monotonic_seconds() + REST_SECONDS
        if not register.failing:
            register.failing = True
            structlog.get_logger().warning("register_fails", register=name, problem=problem)


def lookup(predicate: Lookup, registers: Registers) -> Deep:
    """What an external register says of the plate."""
    name, source = predicate.field, predicate.source
    form = None if name is None else form_of(predicate)
    holds = None if form is None else _test(predicate, form)

    def record_of(judgement: Judgement) -> Record | None:
        records = judgement.records
        if source not in records:
            records[source] = registers.ask(source, judgement.sighting.text)
        return records[source]

    def test(judgement: Judgement) -> Truth:
        if not judgement.sighting.text:
            return None
        record = record_of(judgement)
        if record is None:
            return None
        if name is None or form is None or holds is None:
            return bool(record) is predicate.known
        value = record.get(name)
        if value is None:
            return None
        meaning = form.read(value)
        if meaning is None:
            registers.tell_unreadable(source, name, form)
            return None
        return holds(meaning, judgement)

    def tell(judgement: Judgement, finding: Finding) -> None:
        record = record_of(judgement) or {}
        for field_name, value in record.items():
            said = said_of(value, field_name, form if field_name == name else None)
            finding.add((), **{f"{predicate.source}.{field_name}": said})

    return Deep(test, tell)


def _test(predicate: Lookup, form: Form) -> Callable[[Meaning, Judgement], Truth]:
    if wanted := wanted_of(predicate):
        meant = frozenset(form.read(value) for value in wanted)
        among = predicate.one_of is not None
        return lambda meaning, _: (meaning in meant) is among
    if predicate.older_than is not None:
        age = predicate.older_than
        return lambda meaning, judgement: float(meaning) <= judgement.sighting.seen_seconds - age
    if predicate.differs_from is not None:
        attribute = predicate.differs_from
        return lambda meaning, judgement: _differs(meaning, str(getattr(judgement.sighting, attribute)))
    over, under = predicate.over, predicate.under
    return lambda meaning, _: (over is None or float(meaning) > over) and (under is None or float(meaning) < under)


def _differs(meaning: Meaning, seen: str) -> Truth:
    return None if seen in ("", "unknown") else meaning != seen
