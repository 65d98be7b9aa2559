"""The service manager's part of `Type=notify` (sd_notify(3)): a socket that hears what the daemon says of itself."""

from __future__ import annotations

import os
import socket
import time
from types import TracebackType
from typing import Self


class NotifySocket:
    """Give the daemon `environment`; open from `with` to the end of the block."""

    def __init__(self, *, watchdog_seconds: float) -> None:
        self._name = f"anpr-faults-{os.getpid()}-{time.monotonic_ns()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard: list[tuple[float, str]] = []
        self.environment = {
            "NOTIFY_SOCKET": f"@{self._name}",
            "WATCHDOG_USEC": str(round(watchdog_seconds * 1e6)),
        }

    def __enter__(self) -> Self:
        self._socket.bind(f"\0{self._name}")
        self._socket.setblocking(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def heard(self, word: str) -> list[float]:
        """When a datagram with this line came, by the monotonic clock, as far as somebody asked."""
        while True:
            try:
                said = self._socket.recv(4096).decode()
            except BlockingIOError:
                break
            self._heard.append((time.monotonic(), said))
        return [at for at, said in self._heard if word in said.splitlines()]
