"""The reliable client: every event of a box at least once, in the order of its lane, until it is acknowledged.

    with DurableSubscriber("tcp://127.0.0.1:7783", "ioc", clock=SystemClock(), cursor=Path("ioc.cursor")) as subscriber:
        for item in subscriber.items(stop):
            match item:
                case Event(record=Hit() as hit): ...
                case Gap() as gap: ...
            subscriber.ack()

What is not acknowledged comes again after a restart, with the same ids: whoever stores an event keeps it by its id.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import zmq

from anpr.bus.conversation import Conversation
from anpr.bus.cursor import read_cursor, write_cursor
from anpr.bus.events import MAX_MESSAGE_BYTES
from anpr.bus.gap import Gap
from anpr.bus.keys import ClientKeys
from anpr.bus.link import Link
from anpr.bus.protocol import MOST_IN_FLIGHT, Leave, Request, encode_frame
from anpr.bus.reader import Reader
from anpr.bus.sockets import told_as_bus_errors
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Event

PROGRESS_SECONDS = 1.0
"""How often the box is told how far we are, also if that is no news."""
SOON_SECONDS = 0.05
"""How long an acknowledgement may wait for others to share its message."""
HELLO_AGAIN_SECONDS = 0.5
"""Without an answer."""
SILENCE_SECONDS = 5.0
"""The box speaks once a second."""
_AT_ONCE = 64
_MOST_WAITING = 4
"""Windows of events that `tell` lets wait here: each new connection may bring one."""
_LINGER_MILLISECONDS = 200


class DurableSubscriber(Reader[Event | Gap]):
    """A named consumer of one box. Make it, use it and close it in one thread."""

    def __init__(
        self,
        endpoint: str,
        consumer: str,
        *,
        clock: Clock,
        cursor: Path | None = None,
        after_seq: int | None = None,
        keys: ClientKeys | None = None,
        window: int = 256,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Connect to a box, which may start later.

        `consumer` is a name that the box's site file has under `[[bus.consumers]]`; one process at a time may use it.
        `cursor` is a file that remembers what was acknowledged; without it, the box does. `after_seq` asks for all
        events after a number again. `window` is how many events may be on their way. Raises BusError if the endpoint,
        the cursor or a key is wrong.
        """
        super().__init__(place=endpoint, clock=clock)
        if not 1 <= window <= MOST_IN_FLIGHT:
            raise BusError(f"a window of {window} is not possible", cure=f"give 1 to {MOST_IN_FLIGHT}")
        self.counters = Counters()
        self._cursor = cursor
        self._waiting: deque[Event | Gap] = deque()
        self._window = window
        self._progress_at_seconds = 0.0
        self._hello_at_seconds = 0.0
        self._talk = Conversation(
            consumer,
            place=endpoint,
            cursor=read_cursor(cursor, consumer=consumer) if cursor is not None else None,
            after_seq=after_seq,
            window=window,
            counters=self.counters,
        )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

        try:
            self._link = Link(
                self._context,
                zmq.DEALER,
                endpoint,
                clock=clock,
                counters=self.counters,
                keys=keys,
                max_message_bytes=MAX_MESSAGE_BYTES,
                longest_wait_seconds=5.0,
                silence_seconds=silence_seconds,
            )
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def __repr__(self) -> str:
        return f"DurableSubscriber({self._place!r}, box={self._talk.box!r}, open={self._talk.open})"

    @property
    def problem(self) -> str:
        """Why the box cannot be heard, as far as one can know; empty if all is well."""
        return self._link.problem

    @property
    def last_seq(self) -> int:
        """The box's newest event, as far as it told us: 0 before it has."""
        return self._talk.last_seq

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """What becomes readable when there may be something to `take`."""
        return self._link.socket, self._link.monitor

    def take(self) -> Event | Gap | None:
        """The next event or gap if there is one already; does not wait. Raises BusError if the box refuses us."""
        if not self._waiting:
            self._attend()
        if not self._waiting:
            return None
        item = self._waiting.popleft()
        if isinstance(item, Event):
            self._talk.give(item)
        return item

    def ack(self, event: Event | None = None) -> None:
        """All that was taken up to `event`, or all that was taken, is safe here: it need never come again.

        The cursor file is on disk when this returns. Raises BusError if it cannot be written.
        """
        if not self._talk.acknowledge(event):
            return
        cursor = self._talk.cursor
        if self._cursor is not None and cursor is not None:
            write_cursor(self._cursor, cursor)
        if self._clock.monotonic_seconds() - self._progress_at_seconds > SOON_SECONDS:
            self._tell_progress()

    def tell(self) -> None:
        """Tell the box that we live, and how far we are, without taking anything: for who is busy for long.

        What the box says meanwhile is heard, so that the connection stands: two windows of events wait for `take`.
        Raises BusError if the box refuses us.
        """
        if len(self._waiting) < _MOST_WAITING * self._window:
            self._attend(room=False)
        else:
            self._tell_progress(room=False)

    def close(self) -> None:
        """Tell the box what was acknowledged, and go. Closing twice does no harm."""
        if self._context.closed:
            return
        if self._talk.open:
            self._tell_progress(due=True)
            self._send(Leave(session=self._talk.session))
        self._context.destroy(linger=_LINGER_MILLISECONDS)

    def _attend(self, *, room: bool = True) -> None:
        """See how the connection stands, hear what has come, and say how far we are."""
        if self._context.closed:
            raise BusError("the subscriber is closed", place=self._place)
        with told_as_bus_errors(self._place, cure="use a subscriber in the thread that made it"):
            self._speak(new=self._link.turn())
            self._hear()
            self._tell_progress(room=room)

    def _speak(self, *, new: bool) -> None:
        """Say hello to a connection that is new, or that gave no answer."""
        now = self._clock.monotonic_seconds()
        if new or (self._link.connected and not self._talk.open and now >= self._hello_at_seconds):
            self._hello_at_seconds = now + HELLO_AGAIN_SECONDS
            self._send(self._talk.hello())

    def _hear(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                frames = self._link.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._link.heard_seconds = self._clock.monotonic_seconds()
            items, again = self._talk.hear(frames)
            self._waiting.extend(items)
            if again:
                self._speak(new=True)

    def _tell_progress(self, *, due: bool = False, room: bool = True) -> None:
        now = self._clock.monotonic_seconds()
        waited = now - self._progress_at_seconds
        if due or not self._waiting or self._talk.owes >= self._window // 4 or waited >= SOON_SECONDS:
            progress = self._talk.progress(due=due or waited >= PROGRESS_SECONDS, room=room)
            if progress is not None:
                self._progress_at_seconds = now
                self._send(progress)

    def _send(self, request: Request) -> None:
        try:
            if self._link.connected:  # a request is for a connection that stands
                self._link.socket.send(encode_frame(request), zmq.NOBLOCK)
                return
        except zmq.Again:
            pass
        self.counters.add("requests_unsent")  # nobody is there; a hello follows when somebody is
