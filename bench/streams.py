"""How many cameras does this machine carry, and what does all but decoding cost?

Rendered 1080p25 H.264 clips of the day's peak hour, with two pipelines: every frame detected, and gated. First as files
at full speed on one core, in turns with decoding alone; then served by a real RTSP server at real-time pace to the real
daemon, with more and more cameras until it no longer keeps up, and once more at 80 % of what it bore. The clips are
rendered once, into work/streams.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from anpr import log
from anpr.config import Pipeline, load_pipeline
from anpr.engine.pipeline import build_stages
from anpr.errors import AnprError
from bench import fast_alpr, report
from bench.box import Load, NoServerError, Server, check_server, serve, watch
from bench.clips import Footage, demo, excerpt, rendered
from bench.full_speed import Speed, measure

FRAMES_PER_S = 25.0
SHARE_OF_MOST = 0.8
"""Of the sustained streams, for the latency that is told."""
MOST_STREAMS = 64
SETTLE_SECONDS = 5.0
SLICE_SECONDS = 10.0
RIVAL_SECONDS = 60.0
"""Of the first clip."""
QUICK_SECONDS = 3.0
QUICK_STREAMS = {"full": 2, "gated": 3}


def greatest(sustains: Callable[[int], bool], *, guess: int, most: int) -> int:
    """The greatest number up to `most` that is sustained, 0 if none: from `guess` in growing steps, then by halves."""
    low, high, step, number = 0, most + 1, 1, guess
    while high - low > 1:
        number = min(max(number, low + 1), high - 1)
        if sustains(number):
            low = number
        else:
            high = number
        if high > most:
            number = low + step
        elif low == 0:
            number = high - step
        else:
            number = (low + high) // 2
        step *= 2
    return low


def per_stream_mb(loads: Sequence[Load]) -> float:
    """Memory that each further stream takes: the slope over loads of different size; 0 if they are all of one.

    Loads with fewer streams than cores have fewer worker processes and do not count.
    """
    loads = [load for load in loads if load.streams >= len(os.sched_getaffinity(0))]
    if len({load.streams for load in loads}) < 2:
        return 0.0
    streams = np.array([load.streams for load in loads], np.float64)
    memory = np.array([load.pss_mb for load in loads], np.float64)
    return float(np.polyfit(streams, memory, 1)[0])


def show_speed(speeds: dict[str, Speed], footage: Sequence[Footage]) -> None:
    """Files at full speed."""
    stages = list(dict.fromkeys(stage for speed in speeds.values() for stage in speed.stage_ms))
    rows: list[list[object]] = [
        ["frames/s end to end", *(speed.frames_per_s for speed in speeds.values())],
        ["frames/s decoding alone", *(speed.decode_frames_per_s for speed in speeds.values())],
        ["ratio", *(speed.ratio for speed in speeds.values())],
        ["ratio of CPU times", *(speed.cpu_ratio for speed in speeds.values())],
        ["CPU ms a frame", *(speed.cpu_ms for speed in speeds.values())],
        ["  decoding alone", *(speed.decode_cpu_ms for speed in speeds.values())],
        *([f"  {name}", *(speed.stage_ms.get(name, 0.0) for speed in speeds.values())] for name in stages),
        ["frames looked at", *(speed.looks for speed in speeds.values())],
        ["vehicles with a readable plate", *(speed.passed for speed in speeds.values())],
        ["captured", *(speed.capture for speed in speeds.values())],
        ["read exactly", *(speed.exact for speed in speeds.values())],
    ]
    seconds = sum(each.seconds for each in footage)
    kbps = statistics.mean(each.kbps for each in footage)
    slices = len(next(iter(speeds.values())).slices)
    title = f"files at full speed on one core: {seconds:.0f} s of 1080p at {kbps:.0f} kb/s, medians of {slices} slices"
    report.show(title, ["", *(speed.pipeline for speed in speeds.values())], rows)


def show_loads(title: str, loads: Sequence[Load]) -> None:
    """Cameras in real time."""
    columns = ["pipeline", "streams", "verdict", "dropped", "events", "p50 ms", "p95", "p99", "waiting p95"]
    columns += ["cores", "server", "MB", "could carry"]
    rows = [
        [
            load.pipeline,
            load.streams,
            load.verdict or "sustained",
            f"{load.dropped_share:.2%}",
            len(load.latency_ms),
            *(f"{load.latency(share):.0f}" for share in (0.5, 0.95, 0.99)),
            f"{np.quantile(load.waiting_ms, 0.95) if load.waiting_ms else 0.0:.0f}",
            f"{load.cores:.2f}",
            f"{load.server_cores:.2f}",
            f"{load.pss_mb:.0f}",
            load.capacity or "",
        ]
        for load in loads
    ]
    report.show(title, columns, rows)


class Probes:
    """Loads that one server's cameras put on the daemon."""

    def __init__(self, server: Server, arguments: Namespace) -> None:
        self.loads: list[Load] = []
        self._server = server
        self._window_seconds = arguments.window
        self._settle_seconds = 0.0 if arguments.quick else SETTLE_SECONDS

    def load(self, pipeline: str, streams: int, *, windows: int = 1) -> Load:
        """Measure one, for so many windows of time."""
        print(f"{pipeline}: {streams} streams …", end=" ", file=sys.stderr, flush=True)
        load = watch(
            self._server,
            pipeline=pipeline,
            streams=streams,
            fps=FRAMES_PER_S,
            settle_seconds=self._settle_seconds,
            window_seconds=self._window_seconds * windows,
        )
        print(load.verdict or "sustained", file=sys.stderr)
        self.loads.append(load)
        return load

    def sustained(self, pipeline: str, streams: int) -> bool:
        """Whether the daemon keeps up with so many."""
        return self.load(pipeline, streams).sustained

    def of(self, pipeline: str) -> list[Load]:
        """Those with this pipeline."""
        return [load for load in self.loads if load.pipeline == pipeline]


