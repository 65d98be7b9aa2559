"""Clients of the health endpoint that hold on to it, send too much, or never read (D9)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from scripts.fault_matrix.camera_rows import CALM_SECONDS
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.processes import open_files, own_mib
from scripts.fault_matrix.stage import Stage

CLIENTS = 200
FLOOD_SECONDS, QUICK_FLOOD_SECONDS = 15.0, 5.0
ANSWERS_SECONDS = 5.0
"""After the flood: the box gives each connection so long."""
MOST_FILES = 64
"""Beside those that it had: the endpoint's connections, and what the hub opens for its own work."""
MOST_GROWTH_MIB = 20.0
TURN_SECONDS = 0.05
NEW_AT_ONCE = 20
_GET = b"GET /metrics HTTP/1.1\r\nHost: box\r\n"
_KINDS = (
    (b"", b""),
    (_GET, b"X"),
    (_GET, b"X: " + b"y" * 4096 + b"\r\n"),
    (b"POST /metrics HTTP/1.1\r\nHost: box\r\nContent-Length: 10000000000\r\n\r\n", bytes(65536)),
    (_GET + b"Range: bytes=" + b"0-," * 2000 + b"\r\n\r\n", b""),
    (100 * (_GET + b"\r\n"), b""),
)
"""What is sent at once, and then again and again."""


def flood_health(stage: Stage) -> None:
    """Many clients at once, each with its own bad manners; who is thrown out comes again."""
    stage.start_daemon()
    for _ in range(stage.times):
        stage.wait(CALM_SECONDS)
        memory, files = own_mib(stage.daemon.pid), open_files(stage.daemon.pid)
        began, most = time.monotonic(), 0
        with _flood(stage.health.port):
            stage.outcome.times += 1
            while time.monotonic() - began < (QUICK_FLOOD_SECONDS if stage.quick else FLOOD_SECONDS):
                most = max(most, open_files(stage.daemon.pid) - files)
                stage.wait(TURN_SECONDS)
        over = time.monotonic()
        stage.recovered_in(stage.until(stage.health.verdict, ANSWERS_SECONDS))
        stage.require_within(time.monotonic() - over, ANSWERS_SECONDS, "an answer of /healthz after the flood")
        grown = own_mib(stage.daemon.pid) - memory
        stage.outcome.notes |= {"files_at_once": most, "grown_mib": round(grown, 1)}
        stage.require(most <= MOST_FILES, f"{MOST_FILES} more files at most", most)
        stage.require(
            grown < MOST_GROWTH_MIB, f"memory to grow by less than {MOST_GROWTH_MIB:g} MiB", f"{grown:.0f} MiB"
        )
    stage.wait(CALM_SECONDS)
    stage.close_books()


@contextlib.contextmanager
def _flood(port: int) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        clients: dict[socket.socket, bytes] = {}
        number = 0
        while not stop.wait(TURN_SECONDS):
            for _ in range(min(NEW_AT_ONCE, CLIENTS - len(clients))):
                number += 1
                if (client := _connected(port)) is not None:
                    first, again = _KINDS[number % len(_KINDS)]
                    clients[client] = again
                    _send(client, first)
            for client, again in list(clients.items()):
                if not _send(client, again):
                    client.close()
                    del clients[client]
        for client in clients:
            client.close()

    flooding = threading.Thread(target=run, name="flood")
    flooding.start()
    try:
        yield
    finally:
        stop.set()
        flooding.join()


def _connected(port: int) -> socket.socket | None:
    client = socket.socket()
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(TURN_SECONDS)
        client.connect(("127.0.0.1", port))
    except OSError:
        client.close()
        return None
    client.setblocking(False)
    return client


def _send(client: socket.socket, content: bytes) -> bool:
    """Send what goes at once, or nothing; False if it was thrown out. What is sent to it is never read."""
    try:
        if content:
            client.send(content)
        return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and not _is_closed(client)
    except BlockingIOError:
        return True
    except OSError:
        return False


def _is_closed(client: socket.socket) -> bool:
    """Whether the other end has closed; looks at what came, and leaves it there."""
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


ROWS = (
    Fault(
        name="health-flooded", code="D9", run=flood_health,
        does="200 clients at once hold the health endpoint with nothing, half a head, endless heads, 10 GB of body,"
        " 2,000 ranges, or a hundred questions whose answers they never read; who is thrown out comes again",
        must="connections and memory bounded, no vehicle lost, answers again within 5 s of the end",
    ),
)  # fmt: skip
