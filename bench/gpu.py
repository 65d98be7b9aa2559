"""Is the hardware decoder the limit? Many sessions through one GPU, decoded only and end to end.

The same clip in 1 to 200 sessions at once, as fast as the GPU takes them: decoding alone, and the whole way to settled
sightings, in turns. Then detector and reader by batch size and provider. Without a GPU, --quick runs the scheduling
before a simulated one, and the measuring itself on the processor.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from anpr import log
from anpr.cli import exits
from anpr.clock import SystemClock
from anpr.config import Pipeline, load_pipeline
from anpr.engine.batching import Passenger
from anpr.engine.crew import Crew
from anpr.engine.follower import Follower
from anpr.engine.messages import Passage
from anpr.engine.pipeline import loop_options
from anpr.engine.simulation import Scenario, SimulatedDevice, simulate
from anpr.engine.surface_device import SurfaceDevice
from anpr.errors import AnprError
from anpr.metrics import Counters
from anpr.nets.batch_reader import Found
from anpr.ops.gpus import list_gpus
from anpr.records import Plate
from anpr.tracking.sighting import Origin
from anpr.video.nvdec import Nvdec
from anpr.video.source import open_surfaces
from anpr.video.surface_frame import SurfaceFrame, brought_home
from bench import report
from bench.clips import demo, rendered

SESSIONS = (1, 8, 32, 64, 128, 177, 200)
FRAMES_PER_S = 25.0
BATCHES = (1, 4, 8, 16, 32, 64)
DECODE_FRAMES_PER_S = {"h264": 771.0, "hevc": 1316.0}
"""Of one engine of the Turing kind, 1080p (NVIDIA, NVDEC application note 13.0): H100 and H200 have seven."""
ENGINES = 7
PUBLISHED = (
    ("H.264 streams of 1080p30, H100 (NVIDIA, DeepStream)", 148.0),
    ("HEVC streams of 1080p30, H100 (NVIDIA, DeepStream)", 229.0),
    ("frames/s of plate reading, T4 (NVIDIA, deepstream_lpr_app)", 447.0),
)
SETTLE_SECONDS = 3.0
SAMPLE_SECONDS = 0.25


@dataclass(slots=True)
class Load:
    """What so many sessions gave in some seconds."""

    sessions: int
    seconds: float = 0.0
    frames: int = 0
    cores: float = 0.0
    decoder_percent: float = 0.0
    """As the driver tells it; 0 if it does not."""
    latency_ms: list[float] = field(default_factory=list)
    """From a picture's decoding to the sighting that it gave rise to."""
    stage_us: dict[str, float] = field(default_factory=dict)
    """Microseconds a picture."""

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.seconds

    def latency(self, share: float) -> float:
        """Milliseconds within which `share` of the sightings were told; 0 of none."""
        return float(np.quantile(self.latency_ms, share)) if self.latency_ms else 0.0


@contextmanager
def decoder_use(gpu: int | None) -> Iterator[list[float]]:
    """Collects the decoder's utilisation in percent while the block runs; nothing where NVML cannot be asked."""
    samples: list[float] = []
    stop = threading.Event()
    with suppress(ImportError):
        import pynvml

        def watch() -> None:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                handle = pynvml.nvmlDeviceGetHandleByIndex(gpu)
                while not stop.wait(SAMPLE_SECONDS):
                    samples.append(float(pynvml.nvmlDeviceGetDecoderUtilization(handle)[0]))

        if gpu is not None:
            threading.Thread(target=watch, daemon=True).start()
    try:
        yield samples
    finally:
        stop.set()


def clip_again_and_again(
    clip: Path, camera_id: str, nvdec: Nvdec | None, stop: threading.Event
) -> Iterator[SurfaceFrame]:
    """The clip's pictures, over and over, by one long-lived thread; time goes on from one turn to the next."""
    offset, last = 0.0, 0.0
    while not stop.is_set():
        with open_surfaces(clip, camera_id=camera_id, clock=SystemClock(), nvdec=nvdec) as source:
            for picture in source:
                if stop.is_set():
                    return
                last = offset + picture.pts_seconds
                yield replace(picture, pts_seconds=last, arrival_seconds=time.monotonic())
        offset = last + 1 / FRAMES_PER_S


