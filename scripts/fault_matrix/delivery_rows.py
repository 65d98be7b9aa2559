"""Operations centres that crash, and peers that mean harm (D3, D8).

A hub alone tells of vehicles that are made up; the centre is `ioc.py`, on this machine.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import cast

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.line import Line
from scripts.fault_matrix.processes import open_files, own_mib
from scripts.fault_matrix.records import stored_events
from scripts.fault_matrix.rig import Rig

CALM_SECONDS = 4.0
RATE = 20.0
CRASHED_SECONDS = 20.0
"""Until so many events have come that it kills itself."""
CRASHES, CRASHES_QUICK = 10, 4
"""For each time that a row is asked for."""
CAUGHT_UP_SECONDS = 10.0
HALF_OPEN = 500
MOST_CONNECTIONS = 64
"""The default of `[bus] most_connections`, to each endpoint."""
MOST_GROWTH_MIB = 20.0


def ioc_crash(rig: Rig, when: str) -> None:
    """It kills itself at a chosen moment, again and again."""
    line = cast("Line", rig)
    line.start(rate=RATE)
    for number in range(CRASHES_QUICK if line.quick else CRASHES * line.times):
        with line.centre("--die", when, "--count", str(1 + 3 * number % 20)) as process:
            crashed = line.until(lambda process=process: process.poll() is not None, CRASHED_SECONDS)  # type: ignore[misc]
            line.require_within(crashed, CRASHED_SECONDS, "events to come, so that it crashes")
        line.outcome.times += 1
    with line.centre():
        stored = stored_events(line.store).keys()
        caught_up = line.within_a_while(
            lambda: stored <= {entry["seq"] for entry in line.delivered()}, CAUGHT_UP_SECONDS, "all that is stored"
        )
        line.recovered_in(caught_up)
        line.finish()


def hostile_peers(rig: Rig) -> None:
    """Both endpoints are flooded with half-open connections, garbage and giants."""
    line = cast("Line", rig)
    line.start(rate=RATE)
    line.let_pass(CALM_SECONDS)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
    giant = greeting + ready + b"\x02" + (3 << 29).to_bytes(8, "big") + bytes(1 << 20)
    memory, files = own_mib(line.pid), open_files(line.pid)
    for endpoint in (line.endpoint, line.reliable_endpoint):
        place = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        with ExitStack() as opened:
            line.outcome.times += 1
            for number in range(HALF_OPEN):
                peer = opened.enter_context(socket.create_connection(place, 5.0))
                with contextlib.suppress(OSError):  # it may be thrown out at any moment
                    peer.sendall((b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(512), giant)[number % 4])
            line.outcome.notes["files_at_once"] = open_files(line.pid) - files
            line.within_a_while(
                lambda: open_files(line.pid) - files <= 2 * MOST_CONNECTIONS, 5.0, "connections to be bounded"
            )
            with line.centre():
                began = time.monotonic()
                line.recovered_in(line.require_all(stored_events(line.store).keys(), CAUGHT_UP_SECONDS, since=began))
                line.let_pass(CALM_SECONDS)
                line.require_delivered()
    grown = own_mib(line.pid) - memory
    line.outcome.notes["grown_mib"] = round(grown, 1)
    line.require(grown < MOST_GROWTH_MIB, f"memory to grow by less than {MOST_GROWTH_MIB:g} MiB", f"{grown:.0f} MiB")
    with line.centre():
        line.finish()


_DELIVERED = "every stored event in the centre's ledger; what comes twice has the same id"

ROWS = (
    Fault(
        name="ioc-crash-before-store", code="D3", run_rig=partial(ioc_crash, when="before"), centre="on its own",
        does="the centre kills itself with an event in hand", must=_DELIVERED,
    ),
    Fault(
        name="ioc-crash-after-store", code="D3", run_rig=partial(ioc_crash, when="after"), centre="on its own",
        quick=True,
        does="the centre kills itself between store and acknowledgement", must=_DELIVERED,
    ),
    Fault(
        name="hostile-peers", code="D8", run_rig=hostile_peers, times=1, centre="on its own",
        does="500 connections to each endpoint: half-open, HTTP, garbage, giant frames",
        must="connections bounded, memory grows by less than 20 MiB; " + _DELIVERED,
    ),
)  # fmt: skip
