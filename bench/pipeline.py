"""What does the whole chain cost beside decoding?

Plays the demo clip decode-only and end to end (decode, detect, read, track, store, match, publish), in turns within one
run and with the same decoder settings; the figures are medians over the rounds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2

from anpr import assets, log
from anpr.clock import SystemClock
from anpr.config import load_pipeline, load_site
from anpr.engine.box import open_hub
from anpr.engine.pipeline import Stages, build_stages
from anpr.records import Event, Frame
from anpr.replay.footage import Clip, play
from anpr.replay.summary import Summary
from anpr.replay.truth import load_truth
from anpr.video.source import open_source
from bench import report

QUICK_FRAMES = 150


def decode_only(clip: Clip, stages: Stages, most: int) -> float:
    """Frames per second of decoding alone."""
    with open_source(clip.path, camera_id=clip.camera_id, clock=SystemClock(), options=stages.decode) as source:
        started, count = time.perf_counter(), 0
        for _ in source:
            count += 1
            if count == most:
                break
        return count / (time.perf_counter() - started)


def end_to_end(clip: Clip, stages: Stages, truth: Path | None, most: int) -> Summary:
    """One pass through the whole chain, with a real store and a real publisher on loopback."""
    clock, stop, events = SystemClock(), threading.Event(), list[Event]()
    site = load_site(assets.folder("configs") / "demo/site.toml")
    seen = 0

    def count(_: Frame) -> None:
        nonlocal seen
        seen += 1
        if seen >= most:
            stop.set()

    with tempfile.TemporaryDirectory() as folder:
        with open_hub(
            box="bench",
            store=Path(folder),
            endpoint="tcp://127.0.0.1:*",
            lists=site.lists,
            clock=clock,
            on_event=events.append,
        ) as hub:
            started = time.perf_counter()
            played = play(clip, stages, hub, site_id="bench", clock=clock, stop=stop, on_frame=count)
            hub.finish()
            seconds = time.perf_counter() - started
        return Summary.of(
            [played],
            events,
            seconds=seconds,
            latency_seconds=hub.latency_seconds,
            hub=hub.totals(),
            truth=load_truth(truth) if truth else None,
        )


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    demo = assets.folder("configs") / "demo"
    parser.add_argument("--clip", type=Path, default=demo / "expressway.mp4")
    parser.add_argument("--truth", type=Path, default=demo / "expressway.truth.jsonl")
    parser.add_argument("--pipeline", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    log.configure(level="warning")
    cv2.setNumThreads(1)
    clip = Clip(arguments.clip, "bench")
    stages = build_stages(load_pipeline(arguments.pipeline))
    most = QUICK_FRAMES if arguments.quick else sys.maxsize
    truth = None if arguments.quick else arguments.truth
    end_to_end(clip, stages, None, 10)  # compiles, and fills caches
    decoded, passes = [], []
    for _ in range(1 if arguments.quick else arguments.rounds):
        decoded.append(decode_only(clip, stages, most))
        passes.append(end_to_end(clip, stages, truth, most))
    middle = sorted(passes, key=lambda summary: summary.frames_per_s)[len(passes) // 2]
    figures = {
        "frames_per_s": middle.frames_per_s,
        "decode_frames_per_s": statistics.median(decoded),
        "ratio": statistics.median(
            summary.frames_per_s / alone for summary, alone in zip(passes, decoded, strict=True)
        ),
        **{f"{stage}_ms": spent for stage, spent in middle.stage_ms.items()},
        **{f"latency_{name}_ms": value for name, value in middle.latency_ms.items()},
    }
    if middle.score is not None:
        figures |= {"capture": middle.score.capture_rate, "exact": middle.score.exact_rate}
    title = f"{arguments.clip.name}, pipeline {arguments.pipeline}, {middle.frames} frames, median of {len(passes)}"
    report.show(title, ["figure", "value"], [[name, float(value)] for name, value in figures.items()])
    report.finish("pipeline", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
