"""A box under load: cameras served over RTSP in real time, `anpr run` that watches them, a subscriber that listens.

All on one machine: the processors that serve and listen are not there for `anpr`, so what they take is told as well.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from anpr.bus.subscriber import Subscriber
from anpr.clock import SystemClock
from anpr.records import Event, Sighting
from bench.processes import cpu_seconds, die_with_parent, pss_bytes
from scripts.fault_matrix.sockets import free_port

ROOT = Path(__file__).parent.parent
SYSTEM_PYTHON = "/usr/bin/python3"
"""The one that has GStreamer."""
SERVER = ROOT / "scripts" / "rtsp_server.py"
START_SECONDS = 120.0
"""For all cameras to give pictures; a box that needs longer is overloaded from the start."""
STOP_SECONDS = 30.0
DROPPED_MOST = 0.001
"""Share of the pictures that may be dropped for overload …"""
LATENCY_MOST_MS = 500.0
"""… and how late, at the 95th percentile, an event may be for the load to count as sustained."""
WATCHED_LEAST = 0.9
"""Of the pictures that the cameras sent: fewer means that cameras are not watched. Counts are up to a second old; what
waits in a socket for less than that shows in the latency."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running RTSP server."""

    addresses: tuple[str, ...]
    pid: int


class NoServerError(Exception):
    """GStreamer's RTSP server is not installed."""


def check_server() -> None:
    """Raises NoServerError if there is none to be had here."""
    if subprocess.run([SYSTEM_PYTHON, SERVER, "--help"], capture_output=True, check=False).returncode:
        raise NoServerError("no GStreamer RTSP server here: run scripts/install_servers, or measure with --files")


@contextmanager
def serve(clips: Sequence[Path], *, streams: int) -> Iterator[Server]:
    """Cameras that show `clips`, each from another place on. Raises NoServerError if they do not start."""
    options = ["--port", "0", "--path", "/cam", "--streams", str(streams)]
    with subprocess.Popen(
        [SYSTEM_PYTHON, str(SERVER), "--clip", *map(str, clips), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_parent,
    ) as process:
        try:
            assert process.stdout is not None
            addresses = tuple(process.stdout.readline().strip() for _ in range(streams))
            if not addresses[-1].startswith("rtsp://"):
                raise NoServerError("the RTSP server did not start: try scripts/rtsp_server.py by hand")
            yield Server(addresses, process.pid)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Heard:
    """A sighting as it came over the bus."""

    sighting: Sighting
    wall_seconds: float
    """When it was in the subscriber's hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How one load was borne."""

    pipeline: str
    streams: int
    seconds: float
    expected: float
    """Pictures that the cameras sent."""
    decoded: int
    dropped: int
    troubles: tuple[str, ...]
    """Connections lost, workers that died, cameras that never came."""
    latency_ms: tuple[float, ...]
    """From the picture that settled a preview, when the camera sent it, to its event in the subscriber's hand."""
    waiting_ms: tuple[float, ...]
    """The part of it before the picture was in the hand of the decoder."""
    cores: float
    """Taken by anpr."""
    server_cores: float
    pss_mb: float
    """Memory of all processes of anpr, shared pages once."""
    capacity: int
    """Cameras that anpr says the box could carry; 0 if it does not know yet."""

    @property
    def dropped_share(self) -> float:
        """Of the pictures that were decoded."""
        return self.dropped / max(self.decoded, 1)

    def latency(self, share: float) -> float:
        """Quantile of the latency, milliseconds; 0 if there was no event."""
        return float(np.quantile(self.latency_ms, share)) if self.latency_ms else 0.0

    @property
    def verdict(self) -> str:
        """Why the load is too much; empty if it is sustained."""
        if self.troubles:
            return self.troubles[0]
        if self.dropped_share > DROPPED_MOST:
            return f"drops {self.dropped_share:.1%}"
        if self.decoded < WATCHED_LEAST * self.expected:
            return f"watches {self.decoded / self.expected:.1%}"
        if self.latency(0.95) > LATENCY_MOST_MS:
            return f"late by {self.latency(0.95):.0f} ms"
        return ""

    @property
    def sustained(self) -> bool:
        """Whether the box keeps up."""
        return not self.verdict


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the daemon says of itself at `/metrics`; its cameras' counts are up to a second old."""

    samples: tuple[Sample, ...]

    @staticmethod
    def ask(address: str) -> Metrics:
        """The metrics now; none if nobody answers there yet."""
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5.0) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return Metrics(())
        return Metrics(tuple(sample for family in text_string_to_metric_families(text) for sample in family.samples))

    def total(self, name: str, **labels: str) -> int:
        """Sum over all samples of this name whose labels are these."""
        return int(sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()))


