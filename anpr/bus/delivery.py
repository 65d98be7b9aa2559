"""The reliable feed: a ROUTER socket that sends each named consumer what the log holds until it has acknowledged it.

The log is the outbox: nothing is copied, and what was committed a moment before a crash is sent in the next life. A
consumer says hello with what it holds and is sent what follows; what it acknowledges is written to the log's store once
a second. A crash in between sends a little twice, with the same ids, and loses nothing. All runs in the owner's loop: a
turn does a bounded amount of work, and never waits for anybody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
import zmq

from anpr.bus.connections import Peer
from anpr.bus.door import BoundSocket, Door
from anpr.bus.events import encode, event_id
from anpr.bus.hit_times import HitTimes
from anpr.bus.protocol import (
    LANES,
    MAX_REQUEST_BYTES,
    MOST_IN_FLIGHT,
    Alive,
    Farewell,
    Goodbye,
    Hello,
    Lane,
    Leave,
    Position,
    Progress,
    Reply,
    Request,
    Sent,
    Welcome,
    decode_request,
    encode_frame,
)
from anpr.bus.session import Allowance, LaneState, Log, Session
from anpr.bus.sparing import Sparing
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Event

ALIVE_SECONDS = 1.0
SAVE_SECONDS = 1.0
"""How often acknowledgements are written down."""
SILENT_SECONDS = 30.0
"""A consumer without a word for so long has no session any more; it gets a new one when it speaks again."""
MOST_REQUESTS = 1000
"""Taken in one turn."""
MOST_REMEMBERED = 256
"""Events whose JSON is kept, some 500 KB: consumers that keep up take it from there."""
TURN_SECONDS = 0.05
"""How long one turn may send."""
MOST_TOLD = 10
"""How often a consumer's coming, and its going, is told in the log within a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """Somebody who may acknowledge."""

    name: str
    from_oldest: bool = True
    """Where one begins that has acknowledged nothing yet: with the oldest event, or with the next."""
    most_per_second: float = 5000.0
    """Sightings and coverage; hits are not held back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a consumer fares."""

    name: str
    connected: bool
    behind: int
    """Numbers after the last up to which it has acknowledged all."""
    in_flight: int
    position: int
    """That last number."""
    acknowledged: int
    """How far it has come since the bus was opened."""


