"""Footage for benchmarks: rendered once and kept, or cut from the demo clip."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import av
import msgspec

from anpr import assets
from anpr.replay.truth import Truth, load_truth
from bench.processes import die_with_parent

PEAK_PER_SECOND = 0.42
"""Vehicles at the day's peak hour: 15,000 a day, a tenth of them in one hour."""


@dataclass(frozen=True, slots=True)
class Footage:
    """A clip, and what it really shows."""

    path: Path
    truth: Truth

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.truth.clip.frames / self.truth.clip.fps

    @property
    def kbps(self) -> float:
        """Its bit rate."""
        return self.path.stat().st_size * 8 / 1000 / self.seconds


def rendered(folder: Path, *, count: int, seconds: int, kbps: int) -> list[Footage]:
    """So many clips of 1080p25 H.264 at the peak hour; what is not in `folder` yet is rendered, one clip a core.

    A minute of footage takes one to three minutes of one core.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"peak-{seconds}s-{kbps}k-seed{seed}.mp4" for seed in range(1, count + 1)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        print(f"rendering {len(missing)} clips of {seconds} s into {folder}, once", file=sys.stderr)
    running: deque[tuple[Path, subprocess.Popen[bytes]]] = deque()
    for path in missing:
        if len(running) == len(os.sched_getaffinity(0)):
            _finish(*running.popleft())
        running.append((path, _render(path, seconds=seconds, kbps=kbps, seed=paths.index(path) + 1)))
    while running:
        _finish(*running.popleft())
    return [Footage(path, load_truth(path.with_suffix(".truth.jsonl"))) for path in paths]


def _render(path: Path, *, seconds: int, kbps: int, seed: int) -> subprocess.Popen[bytes]:
    part = path.with_name(f"part-{path.name}")
    options = {"seconds": seconds, "kbps": kbps, "seed": seed, "per-second": PEAK_PER_SECOND}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.render", "clip", str(part), *words],
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )


def _finish(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Give the clip its name once it is whole, the truth first: a clip that is there has its truth."""
    if process.wait():
        sys.exit(f"rendering {path} failed: run `python -m scripts.render clip` to see why")
    part = path.with_name(f"part-{path.name}")
    part.with_suffix(".truth.jsonl").rename(path.with_suffix(".truth.jsonl"))
    part.rename(path)


def demo() -> Footage:
    """The clip of the demo: short, and of a lower bit rate."""
    folder = assets.folder("configs") / "demo"
    return Footage(folder / "expressway.mp4", load_truth(folder / "expressway.truth.jsonl"))


def excerpt(footage: Footage, path: Path, *, seconds: float) -> Footage:
    """The beginning of a clip, copied to `path` packet by packet, with its part of the truth."""
    with av.open(str(footage.path)) as source, av.open(str(path), "w") as copy:
        copy.metadata.update(source.metadata)
        (stream,) = source.streams.video
        target = copy.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is None or float(packet.dts * packet.time_base) >= seconds:
                break
            packet.stream = target
            copy.mux(packet)
    return Footage(path, beginning(footage.truth, seconds=seconds))


def beginning(truth: Truth, *, seconds: float) -> Truth:
    """What the first `seconds` of a clip show."""
    frames = tuple(frame for frame in truth.frames if frame.pts_seconds < seconds)
    readable: dict[int, list[int]] = {}
    for frame in frames:
        for plate in frame.plates:
            if plate.readable:
                readable.setdefault(plate.vehicle, []).append(frame.index)
    vehicles = tuple(
        msgspec.structs.replace(
            vehicle,
            first_readable=min(readable.get(vehicle.id, ()), default=None),
            last_readable=max(readable.get(vehicle.id, ()), default=None),
            readable_frames=len(readable.get(vehicle.id, ())),
        )
        for vehicle in truth.vehicles
    )
    return Truth(msgspec.structs.replace(truth.clip, frames=len(frames)), vehicles, frames)


def transcoded(clip: Path, target: Path, codec: str) -> Path:
    """The clip in another codec, made by the processor at the same bit rate, once."""
    if target.exists():
        return target
    part = target.with_name(f"part-{target.name}")
    with av.open(str(clip)) as source, av.open(str(part), "w") as copy:
        stream = source.streams.video[0]
        options = {"preset": "superfast", "x265-params": "log-level=none:bframes=0:keyint=50"}
        made = copy.add_stream(codec, rate=25, options=options)
        made.width, made.height, made.pix_fmt = stream.width, stream.height, "yuv420p"
        made.bit_rate = int(stream.bit_rate or 4_000_000)
        for frame in source.decode(stream):
            frame.pict_type = 0
            copy.mux(made.encode(frame))
        copy.mux(made.encode(None))
    part.rename(target)
    return target


def lengthened(clip: Path, target: Path, *, seconds: float) -> Path:
    """The clip again and again, packet by packet, until it lasts `seconds`; made once."""
    if target.exists():
        return target
    part = target.with_name(f"part-{target.name}")
    with av.open(str(part), "w") as copy:
        made, offset = None, 0
        while True:
            with av.open(str(clip)) as source:
                (stream,) = source.streams.video
                made = made or copy.add_stream_from_template(stream)
                end = offset
                for packet in source.demux(stream):
                    if packet.pts is None or packet.dts is None or packet.duration is None:
                        continue
                    end = max(end, offset + packet.pts + packet.duration)
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = made
                    copy.mux(packet)
                if end == offset or end * stream.time_base >= seconds:
                    break
                offset = end
    part.rename(target)
    return target
