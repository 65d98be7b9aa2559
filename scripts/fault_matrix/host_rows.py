"""The machine around the daemon: memory, processor, the service manager, a backlog at the end, versions (H1 to H5)."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import lmdb

from scripts.fault_matrix.camera_rows import CALM_SECONDS, RECOVERED_SECONDS
from scripts.fault_matrix.centre import ioc, require_delivered
from scripts.fault_matrix.compute_rows import ORPHAN_SECONDS, WORKER_START_SECONDS
from scripts.fault_matrix.control_group import ControlGroup, control_group
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.injection import injected
from scripts.fault_matrix.processes import die_with_parent, is_alive
from scripts.fault_matrix.records import file_hashes
from scripts.fault_matrix.rig import START_SECONDS, Rig
from scripts.fault_matrix.service import NotifySocket
from scripts.fault_matrix.stage import FIRST, SECOND, Stage
from scripts.fault_matrix.storage_rows import require_pictures

MIB = 1 << 20
HEADROOM_MIB = 64
"""That the daemon's group may still take when it is up …"""
HOG_MIB = 160
"""… of which another program wants so much."""
STARVED_SECONDS = 20.0
STARVED_SHARE = 0.1
"""Of one core, for the whole daemon."""
LEAST_EVEN = 0.5
"""Of two cameras alike, the one that got fewer pictures through, against the other."""
BACKLOG = 5
BACKLOG_SECONDS = 40.0
STOP_SECONDS = 10.0
AT_ONCE_SECONDS = 2.0
WATCHDOG_SECONDS = 9.0
INPUT_OUTPUT_EXIT = 74
NEWER_SCHEMA = b"99"
_HOG = """
import sys, time
held = bytearray(int(sys.argv[1]) << 20)
held[::4096] = bytes(len(held[::4096]))
time.sleep(1e6)
"""


def squeeze_memory(stage: Stage) -> None:
    """Another program of the daemon's group takes its memory, until the kernel kills somebody."""
    with control_group("memory") as group:
        stage.start_daemon(group=group)
        with ioc(stage):
            stage.wait(CALM_SECONDS)
            for _ in range(stage.times):
                hub, workers = stage.daemon.pid, set(stage.daemon.children())
                group.limit("memory.limit_in_bytes", group.read("memory.usage_in_bytes") + HEADROOM_MIB * MIB)
                stage.fault_begins(FIRST, SECOND)
                with _hog(group):
                    gone = stage.until(lambda workers=workers: not all(map(is_alive, workers)), CALM_SECONDS * 2)  # type: ignore[misc]
                    stage.outcome.notes["killed"] = gone is not None
                    stage.wait(CALM_SECONDS)
                group.limit("memory.limit_in_bytes", -1)
                stage.require(stage.daemon.pid == hub and is_alive(hub), "the hub to live on")
                stage.healed(
                    within=WORKER_START_SECONDS * 2 + RECOVERED_SECONDS, cameras=(FIRST, SECOND), reconnects=False
                )
                stage.wait(CALM_SECONDS)
            require_delivered(stage)
            stage.close_books()
    require_pictures(stage)


def starve(stage: Stage) -> None:
    """The whole daemon gets a tenth of a core."""
    with control_group("cpu") as group:
        stage.start_daemon(group=group)
        with ioc(stage):
            stage.wait(CALM_SECONDS)
            for _ in range(stage.times):
                workers = set(stage.daemon.children())
                stage.fault_begins(FIRST, SECOND)
                before = _inferred(stage)
                group.limit("cpu.cfs_quota_us", round(STARVED_SHARE * group.read("cpu.cfs_period_us")))
                stage.wait(STARVED_SECONDS)
                group.limit("cpu.cfs_quota_us", -1)
                stage.healed(within=RECOVERED_SECONDS * 2, cameras=(FIRST, SECOND), reconnects=False)
                after = _inferred(stage)
                done = [after[name] - before[name] for name in (FIRST, SECOND)]
                stage.outcome.notes["inferred"] = done
                stage.require(min(done) >= LEAST_EVEN * max(done) > 0, "both cameras to get their share", done)
                stage.require(set(stage.daemon.children()) == workers, "no worker killed or restarted")
                stage.wait(CALM_SECONDS)
            require_delivered(stage)
            stage.close_books()
    require_pictures(stage)