def live(
    footage: Sequence[Footage], guesses: dict[str, int], names: dict[str, str], arguments: Namespace
) -> dict[str, float]:
    """Cameras in real time: the figures, by the names of the pipelines in `names`. Prints the tables."""
    figures: dict[str, float] = {}
    at_load: dict[str, Load] = {}
    with serve(
        [each.path for each in footage], streams=max(QUICK_STREAMS.values()) if arguments.quick else MOST_STREAMS
    ) as server:
        probes = Probes(server, arguments)
        for key, name in names.items():
            if arguments.quick:
                at_load[key] = probes.load(name, QUICK_STREAMS[key])
                figures[f"streams_{key}"] = float(at_load[key].streams * at_load[key].sustained)
                continue
            most = greatest(partial(probes.sustained, name), guess=guesses[key], most=MOST_STREAMS)
            figures[f"streams_{key}"] = float(most)
            at_load[key] = probes.load(name, max(1, int(most * SHARE_OF_MOST)), windows=3)
    show_loads(f"cameras in real time, {arguments.window:g} s each, the RTSP server on the same cores", probes.loads)
    if not arguments.quick:
        show_loads(f"at {SHARE_OF_MOST:.0%} of the sustained streams", list(at_load.values()))
    for key, load in at_load.items():
        for share in (50, 95, 99):
            figures[f"event_p{share}_ms_{key}"] = load.latency(share / 100)
        figures[f"server_cores_{key}"] = load.server_cores
        figures[f"cores_{key}"] = load.cores
        figures[f"could_carry_{key}"] = float(load.capacity)
        figures[f"rss_per_stream_mb_{key}"] = per_stream_mb(probes.of(names[key]))
    figures["event_p95_ms"] = figures["event_p95_ms_gated"]
    # A quick run has one load of each pipeline: the difference of both stands for the slope.
    figures["rss_per_stream_mb"] = (
        per_stream_mb(probes.loads) if arguments.quick else figures["rss_per_stream_mb_gated"]
    )
    return figures


def full_speed(footage: Sequence[Footage], pipelines: dict[str, Pipeline], slice_seconds: float) -> dict[str, Speed]:
    """Each pipeline over all of the footage. Prints the table."""
    speeds = {}
    for key, pipeline in pipelines.items():
        print(f"{pipeline.name}: files at full speed …", file=sys.stderr)
        speeds[key] = measure(footage, build_stages(pipeline), slice_seconds=slice_seconds)
    show_speed(speeds, footage)
    return speeds


