"""The client library: events as typed values, and gaps as values too, so that nobody overlooks them.

    with Subscriber("tcp://127.0.0.1:7781", clock=SystemClock()) as subscriber:
        for item in subscriber.items(stop):
            match item:
                case Event(record=Hit() as hit): ...
                case Event(record=Sighting() as sighting): ...
                case Gap() as gap: ...

The sockets take every topic and the choice is made here: numbers are dense per box over all its topics, so only who
sees all of them can tell a missed event from one not asked for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import zmq

from anpr.bus.events import MAX_MESSAGE_BYTES, Heartbeat, Unknown, decode, topic_of
from anpr.bus.sockets import check_endpoint, set_common_options, told_as_bus_errors
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Event

MAX_BOXES = 4096
"""Numbers are remembered for so many boxes; whoever names more is not ours."""

_LOOK_SECONDS = 0.1
"""How soon a stop event is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Events of a box that will not come any more on the live feed; ask the box's store for them."""

    box: str
    epoch: int
    """Of the message that showed the gap."""
    first_seq: int
    last_seq: int
    reason: Literal["missed", "renumbered"]
    """`renumbered`: the box's numbers went back, its store was restored or replaced; what came before may come again,
    and events up to `last_seq` of the new numbering may be unknown here."""


Item = Event | Heartbeat | Gap


@dataclass(slots=True)
class _Link:
    """A connection to one publisher."""

    endpoint: str
    socket: zmq.Socket[bytes]
    heard_seconds: float
    """Monotonic time of the last message, or of the connection."""


class Subscriber:
    """Takes the events of one or more boxes. Make it, use it and close it in one thread."""

    def __init__(
        self,
        *endpoints: str,
        clock: Clock,
        topics: Sequence[str] = ("sighting.", "hit."),
        queue_messages: int = 10_000,
        silence_seconds: float = 10.0,
    ) -> None:
        """Connect to publishers, one per box, which may start later.

        `topics` are prefixes; `health.` also gives heartbeats. A connection on which not even a heartbeat came for
        `silence_seconds` is made anew: ZeroMQ itself reconnects after a broken connection, but never after a peer
        that spoke wrongly. Raises BusError if an endpoint is wrong.
        """
        if not endpoints:
            raise BusError("there is nobody to listen to", cure="give an endpoint, like tcp://127.0.0.1:7781")
        for endpoint in endpoints:
            check_endpoint(endpoint)
        self.endpoints = endpoints
        self.topics = tuple(topics)
        self.counters = Counters()
        self.positions: dict[str, tuple[int, int]] = {}
        """Per box: epoch and number of the newest event known."""
        self._clock = clock
        self._silence_seconds = silence_seconds
        self._waiting: deque[Item] = deque()
        self._links: list[_Link] = []
        self._poller = zmq.Poller()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            for endpoint in endpoints:
                socket = self._context.socket(zmq.SUB)
                set_common_options(socket, endpoint, max_message_bytes=MAX_MESSAGE_BYTES)
                socket.rcvhwm = queue_messages
                socket.reconnect_ivl = 100
                socket.reconnect_ivl_max = 500  # what is published before the connection stands is missed
                socket.subscribe(b"")
                with told_as_bus_errors(endpoint, cure="give tcp://host:port or ipc://path"):
                    socket.connect(endpoint)
                self._poller.register(socket, zmq.POLLIN)
                self._links.append(_Link(endpoint, socket, clock.monotonic_seconds()))
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def __repr__(self) -> str:
        return f"Subscriber({', '.join(self.endpoints)}, topics={self.topics})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def receive(self, timeout_seconds: float) -> Item | None:
        """The next item, or None if nothing came in time. Messages that are not ours are counted and left out."""
        if self._context.closed:
            raise BusError("the subscriber is closed", place=", ".join(self.endpoints))
        until_seconds = self._clock.monotonic_seconds() + timeout_seconds
        while not self._waiting:
            left_seconds = max(0.0, until_seconds - self._clock.monotonic_seconds())
            wait_seconds = min(left_seconds, self._silence_seconds)
            with told_as_bus_errors(", ".join(self.endpoints), cure="use a subscriber in the thread that made it"):
                ready = dict(self._poller.poll(round(wait_seconds * 1000)))
                for link in self._links:
                    if link.socket in ready:
                        link.heard_seconds = self._clock.monotonic_seconds()
                        self._waiting.extend(self._take(link.socket.recv_multipart()))
                    else:
                        self._reconnect_if_silent(link)
            if left_seconds == 0.0 or (not ready and wait_seconds == left_seconds):
                break
        return self._waiting.popleft() if self._waiting else None

    def items(self, stop: threading.Event) -> Iterator[Item]:
        """Items as they come, until `stop` is set."""
        while not stop.is_set():
            item = self.receive(_LOOK_SECONDS)
            if item is not None:
                yield item

    def close(self) -> None:
        """Close the connections. Closing twice does no harm."""
        self._context.destroy(linger=0)

    def _reconnect_if_silent(self, link: _Link) -> None:
        now_seconds = self._clock.monotonic_seconds()
        if now_seconds - link.heard_seconds > self._silence_seconds:
            link.heard_seconds = now_seconds
            link.socket.disconnect(link.endpoint)
            link.socket.connect(link.endpoint)
            self.counters.add("reconnections", reason="silence")

    def _take(self, frames: list[bytes]) -> Iterator[Item]:
        try:
            thing = _open(frames)
        except BusError:
            self.counters.add("messages_dropped", reason="not ours")
            return
        if thing.box not in self.positions and len(self.positions) >= MAX_BOXES:
            self.counters.add("messages_dropped", reason="too many boxes")
            return
        gap = self._advance(thing)
        if gap is not None:
            self.counters.add("events_missed", gap.last_seq - gap.first_seq + 1, reason=gap.reason)
            yield gap
        if isinstance(thing, Unknown):
            self.counters.add("messages_dropped", reason="unknown type")
        elif topic_of(thing).startswith(self.topics):
            yield thing
        else:
            self.counters.add("messages_dropped", reason="other topic")

    def _advance(self, thing: Event | Heartbeat | Unknown) -> Gap | None:
        """Note the message's number; the gap that it shows."""
        seq = thing.last_seq if isinstance(thing, Heartbeat) else thing.seq
        known = self.positions.get(thing.box)
        self.positions[thing.box] = (thing.epoch, seq)
        if known is None:
            return None
        _, newest = known
        missed_to = seq if isinstance(thing, Heartbeat) else seq - 1
        if seq < newest or (seq == newest and isinstance(thing, Event)):
            return Gap(box=thing.box, epoch=thing.epoch, first_seq=1, last_seq=missed_to, reason="renumbered")
        if missed_to > newest:
            return Gap(box=thing.box, epoch=thing.epoch, first_seq=newest + 1, last_seq=missed_to, reason="missed")
        return None


def _open(frames: list[bytes]) -> Event | Heartbeat | Unknown:
    """The message in `frames`. Raises BusError."""
    if len(frames) != 2:
        raise BusError(f"a message of {len(frames)} frames is not ours", cure="see who publishes on this endpoint")
    topic, payload = frames
    thing = decode(payload)
    if not isinstance(thing, Unknown) and topic_of(thing).encode() != topic:
        raise BusError("a message's topic is not that of its event", cure="see who publishes on this endpoint")
    return thing
