"""Delivery: operations centres that crash, are restored or come late, subscribers that freeze, peers that mean harm.

The ledger is that of `ioc.py`, and it is compared with the rows of the store's own files: neither goes through anpr.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from scripts.fault_matrix.camera_rows import CALM_SECONDS
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.ioc import read_ledger
from scripts.fault_matrix.processes import die_with_parent, open_files, own_mib
from scripts.fault_matrix.records import stored_events
from scripts.fault_matrix.stage import FIRST, SECOND, Stage
from scripts.fault_matrix.world import ROOT

CAUGHT_UP_SECONDS = 10.0
CRASHED_SECONDS = 40.0
"""Until so many events have come that it kills itself."""
CRASHES = 5
"""For each time that a row is asked for."""
HALF_OPEN = 500
MOST_CONNECTIONS = 64
"""The default of `[bus] most_connections`, to each endpoint."""
MOST_GROWTH_MIB = 20.0
_SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"")
socket.connect(sys.argv[1])
while True:
    socket.recv_multipart()
"""


@contextlib.contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, preexec_fn=die_with_parent)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ioc(stage: Stage, *words: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """The operations centre, on the ledger of its earlier lives."""
    return program("-m", "scripts.fault_matrix.ioc", stage.reliable_endpoint, str(ledger_of(stage)), *words)


def ledger_of(stage: Stage) -> Path:
    """Where it keeps what it got."""
    return stage.folder / "ioc.ledger"


def require_delivered(stage: Stage) -> None:
    """What the store holds now must be in the ledger soon, with the same ids; what came twice too."""
    stored = {
        seq: f"{row[0]}.{row[4]['id']}.{row[4]['revision']}"
        for seq, row in stored_events(stage.folder / "store").items()
    }
    seconds = stage.until(
        lambda: stored.keys() <= {entry["seq"] for entry in read_ledger(ledger_of(stage))}, CAUGHT_UP_SECONDS
    )
    entries = read_ledger(ledger_of(stage))
    missing = sorted(stored.keys() - {entry["seq"] for entry in entries})
    stage.require(stored, "events in the store")
    stage.require(not missing, "every stored event in the ledger", f"{len(missing)} missing, {missing[:5]}")
    wrong = [entry["seq"] for entry in entries if stored.get(entry["seq"], entry["id"]) != entry["id"]]
    stage.require(not wrong, "the same id whenever a number comes", wrong[:5])
    twice = len(entries) - len({entry["seq"] for entry in entries})
    stage.outcome.notes |= {"delivered": len(stored), "delivered_twice": twice, "undelivered": len(missing)}
    if seconds is not None:
        stage.outcome.recovered_s = round(max(stage.outcome.recovered_s or 0.0, seconds), 2)


def ioc_crash(stage: Stage, when: str) -> None:
    """It kills itself at a chosen moment, again and again."""
    stage.start_daemon()
    crashes = 2 if stage.quick else CRASHES * stage.times
    for number in range(crashes):
        with ioc(stage, "--die", when, "--count", str(1 + number % 3)) as process:
            crashed = stage.until(lambda process=process: process.poll() is not None, CRASHED_SECONDS)  # type: ignore[misc]
            stage.require(crashed is not None, "events to come, so that it crashes")
        stage.outcome.times += 1
    with ioc(stage):
        stage.wait(CALM_SECONDS)
        require_delivered(stage)
        stage.close_books()


def ioc_restored(stage: Stage) -> None:
    """Half of its ledger is gone: what it acknowledged, and lost, must come again."""
    stage.start_daemon()
    for _ in range(stage.times):
        with ioc(stage):
            stage.wait(CALM_SECONDS)
            require_delivered(stage)
        entries = ledger_of(stage).read_bytes().splitlines(keepends=True)
        ledger_of(stage).write_bytes(b"".join(entries[: len(entries) // 2]))
        stage.outcome.times += 1
        with ioc(stage):
            require_delivered(stage)
    stage.close_books()


def late_joiner(stage: Stage) -> None:
    """It comes when much has passed, and when the daemon was killed meanwhile."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    stage.fault_begins(FIRST, SECOND)
    stage.daemon.kill()
    stage.start_daemon()
    with ioc(stage):
        require_delivered(stage)
        stage.wait(CALM_SECONDS)
        require_delivered(stage)
    stage.close_books(restarted=True)


def frozen_subscriber(stage: Stage) -> None:
    """A live subscriber is stopped while others listen; it must not cost them anything."""
    stage.start_daemon()
    with program("-c", _SUBSCRIBER, stage.endpoint) as frozen, ioc(stage):
        stage.wait(CALM_SECONDS)
        for _ in range(stage.times):
            stage.outcome.times += 1
            os.kill(frozen.pid, signal.SIGSTOP)
            stage.wait(CALM_SECONDS)
            require_delivered(stage)
            os.kill(frozen.pid, signal.SIGCONT)
            stage.wait(2.0)
        stage.require(frozen.poll() is None, "the subscriber to go on")
    stage.close_books()


def hostile_peers(stage: Stage) -> None:
    """Both endpoints are flooded with half-open connections, garbage and giants."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
    giant = greeting + ready + b"\x02" + (3 << 29).to_bytes(8, "big") + bytes(1 << 20)
    memory, files = own_mib(stage.daemon.pid), open_files(stage.daemon.pid)
    for endpoint in (stage.endpoint, stage.reliable_endpoint):
        place = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        with ExitStack() as opened:
            stage.outcome.times += 1
            for number in range(HALF_OPEN):
                peer = opened.enter_context(socket.create_connection(place, 5.0))
                with contextlib.suppress(OSError):  # it may be thrown out at any moment
                    peer.sendall((b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(512), giant)[number % 4])
            held = open_files(stage.daemon.pid) - files
            stage.until(lambda: open_files(stage.daemon.pid) - files <= 2 * MOST_CONNECTIONS, 5.0)
            stage.outcome.notes["files_at_once"] = held
            stage.require(
                open_files(stage.daemon.pid) - files <= 2 * MOST_CONNECTIONS, "connections to be bounded", held
            )
            with ioc(stage):
                require_delivered(stage)
    grown = own_mib(stage.daemon.pid) - memory
    stage.outcome.notes["grown_mib"] = round(grown, 1)
    stage.require(grown < MOST_GROWTH_MIB, f"memory to grow by less than {MOST_GROWTH_MIB:g} MiB", f"{grown:.0f} MiB")
    stage.close_books()


_DELIVERED = "every stored event in the consumer's ledger; what comes twice has the same id"

ROWS = (
    Fault(
        name="ioc-crash-before-store", code="D3", run=lambda stage: ioc_crash(stage, "before"),
        does="the consumer kills itself with an event in hand", must=_DELIVERED,
    ),
    Fault(
        name="ioc-crash-after-store", code="D3", run=lambda stage: ioc_crash(stage, "after"), quick=True,
        does="the consumer kills itself between store and acknowledgement", must=_DELIVERED,
    ),
    Fault(
        name="ioc-restored", code="D4", run=ioc_restored,
        does="the consumer's ledger is cut in half", must=_DELIVERED,
    ),
    Fault(
        name="late-joiner", code="D7", run=late_joiner,
        does="a consumer comes late, after the daemon was killed", must=_DELIVERED,
    ),
    Fault(
        name="frozen-subscriber", code="D6", run=frozen_subscriber,
        does="SIGSTOP to a live subscriber", must="nobody else misses anything; " + _DELIVERED,
    ),
    Fault(
        name="hostile-peers", code="D8", run=hostile_peers,
        does="500 connections to each endpoint: half-open, HTTP, garbage, giant frames",
        must="connections bounded, memory grows by less than 20 MiB; " + _DELIVERED,
    ),
)  # fmt: skip