class Sessions:
    """Threads that decode one clip each, and do with every picture what they are told."""

    def __init__(self, clip: Path, count: int, nvdec: Nvdec | None) -> None:
        self.stop = threading.Event()
        self.decoded = [0] * count
        self.errors: list[BaseException] = []
        self._arguments = clip, nvdec

    def start(self, number: int, take: Any) -> threading.Thread:
        """Session `number`; `take` is called with every picture."""

        def run() -> None:
            clip, nvdec = self._arguments
            try:
                for picture in clip_again_and_again(clip, f"session-{number}", nvdec, self.stop):
                    take(picture)
                    self.decoded[number] += 1
            except BaseException as error:  # noqa: BLE001  # told by who waits for the sessions
                self.errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


def measure(sessions: Sessions, load: Load, done: Any, *, seconds: float, gpu: int | None) -> None:
    """Let the sessions settle, then count what `done()` counts, and what it costs, for some seconds."""
    time.sleep(min(SETTLE_SECONDS, seconds))
    with decoder_use(gpu) as samples:
        before, wall, cpu = done(), time.perf_counter(), time.process_time()
        time.sleep(seconds)
        load.frames, load.seconds = done() - before, time.perf_counter() - wall
        load.cores = (time.process_time() - cpu) / load.seconds
    load.decoder_percent = statistics.mean(samples) if samples else 0.0
    if sessions.errors:
        raise sessions.errors[0]


def decode_only(clip: Path, count: int, nvdec: Nvdec | None, *, seconds: float, gpu: int | None) -> Load:
    """So many sessions whose pictures nobody looks at."""
    load, sessions = Load(count), Sessions(clip, count, nvdec)
    threads = [sessions.start(number, lambda _: None) for number in range(count)]
    measure(sessions, load, lambda: sum(sessions.decoded), seconds=seconds, gpu=gpu)
    sessions.stop.set()
    for thread in threads:
        thread.join()
    return load


def end_to_end(clip: Path, count: int, crew: Crew, nvdec: Nvdec | None, *, seconds: float, gpu: int | None) -> Load:
    """So many sessions to settled sightings, through one crew."""
    load, sessions, options = Load(count), Sessions(clip, count, nvdec), loop_options(crew.pipeline)
    threads, seats, followers = [], [], []

    def tell(passage: Passage) -> None:
        load.latency_ms.append(1000 * (time.monotonic() - passage.arrival_seconds))

    for number in range(count):
        follower: Follower[SurfaceFrame] = Follower(
            Origin(site_id="bench", camera_id=f"session-{number}", run_seconds=0.0),
            track=options.track,
            spare=options.spare,
            pictures=options.pictures,
            emit=tell,
            bring_home=brought_home,
            counters=Counters(),
        )
        one = Passenger(f"session-{number}", follower, gate=options.gate, spare=options.spare)
        seat = crew.inbox.join(one, waits=True)
        followers.append(follower)
        seats.append(seat)
        threads.append(sessions.start(number, lambda picture, seat=seat: crew.inbox.put(seat, picture)))

    def looked_at() -> int:
        return sum(
            follower.counters.total("frames_inferred") + follower.counters.total("frames_gated")
            for follower in followers
        )

    measure(sessions, load, looked_at, seconds=seconds, gpu=gpu)
    sessions.stop.set()
    for seat, thread in zip(seats, threads, strict=True):
        thread.join()
        crew.inbox.close(seat)
        seat.left.wait()
    pictures = max(1, looked_at())
    for stage in ("gate", "detect", "read", "track", "pictures", "emit"):
        load.stage_us[stage] = 1e6 * sum(getattr(each.seconds, stage) for each in followers) / pictures
    return load


def by_batch_size(device: SurfaceDevice, *, rounds: int) -> dict[int, tuple[float, float]]:
    """Pictures a second of the detector and plates a second of the reader, by batch size."""
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


