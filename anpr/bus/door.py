"""The way in to a box's bus: one ZeroMQ context, who may connect to its sockets, and how many.

With keys, every socket speaks CURVE, and this is also the ZAP handler (https://rfc.zeromq.org/spec/27/) that libzmq
asks about each client's key; it runs in the owner's loop, not in a thread. The keys are read again when their files
change: the connections of a key that is taken away end, and nobody else's do. A new key of the box ends all of them,
and whoever knows it comes back at once: live subscribers see a gap if one falls into it, consumers go on where they
were.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
import zmq
from zmq.utils import z85

from anpr.bus.connections import KEY_PROPERTY, Connections, key_of
from anpr.bus.keys import AllowList, KeyPair, ServerKeys, fingerprint, read_pair
from anpr.bus.sockets import check_reach, set_common_options, told_as_bus_errors
from anpr.bus.sparing import Sparing
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters

LOOK_SECONDS = 1.0
"""How often the files of keys are looked at, and slow peers for."""
MOST_REFUSED = 256
"""Keys that were taken away whose names are remembered."""
MOST_NAMED = 16
"""Unknown keys that are counted each by its fingerprint; whoever makes more is counted together with others."""
MOST_QUESTIONS = 100
"""Answered in one turn."""
MOST_TOLD = 32
"""Refused keys that are told in the log within a minute, each of them once."""

_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_LENGTH = struct.Struct(">I")


class BoundSocket:
    """A socket that is bound to an endpoint, and its connections."""

    def __init__(self, socket: zmq.Socket[bytes], connections: Connections, endpoint: str) -> None:
        """Raises ZMQError if the endpoint cannot be had."""
        self.socket = socket
        self.connections = connections
        self.endpoint = endpoint
        self._unbound = False
        self.bind()
        self.endpoint = connections.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def files(self) -> list[int]:
        """Its descriptor, which becomes readable when something has come; none if it is closed."""
        return [] if self.socket.closed else [self.socket.fileno()]

    def bind(self) -> None:
        """Listen. Raises ZMQError if the endpoint cannot be had."""
        self.socket.bind(self.endpoint)
        self.connections.listening, self._unbound = True, False

    def show(self, pair: KeyPair) -> None:
        """Show this key of the box from now on.

        libzmq takes keys over when it begins to listen, so this ends the listening, and with it all connections; it
        does so in its own thread, and `bind` may be called once `connections.listening` has fallen.
        """
        self.socket.curve_publickey, self.socket.curve_secretkey = pair.public, pair.secret
        if not self._unbound:
            self._unbound = True
            self.socket.unbind(self.endpoint)


class Door:
    """Make it, use it and close it in one thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        keys: ServerKeys | None = None,
        allow_unencrypted: bool = False,
        most_connections: int = 64,
        counters: Counters | None = None,
    ) -> None:
        """Without `keys` nothing is encrypted and nobody is asked who he is. Raises BusError if a key is missing."""
        self.counters = Counters() if counters is None else counters
        self.encrypted = keys is not None
        self._clock = clock
        self._keys = keys
        self._allow_unencrypted = allow_unencrypted
        self._most_connections = most_connections
        self._bound: list[BoundSocket] = []
        self._look_at_seconds = clock.monotonic_seconds() + LOOK_SECONDS
        self._log = structlog.get_logger()
        self._sparing = Sparing(clock)
        self._named: set[str] = set()
        """Fingerprints of unknown keys that are counted each by itself."""
        self._former: dict[bytes, str] = {}
        """Names of keys that were taken away."""
        self._problem = ""
        """With the keys, that was told last."""
        self._zap: zmq.Socket[bytes] | None = None
        self._pair = read_pair(keys.own) if keys is not None else None
        self._allowed = AllowList(keys.clients) if keys is not None else None
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        if keys is not None:
            self._zap = self.context.socket(zmq.ROUTER)
            self._zap.linger = 0
            self._zap.bind(_ZAP_ENDPOINT)
            self._tell_unreadable()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def bind(
        self,
        kind: int,
        endpoint: str,
        *,
        max_message_bytes: int,
        prepare: Callable[[zmq.Socket[bytes]], None],
        most_messages: int | None = None,
    ) -> BoundSocket:
        """A socket of `kind` at `endpoint`; `prepare` sets its own options.

        Raises BusError if the endpoint is wrong or taken, or would let other machines read in the clear.
        """
        check_reach(endpoint, encrypted=self.encrypted, allow_unencrypted=self._allow_unencrypted)
        socket = self.context.socket(kind)
        try:
            set_common_options(socket, endpoint, max_message_bytes=max_message_bytes)
            prepare(socket)
            if self._pair is not None:
                socket.curve_server = True
                socket.curve_publickey = self._pair.public
                socket.curve_secretkey = self._pair.secret
                socket.zap_domain = b"anpr"
            connections = Connections(
                socket, counters=self.counters, most=self._most_connections, most_messages=most_messages
            )
        except BaseException:
            socket.close(linger=0)
            raise
        try:
            with told_as_bus_errors(endpoint, cure="is another anpr running, and is the address this machine's?"):
                bound = BoundSocket(socket, connections, endpoint)
        except BaseException:
            connections.close()
            socket.close(linger=0)
            raise
        self._bound.append(bound)
        return bound

    def name_of(self, frame: zmq.Frame) -> str:
        """Whose key the sender of `frame` has, by the keys of now; empty without keys, and if it is allowed no more."""
        return self._allowed.names.get(key_of(frame), "") if self._allowed is not None else ""

    def turn(self) -> None:
        """Answer who may come in, see who came and went, and read changed keys."""
        self._answer()
        for bound in self._bound:
            bound.connections.turn()
            if not bound.connections.listening:
                self._listen_again(bound)
        now = self._clock.monotonic_seconds()
        if now < self._look_at_seconds:
            return
        self._look_at_seconds = now + LOOK_SECONDS
        for bound in self._bound:
            bound.connections.look_for_slow()
        self._look_at_keys()

    def files(self) -> list[int]:
        """Descriptors that become readable when there is something to do in `turn`."""
        sockets = [bound.connections.monitor for bound in self._bound]
        if self._zap is not None:
            sockets.append(self._zap)
        return [socket.fileno() for socket in sockets]

    def close(self) -> None:
        """Send what is queued for at most a second, and give the endpoints free. Closing twice does no harm."""
        for bound in self._bound:
            bound.connections.close()
        self.context.destroy()

    def _answer(self) -> None:
        if self._zap is None:
            return
        for _ in range(MOST_QUESTIONS):
            try:
                frames = self._zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            peer, _, _, request, _, address, _, mechanism, *credentials = frames
            key = bytes(z85.encode(credentials[0])) if mechanism == b"CURVE" and len(credentials) == 1 else b""
            name = self._admit(key, address.decode(errors="replace"))
            verdict = (b"200", b"", name.encode()) if name else (b"400", b"this key is not allowed", b"")
            self._zap.send_multipart([peer, b"", b"1.0", request, *verdict, _property(KEY_PROPERTY, key)])

    def _admit(self, public: bytes, address: str) -> str:
        """Whose key it is; empty if nobody's who may come in."""
        name = self._allowed.names.get(public) if self._allowed is not None else None
        if name is not None:
            return name
        former, mark = self._former.get(public), fingerprint(public)
        if former is None and len(self._named) < MOST_NAMED:
            self._named.add(mark)
        known = former or (mark if mark in self._named else "others")
        self.counters.add("keys_refused", reason=f"{'taken away' if former else 'unknown'}: {known}")
        if self._sparing.due(mark) is not None and (untold := self._sparing.due("", most=MOST_TOLD)) is not None:
            reason = f"key of {former} was taken away" if former else "unknown key"
            self._log.warning("key_refused", reason=reason, fingerprint=mark, address=address, untold=untold)
        return ""

    def _listen_again(self, bound: BoundSocket) -> None:
        """After the box's own key has changed; tried at each turn."""
        try:
            bound.bind()
        except zmq.ZMQError as error:
            if self._sparing.due("deaf", bound.endpoint) is not None:
                self._log.error("endpoint_deaf", endpoint=bound.endpoint, problem=error.strerror or str(error))

    def _look_at_keys(self) -> None:
        if self._keys is None or self._allowed is None:
            return
        self._look_at_clients(self._allowed)
        try:
            pair = read_pair(self._keys.own)
        except BusError as error:
            self._tell_problem(str(error))
            return
        if pair != self._pair:
            self._log.info("own_key_changed", fingerprint=fingerprint(pair.public))
            self._pair = pair
            for bound in self._bound:
                bound.show(pair)

    def _look_at_clients(self, allowed: AllowList) -> None:
        before = dict(allowed.names)
        try:
            changed = allowed.look()
        except BusError as error:
            self._tell_problem(str(error))
            return
        if changed:
            gone = {key: name for key, name in before.items() if allowed.names.get(key) != name}
            self._former = {**self._former, **gone}
            self._former = {key: name for key, name in self._former.items() if key not in allowed.names}
            self._former = dict(list(self._former.items())[-MOST_REFUSED:])
            self._log.info(
                "keys_changed", allowed=sorted(set(allowed.names.values())), taken_away=sorted(gone.values())
            )
            self._tell_unreadable()
            for bound in self._bound if gone else ():
                bound.connections.cut_off(gone)

    def _tell_unreadable(self) -> None:
        for path, problem in (self._allowed.unreadable if self._allowed else {}).items():
            self._tell_problem(f"{path}: {problem}")

    def _tell_problem(self, problem: str) -> None:
        """Once, not at every look."""
        if problem != self._problem:
            self._problem = problem
            self._log.error("keys_unreadable", problem=problem)


def _property(name: str, value: bytes) -> bytes:
    """Metadata of an answer, as ZMTP 3 writes it: what libzmq then says with each message of the peer."""
    return bytes([len(name)]) + name.encode() + _LENGTH.pack(len(value)) + value
