"""A small HTTP server for health questions that lives in somebody else's loop: no thread, no waiting.

The loop waits for `sockets` to become readable and hands those that are to `serve`. That it answers at all shows that
the loop turns. Every answer closes its connection; HTTP itself is h11's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h11

from anpr.clock import Clock
from anpr.endpoints import host_and_port
from anpr.errors import AnprError, BusError
from anpr.privacy import masked

MOST_CONNECTIONS = 32
"""Beyond it, the oldest is cut off."""
CONNECTION_SECONDS = 5.0
"""How long a client may take for its question and for our answer."""
MOST_HEAD_BYTES = 8192
_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    status: int
    body: bytes
    content_type: str = "application/json"


@dataclass(slots=True)
class _Client:
    """A connection and what is still to be sent."""

    socket: socket.socket
    until_seconds: float
    http: h11.Connection = field(
        default_factory=lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD_BYTES)
    )
    unsent: bytes = b""
    answered: bool = False


class HealthServer:
    """Answers GET and HEAD of `pages`, path to what makes the answer; a page is made anew for every question."""

    def __init__(self, address: str, pages: Mapping[str, Callable[[], Answer]], *, clock: Clock) -> None:
        """Listen on `address`, `host:port` (port 0 takes a free one). Raises BusError if it cannot be had."""
        self._pages = pages
        self._clock = clock
        self._clients: dict[socket.socket, _Client] = {}
        host, port = host_and_port(address)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
        except OSError as error:
            problem = f"health cannot be told there: {error.strerror or error}"
            raise BusError(problem, place=address, cure="is another anpr running, and is it this machine's?") from error
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What the loop shall wait for."""
        return (self._listener, *self._clients)

    def serve(self, ready: Collection[object] = ()) -> None:
        """Do what can be done without waiting; `ready` are those of `sockets` that have something to read."""
        now = self._clock.monotonic_seconds()
        if self._listener in ready:
            self._accept(now)
        for client in list(self._clients.values()):
            try:
                if not client.answered and client.socket in ready:
                    self._read(client)
                if client.unsent:
                    client.unsent = client.unsent[client.socket.send(client.unsent) :]
            except BlockingIOError:
                pass
            except OSError:
                self._drop(client)
                continue
            if (client.answered and not client.unsent) or now >= client.until_seconds:
                self._drop(client)

    def close(self) -> None:
        """Give the address free. Closing twice does no harm."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._listener.close()

    def _accept(self, now: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it went away again
        if len(self._clients) >= MOST_CONNECTIONS:
            self._drop(next(iter(self._clients.values())))  # who asks is answered at once: the oldest has said nothing
        connection.setblocking(False)
        self._clients[connection] = _Client(connection, now + CONNECTION_SECONDS)

    def _read(self, client: _Client) -> None:
        client.http.receive_data(client.socket.recv(_CHUNK_BYTES))
        try:
            event = client.http.next_event()
            if event is h11.NEED_DATA:
                return
            if not isinstance(event, h11.Request):
                raise OSError("the client went away")
            answer, with_body = self._answer(event), event.method != b"HEAD"
        except h11.RemoteProtocolError:
            answer, with_body = Answer(400, b"not HTTP\n", "text/plain"), True
        client.answered = True
        response = h11.Response(
            status_code=answer.status,
            headers=[
                ("content-type", answer.content_type),
                ("content-length", str(len(answer.body))),
                ("cache-control", "no-store"),
                ("x-content-type-options", "nosniff"),
                ("connection", "close"),
            ],
        )
        client.unsent = client.http.send(response) or b""
        if with_body:
            client.unsent += client.http.send(h11.Data(data=answer.body)) or b""

    def _answer(self, request: h11.Request) -> Answer:
        if request.method not in (b"GET", b"HEAD"):
            return Answer(405, b"only GET\n", "text/plain")
        path = request.target.decode("ascii", "replace").partition("?")[0]
        page = self._pages.get(path)
        if page is None:
            return Answer(404, f"one of: {' '.join(self._pages)}\n".encode(), "text/plain")
        try:
            return page()
        except AnprError as error:
            return Answer(500, f"{masked(str(error))}\n".encode(), "text/plain")

    def _drop(self, client: _Client) -> None:
        del self._clients[client.socket]
        client.socket.close()
