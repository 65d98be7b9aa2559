"""Storage that is cut off from power, full or failing (S1 to S6, S8): what was told must be there, and whole.

Rows of a rig do it to a hub alone, fed with made-up vehicles (`rig_hub.py`): so the power can be cut a hundred times.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from scripts.fault_matrix.camera_rows import CALM_SECONDS, RECOVERED_SECONDS
from scripts.fault_matrix.centre import ioc, require_delivered
from scripts.fault_matrix.compute_rows import WORKER_START_SECONDS
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.injection import injected
from scripts.fault_matrix.listener import Listener
from scripts.fault_matrix.processes import limit_files
from scripts.fault_matrix.records import damaged_evidence
from scripts.fault_matrix.rig import Rig
from scripts.fault_matrix.stage import FIRST, SECOND, Stage
from scripts.fault_matrix.volume import Volume

SETTLED_SECONDS = 1.5
"""Who passes so shortly before the whole daemon is ended may be in nobody's hands but the worker's."""
STARTED_SECONDS = 5.0
"""From the start of a hub to the first event that it tells."""
SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS = 0.02, 0.5
"""Of a hub, from its first event to its end."""
NOTICED_SECONDS = 15.0
"""Until a store that cannot be written is told: somebody must pass first."""
FULL_SECONDS = 8.0
GOES_ON_SECONDS = 5.0
"""After what was wrong with the disk is over."""
ON_ITS_WAY_SECONDS = 0.5
"""What was committed just before may be heard so much later."""
FILL_SECONDS = 90.0
LEFT_KIB, LEFT_QUICK_KIB = 14 << 10, 7 << 9
"""Of the disk by another program, when the box is to fill the rest: from `early` on, or from `sparing` on."""
FAST = 40.0
"""Passages a second, twice as many records and pictures as a busy motorway brings."""
MAP_MIB = 2
INPUT_OUTPUT_EXIT = 74

Harm = Callable[[], AbstractContextManager[object]]


def end_often(rig: Rig, end: Callable[[], None]) -> None:
    """The hub is ended at a moment that chance chooses, and started again, again and again."""
    chance = random.Random(rig.times)
    rig.start()
    for _ in range(rig.times):
        time.sleep(chance.uniform(SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS))
        end()
        rig.outcome.times += 1
        rig.require_kept()
        if rig.outcome.problems:
            return
        rig.recovered_in(rig.start())
    rig.require_within(rig.outcome.recovered_s, STARTED_SECONDS, "a hub to tell something after its start")
    rig.close_books()


def cut_power(rig: Rig) -> None:
    """Nothing more reaches the device from one moment to the next."""
    end_often(rig, rig.cut_power)


def cut_power_of_daemon(stage: Stage) -> None:
    """The same with everything there is: cameras, workers, hub."""
    volume = volume_of(stage)
    stage.start_daemon()
    with ioc(stage):
        for _ in range(stage.times):
            stage.wait(CALM_SECONDS)
            stage.fault_begins(FIRST, SECOND)
            stage.wait(SETTLED_SECONDS)
            volume.cut_power()
            stage.daemon.kill()
            volume.turn_on()
            stage.require_stored({int(event["sequence"]) for _, event in stage.listener.messages("sighting.")})
            stage.daemon.start()
            stage.healed(within=WORKER_START_SECONDS * 2 + RECOVERED_SECONDS, cameras=(FIRST, SECOND))
        stage.wait(CALM_SECONDS)
        require_delivered(stage)
        stage.close_books(restarted=True)
    require_pictures(stage)


def fail_daemon(
    stage: Stage,
    harm: Harm,
    *,
    tells: bool | None,
    says: str = "store_failed",
    verdicts: tuple[str, ...] = ("failing",),
) -> None:
    """Storage fails while all cameras go on, which the log `says`, and health, if it can be asked then.

    `tells` False: nothing at all can be stored, so nothing may be told meanwhile; True: it must go on; None: either.
    """
    stage.start_daemon()
    with ioc(stage):
        for _ in range(stage.times):
            stage.wait(CALM_SECONDS)
            with harm():
                stage.outcome.times += 1
                wall = time.monotonic() + stage.wall_offset
                noticed = stage.until(lambda wall=wall: stage.daemon.log(says, since=wall), NOTICED_SECONDS)  # type: ignore[misc]
                stage.require(noticed is not None, f"`{says}` in the log within {NOTICED_SECONDS:g} s")
                if verdicts:
                    verdict = stage.health.verdict()
                    stage.require(verdict in verdicts, f"the box to call itself {' or '.join(verdicts)}", verdict)
                harmed = time.monotonic()
                stage.wait(FULL_SECONDS)
                said = stage.events_heard(since=harmed + ON_ITS_WAY_SECONDS)
                stage.require(tells is not False or not said, "nothing told that cannot be stored", len(said))
                stage.require(tells is not True or said, "events to be told all the same")
            over = time.monotonic()
            again = stage.until(lambda over=over: stage.events_heard(since=over), GOES_ON_SECONDS + CALM_SECONDS)  # type: ignore[misc]
            stage.require(again is not None, "events again after the end")
            stage.recovered_in(again)
        stage.wait(CALM_SECONDS)
        require_delivered(stage)
        stage.close_books()
    require_pictures(stage)


def fail_hub(rig: Rig, harm: Harm, *, silent: bool) -> None:
    """The same to a hub alone; at the end all that it took must be stored."""
    rig.start(rate=FAST)
    for _ in range(rig.times):
        time.sleep(1.0)
        began = time.monotonic()
        with harm():
            rig.outcome.times += 1
            noticed = rig.until(lambda began=began: rig.failures(since=began), FILL_SECONDS)  # type: ignore[misc]
            rig.require(noticed is not None, f"`store_failed` in the log within {FILL_SECONDS:g} s")
            harmed = time.monotonic()
            time.sleep(FULL_SECONDS / 4 if rig.quick else FULL_SECONDS)
            rig.require(rig.lives(), "the hub to live on", rig.last_words())
            said = rig.told(since=harmed + ON_ITS_WAY_SECONDS)
            rig.require(not (silent and said), "nothing told that cannot be stored", f"{len(said)} events")
        if not rig.lives():
            return
        over = time.monotonic()
        again = rig.until(lambda over=over: rig.told(since=over), GOES_ON_SECONDS)  # type: ignore[misc]
        rig.require(again is not None, f"events again within {GOES_ON_SECONDS:g} s of the end", rig.last_words())
        rig.recovered_in(again)
    rig.close_books()
    rig.require_taken_kept()


def fill_disk(stage: Stage) -> None:
    """Another program takes all the space at once, but for the reserve that the daemon holds."""
    volume = volume_of(stage)
    fail_daemon(stage, lambda: _filled(volume), tells=True, says="disk_level", verdicts=("degraded", "failing"))
    released = stage.daemon.log("disk_reserve_released")
    stage.require(released, "the reserve to be given up")
    stage.require((stage.store / "reserve").is_file(), "the reserve to be there again")


def fill_disk_slowly(rig: Rig) -> None:
    """Another program leaves little space, and the box's own records and pictures take it."""
    volume = volume_of(rig)
    rig.start(rate=FAST)
    for _ in range(rig.times):
        began = time.monotonic()
        with _filled(volume, leave_kib=LEFT_QUICK_KIB if rig.quick else LEFT_KIB):
            rig.outcome.times += 1
            full = rig.until(lambda began=began: _level(rig, since=began) == "reserve", FILL_SECONDS)  # type: ignore[misc]
            rig.require(full is not None, "the reserve to be given up", _level(rig, since=began))
            harmed = time.monotonic()
            time.sleep(FULL_SECONDS / 4 if rig.quick else FULL_SECONDS)
            hits = [entry for entry in rig.told(since=harmed) if entry["id"].startswith("hit.")]
            rig.require(rig.lives() and hits, "hits to be told all the same", rig.last_words())
        over = time.monotonic()
        again = rig.until(lambda over=over: _is_well(rig, since=over), GOES_ON_SECONDS * 2)  # type: ignore[misc]
        rig.require(again is not None, "no level, the reserve and pictures again", _level(rig, since=began))
        rig.recovered_in(again)
    rig.close_books()
    rig.require_taken_kept()