class Delivery:
    """Make it, use it and close its door in one thread."""

    def __init__(
        self,
        endpoint: str,
        *,
        box: str,
        epoch: int,
        log: Log,
        consumers: Sequence[Consumer],
        door: Door,
        clock: Clock,
    ) -> None:
        """Bind to `endpoint`. Raises BusError, and StoreError if the log cannot be read."""
        self.counters = Counters()
        self._box = box
        self._epoch = epoch
        self._log = log
        self._consumers = {consumer.name: consumer for consumer in consumers}
        self._door = door
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}
        """By the socket's name for the connection; at most one for each consumer."""
        now = clock.monotonic_seconds()
        self._allowances = {each.name: Allowance.full(each.most_per_second, now) for each in consumers}
        self._alive_at_seconds = self._save_at_seconds = now
        self._logger = structlog.get_logger()
        self._sparing = Sparing(clock)
        self._payloads: dict[int, bytes] = {}
        """JSON of the newest events, by their number."""
        self._bound = self._bind(endpoint)
        self.endpoint = self._bound.endpoint
        self._last_seq = log.last_seq
        self._positions = self._first_positions()
        """What each consumer has acknowledged."""
        self._progress = dict.fromkeys(self._consumers, 0)
        """How far that has come since the start."""
        self.hit_times = HitTimes(self._consumers, clock=clock)
        self._unsaved = True

    def __repr__(self) -> str:
        return f"Delivery({self.endpoint!r}, consumers={sorted(self._consumers)})"

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How each consumer fares."""
        sessions = {session.consumer: session for session in self._sessions.values()}
        found = []
        for name in self._consumers:
            session = sessions.get(name)
            behind = session.behind(self._last_seq) if session else self._last_seq - min(self._positions[name])
            in_flight = session.sent - session.taken if session else 0
            found.append(
                Standing(
                    name=name,
                    connected=session is not None,
                    behind=behind,
                    in_flight=in_flight,
                    position=self._last_seq - behind,
                    acknowledged=self._progress[name],
                )
            )
        return tuple(found)

    def committed(self, last_seq: int) -> None:
        """Events up to this number are in the log."""
        self._last_seq = last_seq

    def remember(self, seq: int, payload: bytes) -> None:
        """The JSON of an event, which need not be made again for each consumer."""
        if len(self._payloads) >= MOST_REMEMBERED:
            del self._payloads[next(iter(self._payloads))]
        self._payloads[seq] = payload

    def turn(self) -> bool:
        """Hear the consumers and send what there is room for; True if there is more to do right away.

        Raises BusError if the socket is closed, StoreError if the log cannot be read.
        """
        now = self._clock.monotonic_seconds()
        self._forget_all(lambda connection: connection.cut)
        try:
            more = self._hear(now)
            if not more:
                self._forget_all(lambda connection: connection.gone)  # its last words have been heard
            more = self._send_events(now) or more
            if now >= self._alive_at_seconds:
                self._alive_at_seconds = now + ALIVE_SECONDS
                self._look_after_sessions(now)
        except zmq.ZMQError as error:
            raise BusError(error.strerror or str(error), place=self.endpoint, cure="see who connects there") from error
        if self._unsaved and now >= self._save_at_seconds:
            self._save_at_seconds = now + SAVE_SECONDS
            self.save()
        return more or bool(int(self._bound.socket.events) & zmq.POLLIN)

    def save(self) -> None:
        """Write down what has been acknowledged. Raises StoreError."""
        if self._unsaved:
            self._log.save_positions(self._positions)
            self._unsaved = False

    def files(self) -> list[int]:
        """Descriptors that become readable when there is something to do in `turn`."""
        return self._bound.files()

    def stop(self) -> None:
        """Tell the consumers that nothing more comes, and write down what they have. Raises StoreError."""
        for session in list(self._sessions.values()):
            self._end(session, "stopping")
        self.save()

    def _bind(self, endpoint: str) -> BoundSocket:
        def prepare(socket: zmq.Socket[bytes]) -> None:
            socket.sndhwm = 2 * MOST_IN_FLIGHT
            socket.rcvhwm = 2 * MOST_IN_FLIGHT
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a peer that is gone is an error, not a silent loss

        return self._door.bind(zmq.ROUTER, endpoint, max_message_bytes=MAX_REQUEST_BYTES, prepare=prepare)

    def _first_positions(self) -> dict[str, tuple[int, int]]:
        """Of all consumers, also of those who are not named any more: one that is named again goes on there."""
        known = self._log.positions()
        for consumer in self._consumers.values():
            start = 0 if consumer.from_oldest else self._last_seq
            known.setdefault(consumer.name, (start, start))
        return known

    # Hearing

    def _hear(self, now: float) -> bool:
        """Take requests; True if there may be more."""
        until = now + TURN_SECONDS
        for _ in range(MOST_REQUESTS):
            if self._clock.monotonic_seconds() >= until:
                break
            try:
                peer, *frames = self._bound.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            request: Request | None = None
            with contextlib.suppress(BusError):
                request = decode_request(frames[0].bytes) if len(frames) == 1 else None
            connection = self._bound.connections.heard(frames[-1], ours=request is not None)
            session = self._sessions.get(peer.bytes)
            if connection is None and session is not None and not session.connection.cut:
                connection = session.connection
            if connection is not None:
                self._answer(peer.bytes, session, connection, request, frames[-1], now)
        return True

    def _answer(
        self,
        name: bytes,
        session: Session | None,
        connection: Peer,
        request: Request | None,
        frame: zmq.Frame,
        now: float,
    ) -> None:
        """`request` None: what came is none of ours."""
        if isinstance(request, Hello) and session is not None and session.has_answered(request):
            self._bound.connections.bear(connection, now)
            self.counters.add("requests_refused", reason="repeated")
            return
        if request is not None and session is not None and session.number == request.session:
            if isinstance(request, Leave):
                self._forget(session)
                return
            if isinstance(request, Progress):
                news = self._note_progress(session, request, now)
                if news is None:
                    self.counters.add("requests_refused", reason="protocol")
                    self._end(session, "protocol")
                elif not news:
                    self._bound.connections.bear(connection, now)  # too many of these, too, are a flood
                return
        if not self._bound.connections.bear(connection, now):
            self.counters.add("requests_refused", reason="too many")
            if (untold := self._sparing.due("too many")) is not None:
                consumer = request.consumer if isinstance(request, Hello) else ""
                self._logger.warning(
                    "consumer_refused",
                    consumer=consumer,
                    reason="too many requests",
                    key_of=self._door.name_of(frame),
                    untold=untold,
                )
        elif isinstance(request, Hello):
            self._welcome(name, connection, request, self._door.name_of(frame), now)
        elif request is None:
            self.counters.add("requests_refused", reason="not ours")
        else:
            self.counters.add("requests_refused", reason="unknown session")
            self._say(name, Goodbye(session=request.session, reason="unknown session"))

    def _welcome(self, peer: bytes, connection: Peer, hello: Hello, user: str, now: float) -> None:
        consumer = self._consumers.get(hello.consumer)
        reason: Farewell | None = None
        if consumer is None:
            reason = "unknown consumer"
        elif self._door.encrypted and user != hello.consumer:
            reason = "wrong key"
        if consumer is None or reason is not None:
            self.counters.add("requests_refused", reason=reason or "")
            known = hello.consumer if consumer is not None else ""
            if (untold := self._sparing.due(known, reason or "")) is not None:
                self._logger.warning(
                    "consumer_refused", consumer=hello.consumer, reason=reason, key_of=user, untold=untold
                )
            self._say(peer, Goodbye(session=hello.session, reason=reason or "protocol"))
            return
        for other in [each for each in self._sessions.values() if each.consumer == hello.consumer]:
            if other.instance == hello.instance:
                self._forget(other)
            else:
                self.counters.add("consumers_replaced")
                if (untold := self._sparing.due("replaced", hello.consumer, most=MOST_TOLD)) is not None:
                    self._logger.warning("consumer_replaced", consumer=hello.consumer, untold=untold)
                self._end(other, "replaced")
        starts, renumbered, expired_after = self._starts(hello)
        if not renumbered:
            self.hit_times.acknowledged(hello.consumer, starts["hits"].seq)  # it had them, and its word was lost
        self.hit_times.forget(hello.consumer)
        safe = dict(zip(LANES, self._positions[hello.consumer], strict=True))
        acknowledged = {lane: min(safe[lane], starts[lane].seq) for lane in LANES}
        session = Session.begin(
            hello.consumer,
            peer=peer,
            instance=hello.instance,
            number=hello.session,
            connection=connection,
            most_in_flight=hello.window,
            allowance=self._allowances[consumer.name],
            starts=starts,
            acknowledged=acknowledged,
            now=now,
        )
        self._sessions[peer] = session
        self._keep(session)
        self.counters.add("consumers_welcomed")
        if (untold := self._sparing.due("welcomed", hello.consumer, most=MOST_TOLD)) is not None:
            self._logger.info(
                "consumer_welcomed",
                consumer=hello.consumer,
                behind=session.behind(self._last_seq),
                renumbered=renumbered,
                untold=untold,
            )
        welcome = Welcome(
            session=hello.session,
            box=self._box,
            epoch=self._epoch,
            hits=starts["hits"],
            rest=starts["rest"],
            last_seq=self._last_seq,
            renumbered=renumbered,
            expired_after=expired_after,
        )
        self._say(peer, welcome)

    def _starts(self, hello: Hello) -> tuple[dict[Lane, Position], bool, int | None]:
        """After which positions a consumer is sent events; whether its own are those of another store; after which
        number something that it should be sent is not kept any more.

        Its own positions count if this store gave their numbers to the same events. Else the box's do: they were
        restored together with the log, so that they are right for it.
        """
        oldest = self._log.first_seq - 1
        stored = {lane: self._position(seq) for lane, seq in zip(LANES, self._positions[hello.consumer], strict=True)}
        theirs = {lane: said for lane, said in (("hits", hello.hits), ("rest", hello.rest)) if said is not None}
        renumbered = hello.after_seq is None and not all(map(self._is_ours, theirs.values()))
        wanted: dict[Lane, Position] = stored if renumbered else {**stored, **theirs}  # type: ignore[dict-item]
        if hello.after_seq is not None:
            wanted = dict.fromkeys(LANES, self._position(min(hello.after_seq, self._last_seq)))
        starts = {lane: each if each.seq >= oldest else self._position(oldest) for lane, each in wanted.items()}
        return starts, renumbered, min((each.seq for each in wanted.values() if each.seq < oldest), default=None)

    def _position(self, seq: int) -> Position:
        event = self._log.event_at(seq) if seq else None
        return Position(seq, event_id(event) if event is not None else "")

    def _is_ours(self, position: Position) -> bool:
        if position.seq > self._last_seq:
            return False
        event = self._log.event_at(position.seq) if position.seq else None
        return event is None or position.id in ("", event_id(event))  # None: so old that it is not kept any more

    def _note_progress(self, session: Session, progress: Progress, now: float) -> bool | None:
        """Whether it brings something new; None if it says what cannot be."""
        taken = progress.taken - session.taken
        if not session.note_taken(progress.taken, now):
            return None
        for lane, seq in (("hits", progress.hits), ("rest", progress.rest)):
            moved = session.note_acknowledged(lane, seq) if seq is not None else 0  # type: ignore[arg-type]
            if moved is None:
                return None
            if moved and lane == "hits" and seq is not None:
                self.hit_times.acknowledged(session.consumer, seq)
            taken += moved
        self._keep(session)
        return taken > 0

    def _keep(self, session: Session) -> None:
        """Note what is safe with the consumer; a lane that is all safe is so up to the newest event of any lane."""
        hits, rest = (
            state.acknowledged if state.behind(self._last_seq) else self._last_seq for state in session.lanes.values()
        )
        position, before = (hits, rest), self._positions[session.consumer]
        if before != position:
            self._progress[session.consumer] += max(0, min(position) - min(before))
            self._positions[session.consumer] = position
            self._unsaved = True

    # Sending

    def _send_events(self, now: float) -> bool:
        """Send what there is room for, hits of all consumers before the rest of any; True if time ran out."""
        until = now + TURN_SECONDS
        for lane in LANES:
            for session in list(self._sessions.values()):
                session.allowance.grow(now)
                state = session.lanes[lane]
                for _ in range(session.room(lane)):
                    if self._clock.monotonic_seconds() >= until:
                        self._sessions[session.peer] = self._sessions.pop(session.peer)  # others first next time
                        return True
                    event = state.next(self._log, self._last_seq)
                    if event is None or not self._send(session, lane, event, now):
                        break
                if state.expired and session.peer in self._sessions:
                    self._end(session, "unknown session")  # it says hello again, and is told
        return False

    def _send(self, session: Session, lane: Lane, event: Event, now: float) -> bool:
        """False if there is no room in the socket, or nobody there any more."""
        try:
            payload = self._payloads.get(event.seq) or encode(event)[1]
        except BusError as error:
            self._logger.error("event_unsendable", seq=event.seq, problem=str(error))
            self.counters.add("events_undelivered", reason="unsendable")
            session.lanes[lane].ahead.popleft()
            return True
        head = Sent(session=session.number, lane=lane, seq=event.seq, previous=session.lanes[lane].sent)
        if not self._say(session.peer, head, payload):
            return False
        session.note_sent(event, lane, now)
        if lane == "hits":
            self.hit_times.sent(session.consumer, event)
        self.counters.add("events_delivered", reason=lane)
        return True

    def _look_after_sessions(self, now: float) -> None:
        for session in list(self._sessions.values()):
            if now - session.heard_seconds > SILENT_SECONDS:
                self._forget(session)
                continue
            self._keep(session)
            whole = {lane: self._whole_to(state) for lane, state in session.lanes.items()}
            alive = Alive(
                session=session.number,
                epoch=self._epoch,
                last_seq=self._last_seq,
                hits=session.lanes["hits"].sent,
                rest=session.lanes["rest"].sent,
                hits_to=whole["hits"],
                rest_to=whole["rest"],
            )
            if self._say(session.peer, alive):
                for lane, position in whole.items():
                    if position is not None:
                        session.lanes[lane].skip_to(position.seq)

    def _whole_to(self, state: LaneState) -> Position | None:
        """Up to where a lane holds nothing more, if that is beyond what was sent last."""
        if state.sent >= self._last_seq or not state.all_sent(self._last_seq):
            return None
        return self._position(self._last_seq)

    def _say(self, peer: bytes, reply: Reply, *more: bytes) -> bool:
        """False if it could not be sent; a peer that is gone loses its session."""
        try:
            self._bound.socket.send_multipart([peer, encode_frame(reply), *more], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            session = self._sessions.get(peer)
            if session is not None:
                self._forget(session)
            return False
        return True

    def _end(self, session: Session, reason: Farewell) -> None:
        self._say(session.peer, Goodbye(session=session.number, reason=reason))
        if session.peer in self._sessions:
            self._forget(session)

    def _forget_all(self, which: Callable[[Peer], bool]) -> None:
        for session in [each for each in self._sessions.values() if which(each.connection)]:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        del self._sessions[session.peer]
        if (untold := self._sparing.due("left", session.consumer, most=MOST_TOLD)) is not None:
            behind = session.behind(self._last_seq)
            self._logger.info("consumer_left", consumer=session.consumer, behind=behind, untold=untold)
