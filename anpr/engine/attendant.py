"""What goes on beside the sightings: the coverage ledger, health questions, the service manager."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from anpr.bus.intake import Intake
from anpr.clock import Clock
from anpr.config.site import Site
from anpr.engine.coverage import Ledger
from anpr.engine.data_keeper import DataKeeper
from anpr.engine.hub import Hub
from anpr.engine.kept_lists import KeptLists
from anpr.engine.lists import ListKeeper
from anpr.engine.messages import CameraReport, WorkerReport
from anpr.engine.monitor import Monitor
from anpr.engine.rule_keeper import RuleKeeper
from anpr.engine.silent_rules import SilentRules
from anpr.errors import DeclarationError
from anpr.health import report
from anpr.health.exposition import CONTENT_TYPE, expose
from anpr.health.server import Answer, HealthServer
from anpr.health.service import ServiceManager
from anpr.kernel_clock import kernel_clock

ALIVE_SECONDS = 5.0
"""How often the box's sign of life is written: a gap after a power cut is told so exactly."""

MOST_GAPS_LOOKED_AT = 10_000
"""The newest; among them are those that an earlier life left open."""


class Attendant:
    """The supervisor's companion on a box. Use from the hub's thread."""

    def __init__(self, site: Site, hub: Hub, *, clock: Clock, cores: int, service: ServiceManager) -> None:
        """Opens the gaps of the time before. Raises BusError if the address for health questions cannot be had."""
        cameras = site.enabled_cameras()
        live = [camera.id for camera in cameras if camera.url is not None]
        self.ledger = Ledger(live, site_id=site.site.id, clock=clock, take=hub.take_gap, is_kept=_is_clock_kept)
        self.lists = ListKeeper(site.lists, hub, clock=clock, kept=KeptLists.of_store(site.store.path))
        self.rules = RuleKeeper(site.rules, hub, clock=clock)
        self.rule_data = DataKeeper(hub, clock=clock)
        self._silent_rules = SilentRules(hub, site_id=site.site.id, clock=clock) if live else None
        self._lookouts = (self.lists.lookout, self.rules.lookout, self.rule_data.lookout)
        self.monitor = Monitor(
            cameras,
            box=site.box.id,
            site=site.site.id,
            hub=hub,
            ledger=self.ledger,
            clock=clock,
            cores=cores,
            refused_lists=self.lists.refused,
            lookouts=self._lookouts,
        )
        self._hub = hub
        self._clock = clock
        self._service = service
        self._alive_due_seconds = clock.monotonic_seconds()
        self._server: HealthServer | None = None
        if site.health is not None:
            pages = {
                "/livez": lambda: Answer(200, b"ok\n", "text/plain"),
                "/readyz": self._readiness,
                "/healthz": lambda: Answer(200, report.encode(self.monitor.report())),
                "/metrics": self._metrics,
            }
            self._server = HealthServer(site.health.address, pages, clock=clock)
        self._intake = _open_intake(site, hub, clock)
        left_open = [gap for gap in hub.store.gaps(limit=MOST_GAPS_LOOKED_AT) if gap.state == "preview"]
        self.ledger.begin(alive_seconds=hub.store.alive_seconds, left_open=left_open)

    @property
    def port(self) -> int | None:
        """Where health questions are answered; None if nowhere."""
        return self._server.port if self._server is not None else None

    @property
    def sockets(self) -> Sequence[socket.socket | int]:
        """What else the loop shall wait for: sockets, and the bus's descriptors."""
        return [*(self._server.sockets if self._server is not None else ()), *self._hub.files]

    def started(self, worker: str, cameras: Sequence[str]) -> None:
        """A worker process runs."""
        self.monitor.started(worker, cameras)
        self._service.ready()

    def heard(self, worker: str, report: CameraReport | WorkerReport) -> None:
        """A worker has reported."""
        self.monitor.heard(worker, report)
        if isinstance(report, CameraReport):
            self.ledger.hear(report)

    def died(self, worker: str, cameras: Sequence[str], reason: str) -> None:
        """A worker process is gone that was not told to end."""
        self.monitor.died(worker)
        self.ledger.lose(cameras, reason)

    def ended(self, worker: str) -> None:
        """A worker process is gone, as it should."""
        self.monitor.ended(worker)

    def turn(self, ready: Collection[object]) -> None:
        """One round of the hub's loop: that it comes here is what the watchdog is told."""
        self.monitor.look()
        self.ledger.look()
        reloaded = [self.lists.turn(), self.rules.turn(), self.rule_data.turn()]
        if any(reloaded) and self._silent_rules is not None:
            self._silent_rules.look()
        if self._intake is not None:
            self._intake.turn()
        now = self._clock.monotonic_seconds()
        if now >= self._alive_due_seconds and not self._hub.failing:
            self._alive_due_seconds = now + ALIVE_SECONDS
            self._hub.mark_alive()
        if self._server is not None:
            self._server.serve(ready)
        self._service.beat(self._status)

    def stopping(self) -> None:
        """The workers are told to stop."""
        self._service.stopping()

    def ask(self) -> None:
        """Have lists, rules and what they ask read anew, changed or not. May be called from a signal's handler."""
        for lookout in self._lookouts:
            lookout.ask()

    def close(self) -> None:
        """End the gaps that are open and note the time: from here on nobody watches."""
        for lookout in self._lookouts:
            lookout.close()
        if self._intake is not None:
            self._intake.close()
        self.ledger.end()
        self._hub.mark_alive()
        if self._server is not None:
            self._server.close()

    def _status(self) -> str:
        cameras = self.monitor.report().cameras
        return f"{sum(camera.up for camera in cameras)} of {len(cameras)} cameras, {self._hub.backlog} records wait"

    def _readiness(self) -> Answer:
        ready = self.monitor.ready
        return Answer(200 if ready else 503, b"ok\n" if ready else b"not ready\n", "text/plain")

    def _metrics(self) -> Answer:
        health = self.monitor.report()
        body = expose(
            health,
            cameras={camera.id: self.monitor.counters(camera.id) for camera in health.cameras},
            hub=self._hub.totals(),
            latency=self._hub.latencies,
            commit=self._hub.store.commit_seconds,
            hits=self._hub.hit_latencies,
        )
        return Answer(200, body, CONTENT_TYPE)


def _is_clock_kept() -> bool:
    said = kernel_clock()
    return said is not None and said.synchronised


def _open_intake(site: Site, hub: Hub, clock: Clock) -> Intake | None:
    """Where other programs push declarations, if the site file says so. Raises BusError."""
    declarations = hub.judge.book.declarations if hub.judge is not None else None
    if site.rules is None or site.rules.intake is None or declarations is None:
        return None

    def take(fields: Mapping[str, Any]) -> str:
        try:
            return declarations.push(fields).id
        except DeclarationError as error:
            raise ValueError("\n".join(error.problems)) from error

    return Intake(site.rules.intake, take, counters=hub.counters, clock=clock)
