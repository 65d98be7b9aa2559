"""A clip as files: the video as a camera would encode it, and its truth as JSON lines.

    write_clip(Path("out.mp4"), ClipConfig(seconds=40), truth=Path("out.truth.jsonl"))

The truth's first line is the clip (`type` = `clip`), then one line per vehicle, then one per frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
from av.video.stream import VideoStream

from scripts.render.air import CLIP_DATE
from scripts.render.clip import ClipConfig, Scene, TruthPlate
from scripts.render.traffic import Passage


def start_time(config: ClipConfig) -> str:
    """When the clip's first frame was taken, UTC, as containers write it: what the picture's own clock shows."""
    midnight = datetime.fromisoformat(f"{CLIP_DATE}T00:00:00+07:00")
    start = midnight + timedelta(hours=config.start_hour)
    return start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def write_clip(
    path: Path, config: ClipConfig, *, truth: Path, codec: Literal["h264", "hevc"] = "h264", kbps: int = 4000,
    command: str = "", progress: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """Encode the clip as a camera would: steady bit rate, a key frame every 2 s, no B frames. Write its truth."""
    scene = Scene(config)
    rows: list[dict[str, Any]] = []
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = start_time(config)
        encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
        options = _encoder_options(codec, kbps)
        stream = cast(VideoStream, container.add_stream(encoder, rate=config.fps, options=options))
        stream.width, stream.height, stream.pix_fmt = config.width_px, config.height_px, "yuv420p"
        stream.bit_rate = kbps * 1000
        stream.time_base = Fraction(1, config.fps)
        stream.codec_context.gop_size = config.fps * 2
        stream.codec_context.max_b_frames = 0
        for index in range(config.frames):
            picture, plates = scene.frame(index)
            rows.append(
                {
                    "type": "frame",
                    "index": index,
                    "pts_seconds": round(index / config.fps, 4),
                    "plates": [_plate_row(p) for p in plates],
                }
            )
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = index
            container.mux(stream.encode(frame))
            if progress is not None:
                progress(index + 1, config.frames)
        container.mux(stream.encode(None))
    head = {
        "type": "clip",
        "file": path.name,
        "codec": codec,
        "kbps": kbps,
        "frames": config.frames,
        "command": command,
        **asdict(config),
    }
    with truth.open("w", encoding="utf-8") as lines:
        for row in (head, *_vehicle_rows(scene.passages, rows, config), *rows):
            lines.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def _encoder_options(codec: str, kbps: int) -> dict[str, str]:
    if codec == "hevc":
        return {
            "preset": "veryfast",
            "x265-params": f"bframes=0:vbv-maxrate={kbps}:vbv-bufsize={2 * kbps}:pools=1:log-level=none",
        }
    return {"preset": "faster", "maxrate": f"{kbps}k", "bufsize": f"{2 * kbps}k", "threads": "1", "profile": "main"}


def _plate_row(plate: TruthPlate) -> dict[str, Any]:
    """What changes from frame to frame; the rest stands in the vehicle's line."""
    return {
        "vehicle": plate.vehicle, "quad": plate.quad, "char_px": plate.char_px, "blur_px": plate.blur_px,
        "occluded": plate.hidden, "readable": plate.readable,
    }  # fmt: skip


def _vehicle_rows(
    passages: tuple[Passage, ...], frames: list[dict[str, Any]], config: ClipConfig
) -> Iterator[dict[str, Any]]:
    """One line per vehicle whose plate the clip shows, or that crosses the reading line within it."""
    shown: dict[int, list[int]] = {}
    readable: dict[int, list[int]] = {}
    for frame in frames:
        for plate in frame["plates"]:
            shown.setdefault(plate["vehicle"], []).append(frame["index"])
            if plate["readable"]:
                readable.setdefault(plate["vehicle"], []).append(frame["index"])
    for passage in passages:
        seen, read = shown.get(passage.number, []), readable.get(passage.number, [])
        crosses = 0 <= passage.at_seconds < config.seconds
        if not seen and not crosses:
            continue
        yield {
            "type": "vehicle", "id": passage.number, "text": passage.plate.text, "rows": passage.plate.rows,
            "colour": passage.plate.colour, "lines": passage.plate.lines, "plate_kind": passage.plate.kind,
            "kind": passage.kind, "lane": passage.lane.index, "direction": passage.lane.direction,
            "speed_kmh": round(passage.speed_kmh, 1), "at_seconds": round(passage.at_seconds, 3), "passes": crosses,
            "plate_shown": passage.plate_shown, "dirt": round(passage.dirt, 2),
            "first_shown": seen[0] if seen else None, "last_shown": seen[-1] if seen else None,
            "first_readable": read[0] if read else None, "last_readable": read[-1] if read else None,
            "readable_frames": len(read),
        }  # fmt: skip
