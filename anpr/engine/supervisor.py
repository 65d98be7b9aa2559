"""Keeps the workers of a box alive and carries what they send to the hub; one loop, no threads.

The hub runs in this process too: if it dies, the kernel takes the workers with it, and the service manager starts all
anew. A worker that dies or hangs is started again after a pause that doubles up to a minute and is forgotten after some
minutes of health; the cameras of the other workers do not notice.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Protocol

import msgspec
import structlog

from anpr.clock import Clock
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.assignment import STOP, Assignment
from anpr.engine.birth import enter
from anpr.engine.incoming import Incoming
from anpr.engine.messages import CameraReport, Ended, Passage, WorkerReport, decode
from anpr.engine.process import EXIT_DEVICE, work
from anpr.metrics import Counters
from anpr.video.rtsp import PICTURE_WAIT_SECONDS

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
HEALTHY_SECONDS = 300.0
"""A worker that ran for so long did not die of its start: the pause begins anew."""
HANG_SECONDS = 30.0
"""A camera's loop that is at one picture for so long hangs: its worker is killed …"""
MARGIN_SECONDS = 5.0
"""… but never before the camera's own time-outs have ended so much ago."""
SILENT_SECONDS = 10.0
"""A worker without a word for so long hangs …"""
START_SECONDS = 60.0
"""… but its first word may take so long."""
DEATHS_TO_DIVIDE = 3
DIVIDE_SECONDS = 600.0
"""A worker that dies so often in so long is divided: one of its cameras may be what kills it."""
DRAIN_SECONDS = 20.0
"""How long stopping workers may take to settle what is in view."""
LOOP_SECONDS = 0.2
FULL_LOOP_SECONDS = 0.05
"""While the hub is full, or no worker runs."""
LOG_SECONDS = 60.0
"""How often the log says how the cameras fare."""
CATCH_UP_SECONDS = 5.0
"""After the hub was full: until then the workers' reports may be those of loops that had to wait."""
_GRACE_SECONDS = 1.0
"""A process whose pipe has ended may take so long to exit."""
_BUSY_STATES = frozenset({"running", "streaming"})
"""States in which pictures should come all the time."""
_BATCH = 64
"""Messages taken from one worker before the others have their turn."""


class Hub(Protocol):
    """What the supervisor asks of the hub."""

    @property
    def full(self) -> bool:
        """True while nothing more can be taken: the workers then wait, and live cameras drop pictures."""
        ...

    def take(self, passage: Passage) -> None:
        """Have a sighting stored, matched and published soon."""
        ...

    def settle(self, camera_ids: Collection[str]) -> None:
        """Make final what was last told of these cameras' passages."""
        ...

    def tick(self) -> float:
        """Do what is due; returns how many seconds it may wait until the next time."""
        ...


class Attendant(Protocol):
    """Who is told how the workers fare, and has its turn in the loop."""

    @property
    def sockets(self) -> Sequence[socket.socket | int]:
        """What else the loop shall wait for; a number is a file descriptor."""
        ...

    def started(self, worker: str, cameras: Sequence[str]) -> None:
        """A worker process runs."""
        ...

    def heard(self, worker: str, report: CameraReport | WorkerReport) -> None:
        """A worker has reported."""
        ...

    def died(self, worker: str, cameras: Sequence[str], reason: str) -> None:
        """A worker process is gone that was not told to end."""
        ...

    def ended(self, worker: str) -> None:
        """A worker process is gone, as it should."""
        ...

    def turn(self, ready: Collection[object]) -> None:
        """One round of the loop; `ready` are those of `sockets` that have something to read."""
        ...

    def stopping(self) -> None:
        """The workers are told to stop."""
        ...


@dataclass(slots=True)
class _Slot:
    """A worker's place: its cameras stay, its process comes and goes."""

    name: str
    assignment: Assignment
    process: SpawnProcess | None = None
    connection: Connection | None = None
    incoming: Incoming | None = None
    """What comes through it."""
    started_seconds: float = 0.0
    heard_seconds: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    restart_at_seconds: float | None = None
    deaths: list[float] = field(default_factory=list)
    """When it died, lately."""
    suspects: frozenset[str] = frozenset()
    """Cameras whose loops hung when it was killed."""
    killed: bool = False
    """Its process was killed by us."""
    ended: bool = False
    """It said that its cameras have ended."""
    reports: dict[str, CameraReport] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    """Of processes that are gone."""


