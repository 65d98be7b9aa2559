"""`anpr status` before what is no box."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from anpr.cli.status import ask
from anpr.errors import BusError


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Address of a port that gives `answer` to the first who asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection = server.accept()[0]
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.0 200 OK\r\n\r\n{"status": "UP"}',
        b"HTTP/1.0 200 OK\r\n\r\n<html>",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b'HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{"box"',
    ],
    ids=["other json", "html", "no http", "cut short"],
)
def test_another_service_is_told(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a proxy that is not there: must not be asked
    with answering(answer) as address, pytest.raises(BusError, match="no anpr of this version") as caught:
        ask(address)
    assert caught.value.place == address
    assert caught.value.cure


def test_nobody_there_is_told() -> None:
    with pytest.raises(BusError, match="no box answers"):
        ask("127.0.0.1:9")
