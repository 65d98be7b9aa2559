"""The live feed: an XPUB socket. A slow or absent subscriber loses its own messages and sees it by the numbers."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import zmq

from anpr.bus.door import BoundSocket, Door
from anpr.bus.events import Heartbeat, Thing, VolatileHit, encode
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Event, Hit

_MAX_SUBSCRIPTION_BYTES = 512
"""All that a subscriber may send at once …"""
_MOST_SUBSCRIPTIONS = 256
"""… and how often in its life: it asks for topics when it comes, and then is silent."""
_MORE_FOLLOWS = int(zmq.SNDMORE)
_KINDS = {kind[:3].encode(): kind for kind in ("sighting", "hit", "coverage")}
"""First word of a topic, by how it begins."""
_MOST_HEARD = 1000
"""Subscriptions taken in one turn."""


class Publisher:
    """Publishes one box's events. Make it, use it and close it in one thread: ZeroMQ sockets belong to their thread."""

    def __init__(
        self,
        endpoint: str,
        *,
        box: str,
        epoch: int,
        clock: Clock,
        last_seq: int = 0,
        heartbeat_seconds: float = 1.0,
        queue_messages: int = 10_000,
        allow_unencrypted: bool = False,
        door: Door | None = None,
    ) -> None:
        """Bind to `endpoint`, `tcp://host:port` (port `*` picks a free one) or `ipc://path`.

        `last_seq` is the store's newest event: heartbeats tell it, also before this life has published any.
        `queue_messages` bounds what is held per subscriber; beyond it, that subscriber's messages are dropped. `door`
        says who may come in, and has its turn from its owner; None: a door of its own, without keys. Raises BusError if
        the endpoint is wrong or taken, or reaches other machines neither encrypted nor with `allow_unencrypted`.
        """
        self.box = box
        self.epoch = epoch
        self.last_seq = last_seq
        self.counters = Counters()
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._heartbeat_due_seconds = clock.monotonic_seconds()
        self._queue_messages = queue_messages
        self._thread = threading.get_ident()
        self._owns_door = door is None
        self._door = door or Door(clock=clock, allow_unencrypted=allow_unencrypted)
        try:
            self._bound = self._bind(endpoint)
        except BaseException:
            self.close()
            raise
        self.endpoint = self._bound.endpoint

    def __repr__(self) -> str:
        return f"Publisher({self.endpoint!r}, box={self.box!r}, epoch={self.epoch}, last_seq={self.last_seq})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def subscribers(self) -> int:
        """Connections, of whatever kind."""
        return self._bound.connections.count

    @property
    def slow_subscribers(self) -> int:
        """Those that do not keep up."""
        return self._bound.connections.slow

    def publish(self, event: Event) -> bytes:
        """Send a committed event to whoever listens, and return its JSON. Never waits.

        Raises BusError, also if numbers would go back.
        """
        if event.epoch == self.epoch and event.seq <= self.last_seq:
            raise BusError(
                f"event {event.seq} comes after {self.last_seq}", place=self.endpoint, cure="publish in order of commit"
            )
        self.last_seq = event.seq  # also if it cannot be sent: then subscribers see that it is missing
        topic, payload = self._send(event)
        self.counters.add("events_published", reason=_KINDS[topic[:3]])
        return payload

    def publish_volatile(self, hit: Hit) -> None:
        """Tell a hit that is not on disk. Raises BusError."""
        told_seconds = round(self._clock.wall_seconds(), 3)
        self._send(
            VolatileHit(box=self.box, epoch=self.epoch, last_seq=self.last_seq, told_seconds=told_seconds, hit=hit)
        )
        self.counters.add("hits_told_volatile", reason=hit.severity)

    def turn(self) -> bool:
        """What the owner's loop calls often; False: nothing more is to be done right away. Raises BusError."""
        self.heartbeat_if_due()
        return False

    def heartbeat_if_due(self) -> bool:
        """Let subscribers in, and send a heartbeat if one is due; True if it was sent. Raises BusError.

        It is also due when somebody has just subscribed, who then knows from which number on nothing may be missing.
        """
        if self._owns_door:
            self._door.turn()
        joined = self._hear()
        if not joined and self._clock.monotonic_seconds() < self._heartbeat_due_seconds:
            return False
        self.heartbeat()
        return True

    def heartbeat(self) -> None:
        """Tell the newest number, now. Raises BusError."""
        self._heartbeat_due_seconds = self._clock.monotonic_seconds() + self._heartbeat_seconds
        self._send(
            Heartbeat(
                box=self.box,
                epoch=self.epoch,
                last_seq=self.last_seq,
                sent_seconds=round(self._clock.wall_seconds(), 3),
                interval_seconds=self._heartbeat_seconds,
            )
        )
        self.counters.add("heartbeats_published")

    def files(self) -> list[int]:
        """Descriptors that become readable when there is something to do in `turn`."""
        own = self._door.files() if self._owns_door else []
        return [*self._bound.files(), *own]

    def close(self) -> None:
        """Send what is queued for at most a second, and give the endpoint free. Closing twice does no harm.

        With a door that is another's, it is the door that must be closed.
        """
        if self._owns_door:
            self._door.close()

    def _bind(self, endpoint: str) -> BoundSocket:
        def prepare(socket: zmq.Socket[bytes]) -> None:
            socket.sndhwm = self._queue_messages
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # also who subscribes to what another has already

        return self._door.bind(
            zmq.XPUB,
            endpoint,
            max_message_bytes=_MAX_SUBSCRIPTION_BYTES,
            prepare=prepare,
            most_messages=_MOST_SUBSCRIPTIONS,
        )

    def _hear(self) -> bool:
        """Take in subscriptions; True if there was a new one."""
        joined = False
        for _ in range(_MOST_HEARD):
            try:
                frame = self._bound.socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            except zmq.ZMQError as error:
                raise BusError(error.strerror or str(error), place=self.endpoint, cure="it is closed") from error
            asks = frame.bytes[:1] == b"\1"
            peer = self._bound.connections.heard(frame, ours=asks)
            joined = joined or (asks and peer is not None and peer.greeted)
        return joined

    def _send(self, thing: Thing) -> tuple[bytes, bytes]:
        """Returns topic and JSON."""
        if threading.get_ident() != self._thread:
            raise BusError("a publisher was used from another thread", place=self.endpoint, cure="make one per thread")
        topic, payload = encode(thing)
        try:
            self._bound.socket.send(topic, _MORE_FOLLOWS)
            self._bound.socket.send(payload)
        except zmq.ZMQError as error:
            raise BusError(error.strerror or str(error), place=self.endpoint, cure="the publisher is closed") from error
        return topic, payload
