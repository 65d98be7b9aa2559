"""The loop of a bridge: take from the box, send to the broker, acknowledge to the box what the broker has."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

import structlog

from anpr.bridges.back_off import BackOff
from anpr.bridges.dead_letters import DeadLetters
from anpr.bridges.sink import Accepted, Later, LeftOut, Outcome, Refused, Sink
from anpr.bus import Gap
from anpr.bus.events import topic_of
from anpr.clock import Clock
from anpr.metrics import Counters
from anpr.records import Event

WAIT_SECONDS = 0.5
"""For something to take, before the connection is looked at again."""
TELL_SECONDS = 1.0
"""How often the box is told that we live while the broker keeps us waiting."""
FINISH_SECONDS = 3.0
"""For what is under way when we are to end."""
REPORT_SECONDS = 60.0

_T = TypeVar("_T")


class Feed(Protocol):
    """What a bridge asks of the box: a DurableSubscriber."""

    @property
    def problem(self) -> str:
        """Why the box cannot be heard; empty if all is well."""
        ...

    async def receive_async(self, timeout_seconds: float) -> Event | Gap | None:
        """The next item, or None if nothing came in time."""
        ...

    def take(self) -> Event | Gap | None:
        """The next item if there is one already."""
        ...

    def ack(self, event: Event | None = None) -> None:
        """All up to `event` is safe."""
        ...

    def tell(self) -> None:
        """Tell the box that we live, without taking anything."""
        ...


class Bridge:
    """One box, one broker, in order, each event at least once."""

    def __init__(
        self,
        feed: Feed,
        sink: Sink,
        *,
        dead_letters: DeadLetters,
        clock: Clock,
        topics: tuple[str, ...] = (),
        back_off: BackOff | None = None,
    ) -> None:
        """`topics` are beginnings of topics to hand on; empty: all."""
        self.counters = Counters()
        self._feed = feed
        self._sink = sink
        self._dead_letters = dead_letters
        self._clock = clock
        self._topics = topics or ("",)
        self._back_off = back_off or BackOff()
        self._log = structlog.get_logger()
        self._away_since_seconds: float | None = None
        self._box_problem = ""
        self._leaving = False
        """Whether it was cancelled while something was under way."""
        self._report_at_seconds = clock.monotonic_seconds() + REPORT_SECONDS

    async def run(self) -> None:
        """Until it is cancelled; what is under way then has a moment to arrive, and need not be sent again.

        Raises BusError if the box refuses us.
        """
        while True:
            batch = await self._batch()
            while batch:
                batch = batch[await self._hand_on(batch) :]
                if self._leaving:
                    raise asyncio.CancelledError
            self._report()

    async def _batch(self) -> list[Event]:
        """What there is, up to the sink's `at_once`, in order; gaps are told on the way."""
        item = await self._feed.receive_async(WAIT_SECONDS)
        if self._feed.problem != self._box_problem:
            self._box_problem = self._feed.problem
            if self._box_problem:
                self._log.warning("bridge_box_unheard", problem=self._box_problem)
        batch: list[Event] = []
        while item is not None:
            if isinstance(item, Gap):
                await self._tell_gap(item)
            else:
                batch.append(item)
            if len(batch) >= self._sink.at_once:
                break
            item = self._feed.take()
        return batch

    async def _hand_on(self, batch: list[Event]) -> int:
        """Send once; how many events, from the first, are done with. Waits if there is one that is not."""
        chosen = [event for event in batch if topic_of(event).startswith(self._topics)]
        sent = await self._beside_telling(self._sink.send(chosen), finish_seconds=FINISH_SECONDS) if chosen else []
        outcomes = iter(sent)
        done = 0
        later: Later | None = None
        for event in batch:
            outcome = next(outcomes) if topic_of(event).startswith(self._topics) else LeftOut("topic")
            later = self._settle(event, outcome)
            if later is not None:
                break
            done += 1
        if done:
            self._feed.ack(batch[done - 1])
        if later is None:
            self._well()
        elif not self._leaving:
            await self._wait(later, progress=done > 0)
        return done

    def _settle(self, event: Event, outcome: Outcome) -> Later | None:
        """Count what became of an event; a Later if it is not settled."""
        match outcome:
            case Accepted():
                self.counters.add("bridge_delivered")
            case LeftOut(reason=reason):
                self.counters.add("bridge_left_out", reason=reason)
            case Refused(reason=reason, problem=problem):
                try:
                    self._dead_letters.add(event, outcome)
                except OSError as error:
                    return Later("failed", f"{self._dead_letters.path} cannot be written: {error.strerror or error}")
                self.counters.add("bridge_dead_letters", reason=reason)
                self._log.error("bridge_dead_letter", seq=event.seq, reason=reason, problem=problem)
            case Later():
                return outcome
        return None

    async def _tell_gap(self, gap: Gap) -> None:
        self._log.error("bridge_gap", box=gap.box, first_seq=gap.first_seq, last_seq=gap.last_seq, reason=gap.reason)
        while True:
            try:
                return self._dead_letters.add_gap(gap)
            except OSError as error:
                problem = f"{self._dead_letters.path} cannot be written: {error.strerror or error}"
                await self._wait(Later("failed", problem), progress=False)

    async def _wait(self, later: Later, *, progress: bool) -> None:
        self.counters.add("bridge_retries", reason=later.reason)
        now = self._clock.monotonic_seconds()
        if progress:
            self._back_off.reset()
        wait_seconds = self._back_off.next_seconds(asked_seconds=later.after_seconds)
        if self._away_since_seconds is None or progress:
            self._away_since_seconds = now
            self._log.warning(
                "bridge_waits", reason=later.reason, problem=later.problem, retry_in_seconds=round(wait_seconds, 1)
            )
        await self._beside_telling(asyncio.sleep(wait_seconds))
        self._report()

    def _well(self) -> None:
        if self._away_since_seconds is not None:
            away_seconds = self._clock.monotonic_seconds() - self._away_since_seconds
            self._log.info("bridge_recovered", away_seconds=round(away_seconds, 1))
        self._away_since_seconds = None
        self._back_off.reset()

    def _report(self) -> None:
        now = self._clock.monotonic_seconds()
        if now < self._report_at_seconds:
            return
        self._report_at_seconds = now + REPORT_SECONDS
        self._log.info("bridge_report", **self.facts())

    def facts(self) -> dict[str, int]:
        """All counts, as log lines have them."""
        return {f"{name}.{reason}" if reason else name: n for (name, reason), n in self.counters.counts.items()}

    async def _beside_telling(self, work: Coroutine[Any, Any, _T], *, finish_seconds: float = 0.0) -> _T:
        """The result of `work`; meanwhile the box hears that we live. If we are cancelled, it has so long to finish."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=TELL_SECONDS))[0]:
                self._feed.tell()
            return task.result()
        except asyncio.CancelledError:
            if task.cancelled() or not finish_seconds or not (await asyncio.wait({task}, timeout=finish_seconds))[0]:
                raise
            self._leaving = True
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
