"""Looks at files beside the hub's loop, and reads those that have changed and have then been the same for two looks.

Only threads ask the file system: on a network share that is gone even a look may wait for ever, and the hub must go on
storing. Such a look is told and given up. The other things are looked at by another thread, and the one whose files it
waits for is followed again once it ends, with what it has read: never do two threads look at the same thing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

import structlog

from anpr.clock import Clock
from anpr.config.signature import Signature
from anpr.metrics import Counters

LOOK_SECONDS = 1.0
CLOSE_SECONDS = 2.0
SILENT_SECONDS = 60.0
"""A look that takes longer is told."""
READING_SECONDS = 600.0
"""So is a reading: the largest files take a few minutes."""
AGAIN_SECONDS = 60.0
"""A file that the file system has failed to read, though it has said what it is, is read anew after so long."""

Mark = Signature | None | tuple[tuple[str, Signature | None], ...]
"""What tells whether the file of a thing, or each of its files by name, is still the same."""
Content = TypeVar("Content")
_NEVER = object()


@dataclass(frozen=True, slots=True)
class Reading(Generic[Content]):
    """What was made of a thing whose files have changed: its content, or an error."""

    name: str
    content: Content | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Followed(Generic[Content]):
    """A thing that is made of files. Both callables are called in a thread."""

    mark: Callable[[], Mark]
    read: Callable[[], Content]
    """May raise anything: it is told in the `Reading`."""
    handled: Mark = None
    """Of what is in use already."""


@dataclass(slots=True, eq=False)
class _Look(Generic[Content]):
    """One look at the things, in a thread of its own. What it finds out counts when it has ended."""

    asked: bool
    """All are read, changed or not."""
    at: tuple[str, float]
    """What it looks at or reads at this moment, and how long it may take."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Of what is next: another thing, the end, or that it is given up."""
    given_up: bool = False
    ended: bool = False
    """All is read: it is not given up any more."""
    seen: dict[str, object] = field(default_factory=dict)
    handled: dict[str, object] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)
    readings: list[Reading[Content]] = field(default_factory=list)
    late: tuple[Mark, Reading[Content]] | None = None
    """What was read, of which files, when it had been given up."""
    thread: threading.Thread = field(init=False)

    def turn_to(self, name: str, patience_seconds: float) -> bool:
        """Whether it is still wanted."""
        with self.lock:
            self.at = name, patience_seconds
            return not self.given_up

    def end(self) -> bool:
        """Whether it was wanted to the end."""
        with self.lock:
            self.ended = not self.given_up
            return self.ended

    def give_up(self, at: tuple[str, float]) -> bool:
        """Whether it is still there, and not at its end."""
        with self.lock:
            self.given_up = self.at == at and not self.ended
            return self.given_up


