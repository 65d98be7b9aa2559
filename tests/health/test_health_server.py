"""The HTTP server that lives in a loop: real sockets, slow and rude clients."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import connection as pipes

import pytest

from anpr.clock import ManualClock, SystemClock
from anpr.errors import BusError, StoreError
from anpr.health.server import CONNECTION_SECONDS, MOST_CONNECTIONS, Answer, HealthServer


def refuse() -> Answer:
    raise StoreError("the disk is gone", place="store")


PAGES = {
    "/livez": lambda: Answer(200, b"ok\n", "text/plain"),
    "/big": lambda: Answer(200, b"x" * 20_000_000),
    "/refused": refuse,
}


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server whose loop turns in a thread."""
    stop = threading.Event()
    with HealthServer("127.0.0.1:0", PAGES, clock=SystemClock()) as server:

        def turn() -> None:
            while not stop.is_set():
                server.serve(pipes.wait(server.sockets, 0.01))

        thread = threading.Thread(target=turn)
        thread.start()
        yield server.port
        stop.set()
        thread.join()


def ask(port: int, method: str, path: str) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("content-type")
    finally:
        connection.close()


def test_pages_are_answered_and_others_are_not(port: int) -> None:
    assert ask(port, "GET", "/livez") == (200, b"ok\n", "text/plain")
    assert ask(port, "GET", "/livez?verbose") == (200, b"ok\n", "text/plain")
    assert ask(port, "HEAD", "/livez") == (200, b"", "text/plain")
    assert ask(port, "GET", "/nothing")[0] == 404
    assert ask(port, "POST", "/livez")[0] == 405
    assert len(ask(port, "GET", "/big")[1]) == 20_000_000
    assert ask(port, "GET", "/refused") == (500, b"store: the disk is gone\n", "text/plain")


@pytest.mark.parametrize("words", [b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000, b"GET\r\n\r\n"])
def test_what_is_not_http_is_refused(port: int, words: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(words)
        with suppress(ConnectionResetError):  # it closed while we were still talking
            assert client.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(port, "GET", "/livez")[0] == 200


def test_silent_clients_are_few_and_do_not_stay() -> None:
    clock = ManualClock()
    with HealthServer("127.0.0.1:0", PAGES, clock=clock) as server:
        clients = []
        for _ in range(MOST_CONNECTIONS + 5):
            clients.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            server.serve(pipes.wait(server.sockets, 1.0))
        assert len(server.sockets) == MOST_CONNECTIONS + 1
        clock.advance(CONNECTION_SECONDS)
        server.serve()
        assert len(server.sockets) == 1
        for client in clients:
            client.close()


def test_silent_clients_keep_nobody_from_being_answered(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(MOST_CONNECTIONS)]
    try:
        assert ask(port, "GET", "/livez") == (200, b"ok\n", "text/plain")
    finally:
        for client in silent:
            client.close()


def test_a_client_that_does_not_read_keeps_nobody_waiting(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1)  # the answer is on its way
        assert ask(port, "GET", "/livez")[0] == 200, "within the patience of who asks"


def test_a_taken_address_is_told() -> None:
    with HealthServer("127.0.0.1:0", PAGES, clock=SystemClock()) as server:
        with pytest.raises(BusError, match="in use"):
            HealthServer(f"127.0.0.1:{server.port}", PAGES, clock=SystemClock())