def _level(rig: Rig, *, since: float) -> str:
    """How full the hub says its disk to be, by its newest word since a monotonic time."""
    levels = rig.log_lines("disk_level", since=since)
    return str(levels[-1]["now"]) if levels else ""


def _is_well(rig: Rig, *, since: float) -> bool:
    pictures = any(entry["pictures"] for entry in rig.told(since=since) if entry["id"].startswith("sighting."))
    return pictures and _level(rig, since=since) == "ok" and (rig.store / "reserve").is_file()


def fill_inodes(rig: Rig) -> None:
    """Other files take all the inodes."""
    volume = volume_of(rig)
    fail_hub(rig, lambda: _without_inodes(volume), silent=False)


def exhaust_files(stage: Stage) -> None:
    """The hub may open no further file."""
    fail_daemon(stage, lambda: _without_files(stage), tells=None, verdicts=())


def die_under_hub(rig: Rig) -> None:
    """The file system is gone while the hub runs on; then the box is started again."""
    with Listener(rig.endpoint) as listener:
        _die_under_hub(rig, volume_of(rig), listener)
    rig.close_books()


def _die_under_hub(rig: Rig, volume: Volume, listener: Listener) -> None:
    rig.start(rate=FAST)
    for _ in range(rig.times):
        time.sleep(1.0)
        began = time.monotonic()
        volume.abort()
        rig.outcome.times += 1
        noticed = rig.until(lambda began=began: rig.failures(since=began), NOTICED_SECONDS)  # type: ignore[misc]
        rig.require(noticed is not None, f"`store_failed` in the log within {NOTICED_SECONDS:g} s", rig.last_words())
        harmed = time.monotonic()
        time.sleep(FULL_SECONDS)
        rig.require(rig.lives(), "the hub to live on", rig.last_words())
        said = rig.told(since=harmed + ON_ITS_WAY_SECONDS)
        rig.require(not said, "nothing told that cannot be stored", f"{len(said)} events")
        volatile = [event for at, event in listener.messages("volatile.") if at >= harmed]
        rig.require(volatile, "hits of what waits told as not on disk")
        rig.outcome.notes["volatile_hits"] = int(rig.outcome.notes.get("volatile_hits", 0)) + len(volatile)
        rig.kill()
        volume.turn_on()
        rig.require_kept()
        rig.recovered_in(rig.start(rate=FAST))


