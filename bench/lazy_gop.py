"""An experiment: what if groups of pictures are decoded only when something seems to move in them, by their sizes?

Packets wait undecoded until their group of pictures is whole. If one of its packets is larger than what a still road
costs, the group is decoded, late by its length; if not, its key frame alone. Beside it the usual way: everything is
decoded. Both go through the same gated chain; what the nets cost is in both. The figure to look at is how many vehicles
are lost for the processor time that is saved.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, quantiles

import av
from av.packet import Packet

from anpr import assets
from anpr.config import load_pipeline
from anpr.engine.pipeline import Stages, build_stages, rehearse
from anpr.engine.worker import Worker
from anpr.records import Frame, Sighting
from anpr.replay.score import Score, score
from anpr.replay.truth import load_truth
from anpr.tracking.sighting import Origin
from anpr.video.planes import planes_from_picture
from bench import report
from bench.clips import PEAK_PER_SECOND, Footage, rendered

FACTORS = (1.2, 1.5, 2.0, 3.0)
"""A group is decoded if a packet is so many times larger than the floor."""
KNOWN_PACKETS = 1500
"""The floor is that of so many packets, a minute at 25 a second: the tenth of them that are smallest."""
LEARNING_PACKETS = 250
"""Until so many were seen everything is decoded."""
TOGETHER = 3
"""Packets in a row whose mean size counts: one alone may be large by chance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one clip, one way."""

    decoded: float
    """Share of the pictures."""
    decode_seconds: float
    """Of processor time."""
    seconds: float
    """The same, with all that comes after."""
    score: Score


class Floor:
    """What a packet costs where nothing moves, as far as is known."""

    def __init__(self) -> None:
        self._sizes: deque[int] = deque(maxlen=KNOWN_PACKETS)

    def moves(self, sizes: list[int], factor: float) -> bool:
        """Whether a group whose packets, but for the key frame, have these sizes is worth decoding; learns them."""
        known = len(self._sizes) >= LEARNING_PACKETS
        floor = quantiles(self._sizes, n=10)[0] if known else 0.0
        self._sizes.extend(sizes)
        windows = (mean(sizes[at : at + TOGETHER]) for at in range(max(1, len(sizes) - TOGETHER + 1)))
        return not known or not sizes or max(windows) > factor * floor


def groups(path: Path) -> Iterator[tuple[list[Packet], av.VideoCodecContext]]:
    """The packets of a clip, by key frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        waiting: list[Packet] = []
        for packet in container.demux(stream):
            if packet.is_keyframe and waiting:
                yield waiting, stream.codec_context
                waiting = []
            if packet.size:
                waiting.append(packet)
        yield waiting, stream.codec_context


def play(footage: Footage, stages: Stages, *, factor: float | None) -> Outcome:
    """The clip through the chain; `factor` None decodes everything."""
    sightings: list[Sighting] = []
    origin = Origin(site_id="bench", camera_id="cam", run_seconds=0.0, pipeline=stages.pipeline, models=stages.models)
    worker = Worker(stages, origin, emit=lambda passage: sightings.append(passage.sighting))
    floor, decoded, packets, decode_seconds = Floor(), 0, 0, 0.0
    began = time.process_time()
    for group, decoder in groups(footage.path):
        packets += len(group)
        whole = factor is None or floor.moves([packet.size for packet in group[1:]], factor)
        mark = time.process_time()
        pictures = [picture for packet in (group if whole else group[:1]) for picture in decoder.decode(packet)]
        decode_seconds += time.process_time() - mark
        for picture in pictures:
            decoded += 1
            seconds = float(picture.pts * picture.time_base) if picture.pts is not None else 0.0
            index = round(seconds * footage.truth.clip.fps)
            worker.step(Frame("cam", index, seconds, seconds, *planes_from_picture(picture)))
    worker.follower.settle(0.0)
    return Outcome(decoded / packets, decode_seconds, time.process_time() - began, score(sightings, footage.truth))


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--clip", type=Path, action="append", help="with its truth beside it; default: a peak hour")
    parser.add_argument("--folder", type=Path, default=Path("work/streams"), help="where rendered clips are kept")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.clip = [assets.folder("configs") / "demo" / "expressway.mp4"]
    if arguments.clip:
        footage = [Footage(path, load_truth(path.with_suffix(".truth.jsonl"))) for path in arguments.clip]
    else:
        print(f"a peak hour: {PEAK_PER_SECOND} vehicles a second", file=sys.stderr)
        footage = rendered(arguments.folder, count=1, seconds=180, kbps=4000)
    stages = build_stages(load_pipeline("cpu-gated"))
    rehearse(stages)
    figures: dict[str, float] = {}
    table: list[list[object]] = []
    for each in footage:
        usual = play(each, stages, factor=None)
        for factor in (None, *(FACTORS[1:2] if arguments.quick else FACTORS)):
            outcome = usual if factor is None else play(each, stages, factor=factor)
            found = outcome.score
            saved = 1 - outcome.seconds / usual.seconds
            name = "all" if factor is None else f"{factor:g}"
            row = [found.passed, found.captured, found.exact, outcome.decoded, outcome.decode_seconds, saved]
            table.append([each.path.stem, name, *row])
            if factor is not None:
                key = f"{each.path.stem.replace('-', '_')}_{name.replace('.', '_')}"
                figures[f"{key}_recall"] = found.captured / max(usual.score.captured, 1)
                figures[f"{key}_exact"] = found.exact / max(usual.score.exact, 1)
                figures[f"{key}_decoded"] = outcome.decoded
                figures[f"{key}_saved"] = saved
    columns = [
        "clip",
        "times the floor",
        "vehicles",
        "captured",
        "exact",
        "decoded",
        "decoding s",
        "processor time saved",
    ]
    report.show("groups of pictures decoded only where packets are large", columns, table)
    report.finish("lazy_gop", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
