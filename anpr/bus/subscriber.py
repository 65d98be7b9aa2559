"""The client library: events as typed values, and gaps as values too, so that nobody overlooks them.

    with Subscriber("tcp://127.0.0.1:7781", clock=SystemClock()) as subscriber:
        for item in subscriber.items(stop):
            match item:
                case Event(record=Hit() as hit): ...
                case Event(record=Sighting() as sighting): ...
                case VolatileHit(hit=hit): ...  # not on disk: it comes again with a number, unless the box dies
                case Gap() as gap: ...

The sockets take every topic and the choice is made here: numbers are dense per box over all its topics, so only who
sees all of them can tell a missed event from one not asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import zmq

from anpr.bus.events import MAX_MESSAGE_BYTES, Heartbeat, Thing, Unknown, VolatileHit, decode, topic_of
from anpr.bus.gap import Gap
from anpr.bus.keys import ClientKeys
from anpr.bus.link import Link
from anpr.bus.reader import Reader
from anpr.bus.sockets import told_as_bus_errors
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Event

MAX_BOXES = 4096
"""Numbers are remembered for so many boxes; whoever names more is not ours."""

_NO_WAIT = int(zmq.NOBLOCK)
_AT_ONCE = 64
"""Messages taken from one connection before the others have their turn."""


Item = Thing | Gap


class Subscriber(Reader[Item]):
    """Takes the events of one or more boxes. Make it, use it and close it in one thread."""

    def __init__(
        self,
        *endpoints: str,
        clock: Clock,
        topics: Sequence[str] = ("sighting.", "hit.", "volatile."),
        silence_seconds: float = 10.0,
        keys: ClientKeys | None = None,
        positions: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Connect to publishers, one per box, which may start later.

        `topics` are prefixes; `health.` also gives heartbeats. A connection on which not even a heartbeat came for
        `silence_seconds` is made anew. `keys` must be given if the box encrypts. `positions` are those of an earlier
        subscriber: what was missed since then is told. What comes while nobody takes it waits in memory. Raises
        BusError if an endpoint is wrong.
        """
        if not endpoints:
            raise BusError("there is nobody to listen to", cure="give an endpoint, like tcp://127.0.0.1:7781")
        super().__init__(place=", ".join(endpoints), clock=clock)
        self.endpoints = endpoints
        self.topics = tuple(topics)
        self.counters = Counters()
        self.positions: dict[str, tuple[int, int]] = dict(positions or {})
        """Per box: epoch and number of the newest event known."""
        self._messages: deque[list[zmq.Frame]] = deque()
        """Received, and not read yet."""
        self._waiting: deque[Item] = deque()
        self._links: list[Link] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

        try:
            for endpoint in endpoints:
                link = Link(
                    self._context,
                    zmq.SUB,
                    endpoint,
                    clock=clock,
                    counters=self.counters,
                    keys=keys,
                    max_message_bytes=MAX_MESSAGE_BYTES,
                    longest_wait_seconds=0.5,  # what is published before the connection stands is missed
                    silence_seconds=silence_seconds,
                )
                link.socket.subscribe(b"")
                self._links.append(link)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def __repr__(self) -> str:
        return f"Subscriber({', '.join(self.endpoints)}, topics={self.topics})"

    @property
    def problem(self) -> str:
        """Why a box cannot be heard, as far as one can know; empty if all is well."""
        return next((f"{link.endpoint}: {link.problem}" for link in self._links if link.problem), "")

    def take(self) -> Item | None:
        """The next item if there is one already; does not wait."""
        if not self._waiting and not self._messages:
            self._receive()
        while self._messages and not self._waiting:
            self._note(self._messages.popleft())
        return self._waiting.popleft() if self._waiting else None

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """What becomes readable when there may be something to `take`."""
        return tuple(socket for link in self._links for socket in (link.socket, link.monitor))

    def close(self) -> None:
        """Close the connections. Closing twice does no harm."""
        self._context.destroy(linger=0)

    def _receive(self) -> None:
        """Take in what has come; it is read one by one, when it is asked for: thousands of values that wait would keep
        the garbage collector busy."""
        if self._context.closed:
            raise BusError("the subscriber is closed", place=self._place)
        with told_as_bus_errors(self._place, cure="use a subscriber in the thread that made it"):
            for link in self._links:
                if self._receive_from(link) and link.heard_seconds < link.look_at_seconds:
                    continue  # the connection stands, and was looked at a moment ago
                link.turn()

    def _receive_from(self, link: Link) -> bool:
        """Whether something came."""
        for number in range(_AT_ONCE):
            try:  # frames are not copied, and know whether more follow: that makes the two half as dear
                frames = [link.socket.recv(_NO_WAIT, copy=False)]
                while frames[-1].more:
                    frames.append(link.socket.recv(_NO_WAIT, copy=False))
            except zmq.Again:
                return number > 0
            if not number:
                link.heard_seconds = self._clock.monotonic_seconds()
            self._messages.append(frames)
        return True

    def _note(self, frames: Sequence[zmq.Frame]) -> None:
        """Put what a message says to what waits."""
        try:
            topic, thing = _open(frames)
        except BusError:
            self.counters.add("messages_dropped", reason="not ours")
            return
        known = self.positions.get(thing.box)
        if known is None and len(self.positions) >= MAX_BOXES:
            self.counters.add("messages_dropped", reason="too many boxes")
            return
        if isinstance(thing, Event) and known == (thing.epoch, thing.seq - 1):
            self.positions[thing.box] = (thing.epoch, thing.seq)  # the next one, as nearly always
        else:
            self._note_gap(thing)
        if isinstance(thing, Unknown):
            self.counters.add("messages_dropped", reason="unknown type")
        elif topic.startswith(self.topics):
            self._waiting.append(thing)
        else:
            self.counters.add("messages_dropped", reason="other topic")

    def _note_gap(self, thing: Thing | Unknown) -> None:
        gap = self._advance(thing)
        if gap is not None:
            if gap.reason != "earlier":
                self.counters.add("events_missed", gap.last_seq - gap.first_seq + 1, reason=gap.reason)
            self._waiting.append(gap)

    def _advance(self, thing: Thing | Unknown) -> Gap | None:
        """Note the message's number; the gap that it shows."""
        without_number = isinstance(thing, Heartbeat | VolatileHit)
        seq = thing.last_seq if isinstance(thing, Heartbeat | VolatileHit) else thing.seq
        known = self.positions.get(thing.box)
        self.positions[thing.box] = (thing.epoch, seq)
        missed_to = seq if without_number else seq - 1
        if known is None:
            if missed_to:
                return Gap(box=thing.box, epoch=thing.epoch, first_seq=1, last_seq=missed_to, reason="earlier")
            return None
        epoch, newest = known
        if thing.epoch < epoch or seq < newest or (seq == newest and isinstance(thing, Event)):
            return Gap(box=thing.box, epoch=thing.epoch, first_seq=1, last_seq=missed_to, reason="renumbered")
        if missed_to > newest:
            return Gap(box=thing.box, epoch=thing.epoch, first_seq=newest + 1, last_seq=missed_to, reason="missed")
        return None


def _open(frames: Sequence[zmq.Frame]) -> tuple[str, Thing | Unknown]:
    """Topic and message. Raises BusError."""
    if len(frames) != 2:
        raise BusError(f"a message of {len(frames)} frames is not ours", cure="see who publishes on this endpoint")
    topic, payload = frames
    thing = decode(payload.buffer)
    if isinstance(thing, Unknown):
        return "", thing
    text = topic_of(thing)
    if text.encode() != topic.bytes:
        raise BusError("a message's topic is not that of its event", cure="see who publishes on this endpoint")
    return text, thing
