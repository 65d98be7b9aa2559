"""Processes that die, hang or run out, and models that are damaged (G1 to G6)."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time

from anpr import assets
from scripts.fault_matrix.camera_rows import CALM_SECONDS, RECOVERED_SECONDS
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.processes import is_alive
from scripts.fault_matrix.records import damaged_evidence
from scripts.fault_matrix.stage import FIRST, SECOND, Stage
from scripts.fault_matrix.world import ROOT

RESTARTED_SECONDS = 2.0
WORKER_START_SECONDS = 20.0
"""For a worker process to load its models and connect: 2 to 3 s on an idle machine, ten times that on a busy one."""
HANG_SECONDS = 10.0
ORPHAN_SECONDS = 5.0
CONFIG_EXIT = 78


def kill_worker(stage: Stage, number: signal.Signals) -> None:
    """The first camera's worker gets a signal that ends it."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        worker = stage.daemon.worker_of(FIRST)
        began = stage.fault_begins()
        os.kill(worker, number)
        again = stage.until(lambda worker=worker: stage.daemon.worker_of(FIRST) != worker, RESTARTED_SECONDS)  # type: ignore[misc]
        stage.require(again is not None, f"a new worker within {RESTARTED_SECONDS:g} s")
        stage.healed(within=WORKER_START_SECONDS + RECOVERED_SECONDS)
        stage.require(not is_alive(worker), "the dead worker to be gone", worker)
        stage.require_gap(began, reasons={"failed"})
        stage.wait(CALM_SECONDS)
    stage.close_books()


def crash_loop(stage: Stage) -> None:
    """The first camera's worker is killed as often as it comes: the waits rise, the neighbour goes on."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    neighbour = stage.daemon.worker_of(SECOND)
    stage.fault_begins()
    stop = time.monotonic() + 60.0
    killed: set[int] = set()
    while time.monotonic() < stop:
        worker = stage.daemon.worker_of(FIRST)
        if worker not in killed and is_alive(worker):
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        stage.wait(0.2)
    stage.outcome.times = len(killed)
    stage.outcome.notes["deaths_per_minute"] = len(killed)
    stage.require(len(killed) <= 6, "six starts in a minute at most", len(killed))
    stage.healed(within=60.0 + WORKER_START_SECONDS + RECOVERED_SECONDS)
    stage.require(stage.daemon.worker_of(SECOND) == neighbour, "the neighbour's worker to live on", "another one")
    stage.wait(CALM_SECONDS)
    stage.close_books()


def hang_worker(stage: Stage) -> None:
    """The first camera's worker is stopped: alive for the kernel, silent for the hub."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        worker = stage.daemon.worker_of(FIRST)
        began = stage.fault_begins()
        os.kill(worker, signal.SIGSTOP)
        gone = stage.until(lambda worker=worker: not is_alive(worker), HANG_SECONDS)  # type: ignore[misc]
        stage.require(gone is not None, f"the hanging worker killed within {HANG_SECONDS:g} s", "it lives")
        if gone is None:
            stage.until(lambda worker=worker: not is_alive(worker), 90.0)  # type: ignore[misc]
        stage.outcome.notes["killed_after_s"] = round(time.monotonic() - began, 1)
        stage.healed(within=RESTARTED_SECONDS + WORKER_START_SECONDS + RECOVERED_SECONDS)
        stage.require_gap(began, reasons={"failed"})
        stage.wait(CALM_SECONDS)
    stage.close_books()


