"""The word to the service manager: ready, alive, stopping (sd_notify(3), one datagram each)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

from anpr.clock import Clock

_BEATS_PER_TIMEOUT = 3.0


class ServiceManager:
    """Talks to systemd if it started us with `Type=notify`; otherwise every call does nothing."""

    def __init__(self, *, clock: Clock, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._clock = clock
        self._address = environment.get("NOTIFY_SOCKET", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        timeout_seconds = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if ours else 0.0
        self._beat_seconds = timeout_seconds / _BEATS_PER_TIMEOUT
        self._beat_due_seconds = clock.monotonic_seconds()

    def ready(self) -> None:
        """The box works."""
        self._tell("READY=1")

    def beat(self, status: Callable[[], str]) -> None:
        """The loop turns; call it often. Tells the watchdog when it is due, with one line for people."""
        now = self._clock.monotonic_seconds()
        if self._beat_seconds and now >= self._beat_due_seconds:
            self._beat_due_seconds = now + self._beat_seconds
            self._tell(f"WATCHDOG=1\nSTATUS={status()}")

    def stopping(self) -> None:
        """It was told to end, and settles what is open."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(state.encode(), address)
            except OSError:
                return  # nobody listens any more: who waits for us will notice
