"""Is the hardware decoder the limit? Many sessions through one GPU, decoded only and end to end.

The same clip in 1 to 200 sessions at once, as fast as the GPU takes them: decoding alone, and the whole way to settled
sightings, in turns, by as many processes as the pipeline has workers; then nine tenths of the cameras which that makes,
live, for the latency. Then detector and reader by batch size and provider. Every line is told on stderr as soon as it
is measured. Without a GPU, --quick runs the scheduling before a simulated one, and the measuring on the processor.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anpr import log
from anpr.cli import exits
from anpr.clock import SystemClock
from anpr.config import Pipeline, load_pipeline
from anpr.engine.simulation import Scenario, SimulatedDevice, simulate
from anpr.engine.surface_device import SurfaceDevice
from anpr.errors import AnprError
from anpr.nets.batch_reader import Found
from anpr.nets.providers import Device, is_available, load_tensorrt
from anpr.ops.gpus import list_gpus
from anpr.records import Plate
from anpr.video.source import open_surfaces
from anpr.video.surface_frame import SurfaceFrame
from bench import report
from bench.clips import demo, lengthened, rendered, transcoded
from bench.gpu_sessions import FRAMES_PER_S, Kind, Load, Stations

CODECS = ("h264", "hevc")
SESSIONS = (1, 8, 32, 64, 128, 177, 200)
LIVE_SHARE = 0.9
"""Of the cameras that the best rate would carry, for the latency."""
BATCHES = (1, 4, 8, 16, 32, 64)
ROUNDS = 50
DECODE_FRAMES_PER_S = {"h264": 771.0, "hevc": 1316.0}
"""Of one engine of the Turing kind, 1080p (NVIDIA, NVDEC application note 13.0): H100 and H200 have seven."""
ENGINES = 7
PUBLISHED = (
    ("H.264 streams of 1080p30, H100 (NVIDIA, DeepStream)", 148.0),
    ("HEVC streams of 1080p30, H100 (NVIDIA, DeepStream)", 229.0),
    ("frames/s of plate reading, T4 (NVIDIA, deepstream_lpr_app)", 447.0),
)
SETTLE_SECONDS = 2.0
SAMPLE_SECONDS = 0.25
CLIP_SECONDS = 600.0
"""A clip is strung together to this length, so that decoders live long."""
COLUMNS = ("sessions", "decoded/s", "end to end/s", "ratio", "dec % alone", "dec %", "cores", "MiB a session")
STAGE_COLUMNS = {"gate": "gate µs", "detect": "detect", "read": "read", "track": "track", "pictures": "JPEG"}


@dataclass(slots=True)
class Watched:
    """What the driver tells of the GPU."""

    decoder_percent: list[float] = field(default_factory=list)
    memory_bytes: int = 0
    """In use, most."""


@contextmanager
def watching(gpu: int | None, watched: Watched) -> Iterator[None]:
    """Collects while the block runs; nothing where NVML cannot be asked."""
    stop = threading.Event()
    watcher: threading.Thread | None = None
    with suppress(ImportError):
        import pynvml

        def watch() -> None:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                handle = pynvml.nvmlDeviceGetHandleByIndex(gpu)
                while not stop.wait(SAMPLE_SECONDS):
                    watched.memory_bytes = max(watched.memory_bytes, int(pynvml.nvmlDeviceGetMemoryInfo(handle).used))
                    watched.decoder_percent.append(float(pynvml.nvmlDeviceGetDecoderUtilization(handle)[0]))

        if gpu is not None:
            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
    try:
        yield
    finally:
        stop.set()
        if watcher is not None:
            watcher.join()


@dataclass(slots=True)
class Bench:
    """Stations, and until when they may be used."""

    stations: Stations
    gpu: int | None
    seconds: float
    """Of each measurement."""
    settle_seconds: float
    until: float
    """On the monotonic clock."""

    def measure(self, kind: Kind, clip: Path, count: int) -> tuple[Load, float, int]:
        """What so many sessions give, the decoder's mean percentage, and the GPU's memory in use meanwhile."""
        watched = Watched()
        load = self.stations.run(
            kind,
            clip,
            count,
            seconds=self.seconds,
            settle_seconds=min(self.settle_seconds, self.seconds),
            meanwhile=watching(self.gpu, watched),
        )
        percent = statistics.mean(watched.decoder_percent) if watched.decoder_percent else 0.0
        return load, percent, watched.memory_bytes

    def codec(self, codec: str, clip: Path, sessions: Sequence[int], figures: dict[str, float]) -> list[list[object]]:
        """The rows of a codec's table; its figures go into `figures` as they come.

        What fails is told and ends the codec: more sessions would fail, too.
        """
        rows: list[list[object]] = []
        best, spent = 0.0, 0.0
        idle = self._memory()
        for count in sessions:
            if time.monotonic() + 1.5 * spent > self.until:
                print(f"{codec}: no time is left for {count} sessions", file=sys.stderr)
                break
            started = time.monotonic()
            try:
                alone, alone_percent, _ = self.measure("decode", clip, count)
                whole, percent, memory = self.measure("whole", clip, count)
            except AnprError as error:
                print(f"{codec}: {count} sessions fail: {error}", file=sys.stderr)
                break
            spent = time.monotonic() - started
            ratio = whole.frames_per_s / alone.frames_per_s if alone.frames else 0.0
            row: list[object] = [count, alone.frames_per_s, whole.frames_per_s, ratio, alone_percent, percent]
            row += [whole.cores, max(0, memory - idle) / count / 2**20]
            row += [f"{whole.stage_us(stage):.0f}" for stage in STAGE_COLUMNS]
            rows.append(row)
            print(codec, dict(zip((*COLUMNS, *STAGE_COLUMNS), row, strict=True)), file=sys.stderr, flush=True)
            if whole.frames_per_s > best:
                best = whole.frames_per_s
                figures |= {f"ratio_{codec}": ratio, f"cores_{codec}": whole.cores, f"decoder_{codec}": percent}
                figures |= {f"frames_per_s_{codec}": best, f"streams_{codec}": float(int(best / FRAMES_PER_S))}
            most = max(figures.get(f"decoded_per_s_{codec}", 0.0), alone.frames_per_s)
            figures[f"decoded_per_s_{codec}"] = most
        return rows

    def live(self, codec: str, clip: Path, figures: dict[str, float]) -> list[object]:
        """Latency before as many cameras as the GPU bears; empty if nothing was measured."""
        count = max(1, int(LIVE_SHARE * figures.get(f"streams_{codec}", 0.0)))
        try:
            load, percent, _ = self.measure("live", clip, count)
        except AnprError as error:
            print(f"{codec}: {count} live cameras fail: {error}", file=sys.stderr)
            return []
        figures[f"event_p95_ms_{codec}"] = load.latency(0.95)
        figures["event_p95_ms"] = max(figures.get("event_p95_ms", 0.0), load.latency(0.95))
        row = [codec, count, load.frames_per_s, load.dropped, percent, load.cores]
        row += [len(load.latency_ms), load.latency(0.5), load.latency(0.95)]
        print("live", row, file=sys.stderr, flush=True)
        return row

    def _memory(self) -> int:
        watched = Watched()
        with watching(self.gpu, watched):
            time.sleep(0.0 if self.gpu is None else 2.5 * SAMPLE_SECONDS)
        return watched.memory_bytes


def by_batch_size(pipeline: Pipeline, gpu: int | None, rounds: int) -> dict[int, tuple[float, float]]:
    """Pictures a second of the detector and plates a second of the reader, by batch size.

    On a device of its own, which is opened and used in this thread: a device works in no other.
    """
    device = SurfaceDevice.open(pipeline, gpu)
    try:
        return _rates(device, rounds)
    finally:
        device.close()


def _rates(device: SurfaceDevice, rounds: int) -> dict[int, tuple[float, float]]:
    pictures: list[SurfaceFrame] = []
    with open_surfaces(demo().path, camera_id="bench", clock=SystemClock(), nvdec=device.nvdec) as source:
        for picture in source:
            pictures.append(picture)
            if len(pictures) == max(BATCHES):
                break
    quad = np.array([[800, 500], [1040, 500], [1040, 560], [800, 560]], np.float32)
    found = [Found(picture.surface, Plate(quad=quad, score=1.0, lines=1)) for picture in pictures]
    results = {}
    for size in [size for size in BATCHES if size <= device.most]:
        rates = []
        for call, items in ((device.detect, pictures[:size]), (device.read, found[:size])):
            call(items)  # type: ignore[operator]
            started = time.perf_counter()
            for _ in range(rounds):
                call(items)  # type: ignore[operator]
            rates.append(rounds * size / (time.perf_counter() - started))
        results[size] = (rates[0], rates[1])
    return results


def nets(pipeline: Pipeline, gpu: int | None, figures: dict[str, float]) -> list[list[object]]:
    """The rows of the nets' table, a process for each provider; their figures go into `figures`."""
    if gpu is None:
        measured: dict[Device, dict[int, tuple[float, float]]] = {"cpu": by_batch_size(pipeline, None, 1)}
    else:
        measured = {}
        for device in _providers():
            asked = Pipeline.of(pipeline.settings.model_copy(update={"device": device}), name=pipeline.name)
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                try:
                    measured[device] = pool.submit(by_batch_size, asked, gpu, ROUNDS).result()
                except Exception as error:  # noqa: BLE001  # the other provider is measured all the same
                    print(f"{device}: {error}", file=sys.stderr)
    rows: list[list[object]] = []
    for device, rates in measured.items():
        mark = "" if device in ("cpu", "cuda") else f"_{device}"
        for size, (frames_per_s, plates_per_s) in rates.items():
            rows.append([device, size, frames_per_s, plates_per_s])
            figures[f"detector_frames_per_s_{size}{mark}"] = frames_per_s
            figures[f"reader_plates_per_s_{size}{mark}"] = plates_per_s
    return rows


