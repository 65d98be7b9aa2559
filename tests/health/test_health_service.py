"""The datagrams that systemd would get."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from anpr.clock import ManualClock
from anpr.health.service import ServiceManager


def test_ready_watchdog_and_stopping_are_told(tmp_path: Path) -> None:
    clock = ManualClock()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
        service = ServiceManager(clock=clock, environment=environment)
        service.ready()
        assert manager.recv(1000) == b"READY=1"
        for _ in range(30):
            service.beat(lambda: "12 of 12 cameras")
            clock.advance(1.0)
        beats = [manager.recv(1000) for _ in range(3)]
        assert beats == [b"WATCHDOG=1\nSTATUS=12 of 12 cameras"] * 3
        service.stopping()
        assert manager.recv(1000) == b"STOPPING=1"


def test_abstract_addresses_are_reached_and_a_watchdog_of_another_process_is_not_ours() -> None:
    name = f"anpr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.setblocking(False)
        environment = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
        service = ServiceManager(clock=ManualClock(), environment=environment)
        service.beat(lambda: "fine")
        service.ready()
        assert manager.recv(1000) == b"READY=1"


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    ServiceManager(clock=ManualClock(), environment={}).ready()
    gone = ServiceManager(clock=ManualClock(), environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gone.ready()
    gone.stopping()
