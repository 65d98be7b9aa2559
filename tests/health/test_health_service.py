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


def test_without_a_manager_nobody_is_told_and_no_status_is_made() -> None:
    asked: list[str] = []
    service = ServiceManager(clock=ManualClock(), environment={})
    service.ready()
    service.beat(lambda: asked.append("status") or "")
    service.stopping()
    assert not asked


def test_a_manager_that_has_gone_is_tried_again_and_harms_nobody(tmp_path: Path) -> None:
    address, environment = tmp_path / "manager", {"WATCHDOG_USEC": "3000000"}
    service = ServiceManager(clock=ManualClock(), environment={"NOTIFY_SOCKET": str(address), **environment})
    service.ready()
    assert not address.exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)
        service.beat(lambda: "fine")
        assert manager.recv(1000) == b"WATCHDOG=1\nSTATUS=fine"
