"""Operations centres that are restored from a backup or come late, and subscribers that freeze (D4, D6, D7).

A hub alone tells of vehicles that are made up; the centre is `ioc.py`, on this machine.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from typing import Any, cast

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.line import Line
from scripts.fault_matrix.records import stored_events
from scripts.fault_matrix.rig import Rig
from scripts.fault_matrix.sockets import established

CALM_SECONDS = 4.0
CAUGHT_UP_SECONDS = 10.0
CUT_OFF_SECONDS = 5.0
"""A subscriber that answers no heartbeat for 3 s is disconnected."""
RATE = 20.0
MORE_SHARE, MORE_SECONDS = 0.05, 0.02
"""By how much later others may be told while one is frozen: the greater of the two, for a busy machine is not even."""

_SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"")
socket.connect(sys.argv[1])
while True:
    socket.recv_multipart()
"""


def restored(rig: Rig) -> None:
    """Half of the centre's ledger is gone: what it acknowledged, and lost, must come again."""
    line = cast("Line", rig)
    line.begin(rate=RATE)
    for _ in range(line.times):
        with line.centre():
            line.let_pass(CALM_SECONDS)
            line.require_delivered()
        had = {entry["seq"] for entry in line.delivered()}
        line.forget_half()
        kept = {entry["seq"] for entry in line.delivered()}
        line.outcome.times += 1
        line.let_pass(1.0)
        began = time.monotonic()
        with line.centre():
            line.recovered_in(line.require_all(had, CAUGHT_UP_SECONDS, since=began))
            line.require_delivered()
        asked = line.diary("welcome", since=began)[0]["asked"]
        again = {entry["seq"] for entry in line.delivered(since=began)} & (had - kept)
        line.outcome.in_fault += len(had - kept)
        line.outcome.in_fault_told += len(again)
        line.require(had - kept, "something to be forgotten")
        line.require(
            all(lane is not None and lane["seq"] <= max(kept) for lane in asked.values()),
            "the centre to ask for what followed its backup",
            asked,
        )
    with line.centre():
        line.finish()


def late(rig: Rig) -> None:
    """The centre comes when much has passed, and when the hub was killed meanwhile."""
    line = cast("Line", rig)
    line.start(rate=RATE)
    for _ in range(line.times):
        line.let_pass(CALM_SECONDS)
        line.kill()
        line.outcome.times += 1
        line.start(rate=RATE)
        began = time.monotonic()
        waiting = stored_events(line.store).keys()
        with line.centre():
            line.recovered_in(line.require_all(waiting, CAUGHT_UP_SECONDS, since=began))
            line.let_pass(CALM_SECONDS)
            line.require_delivered()
    with line.centre():
        line.finish(live=False)  # the live feed does not tell again what a killed hub told nobody


def frozen(rig: Rig) -> None:
    """A live subscriber is stopped while others listen; it must not cost them anything."""
    line = cast("Line", rig)
    port = int(line.endpoint.rpartition(":")[2])
    line.begin(rate=RATE)
    with line.centre():
        for _ in range(line.times):
            with line.program(_SUBSCRIBER, line.endpoint) as subscriber:
                began = time.monotonic()
                line.let_pass(2 * CALM_SECONDS)
                line.require(established(port) >= 2, "two subscribers", established(port))
                stopped = time.monotonic()
                line.outcome.times += 1
                os.kill(subscriber.pid, signal.SIGSTOP)
                cut_off = line.until(lambda: established(port) < 2, CUT_OFF_SECONDS)
                line.require_within(cut_off, CUT_OFF_SECONDS, "who does not answer disconnected")
                line.let_pass(2 * CALM_SECONDS)
                before, during = _late(line, began, stopped), _late(line, stopped, time.monotonic())
                line.outcome.notes |= {"before_ms": before, "during_ms": during, "cut_off_s": cut_off}
                limit = before["p50"] + max(MORE_SHARE * before["p50"], MORE_SECONDS * 1000)
                line.require(during["p50"] <= limit, f"others told within {limit:.1f} ms", during["p50"])
                line.require(not line.listener_missed(), "nobody else to miss anything", line.listener_missed()[:5])
                os.kill(subscriber.pid, signal.SIGCONT)
                again = line.until(lambda: established(port) >= 2, CAUGHT_UP_SECONDS)
                line.require_within(again, CAUGHT_UP_SECONDS, "the subscriber back")
                line.recovered_in(again)
        line.finish()


def _late(line: Line, since: float, until: float) -> dict[str, Any]:
    """Milliseconds from a hub's word to the listener's ear."""
    told = {entry["seq"]: entry["at"] for entry in line.told(since=since)}
    late = [
        (at - told[int(event["sequence"])]) * 1000
        for at, event in line.listener.messages()
        if since <= at < until and "committed" in event and int(event["sequence"]) in told
    ]
    if len(late) < 2:
        return {"p50": 0.0, "p99": 0.0}
    return {"p50": round(statistics.median(late), 2), "p99": round(statistics.quantiles(late, n=100)[98], 2)}


_DELIVERED = "every stored event in the centre's ledger; what comes twice has the same id"

ROWS = (
    Fault(
        name="ioc-restored", code="D4", run_rig=restored, centre="on its own",
        does="half of the centre's ledger is gone, as after a restore from a backup",
        must="it asks for what followed, and gets all that it had acknowledged and lost; " + _DELIVERED,
    ),
    Fault(
        name="late-joiner", code="D7", run_rig=late, centre="on its own",
        does="the centre comes late, after the hub was killed", must=_DELIVERED,
    ),
    Fault(
        name="frozen-subscriber", code="D6", run_rig=frozen, centre="on its own",
        does="SIGSTOP to a live subscriber",
        must="it is disconnected within 5 s; others miss nothing and are told as soon as before; " + _DELIVERED,
    ),
)  # fmt: skip
