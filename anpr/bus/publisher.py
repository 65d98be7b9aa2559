"""The live feed: a PUB socket. A slow or absent subscriber loses its own messages and sees it by the numbers."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import zmq

from anpr.bus.events import Heartbeat, encode, topic_of
from anpr.bus.sockets import check_endpoint, set_common_options, told_as_bus_errors
from anpr.clock import Clock
from anpr.endpoints import stays_on_this_machine
from anpr.errors import BusError
from anpr.metrics import Counters
from anpr.records import Event

_MAX_SUBSCRIPTION_BYTES = 4096
"""All that a subscriber may send."""


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
    ) -> None:
        """Bind to `endpoint`, `tcp://host:port` (port `*` picks a free one) or `ipc://path`.

        `last_seq` is the store's newest event: heartbeats tell it, also before this life has published any.
        `queue_messages` bounds what is held per subscriber; beyond it, that subscriber's messages are dropped. Raises
        BusError if the endpoint is wrong or taken, or reaches other machines without `allow_unencrypted`.
        """
        check_endpoint(endpoint)
        if not allow_unencrypted and not stays_on_this_machine(endpoint):
            raise BusError(
                "events would leave this machine unencrypted",
                place=endpoint,
                cure="bind to tcp://127.0.0.1:port, or allow it in words if the network is your own",
            )
        self.box = box
        self.epoch = epoch
        self.last_seq = last_seq
        self.counters = Counters()
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._heartbeat_due_seconds = clock.monotonic_seconds()
        self._thread = threading.get_ident()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = self._context.socket(zmq.PUB)
            set_common_options(self._socket, endpoint, max_message_bytes=_MAX_SUBSCRIPTION_BYTES)
            self._socket.sndhwm = queue_messages
            with told_as_bus_errors(endpoint, cure="is another anpr running, and is the address this machine's?"):
                self._socket.bind(endpoint)
            self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def __repr__(self) -> str:
        return f"Publisher({self.endpoint!r}, box={self.box!r}, epoch={self.epoch}, last_seq={self.last_seq})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def publish(self, event: Event) -> None:
        """Send a committed event to whoever listens. Never waits. Raises BusError, also if numbers would go back."""
        if event.epoch == self.epoch and event.seq <= self.last_seq:
            raise BusError(
                f"event {event.seq} comes after {self.last_seq}", place=self.endpoint, cure="publish in order of commit"
            )
        self._send(event)
        self.last_seq = event.seq
        self.counters.add("events_published", reason=topic_of(event).partition(".")[0])

    def heartbeat_if_due(self) -> bool:
        """Send a heartbeat if one is due; the owner's loop calls this often. True if it was sent. Raises BusError."""
        now_seconds = self._clock.monotonic_seconds()
        if now_seconds < self._heartbeat_due_seconds:
            return False
        self._heartbeat_due_seconds = now_seconds + self._heartbeat_seconds
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
        return True

    def close(self) -> None:
        """Send what is queued for at most a second, and give the endpoint free. Closing twice does no harm."""
        self._context.destroy()

    def _send(self, thing: Event | Heartbeat) -> None:
        if threading.get_ident() != self._thread:
            raise BusError("a publisher was used from another thread", place=self.endpoint, cure="make one per thread")
        with told_as_bus_errors(self.endpoint, cure="the publisher is closed"):
            self._socket.send_multipart(encode(thing))
