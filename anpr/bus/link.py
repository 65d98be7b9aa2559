"""The client's end of a connection: it comes back by itself, and says why it does not."""

from __future__ import annotations

import struct

import zmq

from anpr.bus.keys import ClientKeys
from anpr.bus.sockets import check_endpoint, set_common_options, told_as_bus_errors
from anpr.clock import Clock
from anpr.metrics import Counters

REFUSED_SECONDS = 1.0
"""Before a box that refused us is asked again; ZeroMQ itself would not."""
OTHER_KEY_SECONDS = 0.05
"""Before another of its keys is tried: one failure may be told by more than one event."""
LOOK_SECONDS = 0.05
FIRST_WAIT_MILLISECONDS = 100
"""Before a connection that ended is tried again; the wait doubles, and chance shortens it."""

_EVENT = struct.Struct("=HI")
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Link:
    """A socket that is connected to one box. Use it in the thread that made it."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        kind: int,
        endpoint: str,
        *,
        clock: Clock,
        counters: Counters,
        keys: ClientKeys | None,
        max_message_bytes: int,
        longest_wait_seconds: float,
        silence_seconds: float,
    ) -> None:
        """Raises BusError if the endpoint is wrong."""
        check_endpoint(endpoint)
        self.endpoint = endpoint
        self.heard_seconds = clock.monotonic_seconds()
        """Monotonic time of the last message, or of the last new connection."""
        self.look_at_seconds = 0.0
        """Until then a connection over which messages come needs no `turn`."""
        self.connected = False
        """Whether the other side has let us in; it may have gone since."""
        self.problem = ""
        """Why it has not, as far as one can know; empty if nothing was wrong."""
        self._clock = clock
        self._counters = counters
        self._keys = keys
        self._server = 0
        self._other_key = False
        """The next connection is made for another of the box's keys."""
        self._again_at_seconds: float | None = None
        self._silence_seconds = silence_seconds
        self.socket: zmq.Socket[bytes] = context.socket(kind)
        set_common_options(self.socket, endpoint, max_message_bytes=max_message_bytes)
        # A bound would end the process: who reads nothing until it is full answers no heartbeats either, is cut off,
        # and at the next read libzmq aborts (zeromq/libzmq#3937, #4841). So would `immediate`, where a connection is
        # lost between two frames.
        self.socket.rcvhwm = 0
        self.socket.reconnect_ivl = FIRST_WAIT_MILLISECONDS
        self.socket.reconnect_ivl_max = round(longest_wait_seconds * 1000)
        if keys is not None:
            self.socket.curve_publickey = keys.own.public
            self.socket.curve_secretkey = keys.own.secret
            self.socket.curve_serverkey = keys.servers[0]
        self.socket.linger = 0  # else a connection that is given up goes on trying beside the new one
        address = f"inproc://monitor-{id(self)}"
        self.socket.monitor(address, _EVENTS)
        self.monitor: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self.monitor.linger = 0
        self.monitor.rcvhwm = 0  # else libzmq's thread waits for us when it is full, and we for it when we close
        self.monitor.connect(address)
        with told_as_bus_errors(endpoint, cure="give tcp://host:port or ipc://path"):
            self.socket.connect(endpoint)

    def turn(self) -> bool:
        """See what became of the connection, and make it anew if it is silent for too long.

        True if the other side has just let us in.
        """
        new = False
        while True:
            try:
                event, _ = _EVENT.unpack(self.monitor.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                break
            match event:
                case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    new, self.connected, self.problem = True, True, ""
                    self._again_at_seconds = None
                    self.heard_seconds = self._clock.monotonic_seconds()
                case zmq.EVENT_DISCONNECTED:
                    self.connected = False
                case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    self._refused("the box does not allow our key", "key not allowed")
                case _ if self._keys is not None:
                    self._refused("the box has another key than we know, or does not encrypt", "server key")
                case _:
                    self._refused("what answers there is no bus of ours, or it asks for a key", "handshake")
        now = self._clock.monotonic_seconds()
        self.look_at_seconds = now + LOOK_SECONDS
        refused = self._again_at_seconds is not None and now >= self._again_at_seconds
        silent = now - self.heard_seconds > self._silence_seconds
        if (refused or silent) and not int(self.socket.events) & zmq.POLLIN:
            if not refused:
                self._counters.add("reconnections", reason="silence")
            self._connect_again()
        return new

    def _refused(self, problem: str, reason: str) -> None:
        self.connected, self.problem = False, problem
        self._counters.add("connections_refused", reason=reason)
        self._other_key = self._keys is not None and len(self._keys.servers) > 1 and reason == "server key"
        wait = OTHER_KEY_SECONDS if self._other_key else REFUSED_SECONDS
        self._again_at_seconds = self._clock.monotonic_seconds() + wait

    def _connect_again(self) -> None:
        """ZeroMQ itself does so after a broken connection, but never after a peer that spoke wrongly.

        Only when nothing is left to be read: libzmq drops what came over a connection that is taken down, and where it
        has already looked at a message's first frame, as a poll makes it do, it ends the process (fq.cpp, `!_more`).
        """
        self._again_at_seconds = None
        self.heard_seconds = self._clock.monotonic_seconds()
        self.connected = False
        if self._other_key and self._keys is not None:
            self._other_key = False
            self._server = (self._server + 1) % len(self._keys.servers)
            self.socket.curve_serverkey = self._keys.servers[self._server]
        self.socket.disconnect(self.endpoint)
        self.socket.connect(self.endpoint)