def fill_map(rig: Rig) -> None:
    """LMDB's map is full, though the disk is not; the next start has a larger one."""
    for _ in range(rig.times):
        began = time.monotonic()
        rig.start(rate=FAST, map_mib=MAP_MIB * (rig.outcome.times + 1))
        rig.outcome.times += 1
        noticed = rig.until(lambda began=began: rig.failures(since=began), FILL_SECONDS)  # type: ignore[misc]
        rig.require(noticed is not None, f"`store_failed` in the log within {FILL_SECONDS:g} s")
        time.sleep(FULL_SECONDS / 4)
        rig.require(rig.lives(), "the hub to live on", rig.last_words())
        code = rig.stop()
        rig.require(code == INPUT_OUTPUT_EXIT, f"exit code {INPUT_OUTPUT_EXIT} of a hub that cannot store all", code)
        rig.require_kept()
    rig.recovered_in(rig.start(rate=FAST))
    rig.close_books()


def require_pictures(stage: Stage) -> None:
    """All pictures that the store names must be there and whole."""
    damaged = damaged_evidence(stage.store)
    stage.require(not damaged, "every picture that a record names, whole", damaged[:3])


def volume_of(play: Stage | Rig) -> Volume:
    """The row's file system, which it has asked for."""
    assert play.volume is not None
    return play.volume


@contextlib.contextmanager
def _filled(volume: Volume, *, leave_kib: int = 0) -> Iterator[None]:
    volume.fill(leave_kib=leave_kib)
    try:
        yield
    finally:
        volume.free()


@contextlib.contextmanager
def _without_last_page(rig: Rig) -> Iterator[None]:
    os.kill(rig.pid, signal.SIGUSR1)
    try:
        yield
    finally:
        if rig.lives():
            os.kill(rig.pid, signal.SIGUSR1)


