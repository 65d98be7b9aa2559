"""One consumer's session: what it was sent, what it has taken, what is safe with it (no sockets here)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anpr.bus.connections import Peer
from anpr.bus.protocol import LANES, Hello, Lane, Position
from anpr.records import Event

LEAST_IN_FLIGHT = 16
RESERVED_SHARE = 8
"""An eighth of the room is kept for hits."""
SLOW_SECONDS = 1.0
"""A consumer that takes longer than this for what is on its way gets less of it at once …"""
QUICK_SECONDS = 0.5
"""… and one that is quicker than this gets more: a hit must not wait behind a queue."""
READ_AHEAD = 64
BURST_SECONDS = 0.25
"""Of its rate, what a consumer may get at once."""


class Log(Protocol):
    """What the bus asks of the store."""

    @property
    def first_seq(self) -> int:
        """Number of the oldest event that is kept; if there is none, that of the next."""
        ...

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0 if there is none."""
        ...

    def read(self, lane: Lane, *, after_seq: int, limit: int) -> Sequence[Event]:
        """Up to `limit` events of a lane after a number, in order."""
        ...

    def event_at(self, seq: int) -> Event | None:
        """One event."""
        ...

    def positions(self) -> dict[str, tuple[int, int]]:
        """What each consumer has acknowledged: numbers of the `hits` and the `rest` lane."""
        ...

    def save_positions(self, positions: dict[str, tuple[int, int]]) -> None:
        """Keep it, durably."""
        ...


@dataclass(slots=True)
class LaneState:
    """One lane to one consumer."""

    lane: Lane
    sent: int
    acknowledged: int
    looked_to: int = 0
    """Up to this number there is nothing more to read in this lane."""
    read_to: int = 0
    """Number of the last event read from the log, sent or not."""
    ahead: deque[Event] = field(default_factory=deque)
    """Read from the log, not sent yet."""
    expired: bool = False
    """The log keeps some events no more that were still to be sent."""

    def next(self, log: Log, last_seq: int) -> Event | None:
        """The event to be sent next; `sent` is for the caller to move. Raises StoreError."""
        if not self.ahead and self.looked_to < last_seq:
            after_seq = max(self.sent, self.read_to)
            found = log.read(self.lane, after_seq=after_seq, limit=READ_AHEAD)
            self.expired = log.first_seq > after_seq + 1
            if self.expired:
                return None
            self.ahead.extend(found)
            if self.ahead:
                self.read_to = self.ahead[-1].seq
            else:
                self.looked_to = last_seq
        return self.ahead[0] if self.ahead else None

    def all_sent(self, last_seq: int) -> bool:
        """Whether the lane holds nothing that was not sent."""
        return not self.ahead and self.looked_to >= last_seq

    def skip_to(self, seq: int) -> None:
        """There is nothing in between."""
        if self.acknowledged >= self.sent:
            self.acknowledged = seq
        self.sent = seq

    def behind(self, last_seq: int) -> int:
        """How many numbers, of all lanes, lie after the last that is safe; 0 if all of this lane is."""
        done = self.all_sent(last_seq) and self.acknowledged >= self.sent
        return 0 if done else last_seq - self.acknowledged


@dataclass(slots=True)
class Allowance:
    """How many events of the rest lane a consumer's rate lets it have now; it outlives its sessions."""

    most_per_second: float
    events: float
    looked_at_seconds: float

    @classmethod
    def full(cls, most_per_second: float, now: float) -> Allowance:
        """What may come at once."""
        return cls(most_per_second, most_per_second * BURST_SECONDS, now)

    def grow(self, now: float) -> None:
        """By what the time since the last call is worth."""
        most = max(1.0, self.most_per_second * BURST_SECONDS)
        self.events = min(most, self.events + (now - self.looked_at_seconds) * self.most_per_second)
        self.looked_at_seconds = now


@dataclass(slots=True)
class Session:
    """From a hello to the end of its connection."""

    consumer: str
    peer: bytes
    """The socket's name for the connection."""
    instance: str
    number: int
    connection: Peer
    most_in_flight: int
    allowance: Allowance
    lanes: dict[Lane, LaneState]
    heard_seconds: float
    window: int = LEAST_IN_FLIGHT * 4
    """Events that may be on their way now, between LEAST_IN_FLIGHT and `most_in_flight`."""
    sent: int = 0
    taken: int = 0
    _probe: tuple[int, float] | None = None
    """How many had been sent when the clock was looked at, to see how long they take."""

    @classmethod
    def begin(
        cls,
        consumer: str,
        *,
        peer: bytes,
        instance: str,
        number: int,
        connection: Peer,
        most_in_flight: int,
        allowance: Allowance,
        starts: dict[Lane, Position],
        acknowledged: dict[Lane, int],
        now: float,
    ) -> Session:
        """Nothing is sent yet."""
        lanes = {lane: LaneState(lane, starts[lane].seq, acknowledged[lane]) for lane in LANES}
        session = cls(consumer, peer, instance, number, connection, most_in_flight, allowance, lanes, now)
        session.window = min(session.window, most_in_flight)
        return session

    def has_answered(self, hello: Hello) -> bool:
        """Whether this session began with that hello, or with a later one of the same consumer."""
        return hello.instance == self.instance and hello.session <= self.number

    def room(self, lane: Lane) -> int:
        """How many events of a lane may be sent now."""
        free = self.window - (self.sent - self.taken)
        if lane == "hits":
            return free
        reserved = min(max(1, self.window // RESERVED_SHARE), self.window - 1)  # one place is for whatever comes
        return min(free - reserved, int(self.allowance.events))

    def note_sent(self, event: Event, lane: Lane, now: float) -> None:
        """It is on its way."""
        state = self.lanes[lane]
        state.ahead.popleft()
        state.sent = event.seq
        self.sent += 1
        if lane == "rest":
            self.allowance.events -= 1.0
        if self._probe is None:
            self._probe = (self.sent, now)

    def note_taken(self, taken: int, now: float) -> bool:
        """The consumer has taken so many in all; False if that cannot be. An older word may come later."""
        self.heard_seconds = now
        if taken <= self.taken or taken > self.sent:
            return taken <= self.taken
        self.taken = taken
        if self._probe is not None and taken >= self._probe[0]:
            seconds = now - self._probe[1]
            if seconds > SLOW_SECONDS:
                self.window = max(min(LEAST_IN_FLIGHT, self.most_in_flight), self.window // 2)
            elif seconds < QUICK_SECONDS:
                self.window = min(self.most_in_flight, self.window * 2)
            self._probe = None
        return True

    def note_acknowledged(self, lane: Lane, seq: int) -> int | None:
        """Up to `seq` all of a lane is safe; how far that moved, None if it was never sent."""
        state = self.lanes[lane]
        if seq > state.sent:
            return None
        moved = max(0, seq - state.acknowledged)
        state.acknowledged += moved
        return moved

    def behind(self, last_seq: int) -> int:
        """Numbers after the last below which all is safe."""
        return max(state.behind(last_seq) for state in self.lanes.values())
