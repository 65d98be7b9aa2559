"""How the box fares, from what its workers report: rates, shares, what a camera costs, and what is wrong."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import quantiles
from typing import Any

import msgspec

from anpr import __version__
from anpr.clock import Clock
from anpr.config.site import Camera
from anpr.engine.coverage import WATCHED_STATES, Ledger
from anpr.engine.hub import Hub
from anpr.engine.lookout import Lookout
from anpr.engine.messages import CameraReport, WorkerReport
from anpr.engine.outward import clock_health, consumer_health
from anpr.engine.problems import problems_of
from anpr.errors import StoreError
from anpr.health.report import (
    BoxHealth,
    CameraHealth,
    Capacity,
    KeepingHealth,
    Latency,
    ListHealth,
    StoreHealth,
    Verdict,
    WorkerHealth,
)
from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.records import GapReason

WINDOW_SECONDS = 60.0
RATE_SECONDS = 10.0
"""Frame rates and shares are of the last so many seconds, sightings of the whole window."""
USABLE_SHARE = 0.85
"""Of the cores: what may be planned with. Above it, a burst of traffic makes pictures wait."""
LATENCIES = 1000
BURDEN_PICTURES = 20
OVERLOAD_SHARES = 0.25, 0.5
"""Of the pictures dropped: a camera counts as not watched above the second, and as watched again below the first."""
DAMAGED_SHARES = 0.5, 0.9
"""The same of the tainted ones."""
CLOCK_STEP_SECONDS = 0.5
OWN_CPU_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Sample:
    """Sums at one moment."""

    at_seconds: float
    decoded: int
    inferred: int
    dropped: int
    tainted: int
    sightings: int


@dataclass(slots=True)
class _Seen:
    """What is known of one camera."""

    camera: Camera
    report: CameraReport | None = None
    """The newest; kept when its worker dies, with the state `failed`."""
    past: Counters = field(default_factory=Counters)
    """Of processes that are gone."""
    samples: deque[_Sample] = field(default_factory=deque)
    burden: GapReason | None = None
    begun: bool = False
    """Its loop has been further than `starting`."""

    @property
    def counters(self) -> Counters:
        total = Counters(dict(self.past.counts))
        if self.report is not None:
            total.merge({(name, reason): count for name, reason, count in self.report.counts})
        return total

    def forget(self) -> None:
        """Its pictures have ended: the next ones are judged for themselves."""
        self.samples.clear()
        self.burden = None


@dataclass(slots=True)
class _Crew:
    """What is known of one worker."""

    cameras: tuple[str, ...]
    alive: bool = False
    deaths: int = 0
    past_cpu_seconds: float = 0.0
    report: WorkerReport = field(default_factory=lambda: WorkerReport(0.0, 0))
    samples: deque[tuple[float, float]] = field(default_factory=deque)
    """(moment, CPU seconds) since its cameras give pictures."""


class Monitor:
    """Listens to the workers and sums up. Use from the hub's thread."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        *,
        box: str,
        site: str,
        hub: Hub,
        ledger: Ledger,
        clock: Clock,
        cores: int,
        refused_lists: Mapping[str, str] | None = None,
        lookouts: Sequence[Lookout[Any]] = (),
    ) -> None:
        """`refused_lists`: why the newest file of a list was refused, by name; its owner keeps it up to date.
        `lookouts`: who may tell of files that do not answer."""
        self.clock_steps = 0
        self.workers: dict[str, _Crew] = {}
        self._box = box
        self._site = site
        self._hub = hub
        self._ledger = ledger
        self._clock = clock
        self._cores = cores
        self._refused_lists = refused_lists if refused_lists is not None else {}
        self._lookouts = lookouts
        self._cameras = {camera.id: _Seen(camera) for camera in cameras}
        self._store = StoreHealth(last_seq=0, map_used_share=0.0, readers=0, failing=False)
        """The last known."""
        self._started_seconds = clock.monotonic_seconds()
        self._own_cpu: deque[tuple[float, float]] = deque()
        self._clock_offset_seconds = clock.wall_seconds() - clock.monotonic_seconds()

    def counters(self, camera_id: str) -> Counters:
        """The sums of a camera, of dead workers too."""
        return self._cameras[camera_id].counters

    def started(self, worker: str, cameras: Sequence[str]) -> None:
        """A worker process runs."""
        crew = self.workers.setdefault(worker, _Crew(tuple(cameras)))
        crew.cameras, crew.alive = tuple(cameras), True

    def heard(self, worker: str, report: CameraReport | WorkerReport) -> None:
        """Take in a report."""
        now = self._clock.monotonic_seconds()
        if isinstance(report, WorkerReport):
            self._take_worker(self.workers[worker], report, now)
        elif (seen := self._cameras.get(report.camera_id)) is not None:
            seen.report = report
            seen.begun = seen.begun or report.state != "starting"
            self._take_camera(seen, now)

    def died(self, worker: str) -> None:
        """A worker process is gone, and was not told to end."""
        self._bury(worker)
        self.workers[worker].deaths += 1

    def ended(self, worker: str) -> None:
        """A worker process is gone, and its cameras have ended."""
        self._bury(worker)

    def look(self) -> None:
        """Once in every turn of the loop: notice a clock that was set."""
        offset = self._clock.wall_seconds() - self._clock.monotonic_seconds()
        if abs(offset - self._clock_offset_seconds) > CLOCK_STEP_SECONDS:
            self.clock_steps += 1
        self._clock_offset_seconds = offset
        now = self._clock.monotonic_seconds()
        if not self._own_cpu or now - self._own_cpu[-1][0] >= OWN_CPU_SECONDS:
            self._own_cpu.append((now, time.process_time()))
            _forget(self._own_cpu)

    def report(self) -> BoxHealth:
        """The whole box as it is now."""
        health = self._report()
        problems = tuple(masked(problem) for problem in problems_of(health, self._hub))
        verdict: Verdict = "failing" if health.store.failing else "degraded" if problems else "ok"
        return msgspec.structs.replace(health, verdict=verdict, problems=problems)

    def _report(self) -> BoxHealth:
        """The same, without what is wrong."""
        cameras = tuple(self._camera_health(seen) for seen in self._cameras.values())
        store = self._store_health()
        now = self._clock.wall_seconds()
        return BoxHealth(
            box=self._box,
            site=self._site,
            version=__version__,
            verdict="ok",
            problems=(),
            ready=self.ready,
            at_seconds=now,
            uptime_seconds=self._clock.monotonic_seconds() - self._started_seconds,
            backlog=self._hub.backlog,
            latency=self._latency(),
            capacity=self._capacity(),
            clock_steps=self.clock_steps,
            clock=clock_health(),
            refused_files=self._refused_files(),
            silent_files=self._silent_files(),
            cameras=cameras,
            workers=tuple(
                WorkerHealth(
                    name=name,
                    cameras=crew.cameras,
                    alive=crew.alive,
                    deaths=crew.deaths,
                    cpu_seconds=crew.past_cpu_seconds + crew.report.cpu_seconds,
                    memory_bytes=crew.report.memory_bytes,
                )
                for name, crew in self.workers.items()
            ),
            store=store,
            lists=tuple(
                ListHealth(
                    name=each.name,
                    version=each.version,
                    entries=len(each.entries),
                    age_seconds=max(0.0, now - each.loaded_seconds),
                    purpose=masked(each.purpose),
                    owner=masked(each.owner),
                    left_out=each.bad_rows,
                    refused=self._refused_lists.get(each.name, ""),
                )
                for each in self._hub.matcher.lists
            ),
            rules=self._hub.judge.health if self._hub.judge is not None else None,
            consumers=tuple(consumer_health(each, self._hub.store, self._clock) for each in self._hub.consumers),
            keeping=self._keeping_health(),
        )

    @property
    def ready(self) -> bool:
        """The store takes what it is given, and every camera's loop has been started."""
        return not self._hub.failing and all(seen.begun for seen in self._cameras.values())

    def _store_health(self) -> StoreHealth:
        """The store as it is now; as it was last, and failing, if it cannot be asked."""
        store = self._hub.store
        try:
            last_seq, facts = store.last_seq, store.facts
        except StoreError:
            return msgspec.structs.replace(self._store, failing=True)
        self._store = StoreHealth(
            last_seq=last_seq,
            map_used_share=facts.map_used_share,
            readers=facts.readers,
            failing=self._hub.failing,
        )
        return self._store

    def _refused_files(self) -> dict[str, str]:
        """Of all that is read again when its files change, why their newest content was refused, if it was."""
        judge = self._hub.judge
        refused = {f"list {each.name}": self._refused_lists.get(each.name, "") for each in self._hub.matcher.lists}
        if judge is not None:
            refused["rules"] = judge.refused
            refused |= {each.name: judge.refused_data.get(each.name, "") for each in judge.data}
        return refused

    def _keeping_health(self) -> KeepingHealth | None:
        keeper = self._hub.keeper
        if keeper is None:
            return None
        return KeepingHealth(
            disk_level=keeper.disk.level,
            disk_percent=keeper.disk.use.percent,
            disk_free_bytes=keeper.disk.use.free_bytes,
            scarce=keeper.disk.use.scarce,
            reserve_held=keeper.disk.reserve_held,
            nothing_to_purge=keeper.nothing_to_purge,
            clock_trusted=keeper.trust.trusted,
            clock_jump_seconds=keeper.trust.jump_seconds,
            holds=keeper.holds,
            purging=keeper.purging,
            oldest_seconds=keeper.oldest_seconds,
        )

    def _take_camera(self, seen: _Seen, now: float) -> None:
        counters = seen.counters
        counts = counters.counts
        sample = _Sample(
            now,
            counters.total("frames_decoded"),
            counters.total("frames_inferred") + counters.total("frames_gated"),
            counts.get(("frames_dropped", "overload"), 0),
            counters.total("frames_tainted"),
            counts.get(("sightings", "final"), 0),
        )
        watched = seen.report is not None and seen.report.state in WATCHED_STATES
        if not watched:
            seen.forget()
        seen.samples.append(sample)
        while now - seen.samples[0].at_seconds > WINDOW_SECONDS:
            seen.samples.popleft()
        if watched:  # the ledger forgets a burden by itself when a camera is lost
            seen.burden = self._burden(seen)
            self._ledger.burden(seen.camera.id, seen.burden)

    def _burden(self, seen: _Seen) -> GapReason | None:
        """What makes a camera's pictures come to nothing, with hysteresis; unchanged while too few are known."""
        old, new = _ends(seen.samples, RATE_SECONDS)
        pictures = new.decoded - old.decoded
        if pictures < BURDEN_PICTURES or new.at_seconds - old.at_seconds < RATE_SECONDS / 2:
            return seen.burden
        shares: dict[GapReason, tuple[float, tuple[float, float]]] = {
            "overload": ((new.dropped - old.dropped) / pictures, OVERLOAD_SHARES),
            "damaged": ((new.tainted - old.tainted) / pictures, DAMAGED_SHARES),
        }
        for reason, (share, (low, high)) in shares.items():
            if share > (low if seen.burden == reason else high):
                return reason
        return None

    def _take_worker(self, crew: _Crew, report: WorkerReport, now: float) -> None:
        crew.report = report
        if not crew.samples and not any(
            self._cameras[camera].report and self.counters(camera).total("frames_decoded")
            for camera in crew.cameras
            if camera in self._cameras
        ):
            return  # loading models is no cost of a picture
        crew.samples.append((now, report.cpu_seconds))
        _forget(crew.samples)

    def _bury(self, worker: str) -> None:
        crew = self.workers[worker]
        crew.alive = False
        crew.past_cpu_seconds += crew.report.cpu_seconds
        crew.report = WorkerReport(0.0, 0)
        crew.samples.clear()
        for camera in crew.cameras:
            if (seen := self._cameras.get(camera)) is not None and seen.report is not None:
                seen.past = seen.counters
                seen.report = None
                seen.forget()

    def _camera_health(self, seen: _Seen) -> CameraHealth:
        report, camera = seen.report, seen.camera
        rates, minute = _rates(seen.samples, RATE_SECONDS), _rates(seen.samples, WINDOW_SECONDS)
        counts = seen.counters.counts
        age = None
        if report is not None and report.picture_wall_seconds:
            age = max(0.0, self._clock.wall_seconds() - report.picture_wall_seconds)
        return CameraHealth(
            id=camera.id,
            name=camera.name,
            state=report.state if report is not None else "failed" if seen.begun else "starting",
            reason=report.reason if report is not None else "its worker is being started",
            condition=report.condition if report is not None else "",
            recorded=camera.file is not None,
            width=report.width if report is not None else 0,
            height=report.height if report is not None else 0,
            codec=report.codec if report is not None else "",
            frames_per_second=rates.decoded,
            inferred_per_second=rates.inferred,
            sightings_per_minute=minute.sightings * 60.0,
            dropped_share=rates.dropped / rates.decoded if rates.decoded else 0.0,
            tainted_share=rates.tainted / rates.decoded if rates.decoded else 0.0,
            last_frame_age_seconds=age,
            drops={reason: count for (name, reason), count in counts.items() if name == "frames_dropped"},
            gap=self._ledger.open_gap(camera.id),
            gap_seconds=self._ledger.gap_seconds(camera.id),
        )

    def _silent_files(self) -> tuple[str, ...]:
        return tuple(name for each in self._lookouts for name in each.silent)

    def _latency(self) -> Latency:
        newest = list(islice(reversed(self._hub.latency_seconds), LATENCIES))
        if len(newest) < 2:
            return Latency(p50_seconds=newest[0] if newest else None, p95_seconds=newest[0] if newest else None)
        cuts = quantiles(newest, n=20, method="inclusive")
        return Latency(p50_seconds=cuts[9], p95_seconds=cuts[18])

    def _capacity(self) -> Capacity:
        workers = sum(_slope(crew.samples) for crew in self.workers.values())
        busy = workers + _slope(self._own_cpu)
        rates = [
            rate
            for seen in self._cameras.values()
            if (rate := _rates(seen.samples, WINDOW_SECONDS)).decoded and seen.report is not None
        ]
        decoded = sum(rate.decoded for rate in rates)
        processed = decoded - sum(rate.dropped for rate in rates)
        if not workers or processed <= 0:
            return Capacity(cores=self._cores, cpu_ms_per_frame=None, busy_share=None, cameras=None)
        per_camera = busy / processed * decoded / len(rates)
        return Capacity(
            cores=self._cores,
            cpu_ms_per_frame=1000.0 * busy / processed,
            busy_share=busy / self._cores,
            cameras=int(self._cores * USABLE_SHARE / per_camera),
        )


