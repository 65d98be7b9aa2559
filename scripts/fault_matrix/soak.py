"""The soak: many streams for hours, no faults; what grows, and whether the books balance."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scripts.fault_matrix.cameras import Camera
from scripts.fault_matrix.daemon import Daemon, balance_of, write_site
from scripts.fault_matrix.listener import Listener
from scripts.fault_matrix.processes import mapped_mib, open_files, own_mib
from scripts.fault_matrix.records import event_files
from scripts.fault_matrix.sockets import free_port
from scripts.fault_matrix.stage import SEE_SECONDS
from scripts.fault_matrix.verdict import Verdict, judge, last_words, missing_numbers
from scripts.fault_matrix.world import passages, prepare, round_seconds

SAMPLES = 240
LEAST_PAUSE_SECONDS = 1.0
WARM_SHARE = 0.25
"""Of the time: models, caches and allocators fill up; slopes are those of the rest."""
LEAST_JUDGED_HOURS = 0.5
"""In a shorter run memory still fills up: its slopes are printed and not judged."""
START_SECONDS = 120.0
STOP_SECONDS = 60.0
MOST_RSS_MIB_PER_HOUR = 1.0
MOST_FILES_PER_HOUR = 1.0
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """The whole box at one moment."""

    hours: float
    resident_mib: float
    """The hub's and all workers' own."""
    mapped_mib: float
    """Of the files that they have mapped: libraries, and as much of the store as is in memory, once a process."""
    files: int
    store_mib: float
    """Of LMDB's file; pictures lie beside it."""
    events: int
    """Heard so far."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth per hour by least squares, and its standard error: noise is not called growth."""

    per_hour: float
    error: float

    def surely_above(self, limit: float) -> bool:
        """Whether the growth is above `limit` even if noise has made it seem greater."""
        return self.per_hour - 2 * self.error > limit

    def __str__(self) -> str:
        return f"{self.per_hour:+.3f} ± {self.error:.3f} per hour"


def slope(hours: list[float], values: list[float]) -> Slope:
    """The line through the values; without three of them there is none."""
    if len(hours) < 3:
        return Slope(0.0, float("inf"))
    rise, start = np.polyfit(hours, values, 1)
    x = np.asarray(hours)
    residual = np.asarray(values) - (rise * x + start)
    error = np.sqrt(residual @ residual / (len(x) - 2) / ((x - x.mean()) @ (x - x.mean())))
    return Slope(float(rise), float(error))