class Supervisor:
    """Runs the workers of `assignments` until told to stop, or until all their cameras have ended."""

    def __init__(
        self,
        assignments: Sequence[Assignment],
        hub: Hub,
        *,
        clock: Clock,
        hang_seconds: float = HANG_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
        start_seconds: float = START_SECONDS,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        attendant: Attendant | None = None,
        work: Callable[[Connection, Assignment], None] = work,
    ) -> None:
        self.restarts = 0
        self.failed_cameras: set[str] = set()
        """Cameras that ended because their footage cannot be read."""
        self._hub = hub
        self._clock = clock
        self._hang_seconds = hang_seconds
        self._silent_seconds = silent_seconds
        self._start_seconds = start_seconds
        self._first_pause_seconds = first_pause_seconds
        self._attendant = attendant
        self._work = work
        self._draining = False
        self._log = structlog.get_logger()
        self._log_at_seconds = clock.monotonic_seconds() + LOG_SECONDS
        self._patient_until_seconds = clock.monotonic_seconds()
        self._spawn = multiprocessing.get_context("spawn")
        self._slots = [
            _Slot(name=f"worker-{number}", assignment=assignment, pause_seconds=first_pause_seconds)
            for number, assignment in enumerate(assignments)
        ]

    @property
    def counters(self) -> Counters:
        """The sums of all cameras, of dead workers too."""
        total = Counters()
        for slot in self._slots:
            total.merge(slot.counters.counts)
            for report in slot.reports.values():
                total.merge({(name, reason): count for name, reason, count in report.counts})
        return total

    @property
    def reports(self) -> dict[str, CameraReport]:
        """The newest report of each camera."""
        return {camera: report for slot in self._slots for camera, report in slot.reports.items()}

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the workers that run."""
        return tuple(slot.process.pid for slot in self._slots if slot.process is not None and slot.process.pid)

    def run(self, stop: threading.Event) -> None:
        """Supervise until `stop` is set or all cameras have ended; then drain the workers and return.

        No worker is left when this returns or raises.
        """
        try:
            for slot in self._slots:
                self._start(slot)
            while not stop.is_set() and not all(slot.ended and slot.process is None for slot in self._slots):
                self._turn()
            self._drain()
        finally:
            for slot in self._slots:
                self._kill(slot)

    def _turn(self) -> None:
        """One round: messages, the hub's work, the workers' health."""
        wait_seconds = min(LOOP_SECONDS, self._hub.tick())
        live = {slot.connection: slot for slot in self._slots if slot.connection is not None and not self._hub.full}
        sockets = self._attendant.sockets if self._attendant is not None else ()
        ready = self._wait([*live, *sockets], wait_seconds if live else min(wait_seconds, FULL_LOOP_SECONDS))
        for connection, slot in live.items():
            if connection in ready and slot.incoming is not None:
                self._receive(slot, slot.incoming)
        if self._attendant is not None:
            self._attendant.turn(ready)
        now = self._clock.monotonic_seconds()
        if self._hub.full:
            self._patient_until_seconds = now + CATCH_UP_SECONDS
        for slot in self._slots:
            self._care(slot, now)
        if now >= self._log_at_seconds:
            self._log_at_seconds = now + LOG_SECONDS
            for report in self.reports.values():
                self._log.info("camera_report", **report.to_log())

    def _wait(self, things: list[Connection | socket.socket | int], seconds: float) -> Collection[object]:
        """Those of `things` that have something to read, after `seconds` at most."""
        if things:
            return pipes.wait(things, seconds)
        self._clock.wait(threading.Event(), seconds)
        return ()

    def _receive(self, slot: _Slot, incoming: Incoming) -> None:
        for _ in range(_BATCH):
            if self._hub.full:
                return
            try:
                data = incoming.take()
                if data is None:
                    return
                message = decode(data)
            except (EOFError, OSError, msgspec.MsgspecError) as error:
                self._bury(slot, error)
                return
            slot.heard_seconds = self._clock.monotonic_seconds()
            match message:
                case Passage():
                    self._hub.take(message)
                case CameraReport():
                    before = slot.reports.get(message.camera_id)
                    slot.reports[message.camera_id] = message
                    if message.crashes > (before.crashes if before is not None else 0):
                        self._hub.settle([message.camera_id])
                    self._tell(slot, message)
                case WorkerReport():
                    self._tell(slot, message)
                case Ended():
                    slot.ended = True

    def _tell(self, slot: _Slot, report: CameraReport | WorkerReport) -> None:
        if self._attendant is not None:
            self._attendant.heard(slot.name, report)

    def _start(self, slot: _Slot) -> None:
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(
            target=enter,
            args=(theirs, pickle.dumps((self._work, slot.assignment))),
            name=f"anpr {slot.name}",
            daemon=False,
        )
        process.start()
        theirs.close()
        now = self._clock.monotonic_seconds()
        slot.process, slot.connection, slot.incoming = process, ours, Incoming(ours)
        slot.started_seconds = slot.heard_seconds = now
        slot.restart_at_seconds = None
        slot.ended = slot.killed = False
        self._log.info("worker_started", worker=slot.name, pid=process.pid, cameras=self._cameras(slot))
        if self._attendant is not None:
            self._attendant.started(slot.name, self._cameras(slot))

    def _bury(self, slot: _Slot, error: Exception) -> None:
        """The pipe has ended: the process is dead, or as good as dead. Everything it sent has been read."""
        process = slot.process
        self._kill(slot, grace_seconds=_GRACE_SECONDS)
        exit_code = process.exitcode if process is not None else None
        for report in slot.reports.values():
            slot.counters.merge({(name, reason): count for name, reason, count in report.counts})
            if report.state == "failed":
                self.failed_cameras.add(report.camera_id)
        slot.reports.clear()
        if slot.ended and exit_code == 0 and (self._draining or not slot.assignment.live):
            self._log.info("worker_ended", worker=slot.name)
            if self._attendant is not None:
                self._attendant.ended(slot.name)
            return
        if self._attendant is not None:
            self._attendant.died(slot.name, self._cameras(slot), f"exit code {exit_code}")
        self._hub.settle(self._cameras(slot))
        slot.ended = False
        now = self._clock.monotonic_seconds()
        if now - slot.started_seconds >= HEALTHY_SECONDS:
            slot.pause_seconds = self._first_pause_seconds
        slot.restart_at_seconds = now + slot.pause_seconds
        self._log.error(
            "worker_died",
            worker=slot.name,
            exit_code=exit_code,
            cameras=self._cameras(slot),
            reason=type(error).__name__,
            restart_in_seconds=slot.pause_seconds,
        )
        slot.pause_seconds = min(slot.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        if slot.killed or exit_code not in (-signal.SIGKILL, EXIT_DEVICE):  # neither says anything of the cameras
            self._divide_if_due(slot, now)
        slot.suspects = frozenset()

    def _care(self, slot: _Slot, now: float) -> None:
        """Start a worker whose pause is over; kill one that hangs (its pipe then ends, and `_bury` does the rest)."""
        if slot.process is None:
            if slot.restart_at_seconds is not None and now >= slot.restart_at_seconds:
                self.restarts += 1
                self._start(slot)
            return
        silent = now - slot.heard_seconds
        patience = self._silent_seconds if slot.reports else self._start_seconds
        stuck = {
            camera.id: report.busy_seconds
            for camera, pipeline in slot.assignment.cameras
            if (report := slot.reports.get(camera.id)) is not None
            and report.state in _BUSY_STATES
            and report.busy_seconds > max(self._hang_seconds, _silence_seconds(camera, pipeline))
        }
        if now >= self._patient_until_seconds and (silent > patience or stuck):
            self._log.error("worker_hangs", worker=slot.name, silent_seconds=round(silent, 1), stuck=stuck)
            slot.suspects = frozenset(stuck)
            slot.heard_seconds = now
            slot.killed = True
            slot.process.kill()

    def _divide_if_due(self, slot: _Slot, now: float) -> None:
        """Part the cameras of a worker that dies again and again, until what kills it is alone.

        A camera whose loop hung goes by itself; else each half of them goes its own way.
        """
        slot.deaths = [at for at in slot.deaths if now - at < DIVIDE_SECONDS] + [now]
        cameras = slot.assignment.cameras
        if len(slot.deaths) < DEATHS_TO_DIVIDE or len(cameras) < 2:
            return
        apart = [pair for pair in cameras if pair[0].id in slot.suspects]
        if not 0 < len(apart) < len(cameras):
            apart = list(cameras[len(cameras) // 2 :])
        rest = tuple(pair for pair in cameras if pair not in apart)
        other = _Slot(
            name=f"worker-{len(self._slots)}",
            assignment=replace(slot.assignment, cameras=tuple(apart)),
            pause_seconds=self._first_pause_seconds,
            restart_at_seconds=slot.restart_at_seconds,
        )
        slot.assignment = replace(slot.assignment, cameras=rest)
        slot.pause_seconds, slot.deaths = self._first_pause_seconds, []
        self._slots.append(other)
        self._log.error("worker_divided", worker=slot.name, other=other.name, cameras=self._cameras(other))

    def _drain(self) -> None:
        """Tell the workers to stop, and take everything they still have to say."""
        self._draining = True
        if self._attendant is not None:
            self._attendant.stopping()
        for slot in self._slots:
            slot.restart_at_seconds = None
            if slot.connection is not None:
                try:
                    slot.connection.send_bytes(STOP)
                except OSError:
                    continue  # it died just now; its pipe is read to its end below
        deadline = self._clock.monotonic_seconds() + DRAIN_SECONDS
        while self.pids and self._clock.monotonic_seconds() < deadline:
            self._turn()
            for slot in self._slots:
                slot.restart_at_seconds = None
        for slot in self._slots:
            if slot.process is not None:
                self._log.error("worker_did_not_stop", worker=slot.name, waited_seconds=DRAIN_SECONDS)

    def _kill(self, slot: _Slot, *, grace_seconds: float = 0.0) -> None:
        """Make sure that the process is gone, and reap it; it may take `grace_seconds` to exit by itself."""
        if slot.connection is not None:
            slot.connection.close()
            slot.connection = slot.incoming = None
        if slot.process is not None:
            slot.process.join(grace_seconds)
            if slot.process.exitcode is None:
                slot.killed = True
                slot.process.kill()
                slot.process.join()
            slot.process = None

    def _cameras(self, slot: _Slot) -> list[str]:
        return [camera.id for camera, _ in slot.assignment.cameras]


def _silence_seconds(camera: Camera, pipeline: Pipeline) -> float:
    """How long a camera may keep its decoder waiting for a picture: by then its own time-outs have ended that."""
    if camera.url is None:
        return 0.0
    return PICTURE_WAIT_SECONDS + pipeline.settings.decode.read_timeout_seconds + MARGIN_SECONDS