def _providers() -> Iterator[Device]:
    yield "cuda"
    with suppress(AnprError):
        if is_available("tensorrt") and load_tensorrt():
            yield "tensorrt"


def against_sessions(
    clips: dict[str, Path],
    pipeline: Pipeline,
    *,
    sessions: Sequence[int],
    seconds: float,
    minutes: float,
    gpu: int | None,
) -> dict[str, float]:
    """Every codec by every number of sessions, decoded only and end to end in turns, and live. Prints the tables."""
    figures: dict[str, float] = {}
    lively: list[list[object]] = []
    started = time.monotonic()
    until = started + 60 * minutes
    stations = Stations(pipeline, gpu, apart=0 if gpu is None else pipeline.settings.gpu.workers)
    print(f"devices open after {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    try:
        bench = Bench(stations, gpu, seconds, SETTLE_SECONDS, until)
        for codec, clip in clips.items():
            rows = bench.codec(codec, clip, sessions, figures)
            report.show(f"{codec} 1080p", [*COLUMNS, *STAGE_COLUMNS.values()], rows)
            if rows and (row := bench.live(codec, clip, figures)):
                lively.append(row)
    finally:
        stations.close()
    columns = ["live", "cameras", "looked at/s", "dropped", "dec %", "cores", "told", "p50 ms", "p95 ms"]
    report.show("live cameras", columns, lively)
    report.show("nets", ["provider", "batch", "detector frames/s", "reader plates/s"], nets(pipeline, gpu, figures))
    return figures


def simulated() -> dict[str, float]:
    """The scheduling before a GPU like the H200, in simulated time. Prints the table."""
    figures: dict[str, float] = {}
    rows = []
    for codec, rate in DECODE_FRAMES_PER_S.items():
        for count in SESSIONS:
            device = SimulatedDevice(most=64, picture_seconds=40e-6)
            outcome = simulate(
                Scenario(cameras=count, engines=ENGINES, decode_seconds=1 / rate, live=False, seconds=0.5), device
            )
            ratio = outcome.frames_per_s / (min(count, ENGINES) * rate)
            rows.append([codec, count, outcome.frames_per_s, ratio, 1000 * outcome.latency(0.95)])
            figures[f"simulated_ratio_{codec}"] = ratio
            figures[f"simulated_streams_{codec}"] = float(int(outcome.frames_per_s / FRAMES_PER_S))
    live = simulate(
        Scenario(cameras=177, engines=ENGINES, seconds=0.5), SimulatedDevice(most=64, picture_seconds=40e-6)
    )
    figures["simulated_latency_p95_ms"] = 1000 * live.latency(0.95)
    report.show("simulated", ["codec", "sessions", "frames/s", "of the decoder's", "waiting p95 ms"], rows)
    return figures


def footage(clip: Path | None, folder: Path, codecs: Sequence[str]) -> dict[str, Path]:
    """A long clip in each codec: of `clip`, or else of one that is rendered."""
    if clip is None:
        (made,) = rendered(folder, count=1, seconds=60, kbps=4000)
        clip = made.path
    folder.mkdir(parents=True, exist_ok=True)
    clips = {}
    for codec in codecs:
        short = clip if codec == "h264" else transcoded(clip, folder / f"{clip.stem}.{codec}.mp4", "libx265")
        clips[codec] = lengthened(short, folder / f"long-{short.name}", seconds=CLIP_SECONDS)
    return clips


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--pipeline", default="gpu-h200", help="default: gpu-h200")
    parser.add_argument("--gpu", type=int, default=0, help="by the driver's count")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=8.0, help="after so long nothing new is begun")
    parser.add_argument("--sessions", type=int, action="append", help="so many at once; may be given again")
    parser.add_argument("--codec", choices=CODECS, action="append", help="may be given again; default: both")
    parser.add_argument("--clip", type=Path, help="1080p25 in H.264; default: one that is rendered")
    parser.add_argument("--folder", type=Path, default=Path("work/streams"), help="where clips are kept")
    arguments = parser.parse_args()
    log.configure(level="warning")
    gpus = list_gpus()
    if not arguments.quick and len(gpus) <= arguments.gpu:
        print("gpu: this machine has no such GPU: nothing is measured; --quick simulates one", file=sys.stderr)
        return exits.UNAVAILABLE
    try:
        if arguments.quick:
            figures = simulated()
            measured = against_sessions(
                {"h264": demo().path}, load_pipeline("cpu"), sessions=[2], seconds=1.0, minutes=1.0, gpu=None
            )
            figures |= {f"processor_{name}": value for name, value in measured.items()}
        else:
            print(f"{gpus[arguments.gpu].name}, {gpus[arguments.gpu].target}", file=sys.stderr)
            figures = against_sessions(
                footage(arguments.clip, arguments.folder, arguments.codec or CODECS),
                load_pipeline(arguments.pipeline),
                sessions=arguments.sessions or SESSIONS,
                seconds=arguments.seconds,
                minutes=arguments.minutes,
                gpu=arguments.gpu,
            )
    except AnprError as error:
        print(f"gpu: {error}", file=sys.stderr)
        return exits.code_of(error)
    report.show("published by others", ["what", "value"], [list(each) for each in PUBLISHED])
    report.show("figures", ["figure", "value"], [[name, float(value)] for name, value in figures.items()])
    report.finish("gpu", figures, as_json=arguments.json)
    return exits.OK


if __name__ == "__main__":
    sys.exit(main())