def main(work: Path, pictures: Path, *, streams: int, hours: float, as_json: bool) -> int:
    """Run it; 1 if something grew, was lost or does not balance."""
    prepare(pictures, {"usual"})
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=work))
    t0 = time.monotonic()
    names = [f"cam{number}" for number in range(streams)]
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        cameras = []
        for number, name in enumerate(names):
            shift = round_seconds() * number / streams
            cameras.append(Camera(name, folder=folder, pictures=pictures, t0=t0 - shift))
            stack.callback(cameras[-1].kill)
            cameras[-1].start()
        site = folder / "site.toml"
        ports = {camera.name: camera.port for camera in cameras}
        write_site(site, endpoint=endpoint, health_port=free_port(), ports=ports, workers=min(WORKERS, streams))
        listener = stack.enter_context(Listener(endpoint))
        daemon = Daemon(site)
        stack.callback(daemon.kill)
        daemon.start()
        deadline = time.monotonic() + START_SECONDS
        while not all(camera.first_key_taken(t0) for camera in cameras):
            if time.monotonic() > deadline or daemon.exit_code is not None:
                print(f"not all cameras were watched within {START_SECONDS:g} s")
                return 1
            time.sleep(0.5)
        began, samples = time.monotonic(), []
        pause = max(LEAST_PAUSE_SECONDS, hours * 3600 / SAMPLES)
        while daemon.exit_code is None and time.monotonic() - began < hours * 3600:
            time.sleep(min(pause, max(0.0, began + hours * 3600 - time.monotonic())))
            samples.append(_sample(daemon, folder, listener, since=began))
            if not as_json:
                print(_line(samples[-1]), flush=True)
        ended = time.monotonic()
        daemon.children()
        daemon.signal(signal.SIGTERM)
        code = daemon.wait(STOP_SECONDS)
        problems = [] if code == 0 else [f"the daemon ended with {code}"]
        verdicts = _verdicts(cameras, listener, began=began, ended=ended)
        numbers = [int(event["sequence"]) for _, event in listener.numbered()]
        if missing_numbers(numbers):
            problems.append(f"{len(missing_numbers(numbers))} numbers missing on the bus")
        problems += _imbalances(daemon)
    warm = [sample for sample in samples if sample.hours >= WARM_SHARE * hours]
    at = [sample.hours for sample in warm]
    resident = slope(at, [sample.resident_mib for sample in warm])
    files = slope(at, [float(sample.files) for sample in warm])
    store = slope(at, [sample.store_mib for sample in warm])
    grown_events = warm[-1].events - warm[0].events if warm else 0
    kib_per_event = (warm[-1].store_mib - warm[0].store_mib) * 1024 / grown_events if grown_events else 0.0
    judged = hours >= LEAST_JUDGED_HOURS
    if judged and resident.surely_above(MOST_RSS_MIB_PER_HOUR):
        problems.append(f"memory grows: {resident} MiB")
    if judged and files.surely_above(MOST_FILES_PER_HOUR):
        problems.append(f"file descriptors grow: {files}")
    vehicles = {
        "expected": sum(verdict.expected for verdict in verdicts),
        "lost": sum(len(verdict.lost) for verdict in verdicts),
        "duplicated": sum(len(verdict.duplicated) for verdict in verdicts),
        "wrong": sum(len(verdict.wrong) for verdict in verdicts),
    }
    result = {
        "soak": {
            "streams": streams,
            "hours": round((ended - began) / 3600, 3),
            "resident_mib_per_hour": [round(resident.per_hour, 3), round(resident.error, 3)],
            "files_per_hour": [round(files.per_hour, 3), round(files.error, 3)],
            "store_mib_per_hour": [round(store.per_hour, 3), round(store.error, 3)],
            "store_kib_per_event": round(kib_per_event, 3),
            "last": asdict(samples[-1]) if samples else None,
            **vehicles,
            "problems": problems,
        }
    }
    if as_json:
        print(json.dumps(result))
    else:
        print(f"memory  {resident} MiB\nfiles   {files}\nLMDB    {store} MiB, {kib_per_event:.2f} KiB an event")
        print(", ".join(f"{name} {count}" for name, count in vehicles.items()))
        fine = "books balanced, nothing grows" if judged else "books balanced; too short to judge growth"
        print("\n".join(f"✖ {problem}" for problem in problems) or fine)
    return 1 if problems else 0


def _verdicts(cameras: list[Camera], listener: Listener, *, began: float, ended: float) -> list[Verdict]:
    """Truth against what was told, for each camera; times are monotonic."""
    wall_offset = time.time() - time.monotonic()
    told = last_words(event["data"] for _, event in listener.messages("sighting."))
    return [
        judge(
            passages(camera.t0 + wall_offset, ended - camera.t0),
            [each for each in told if each.camera == camera.name],
            [(began + SEE_SECONDS + wall_offset, ended + wall_offset)],
        )
        for camera in cameras
    ]


def _sample(daemon: Daemon, folder: Path, listener: Listener, *, since: float) -> Sample:
    pids = [daemon.pid, *daemon.children()]
    store = folder / "store"
    files = [path for path in (store / "data.mdb", *event_files(store)) if path.exists()]
    return Sample(
        hours=(time.monotonic() - since) / 3600,
        resident_mib=round(sum(map(own_mib, pids)), 2),
        mapped_mib=round(sum(map(mapped_mib, pids)), 2),
        files=sum(map(open_files, pids)),
        store_mib=round(sum(path.stat().st_blocks for path in files) * 512 / (1 << 20), 3),
        events=len(listener.messages("sighting.")),
    )


def _imbalances(daemon: Daemon) -> list[str]:
    """The conservation laws over the counters that the daemon ends with."""
    stopped = daemon.log("stopped")
    if not stopped:
        return ["the log does not end with `stopped`"]
    unaccounted, told = balance_of(stopped[-1])
    return [told] if unaccounted else []


def _line(sample: Sample) -> str:
    return (
        f"{sample.hours:6.2f} h  {sample.resident_mib:8.1f} MiB and {sample.mapped_mib:6.1f} of files"
        f"  {sample.files:4} open"
        f"  LMDB {sample.store_mib:7.2f} MiB  {sample.events:6} events"
    )