def watch(
    server: Server, *, pipeline: str, streams: int, fps: float, settle_seconds: float, window_seconds: float
) -> Load:
    """Let `anpr run` watch the first `streams` cameras of the server: settle, then measure for `window_seconds`."""
    with tempfile.TemporaryDirectory(prefix="anpr-bench-") as name:
        folder = Path(name)
        endpoint, health = f"ipc://{folder}/bus", f"127.0.0.1:{free_port()}"
        site, log = folder / "site.toml", folder / "log"
        content = _site(server.addresses[:streams], pipeline, folder, endpoint, health)
        site.write_text(tomli_w.dumps(content), encoding="utf-8")
        with log.open("wb") as written:
            process = subprocess.Popen(
                [sys.executable, "-m", "anpr", "run", str(site), "--json"],
                stderr=written,
                cwd=ROOT,
                preexec_fn=die_with_parent,
            )
        try:
            with Subscriber(endpoint, clock=SystemClock()) as subscriber:
                return _measure(
                    _Box(process, log, health, subscriber, server),
                    pipeline=pipeline,
                    streams=streams,
                    fps=fps,
                    settle_seconds=settle_seconds,
                    window_seconds=window_seconds,
                )
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _site(addresses: Sequence[str], pipeline: str, folder: Path, endpoint: str, health: str) -> dict[str, Any]:
    return {
        "box": {"id": "bench"},
        "site": {"id": "bench"},
        "store": {"path": str(folder / "store")},
        "bus": {"endpoint": endpoint},
        "health": {"address": health},
        "cameras": [
            {"id": f"cam{number}", "url": address, "pipeline": pipeline} for number, address in enumerate(addresses)
        ],
    }


@dataclass(slots=True)
class _Box:
    """What runs, and what was heard of it."""

    process: subprocess.Popen[bytes]
    log: Path
    health: str
    subscriber: Subscriber
    server: Server
    heard: list[Heard] = field(default_factory=list)

    def listen(self, seconds: float) -> None:
        """Take what the bus brings for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            item = self.subscriber.receive(left)
            if isinstance(item, Event) and isinstance(item.record, Sighting):
                self.heard.append(Heard(item.record, time.time()))
        if self.process.poll() is not None:
            sys.exit(f"anpr run has ended by itself:\n{self.log.read_text(encoding='utf-8')[-2000:]}")

    def streaming(self) -> int:
        """Cameras that give pictures."""
        return Metrics.ask(self.health).total("anpr_camera_up")


@dataclass(frozen=True, slots=True)
class _Mark:
    """What had been counted and spent at one time."""

    seconds: float
    decoded: int
    dropped: int
    lost: int
    deaths: int
    capacity: int
    silences: int
    """1 if it did not answer."""
    cpu_seconds: float
    server_cpu_seconds: float

    @staticmethod
    def of(box: _Box) -> _Mark:
        metrics = Metrics.ask(box.health)
        return _Mark(
            seconds=time.monotonic(),
            decoded=metrics.total("anpr_frames_decoded_total"),
            dropped=metrics.total("anpr_frames_dropped_total"),
            lost=metrics.total("anpr_camera_reconnects_total"),
            deaths=metrics.total("anpr_worker_deaths_total"),
            capacity=metrics.total("anpr_capacity_cameras"),
            silences=int(not metrics.samples),
            cpu_seconds=cpu_seconds(box.process.pid),
            server_cpu_seconds=cpu_seconds(box.server.pid),
        )


def _measure(
    box: _Box, *, pipeline: str, streams: int, fps: float, settle_seconds: float, window_seconds: float
) -> Load:
    deadline = time.monotonic() + START_SECONDS
    while (came := box.streaming()) < streams and time.monotonic() < deadline:
        box.listen(0.5)
    box.listen(settle_seconds)
    since_wall_seconds, began = time.time(), _Mark.of(box)
    box.listen(window_seconds)
    ended = _Mark.of(box)
    troubles = {
        "cameras never came": streams - came,
        "connections lost": ended.lost - began.lost,
        "workers died": ended.deaths,
        "questions unanswered": began.silences + ended.silences,
    }
    seconds = ended.seconds - began.seconds
    latency, waiting = latencies_ms(box.heard, since_wall_seconds=since_wall_seconds)
    return Load(
        pipeline=pipeline,
        streams=streams,
        seconds=seconds,
        expected=streams * fps * seconds,
        decoded=ended.decoded - began.decoded,
        dropped=ended.dropped - began.dropped,
        troubles=tuple(f"{count} {what}" for what, count in troubles.items() if count),
        latency_ms=tuple(latency.tolist()),
        waiting_ms=tuple(waiting.tolist()),
        cores=(ended.cpu_seconds - began.cpu_seconds) / seconds,
        server_cores=(ended.server_cpu_seconds - began.server_cpu_seconds) / seconds,
        pss_mb=pss_bytes(box.process.pid) / 1e6,
        capacity=ended.capacity,
    )


def latencies_ms(
    heard: Sequence[Heard], *, since_wall_seconds: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(latencies, waiting) of the previews heard since a time, in milliseconds.

    A preview is told by the picture that makes it sure, the last one of its track so far; a final sighting waits by
    intent until the vehicle is gone. A picture's date is that of its coming out of the socket; how long it waited there
    is its stream time against that date, less the least such difference of its camera.
    """
    offsets: dict[str, float] = {}
    for one in heard:
        offset = one.sighting.seen_seconds - one.sighting.pts_seconds
        offsets[one.sighting.camera_id] = min(offset, offsets.get(one.sighting.camera_id, offset))
    rows = [
        (one.wall_seconds - one.sighting.last_seconds, one.sighting.seen_seconds - one.sighting.pts_seconds - base)
        for one in heard
        if one.sighting.state == "preview" and one.wall_seconds >= since_wall_seconds
        for base in (offsets[one.sighting.camera_id],)
    ]
    times = np.array(rows, np.float64).reshape(-1, 2) * 1000
    return times.sum(axis=1), times[:, 1]