def stop_with_backlog(stage: Stage) -> None:
    """The disk has refused for a while, so that much waits; just as it works again, the daemon is told to stop."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    with injected(stage.daemon.pid, "fsync,fdatasync", "error=EIO"):
        stage.outcome.times += 1
        waits = stage.until(lambda: _waiting(stage) >= BACKLOG, BACKLOG_SECONDS)
        stage.require(waits is not None, f"{BACKLOG} records to wait", _waiting(stage))
        stage.outcome.notes["backlog"] = _waiting(stage)
    began = time.monotonic()
    stage.close_books()
    stage.outcome.recovered_s = round(time.monotonic() - began, 2)
    require_pictures(stage)


def stop_twice(stage: Stage) -> None:
    """The disk is slow, so that stopping takes long; a second SIGTERM does not wait for it."""
    stage.start_daemon()
    for _ in range(stage.times):
        stage.wait(CALM_SECONDS)
        stage.fault_begins(FIRST, SECOND)
        children = stage.daemon.children()
        with injected(stage.daemon.pid, "fsync,fdatasync", "delay_enter=500000"):
            stage.wait(CALM_SECONDS)
            heard = {int(event["sequence"]) for event in stage.events_heard(since=0.0)}
            stage.daemon.signal(signal.SIGTERM)
            time.sleep(1.0)
            stage.outcome.notes["still_stopping"] = stage.daemon.exit_code is None
            asked, stage.may_end = time.monotonic(), True
            stage.daemon.signal(signal.SIGTERM)
            code = stage.daemon.wait(STOP_SECONDS)
            seconds = time.monotonic() - asked
        stage.require(code is not None, "the daemon to end", "it lives on")
        stage.require_within(seconds, AT_ONCE_SECONDS, "the end after the second SIGTERM")
        stage.outcome.notes["ended_in_s"] = round(seconds, 2)
        gone = stage.until(lambda children=children: not any(map(is_alive, children)), ORPHAN_SECONDS)  # type: ignore[misc]
        stage.require(gone is not None, f"no orphan after {ORPHAN_SECONDS:g} s")
        stage.require_stored(heard)
        stage.daemon.kill()
        stage.daemon.start()
        stage.may_end = False
        stage.healed(within=WORKER_START_SECONDS * 2 + RECOVERED_SECONDS, cameras=(FIRST, SECOND))
    with ioc(stage):
        stage.wait(CALM_SECONDS)
        require_delivered(stage)
        stage.close_books(restarted=True)
    require_pictures(stage)


def hang_hub(stage: Stage) -> None:
    """The hub stands still (SIGSTOP); the service manager's part is played here, by its watchdog."""
    with NotifySocket(watchdog_seconds=WATCHDOG_SECONDS) as manager:
        stage.daemon.environment |= manager.environment
        stage.start_daemon()
        stage.require(manager.heard("READY=1"), "READY=1")
        for _ in range(stage.times):
            stage.wait(CALM_SECONDS)
            alive = manager.heard("WATCHDOG=1")
            stage.require(alive and time.monotonic() - alive[-1] < WATCHDOG_SECONDS, "WATCHDOG=1 in time", len(alive))
            children = stage.daemon.children()
            began = stage.fault_begins(FIRST, SECOND)
            stage.daemon.signal(signal.SIGSTOP)
            time.sleep(WATCHDOG_SECONDS)
            late = [at for at in manager.heard("WATCHDOG=1") if at > began + 1.0]
            stage.require(not late, "no WATCHDOG=1 from a hub that stands still", len(late))
            stage.daemon.signal(signal.SIGKILL)
            stage.daemon.wait(5.0)
            gone = stage.until(lambda children=children: not any(map(is_alive, children)), ORPHAN_SECONDS)  # type: ignore[misc]
            stage.require(gone is not None, f"no orphan after {ORPHAN_SECONDS:g} s")
            stage.daemon.start()
            stage.healed(within=WORKER_START_SECONDS * 2 + RECOVERED_SECONDS, cameras=(FIRST, SECOND))
        with ioc(stage):
            stage.wait(CALM_SECONDS)
            require_delivered(stage)
            stage.close_books(restarted=True)
    require_pictures(stage)