def speed_figures(speeds: dict[str, Speed]) -> dict[str, float]:
    """The figures of files at full speed; `capture` and `exact` are those of the gated pipeline."""
    figures: dict[str, float] = {}
    for key, speed in speeds.items():
        figures |= {
            f"ratio_{key}": speed.ratio,
            f"cpu_ratio_{key}": speed.cpu_ratio,
            f"frames_per_s_{key}": speed.frames_per_s,
            f"decode_frames_per_s_{key}": speed.decode_frames_per_s,
            f"cpu_ms_{key}": speed.cpu_ms,
            f"looks_{key}": speed.looks,
            f"capture_{key}": speed.capture,
            f"exact_{key}": speed.exact,
        }
        figures |= {f"{stage}_ms_{key}": spent for stage, spent in speed.stage_ms.items()}
    return figures | {"capture": speeds["gated"].capture, "exact": speeds["gated"].exact}


def against_fast_alpr(footage: Footage, pipeline: Pipeline, folder: Path, seconds: float) -> dict[str, float]:
    """fast-alpr and ours over the beginning of a clip. Prints the table. Raises ImportError if it is not installed."""
    beginning = excerpt(footage, folder / "rival.mp4", seconds=min(seconds, footage.seconds))
    rival = fast_alpr.run(beginning, pipeline)
    ours = measure([beginning], build_stages(pipeline), slice_seconds=beginning.seconds / 3)
    report.show(
        f"{beginning.seconds:.0f} s of footage, as users of fast-alpr would do it with our nets",
        ["", f"{ours.pipeline}, one core", f"fast-alpr {fast_alpr.version()}, all cores"],
        [
            ["frames/s", ours.frames_per_s, rival.frames_per_s],
            ["CPU ms a frame", ours.cpu_ms, rival.cpu_ms],
            ["vehicles read exactly, by fast-alpr in some frame", ours.exact, rival.exact],
        ],
    )
    return {
        "fast_alpr_frames_per_s": rival.frames_per_s,
        "fast_alpr_cpu_ms": rival.cpu_ms,
        "fast_alpr_exact": rival.exact,
        "beside_fast_alpr_frames_per_s": ours.frames_per_s,
        "beside_fast_alpr_cpu_ms": ours.cpu_ms,
        "beside_fast_alpr_exact": ours.exact,
    }


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument(
        "--full", default="cpu-lean", metavar="PIPELINE", help="detects every frame (default: cpu-lean)"
    )
    parser.add_argument("--gated", default="cpu-gated", metavar="PIPELINE", help="default: cpu-gated")
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=180, help="of each clip")
    parser.add_argument("--kbps", type=int, default=4000)
    parser.add_argument("--folder", type=Path, default=Path("work/streams"), help="where rendered clips are kept")
    parser.add_argument(
        "--window", type=float, default=15.0, help="seconds for which a number of streams must be borne"
    )
    parser.add_argument("--files", action="store_true", help="leave out the cameras: needs no RTSP server")
    parser.add_argument("--against", choices=("fast-alpr",), help="also run another engine on the first clip")
    arguments = parser.parse_args()
    log.configure(level="warning")
    cv2.setNumThreads(1)
    names = {"full": arguments.full, "gated": arguments.gated}
    try:
        pipelines = {key: load_pipeline(name) for key, name in names.items()}
        if not arguments.files:
            check_server()
    except (AnprError, NoServerError) as error:
        sys.exit(f"streams: {error}")
    with tempfile.TemporaryDirectory(prefix="anpr-bench-") as scratch:
        folder = Path(scratch)
        if arguments.quick:
            arguments.window = QUICK_SECONDS
            cameras = [demo()]
            files = [excerpt(demo(), folder / "quick.mp4", seconds=QUICK_SECONDS)]
        else:
            files = cameras = rendered(
                arguments.folder, count=arguments.clips, seconds=arguments.seconds, kbps=arguments.kbps
            )
        slice_seconds = min(SLICE_SECONDS, files[0].seconds / 3)
        speeds = full_speed(files, pipelines, slice_seconds)
        figures = speed_figures(speeds)
        if arguments.against:
            try:
                seconds = QUICK_SECONDS if arguments.quick else RIVAL_SECONDS
                figures |= against_fast_alpr(files[0], pipelines["full"], folder, seconds)
            except ImportError as error:
                print(f"without fast-alpr: {error} (pip install fast-alpr)", file=sys.stderr)
    if not arguments.files:
        cores = len(os.sched_getaffinity(0))
        guesses = {key: max(1, int(0.8 * cores * 1000 / FRAMES_PER_S / speed.cpu_ms)) for key, speed in speeds.items()}
        figures |= live(cameras, guesses, names, arguments)
    report.show("figures", ["figure", "value"], [[name, float(value)] for name, value in figures.items()])
    report.finish("streams", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