class Lookout(Generic[Content]):
    """Follows things by their names. Use from the hub's thread."""

    def __init__(
        self,
        followed: Mapping[str, Followed[Content]],
        *,
        clock: Clock,
        counters: Counters,
        thread_name: str,
        kind: str = "",
        then: Callable[[Sequence[Reading[Content]]], None] | None = None,
    ) -> None:
        """`kind` stands before the names where they are told. `then` is called in the thread with all that was read at
        one look, if anything was; it must not raise."""
        self._followed = followed
        self._clock = clock
        self._counters = counters
        self._thread_name = thread_name
        self._kind = kind
        self._then = then
        self._asked = threading.Event()
        self._begun_seconds = clock.monotonic_seconds()
        self._look: _Look[Content] | None = None
        self._at = "", 0.0
        """What the look was last found at, and since when."""
        self._at_seconds = 0.0
        self._threadless = False
        """Whether there was no thread for the last look."""
        self._silent: dict[str, tuple[_Look[Content], float]] = {}
        """Looks that were given up, by the things whose files they wait for; since when."""
        self._handled: dict[str, object] = {name: each.handled for name, each in followed.items()}
        """Of what was taken or refused."""
        self._seen: dict[str, object] = dict.fromkeys(followed, _NEVER)
        """At the last look."""
        self._again: dict[str, float] = {}
        """When those are read again that could not be read."""
        self._late: dict[str, tuple[Mark, Reading[Content]]] = {}
        """What was read at last by looks that had been given up: the next look takes it, if the files are the same."""

    @property
    def busy(self) -> bool:
        """Whether a thread looks or reads, or has read what `turn` has not handed out yet."""
        return self._look is not None

    @property
    def silent(self) -> tuple[str, ...]:
        """The things whose files have not answered for long."""
        return tuple(self._kind + name for name in self._silent)

    def ask(self) -> None:
        """Have all files read anew at the next turn, changed or not. May be called from a signal's handler."""
        self._asked.set()

    def turn(self) -> Sequence[Reading[Content]]:
        """One round of the hub's loop: never waits. What has been read since the last one."""
        now = self._clock.monotonic_seconds()
        for name, (look, since_seconds) in tuple(self._silent.items()):
            if not look.thread.is_alive():
                del self._silent[name]
                if look.late is not None:
                    self._late[name] = look.late
                waited_seconds = round(now - since_seconds)
                structlog.get_logger().info("files_answer", of=self._kind + name, waited_seconds=waited_seconds)
        if self._look is None:
            if self._asked.is_set() or now >= self._begun_seconds + LOOK_SECONDS:
                self._begin(now)
            return ()
        look = self._look
        if look.thread.is_alive():
            self._be_patient(look, now)
            return ()
        self._look = None
        if not look.ended:  # a fault of the program, told as that of any thread: nothing counts, all is read anew
            return ()
        self._seen |= look.seen
        self._handled |= look.handled
        self._again = {name: at for name, at in (self._again | look.again).items() if at > 0.0}
        self._late = {name: late for name, late in self._late.items() if name not in look.seen}
        return look.readings

    def close(self) -> None:
        """Wait a moment for a thread that reads; one that needs longer ends with the process, and nobody misses it."""
        if self._look is not None:
            self._look.thread.join(CLOSE_SECONDS)
            self._look = None

    def _begin(self, now: float) -> None:
        things = {name: each for name, each in self._followed.items() if name not in self._silent}
        if not things:
            return
        self._begun_seconds = self._at_seconds = now
        self._at = next(iter(things)), SILENT_SECONDS
        look = _Look[Content](self._asked.is_set(), self._at)
        look.thread = threading.Thread(target=self._run, args=(look, things, now), name=self._thread_name, daemon=True)
        try:
            look.thread.start()
        except RuntimeError as error:  # no thread is to be had: the hub goes on, and tries again
            if not self._threadless:
                structlog.get_logger().error("files_not_looked_at", of=self._thread_name, problem=str(error))
            self._threadless = True
            return
        self._threadless = False
        self._asked.clear()
        self._look = look

    def _be_patient(self, look: _Look[Content], now: float) -> None:
        """Give a look up that waits for one thing for too long: what it has read is read again by the next one."""
        if look.at != self._at:
            self._at, self._at_seconds = look.at, now
        (name, patience_seconds), waited_seconds = self._at, now - self._at_seconds
        if waited_seconds < patience_seconds or not look.give_up(self._at):
            return
        self._look = None
        self._silent[name] = look, self._at_seconds
        if look.asked:
            self._asked.set()
        self._counters.add("files_silent")
        structlog.get_logger().error("files_silent", of=self._kind + name, waited_seconds=round(waited_seconds))

    # In the thread

    def _run(self, look: _Look[Content], things: Mapping[str, Followed[Content]], now_seconds: float) -> None:
        for name, followed in things.items():
            if not look.turn_to(name, SILENT_SECONDS):
                return
            before, handled = self._seen[name], self._handled[name]
            look.seen[name] = now = followed.mark()
            again = now == handled and now_seconds >= self._again.get(name, inf)
            if not (look.asked or again or (now == before and now != handled)):
                continue
            if not look.turn_to(name, READING_SECONDS):
                return
            late_mark, late = self._late.get(name, (_NEVER, None))
            reading = late if late is not None and late_mark == now else _read(name, followed)
            if not look.turn_to(name, SILENT_SECONDS):
                look.late = now, reading
                return
            look.handled[name] = now
            if followed.mark() != now:
                continue  # it is read again when it rests
            unread = _is_unread(reading.error)
            look.again[name] = now_seconds + AGAIN_SECONDS if unread else 0.0
            if not (again and unread):  # that was told
                look.readings.append(reading)
        if look.end() and look.readings and self._then is not None:
            self._then(look.readings)


def _read(name: str, followed: Followed[Content]) -> Reading[Content]:
    try:
        return Reading(name, content=followed.read())
    except Exception as error:  # noqa: BLE001  # told by the hub's thread: a file must not end the box
        return Reading(name, error=error)


def _is_unread(error: Exception | None) -> bool:
    """Whether the file system has failed, so that the file may be good."""
    return isinstance(error, OSError) or (error is not None and isinstance(error.__cause__, OSError))