def downgrade(rig: Rig) -> None:
    """The store says that a newer anpr wrote it."""
    rig.start()
    for _ in range(rig.times):
        time.sleep(0.5)
        rig.stop()
        schema = _set_schema(rig, NEWER_SCHEMA)
        before = file_hashes(rig.store)
        rig.outcome.times += 1
        rig.begin()
        code = rig.wait(START_SECONDS)
        rig.require(code == INPUT_OUTPUT_EXIT, f"exit code {INPUT_OUTPUT_EXIT}", code)
        rig.require("newer anpr" in rig.last_words(), "a line that says why", rig.last_words())
        changed = [name for name, digest in file_hashes(rig.store).items() if before.get(name, digest) != digest]
        rig.require(not changed, "nothing changed in the store", changed)
        _set_schema(rig, schema)
        rig.recovered_in(rig.start())
    rig.close_books()


@contextlib.contextmanager
def _hog(group: ControlGroup) -> Iterator[None]:
    """While the block runs, another process wants memory of the group."""
    hog = subprocess.Popen([sys.executable, "-c", _HOG, str(HOG_MIB)], preexec_fn=die_with_parent)
    try:
        group.add(hog.pid)
        yield
    finally:
        hog.kill()
        hog.wait()


def _inferred(stage: Stage) -> dict[str, float]:
    """Pictures that went through the whole loop, by camera; waits for an answer, which a starved box gives late."""
    found: dict[str, float] = {}

    def asked() -> bool:
        for name in (FIRST, SECOND):
            count = stage.health.metric("anpr_frames_inferred_total", camera=name)
            if count is not None:
                found[name] = count
        return len(found) == 2

    if stage.until(asked, CALM_SECONDS) is None:
        raise RuntimeError("nobody answers how many pictures were looked at")
    return found


def _waiting(stage: Stage) -> int:
    """Records that the newest `store_failed` says to wait."""
    failed = stage.daemon.log("store_failed")
    return int(failed[-1]["waiting"]) if failed else 0


def _set_schema(rig: Rig, schema: bytes) -> bytes:
    """Write what version of anpr made the store, past anpr; returns what stood there."""
    with lmdb.open(str(rig.store), max_dbs=32, map_size=64 * MIB) as environment:
        meta = environment.open_db(b"meta", create=False)
        with environment.begin(write=True, db=meta) as transaction:
            before = transaction.get(b"schema", b"")
            transaction.put(b"schema", schema)
    return bytes(before)


ROWS = (
    Fault(
        name="memory-short", code="H1", needs=("memory",), workers=2, run=squeeze_memory,
        does="another program takes the memory of the daemon's control group, until the kernel kills somebody",
        must="the hub lives on; workers that are killed come again, and their cameras are watched; nothing lost",
    ),
    Fault(
        name="processor-short", code="H2", needs=("cpu",), run=starve,
        does="the daemon gets a tenth of a core for 20 s",
        must="no process restarted, both cameras get their share, dropped pictures counted, watched again afterwards",
    ),
    Fault(
        name="stop-with-backlog", code="H3", needs=("strace",), times=1, run=stop_with_backlog,
        does="SIGTERM while records wait for a disk that refused until just now",
        must="all that waits is stored and told, exit code 0",
    ),
    Fault(
        name="stop-twice", code="H3", needs=("strace",), run=stop_twice,
        does="SIGTERM while the disk is slow, and a second one",
        must="ended within 2 s of the second, no orphan, what was told is stored, delivered after the next start",
    ),
    Fault(
        name="hub-hangs", code="H4", workers=2, run=hang_hub,
        does="the hub stands still (SIGSTOP); a service manager with a watchdog ends and starts it",
        must="READY=1 and WATCHDOG=1 in time, none while it stands still, no orphan, nothing that was told is lost",
    ),
    Fault(
        name="downgrade", code="H5", run_rig=downgrade,
        does="the store was written by a newer anpr",
        must="refused with exit code 74 and a line that says so, nothing changed; goes on with the right version",
    ),
)  # fmt: skip