def transcoded(clip: Path, target: Path, codec: str) -> Path:
    """The clip in another codec, made by the processor at the same bit rate, once."""
    if target.exists():
        return target
    part = target.with_name(f"part-{target.name}")
    with av.open(str(clip)) as source, av.open(str(part), "w") as copy:
        stream = source.streams.video[0]
        made = copy.add_stream(codec, rate=25, options={"x265-params": "log-level=none:bframes=0"})
        made.width, made.height, made.pix_fmt = stream.width, stream.height, "yuv420p"
        made.bit_rate = int(stream.bit_rate or 4_000_000)
        for frame in source.decode(stream):
            frame.pict_type = 0
            copy.mux(made.encode(frame))
        copy.mux(made.encode(None))
    part.rename(target)
    return target


def against_sessions(
    clips: dict[str, Path], pipeline: Pipeline, *, sessions: Sequence[int], seconds: float, gpu: int | None
) -> dict[str, float]:
    """Every codec by every number of sessions, decoded only and end to end in turns. Prints the tables."""
    figures: dict[str, float] = {}
    crew = Crew(pipeline, gpu, SurfaceDevice.open)
    crew.start()
    device = crew.ready(threading.Event())
    assert device is not None
    for codec, clip in clips.items():
        rows, best, latency = [], -1.0, 0.0
        for count in sessions:
            print(f"{codec}: {count} sessions …", file=sys.stderr)
            alone = decode_only(clip, count, device.nvdec, seconds=seconds, gpu=gpu)
            whole = end_to_end(clip, count, crew, device.nvdec, seconds=seconds, gpu=gpu)
            ratio = whole.frames_per_s / alone.frames_per_s
            rows.append(
                [count, alone.frames_per_s, whole.frames_per_s, ratio, alone.decoder_percent, whole.decoder_percent]
                + [whole.cores, whole.latency(0.5), whole.latency(0.95)]
                + [f"{whole.stage_us[stage]:.0f}" for stage in ("gate", "detect", "read", "track", "pictures")]
            )
            if whole.frames_per_s > best:
                best, figures[f"ratio_{codec}"] = whole.frames_per_s, ratio
                figures[f"cores_{codec}"], latency = whole.cores, whole.latency(0.95)
        figures[f"frames_per_s_{codec}"], figures[f"streams_{codec}"] = best, float(int(best / FRAMES_PER_S))
        figures["event_p95_ms"] = max(figures.get("event_p95_ms", 0.0), latency)
        columns = ["sessions", "decoded/s", "end to end/s", "ratio", "dec % alone", "dec %", "cores", "p50 ms", "p95"]
        report.show(f"{codec} 1080p", [*columns, "gate µs", "detect", "read", "track", "JPEG"], rows)
    rows = [[size, *rates] for size, rates in by_batch_size(device, rounds=1 if gpu is None else 50).items()]  # type: ignore[arg-type]
    report.show("nets", ["batch", "detector frames/s", "reader plates/s"], rows)
    for size, frames_per_s, plates_per_s in rows:
        figures |= {f"detector_frames_per_s_{size}": frames_per_s, f"reader_plates_per_s_{size}": plates_per_s}
    crew.stop(10.0)
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


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--pipeline", default="gpu-h200", help="default: gpu-h200")
    parser.add_argument("--gpu", type=int, default=0, help="by the driver's count")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--sessions", type=int, action="append", help="so many at once; may be given again")
    parser.add_argument("--folder", type=Path, default=Path("work/streams"), help="where clips are kept")
    arguments = parser.parse_args()
    log.configure(level="warning")
    gpus = list_gpus()
    if arguments.quick:
        figures = simulated()
        measured = against_sessions({"h264": demo().path}, load_pipeline("cpu"), sessions=[2], seconds=1.0, gpu=None)
        figures |= {f"processor_{name}": value for name, value in measured.items()}
    elif len(gpus) <= arguments.gpu:
        print("gpu: this machine has no such GPU: nothing is measured; --quick simulates one", file=sys.stderr)
        return exits.UNAVAILABLE
    else:
        (footage,) = rendered(arguments.folder, count=1, seconds=60, kbps=4000)
        hevc = transcoded(footage.path, footage.path.with_suffix(".hevc.mp4"), "libx265")
        print(f"{gpus[arguments.gpu].name}, {gpus[arguments.gpu].target}", file=sys.stderr)
        try:
            figures = against_sessions(
                {"h264": footage.path, "hevc": hevc},
                load_pipeline(arguments.pipeline),
                sessions=arguments.sessions or SESSIONS,
                seconds=arguments.seconds,
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