@contextlib.contextmanager
def _without_inodes(volume: Volume) -> Iterator[None]:
    volume.fill_inodes()
    try:
        yield
    finally:
        volume.free()


@contextlib.contextmanager
def _without_files(stage: Stage) -> Iterator[None]:
    before = limit_files(stage.daemon.pid)
    try:
        yield
    finally:
        limit_files(stage.daemon.pid, before)


_KEPT = "every told event in the store, every picture of it whole; a hub tells again within 5 s of its start"
_GOES_ON = "told in log and health, nothing told that is not stored, goes on by itself afterwards; nothing lost"
_SMALL_DISK = "[store.disk]\nreserve_mib = 8\n"
SYNCS, PAGES = "fsync,fdatasync", "pwrite64,writev"

ROWS = (
    Fault(
        name="power-cut", code="S1", run_rig=cut_power, quick=True, needs=("volume",), volume_mib=384,
        times=100, quick_times=6,
        does="the power of the store's disk (ext4) is cut under a hub alone, at any moment (EXT4_IOC_SHUTDOWN)",
        must=_KEPT,
    ),
    Fault(
        name="power-cut-daemon", code="S1", run=cut_power_of_daemon, needs=("volume",), volume_mib=192,
        does="the same to the whole daemon with its cameras",
        must="every told event in the store, every picture of it whole, delivered after the start",
    ),
    Fault(
        name="hub-killed-often", code="S2", run_rig=lambda rig: end_often(rig, rig.kill), quick=True,
        times=200, quick_times=10,
        does="a hub alone is killed with -9 at any moment and started again", must=_KEPT,
    ),
    Fault(
        name="disk-full", code="S3", run=fill_disk, needs=("volume",), volume_mib=128,
        store_keys=_SMALL_DISK, does="another program takes all the space of the store's disk at once",
        must="told in log and health, events are told all the same from the reserve, which is there again afterwards",
    ),
    Fault(
        name="disk-fills", code="S3", run_rig=fill_disk_slowly, needs=("volume",), volume_mib=96, quick=True, times=3,
        store_keys=_SMALL_DISK, does="a hub alone fills the store's disk by itself",
        must="early, sparing, reserve; hits are told all the same; all is well again once there is room; nothing lost",
    ),
    Fault(
        name="map-full", code="S4", run_rig=fill_map, times=3,
        does="a hub alone fills LMDB's map, of a few MiB", must="no crash, nothing told that is not stored,"
        " exit code 74 with how much is lost; a start with a larger map goes on",
    ),
    Fault(
        name="sync-fails", code="S5", needs=("strace",), run=lambda stage: fail_daemon(
            stage, lambda: injected(stage.daemon.pid, SYNCS, "error=EIO"), tells=False),
        does="fsync and fdatasync of the daemon's hub fail with EIO", must=_GOES_ON,
    ),
    Fault(
        name="write-fails", code="S5", needs=("strace",), run_rig=lambda rig: fail_hub(
            rig, lambda: injected(rig.pid, PAGES, "error=EIO"), silent=True), times=3,
        does="writes of pages by a hub alone fail with EIO", must=_GOES_ON,
    ),
    Fault(
        name="last-write-fails", code="S5", times=3, run_rig=lambda rig: fail_hub(
            rig, lambda: _without_last_page(rig), silent=False),
        does="only the last write of each commit fails, the one that makes it valid", must=_GOES_ON,
    ),
    Fault(
        name="disk-dies", code="S5", run_rig=die_under_hub, needs=("volume",), volume_mib=192, times=3,
        does="the file system of a hub alone goes read-only after an error of its disk; later it is mounted anew",
        must="told in the log; of what is not stored only hits are told, as such; nothing lost after the next start",
    ),
    Fault(
        name="inodes-used-up", code="S8", run_rig=fill_inodes, needs=("volume",), volume_mib=128, inodes=4000, times=3,
        store_keys=_SMALL_DISK, does="other files take all inodes of the store's disk",
        must="told in the log, nothing told that is not stored, goes on by itself afterwards; nothing lost",
    ),
    Fault(
        name="descriptors-used-up", code="S8", needs=("root",), run=exhaust_files,
        does="the daemon's hub may open no further file", must=_GOES_ON,
    ),
)  # fmt: skip
