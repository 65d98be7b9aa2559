"""The way in to a box's bus: one ZeroMQ context, who may connect to its sockets, and how many.

With keys, every socket speaks CURVE, and this is also the ZAP handler (https://rfc.zeromq.org/spec/27/) that libzmq
asks about each client's key; it runs in the owner's loop, not in a thread. The keys are read again when their files
change: a key that is taken away, and a new key of the box, close every connection, and whoever is still allowed comes
back within a second. Live subscribers see a gap if one falls into it; consumers go on where they were.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
import zmq
from zmq.utils import z85

from anpr.bus.connections import Connections
from anpr.bus.keys import AllowList, ServerKeys, fingerprint, read_pair
from anpr.bus.sockets import check_reach, set_common_options, told_as_bus_errors
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters

LOOK_SECONDS = 1.0
"""How often the files of keys are looked at, and slow peers for."""
TELL_AGAIN_SECONDS = 60.0
"""A refused key is told in the log once in so long."""
MOST_REFUSED = 256
"""Refused keys that are remembered."""
MOST_QUESTIONS = 100
"""Answered in one turn."""

_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_REBIND_TRIES = 50
_REBIND_SECONDS = 0.01


class BoundSocket:
    """A socket that is bound to an endpoint, and its connections; made anew when the keys change."""

    def __init__(self, socket: zmq.Socket[bytes], connections: Connections, endpoint: str) -> None:
        self.socket = socket
        self.connections = connections
        self.endpoint = endpoint

    def files(self) -> list[int]:
        """Its descriptor, which becomes readable when something has come; none if it is closed."""
        return [] if self.socket.closed else [self.socket.fileno()]

    def close(self, *, linger_milliseconds: int | None = None) -> None:
        """Without `linger_milliseconds`, what is queued is sent for as long as the socket's own option says."""
        self.connections.close()
        self.socket.close(linger=linger_milliseconds)


class Door:
    """Make it, use it and close it in one thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        keys: ServerKeys | None = None,
        allow_unencrypted: bool = False,
        most_connections: int = 64,
    ) -> None:
        """Without `keys` nothing is encrypted and nobody is asked who he is. Raises BusError if a key is missing."""
        self.counters = Counters()
        self.generation = 0
        """Rises when every socket must be made anew, for the sake of changed keys."""
        self.encrypted = keys is not None
        self._clock = clock
        self._keys = keys
        self._allow_unencrypted = allow_unencrypted
        self._most_connections = most_connections
        self._bound: list[BoundSocket] = []
        self._look_at_seconds = clock.monotonic_seconds() + LOOK_SECONDS
        self._log = structlog.get_logger()
        self._told: dict[str, float] = {}
        """When a refused key was last told, by its fingerprint."""
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
            bound = BoundSocket(socket, connections, endpoint)
        except BaseException:
            socket.close(linger=0)
            raise
        try:
            with told_as_bus_errors(endpoint, cure="is another anpr running, and is the address this machine's?"):
                socket.bind(endpoint)
        except BaseException:
            bound.close(linger_milliseconds=0)
            raise
        bound.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._bound.append(bound)
        return bound

    def bind_again(self, old: BoundSocket, bind: Callable[[str], BoundSocket]) -> BoundSocket:
        """Close `old`, with every connection, and bind its endpoint anew, with the keys of now.

        Raises BusError if that fails; may then be called again, with the same `old`.
        """
        tries = 1
        if old in self._bound:
            tries = _REBIND_TRIES
            self._bound.remove(old)
            old.close(linger_milliseconds=0)
        for left in reversed(range(tries)):
            try:
                return bind(old.endpoint)
            except BusError:
                if not left:
                    raise
                self._clock.wait(threading.Event(), _REBIND_SECONDS)  # libzmq closes the listener in its own thread
        raise AssertionError

    def turn(self) -> None:
        """Answer who may come in, see who came and went, and read changed keys."""
        self._answer()
        for bound in self._bound:
            bound.connections.turn()
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
            name = self._name_of(mechanism, credentials, address.decode(errors="replace"))
            verdict = (b"200", b"", name.encode()) if name else (b"400", b"this key is not allowed", b"")
            self._zap.send_multipart([peer, b"", b"1.0", request, *verdict, b""])

    def _name_of(self, mechanism: bytes, credentials: list[bytes], address: str) -> str:
        """Whose key it is; empty if nobody's who may come in."""
        if mechanism != b"CURVE" or len(credentials) != 1 or self._allowed is None:
            return ""
        public = bytes(z85.encode(credentials[0]))
        name = self._allowed.names.get(public)
        if name is not None:
            return name
        former = self._former.get(public)
        reason = f"key of {former} was taken away" if former else "unknown key"
        self.counters.add("keys_refused", reason="taken away" if former else "unknown")
        mark, now = fingerprint(public), self._clock.monotonic_seconds()
        if now - self._told.get(mark, -TELL_AGAIN_SECONDS) >= TELL_AGAIN_SECONDS:
            if len(self._told) >= MOST_REFUSED:
                del self._told[next(iter(self._told))]
            self._told[mark] = now
            self._log.warning("key_refused", reason=reason, fingerprint=mark, address=address)
        return ""

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
            self.generation += 1

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
            self.generation += bool(gone)

    def _tell_unreadable(self) -> None:
        for path, problem in (self._allowed.unreadable if self._allowed else {}).items():
            self._tell_problem(f"{path}: {problem}")

    def _tell_problem(self, problem: str) -> None:
        """Once, not at every look."""
        if problem != self._problem:
            self._problem = problem
            self._log.error("keys_unreadable", problem=problem)