def starve_worker(stage: Stage) -> None:
    """The first camera's worker may take no more memory, as if its cgroup were full."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        worker = stage.daemon.worker_of(FIRST)
        began = stage.fault_begins()
        _, most = resource.prlimit(worker, resource.RLIMIT_AS)
        resource.prlimit(worker, resource.RLIMIT_AS, (1 << 20, most))
        stage.first.order(kick=True)  # a new connection and a new decoder need memory
        stage.healed(within=WORKER_START_SECONDS + RECOVERED_SECONDS)
        stage.outcome.notes["died"] = not is_alive(worker)
        if is_alive(worker):
            resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def kill_hub(stage: Stage) -> None:
    """The hub is killed with -9 and started again by hand, as the service manager would."""
    stage.start_daemon()
    for _ in range(stage.times):
        stage.wait(CALM_SECONDS)
        children = stage.daemon.children()
        stage.fault_begins(FIRST, SECOND)
        heard = {int(event["sequence"]) for _, event in stage.listener.messages("sighting.")}
        stage.daemon.signal(signal.SIGKILL)
        stage.daemon.wait(5.0)
        gone = stage.until(lambda children=children: not any(map(is_alive, children)), ORPHAN_SECONDS)  # type: ignore[misc]
        stage.require(gone is not None, f"no orphan after {ORPHAN_SECONDS:g} s", list(filter(is_alive, children)))
        stage.outcome.notes["orphans_gone_s"] = gone and round(gone, 2)
        stage.daemon.start()
        stage.healed(within=WORKER_START_SECONDS * 2 + RECOVERED_SECONDS, cameras=(FIRST, SECOND))
    stage.wait(CALM_SECONDS)
    stage.close_books(restarted=True)
    stage.require_stored(heard)
    damaged = damaged_evidence(stage.folder / "store")
    stage.require(not damaged, "every picture that a record names, whole", damaged[:3])


def damage_model(stage: Stage) -> None:
    """The detector's file is cut short: the start is refused in one clear line, and nothing runs."""
    models = stage.folder / "models"
    for model in ("detector", "reader"):
        shutil.copytree(assets.folder("models") / model, models / model)
    network = models / "detector" / "model.onnx"
    network.write_bytes(network.read_bytes()[: network.stat().st_size // 2])
    pipeline = stage.folder / "damaged.toml"
    pipeline.write_text(f'[detector]\nmodel = "{models / "detector"}"\n[reader]\nmodel = "{models / "reader"}"\n')
    site = stage.folder / "damaged-site.toml"
    site.write_text(stage.site.read_text().replace('pipeline = "cpu"', f'pipeline = "{pipeline}"'))
    stage.outcome.times += 1
    refused = subprocess.run(
        [sys.executable, "-m", "anpr", "run", str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    stage.require(refused.returncode == CONFIG_EXIT, f"exit code {CONFIG_EXIT}", refused.returncode)
    stage.require("Traceback" not in refused.stderr, "no traceback", refused.stderr[-200:])
    stage.require("detector" in refused.stderr, "a line that names the model", refused.stderr[-200:])
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    stage.close_books()


ROWS = (
    Fault(
        name="worker-killed", code="G1", quick=True, workers=2, run=lambda stage: kill_worker(stage, signal.SIGKILL),
        does="a worker process is killed with -9",
        must="a new one within 2 s, its camera watched again, a gap told, the other worker's camera unharmed",
    ),
    Fault(
        name="worker-crashed", code="G1", workers=2, run=lambda stage: kill_worker(stage, signal.SIGSEGV),
        does="a worker process gets SIGSEGV", must="as when it is killed",
    ),
    Fault(
        name="worker-crash-loop", code="G1", workers=2, run=crash_loop,
        does="a worker is killed as often as it comes, for a minute",
        must="six starts at most, the neighbour unharmed, watched again afterwards",
    ),
    Fault(
        name="worker-hangs", code="G2", workers=2, run=hang_worker,
        does="a worker process is stopped (SIGSTOP)", must="killed within 10 s and started again",
    ),
    Fault(
        name="worker-out-of-memory", code="G1", workers=2, run=starve_worker,
        does="a worker gets no memory any more (RLIMIT_AS)",
        must="it dies or goes on, and its camera is watched again; the neighbour unharmed",
    ),
    Fault(
        name="hub-killed", code="G6", quick=True, workers=2, run=kill_hub,
        does="the hub is killed with -9 and started again",
        must="no orphan after 5 s, ports and store taken again, what was told is stored with its pictures",
    ),
    Fault(
        name="model-damaged", code="G5", run=damage_model,
        does="a model's file is cut in half", must="the start refused with exit code 78 and one clear line",
    ),
    Fault(
        name="gpu-out-of-memory", code="G3",
        does="the GPU's memory is taken by another program", must="reduced, told, never dying in a loop",
        impossible="the matrix plays a daemon on the CPU alone",
    ),
    Fault(
        name="gpu-vanishes", code="G4",
        does="the GPU is gone for the driver", must="ends itself within 60 s, to be started anew",
        impossible="the matrix plays a daemon on the CPU alone",
    ),
)  # fmt: skip
