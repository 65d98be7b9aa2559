"""Who is connected to a socket of ours: how many at most, why some were not let in, and who does not keep up.

ZeroMQ itself bounds none of this. Its monitor tells of each connection with its file descriptor; to end one, its TCP
connection is shut down under it, which the other side and libzmq see as an ordinary end.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket as system_socket
import struct
import termios
import uuid
from collections.abc import Container
from dataclasses import dataclass

import zmq

from anpr.metrics import Counters

MOST_EVENTS = 1000
"""Looked at in one turn."""
SLOW_BYTES = 64 * 1024
"""A peer that leaves so much unread at two looks in a row, a second apart, does not keep up."""
KEY_PROPERTY = "X-Key"
"""Comes with each message of a peer that has shown a key: its public key, as the door gave it to libzmq."""
PATIENCE = 20.0
"""What a peer may ask in vain at once …"""
PATIENCE_PER_SECOND = 5.0
"""… and for long. A consumer that finds no box, or no end of holes, asks twice a second."""
MOST_IMPATIENCE = 200.0
"""Who goes on after so much that was left unanswered is cut off."""

_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_ACCEPT_FAILED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_EVENT = struct.Struct("=HI")
_CRYPTOGRAPHIC = 0x11000001
_MECHANISM = 0x11000002


@dataclass(slots=True, eq=False)
class Peer:
    """One connection."""

    key: bytes = b""
    """Its public key; empty without keys, and as long as it has said nothing."""
    greeted: bool = False
    """It has said something that only one of ours says."""
    gone: bool = False
    """The connection is over; what it said before may still come."""
    cut: bool = False
    """We have ended it; what it said before does not count."""
    messages: int = 0
    patience: float = PATIENCE
    """Below 0: how much was left unanswered."""
    asked_at_seconds: float = 0.0
    behind: bool = False
    """It left much unread at the last look …"""
    slow: bool = False
    """… and at the one before."""


class Connections:
    """The connections of one bound socket. Use it in the socket's thread."""

    def __init__(self, socket: zmq.Socket[bytes], *, counters: Counters, most: int, most_messages: int | None) -> None:
        """`most_messages` is what one peer may say in its life; None: as much as it likes."""
        self.endpoint = ""
        """Where they come in; the owner sets it."""
        self.listening = False
        """Whether they may come: the owner sets it, and it falls when libzmq has closed the listener."""
        self._socket = socket
        self._counters = counters
        self._most = most
        self._most_messages = most_messages
        self._peers: dict[int, Peer] = {}
        """By file descriptor, oldest first."""
        self._strangers = Peer()
        """All who speak an older ZMTP, in which messages do not know whence they came."""
        address = f"inproc://monitor-{uuid.uuid4().hex}"  # an id is given again, sooner than libzmq frees the address
        socket.monitor(address, _EVENTS)
        self.monitor: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
        self.monitor.linger = 0
        self.monitor.rcvhwm = 0  # else libzmq's thread waits for us when it is full, and we for it when we close
        self.monitor.connect(address)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._peers)

    @property
    def slow(self) -> int:
        """How many of them do not keep up."""
        return sum(peer.slow for peer in self._peers.values())

    def turn(self) -> None:
        """Take in what has happened, and cut off whoever is too many: those who have said nothing yet, oldest first."""
        self._take_in()
        if len(self._peers) <= self._most:
            return
        silent = [descriptor for descriptor, peer in self._peers.items() if not peer.greeted]
        newest = [descriptor for descriptor, peer in reversed(self._peers.items()) if peer.greeted]
        for descriptor in (silent + newest)[: len(self._peers) - self._most]:
            self._cut(descriptor, reason="too many")

    def heard(self, frame: zmq.Frame, *, ours: bool = True) -> Peer | None:
        """The sender of `frame`; with `ours`, note that it spoke as one of ours.

        None if it has gone, or has said too much.
        """
        try:
            descriptor = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:
            return self._strangers
        if descriptor not in self._peers:
            self._take_in()  # it came a moment ago
        peer = self._peers.get(descriptor)
        if peer is None:
            return None  # and has gone: the number may be another's soon
        if not peer.key:
            peer.key = key_of(frame)
        peer.greeted = peer.greeted or ours
        peer.messages += 1
        if self._most_messages is not None and peer.messages > self._most_messages:
            self._cut(descriptor, reason="too talkative")
            return None
        return peer

    def bear(self, peer: Peer, now: float) -> bool:
        """Whether what `peer` asks is answered, at the monotonic time `now`: if it asks too often in vain, it is not.

        Whoever then goes on and on is cut off.
        """
        restored = peer.patience + (now - peer.asked_at_seconds) * PATIENCE_PER_SECOND
        peer.patience, peer.asked_at_seconds = min(PATIENCE, restored) - 1.0, now
        if peer.patience < -MOST_IMPATIENCE:
            for descriptor in [number for number, each in self._peers.items() if each is peer]:
                self._cut(descriptor, reason="too talkative")
        return peer.patience >= 0.0

    def cut_off(self, keys: Container[bytes]) -> None:
        """End the connections of these keys, and those that have not said yet whose they are."""
        while self._take_in() == MOST_EVENTS:
            pass
        for descriptor in [number for number, peer in self._peers.items() if not peer.key or peer.key in keys]:
            self._cut(descriptor, reason="key taken away")

    def look_for_slow(self) -> None:
        """To be called once a second: how much each peer has left unread."""
        for descriptor, peer in self._peers.items():
            behind = _unread_bytes(descriptor) >= SLOW_BYTES
            slow = behind and peer.behind
            if slow and not peer.slow:
                self._counters.add("subscribers_slow")
            peer.behind, peer.slow = behind, slow

    def close(self) -> None:
        """Before the socket itself."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.disable_monitor()
        self.monitor.close()

    def _take_in(self) -> int:
        """How many events there were, up to MOST_EVENTS."""
        for number in range(MOST_EVENTS):
            try:
                frames = self.monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return number
            self._note(*_EVENT.unpack(frames[0]))
        return MOST_EVENTS

    def _note(self, event: int, value: int) -> None:
        match event:
            case zmq.EVENT_ACCEPTED:
                self._counters.add("connections_accepted")
                self._peers[value] = Peer()
            case zmq.EVENT_DISCONNECTED:
                self._forget(value)
            case zmq.EVENT_CLOSED:
                self.listening = False
                for descriptor in list(self._peers):  # libzmq ends them with the listener, and says no more of them
                    self._forget(descriptor)
            case zmq.EVENT_ACCEPT_FAILED:
                self._counters.add("connections_refused", reason=os.strerror(value))
            case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._counters.add("handshakes_failed", reason="key not allowed")
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL if value == _CRYPTOGRAPHIC:
                self._counters.add("handshakes_failed", reason="made for another server key")
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL if value == _MECHANISM:
                self._counters.add("handshakes_failed", reason="not encrypted as asked")
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                self._counters.add("handshakes_failed", reason="not our protocol")
            case zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._counters.add("handshakes_failed", reason="broken off")

    def _forget(self, descriptor: int) -> None:
        peer = self._peers.pop(descriptor, None)
        if peer is not None:
            peer.gone = True

    def _cut(self, descriptor: int, *, reason: str) -> None:
        peer = self._peers.get(descriptor)
        if peer is None:
            return
        peer.cut = True
        self._forget(descriptor)
        self._counters.add("client_dropped", reason=reason)
        with contextlib.suppress(OSError), system_socket.socket(fileno=os.dup(descriptor)) as same:
            if _was_accepted_at(same, self.endpoint):  # else it is another's by now
                same.shutdown(system_socket.SHUT_RDWR)


def key_of(frame: zmq.Frame) -> bytes:
    """The public key that the sender has shown; empty on a link without keys."""
    try:
        return str(frame.get(KEY_PROPERTY)).encode()
    except zmq.ZMQError:
        return b""


def _was_accepted_at(connection: system_socket.socket, endpoint: str) -> bool:
    name = connection.getsockname()
    return endpoint.endswith(f":{name[1]}") if isinstance(name, tuple) else bool(name) and endpoint == f"ipc://{name}"


def _unread_bytes(descriptor: int) -> int:
    """What the kernel holds for the other side (SIOCOUTQ)."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return count[0]
