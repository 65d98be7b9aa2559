"""The consumer's half of the reliable link, without sockets or clocks: frames in, events and requests out."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass

from anpr.bus.cursor import Cursor
from anpr.bus.events import Thing, Unknown, decode, event_id
from anpr.bus.gap import Gap, GapReason
from anpr.bus.protocol import (
    LANES,
    Alive,
    Goodbye,
    Hello,
    Lane,
    Position,
    Progress,
    Sent,
    Welcome,
    decode_reply,
)
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Event

_CURES = {
    "replaced": "see who else uses this name: each consumer needs a name of its own",
    "unknown consumer": "name it in the box's site file, under [[bus.consumers]]",
    "wrong key": "use the key that bears the consumer's name",
    "protocol": "see whether both sides have the same anpr",
}
_PROBLEMS = {
    "replaced": "another consumer of this name has taken over",
    "unknown consumer": "the box knows no consumer of this name",
    "wrong key": "this key belongs to another name",
    "protocol": "the box did not understand us",
}


@dataclass(frozen=True, slots=True)
class _Taken:
    """Something that came, for as long as it is not acknowledged."""

    lane: Lane
    position: Position
    event: Event | None
    """None: it could not be understood, or there was none; acknowledged with what follows."""


class Conversation:
    """One consumer's side."""

    def __init__(
        self,
        consumer: str,
        *,
        place: str,
        cursor: Cursor | None,
        after_seq: int | None,
        window: int,
        counters: Counters,
    ) -> None:
        self.counters = counters
        self.box = cursor.box if cursor else ""
        self.epoch = cursor.epoch if cursor else 0
        self.open = False
        """Whether the box has welcomed us."""
        self.last_seq = 0
        """The box's newest event, as far as we heard."""
        self._consumer = consumer
        self._place = place
        self._window = window
        self._after_seq = after_seq
        self._instance = uuid.uuid4().hex
        self._session = 0
        self._taken = 0
        self._told_taken = 0
        self._safe: dict[Lane, Position] = {"hits": cursor.hits, "rest": cursor.rest} if cursor else {}
        """Acknowledged; without a lane: the box knows it, we do not."""
        self._held: dict[Lane, Position] = dict(self._safe)
        """Arrived."""
        self._arrived: deque[_Taken] = deque()
        self._given: deque[_Taken] = deque()
        """Given out, and not acknowledged."""
        self._told: dict[Lane, Position] = {}
        """Acknowledgements that the box was told in this session."""

    @property
    def cursor(self) -> Cursor | None:
        """What is acknowledged; None as long as neither we nor the box have said so."""
        if len(self._safe) < len(LANES):
            return None
        return Cursor(
            consumer=self._consumer,
            box=self.box,
            epoch=self.epoch,
            hits=self._safe["hits"],
            rest=self._safe["rest"],
        )

    def hello(self) -> Hello:
        """Begin anew, where we are."""
        self._session += 1
        self.open = False
        self._taken = self._told_taken = 0
        self._told = {}
        return Hello(
            consumer=self._consumer,
            instance=self._instance,
            session=self._session,
            window=self._window,
            hits=self._held.get("hits"),
            rest=self._held.get("rest"),
            after_seq=self._after_seq,
        )

    def progress(self, *, due: bool, room: bool = True) -> Progress | None:
        """What the box should know: always if `due`, else only if there is something worth a message.

        Without `room` what came since the last time is not told as taken, so that no more comes in its place.
        """
        taken = self._taken if room else self._told_taken
        told = self._safe == self._told and taken == self._told_taken
        if not self.open or (told and not due):
            return None
        self._told, self._told_taken = dict(self._safe), taken
        return Progress(session=self._session, taken=taken, hits=self._safe["hits"].seq, rest=self._safe["rest"].seq)

    @property
    def owes(self) -> int:
        """Events taken that the box does not know to be taken."""
        return self._taken - self._told_taken

    @property
    def session(self) -> int:
        """Number of the last hello."""
        return self._session

    @property
    def unacknowledged(self) -> int:
        """Events given out and not acknowledged."""
        return len(self._given)

    def give(self, event: Event) -> None:
        """It is given out now, and may be acknowledged."""
        if not any(taken.event is event for taken in self._arrived):
            return  # of numbers that do not count any more
        while True:
            taken = self._arrived.popleft()
            self._given.append(taken)
            if taken.event is event:
                return

    def acknowledge(self, event: Event | None) -> bool:
        """All that was given out up to `event`, or all, is safe; False if that changes nothing."""
        until = len(self._given)
        if event is not None:
            until = next((at for at, taken in enumerate(self._given, 1) if taken.event == event), 0)
        count = 0
        for _ in range(until):
            taken = self._given.popleft()
            self._safe[taken.lane] = taken.position
            count += taken.event is not None
        while not self._given and self._arrived and self._arrived[0].event is None:
            taken = self._arrived.popleft()
            self._safe[taken.lane] = taken.position
        if count:
            self.counters.add("events_acknowledged", count)
        return until > 0

    def hear(self, frames: list[bytes]) -> tuple[list[Event | Gap], bool]:
        """What the box said: what is to be given out, and whether we must say hello again.

        Raises BusError if the box refuses us.
        """
        try:
            reply = decode_reply(frames[0])
            if len(frames) != (2 if isinstance(reply, Sent) else 1):
                raise BusError(f"a message of {len(frames)} frames is not ours")
        except BusError:
            self.counters.add("messages_dropped", reason="not ours")
            return [], False
        if reply.session != self._session:
            self.counters.add("messages_dropped", reason="earlier session")
            return [], False
        match reply:
            case Welcome():
                return ([] if self.open else self._begin(reply)), False
            case Goodbye(reason="unknown session" | "stopping"):
                self.open = False
                return [], reply.reason == "unknown session"
            case Goodbye():
                raise BusError(_PROBLEMS[reply.reason], place=self._place, cure=_CURES[reply.reason])
            case Alive():
                return [], self.open and not self._note_alive(reply)
            case Sent():
                return self._take(reply, frames[1])

    def _note_alive(self, alive: Alive) -> bool:
        """False if something of what was sent has not come."""
        self.last_seq = alive.last_seq
        if (self._held["hits"].seq, self._held["rest"].seq) != (alive.hits, alive.rest):
            self.open = False
            self.counters.add("sessions_broken", reason="tail")
            return False
        for lane, position in (("hits", alive.hits_to), ("rest", alive.rest_to)):
            if position is not None:
                self._hold(lane, position, None)  # type: ignore[arg-type]
        return True

    def _hold(self, lane: Lane, position: Position, event: Event | None) -> None:
        """It has arrived, and is acknowledged with what comes before it."""
        self._held[lane] = position
        if event is None and not self._arrived and not self._given:
            self._safe[lane] = position
            return
        last = self._arrived[-1] if self._arrived else None
        if event is None and last is not None and last.event is None and last.lane == lane:
            self._arrived.pop()  # a lane that stays empty while another waits moves on every second
        self._arrived.append(_Taken(lane, position, event))

    def _begin(self, welcome: Welcome) -> list[Event | Gap]:
        starts: dict[Lane, Position] = {"hits": welcome.hits, "rest": welcome.rest}
        gaps: list[Event | Gap] = []
        other_box = self.box not in ("", welcome.box)
        if welcome.renumbered or other_box:
            first = min(position.seq for position in starts.values()) + 1
            gaps.append(self._gap(welcome, first, welcome.last_seq, "renumbered"))
        elif welcome.expired_after is not None:
            kept_after = min(position.seq for position in starts.values())
            gaps.append(self._gap(welcome, welcome.expired_after + 1, kept_after, "expired"))
        if welcome.renumbered or other_box or not self._safe or self._after_seq is not None:
            self._arrived.clear()
            self._given.clear()
            self._safe = dict(starts)
        self._held = starts
        self._after_seq = None
        self.box, self.epoch, self.last_seq, self.open = welcome.box, welcome.epoch, welcome.last_seq, True
        self.counters.add("sessions_opened")
        return gaps

    def _gap(self, welcome: Welcome, first_seq: int, last_seq: int, reason: GapReason) -> Gap:
        self.counters.add("gaps_told", reason=reason)
        return Gap(box=welcome.box, epoch=welcome.epoch, first_seq=first_seq, last_seq=last_seq, reason=reason)

    def _take(self, sent: Sent, payload: bytes) -> tuple[list[Event | Gap], bool]:
        if not self.open:
            return [], False
        if sent.seq <= self._held[sent.lane].seq:
            self.counters.add("messages_dropped", reason="repeated")
            return [], False
        if sent.previous != self._held[sent.lane].seq:
            self.open = False
            self.counters.add("sessions_broken", reason="hole")
            return [], True
        self._taken += 1
        thing: Thing | Unknown | None = None
        try:
            thing = decode(payload)
        except BusError:
            self.counters.add("messages_dropped", reason="not ours")
        event = thing if isinstance(thing, Event) and thing.seq == sent.seq else None
        name = event_id(event) if event is not None else ""
        if isinstance(thing, Unknown):
            self.counters.add("messages_dropped", reason="unknown type")
            name = thing.id
        position = Position(sent.seq, name)
        self._hold(sent.lane, position, event)
        if event is None:
            return [], False
        self.counters.add("events_received", reason=sent.lane)
        return [event], False