def _ends(samples: Sequence[_Sample], seconds: float) -> tuple[_Sample, _Sample]:
    """The sample of `seconds` before the newest, and the newest."""
    newest = samples[-1]
    return next(each for each in samples if newest.at_seconds - each.at_seconds <= seconds), newest


@dataclass(frozen=True, slots=True)
class _Rates:
    """Per second."""

    decoded: float = 0.0
    inferred: float = 0.0
    dropped: float = 0.0
    tainted: float = 0.0
    sightings: float = 0.0


def _rates(samples: Sequence[_Sample], seconds: float) -> _Rates:
    if len(samples) < 2:
        return _Rates()
    old, new = _ends(samples, seconds)
    span = new.at_seconds - old.at_seconds
    if span <= 0:
        return _Rates()
    return _Rates(
        (new.decoded - old.decoded) / span,
        (new.inferred - old.inferred) / span,
        (new.dropped - old.dropped) / span,
        (new.tainted - old.tainted) / span,
        (new.sightings - old.sightings) / span,
    )


def _slope(samples: Sequence[tuple[float, float]]) -> float:
    """CPU seconds per second; 0 while too little is known."""
    if len(samples) < 2 or samples[-1][0] - samples[0][0] < RATE_SECONDS / 2:
        return 0.0
    return (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])


def _forget(samples: deque[tuple[float, float]]) -> None:
    while samples[-1][0] - samples[0][0] > WINDOW_SECONDS:
        samples.popleft()
