"""What the kernel knows of the TCP connections of this machine: what a program has not read yet, without asking it."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ESTABLISHED = "01"
LOWEST_PORT = 10_000
"""Below, the well-known services are."""


def unread_bytes(server_port: int) -> int:
    """Bytes that lie in the sockets of clients of `server_port` on 127.0.0.1, arrived and not yet read."""
    total = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, _, remote, state, queues, *_ = line.split()
        if state == ESTABLISHED and int(remote.partition(":")[2], 16) == server_port:
            total += int(queues.partition(":")[2], 16)
    return total


def established(server_port: int) -> int:
    """How many connections that stand this machine has accepted at a port of 127.0.0.1."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(line.split()[3] == ESTABLISHED and line.split()[1].endswith(f":{server_port:04X}") for line in lines)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now, and that the kernel gives to nobody who asks for any port."""
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(LOWEST_PORT, max(first_given, 2 * LOWEST_PORT))
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Trap:
    """A port that nobody should connect to; counts who does. Runs in a thread of its own from `with` to the end."""

    def __init__(self) -> None:
        self.visits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trap", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                visitor, _ = self._socket.accept()
            except TimeoutError:
                continue
            self.visits += 1
            visitor.close()
