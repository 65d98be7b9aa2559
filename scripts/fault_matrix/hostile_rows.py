"""Cameras that answer with malice (C14)."""

from __future__ import annotations

from scripts.fault_matrix.camera_rows import (
    CALM_SECONDS,
    GONE,
    NOTICED_SECONDS,
    READ_TIMEOUT_SECONDS,
    RECOVERED_SECONDS,
)
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.processes import own_mib
from scripts.fault_matrix.sockets import Trap
from scripts.fault_matrix.stage import FIRST, Stage

MOST_GROWTH_MIB = 64.0


def answers(stage: Stage, mode: str, *, seconds: float = 8.0) -> None:
    """Every request is answered in the way that `mode` names."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    worker = stage.daemon.worker_of(FIRST)
    for _ in range(stage.times):
        memory = own_mib(worker)
        began = stage.fault_begins()
        stage.first.order(mode=mode, kick=True)
        stage.require_state(GONE, within=NOTICED_SECONDS, since=began)
        peak = 0.0
        for _ in range(int(seconds * 4)):
            stage.wait(0.25)
            peak = max(peak, own_mib(worker) - memory)
        stage.outcome.notes["grown_mib"] = round(max(peak, stage.outcome.notes.get("grown_mib", 0.0)), 1)
        stage.require(peak < MOST_GROWTH_MIB, f"memory to grow by less than {MOST_GROWTH_MIB:g} MiB", f"{peak:.0f} MiB")
        stage.first.order(mode="healthy", kick=True)
        stage.healed(within=RECOVERED_SECONDS + READ_TIMEOUT_SECONDS)  # a try may just wait for its answer
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    stage.require(stage.daemon.worker_of(FIRST) == worker, "the worker to live on", "another one")
    stage.close_books()


def redirect(stage: Stage) -> None:
    """The camera sends the daemon elsewhere: to a file, and to another protocol on another port."""
    with Trap() as trap:
        secret = stage.folder / "secret"
        secret.write_text("not for cameras")
        places = (
            f"http://127.0.0.1:{trap.port}/x",
            f"file://{secret}",
            f"concat:{secret}",
            f"tcp://127.0.0.1:{trap.port}",
        )
        stage.start_daemon()
        stage.wait(CALM_SECONDS)
        read_before = secret.stat().st_atime_ns
        for place in places[: 1 if stage.quick else None]:
            began = stage.fault_begins()
            stage.first.order(mode=f"redirect {place}", kick=True)
            stage.require_state(GONE, within=NOTICED_SECONDS, since=began)
            stage.wait(4.0)
            stage.first.order(mode="healthy")
            stage.healed(within=RECOVERED_SECONDS)
            stage.require_gap(began)
            stage.wait(CALM_SECONDS)
        stage.require(trap.visits == 0, "nobody to follow a redirect off the camera", f"{trap.visits} connections")
        stage.require(secret.stat().st_atime_ns == read_before, "the file not to be read", "it was")
        stage.close_books()


_LIMITED = "given up within the time-outs, memory grows by less than 64 MiB, the worker lives on, recovered"

ROWS = (
    Fault(
        name="redirect", code="C14", run=redirect,
        does="302 to http:, file:, concat: and tcp:", must="no such place is opened; recovered",
    ),
    Fault(
        name="giant-description", code="C14", run=lambda stage: answers(stage, "giant-description"),
        does="an SDP of 256 MiB", must=_LIMITED,
    ),
    Fault(
        name="endless-header", code="C14", run=lambda stage: answers(stage, "endless-header"),
        does="an answer whose header lines never end", must=_LIMITED,
    ),
    Fault(
        name="endless-line", code="C14", run=lambda stage: answers(stage, "endless-line"),
        does="an answer whose first header line never ends", must=_LIMITED,
    ),
    Fault(
        name="garbage", code="C14", run=lambda stage: answers(stage, "garbage"),
        does="random bytes for an answer", must=_LIMITED,
    ),
)  # fmt: skip
