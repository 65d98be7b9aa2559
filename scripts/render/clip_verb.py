"""`python -m scripts.render clip OUT.mp4`: an expressway clip and its truth."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from scripts.render.clip import ClipConfig
from scripts.render.clip_file import write_clip
from scripts.render.traffic import ROLES


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size, such as 1920x1080")
    return int(width), int(height)


def _cast(text: str) -> tuple[str, ...]:
    roles = tuple(word for word in text.split(",") if word)
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; choose from {', '.join(ROLES)}")
    return roles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    default = ClipConfig()
    parser.add_argument("out", type=Path, help="video file to write, .mp4 or .mkv")
    parser.add_argument("--truth", type=Path, help="truth file (default: OUT with .truth.jsonl)")
    parser.add_argument("--seconds", type=float, default=default.seconds)
    parser.add_argument("--size", type=_size, default=(default.width_px, default.height_px), metavar="WxH")
    parser.add_argument("--fps", type=int, default=default.fps)
    parser.add_argument("--codec", choices=("h264", "hevc"), default="h264")
    parser.add_argument("--kbps", type=int, default=4000)
    parser.add_argument("--camera", choices=("approaching", "receding", "both"), default=default.view)
    parser.add_argument(
        "--lanes", type=int, default=default.lanes_per_direction, help="per direction; 0: one for both, else two"
    )
    parser.add_argument("--cover", type=float, default=default.cover_m, help="metres of road across the lower edge")
    parser.add_argument("--near", type=float, default=default.near_m, help="metres to a plate at the lower edge")
    parser.add_argument("--height", type=float, default=default.height_m, help="metres of the camera over the road")
    parser.add_argument("--side", type=float, default=default.side_m, help="metres of the camera right of the middle")
    parser.add_argument("--light", choices=("day", "dusk", "night"), default=default.light)
    parser.add_argument("--rain", type=float, default=default.rain, help="0 to 1")
    parser.add_argument(
        "--exposure", type=float, default=default.exposure_seconds, help="seconds; 0: as the light asks"
    )
    parser.add_argument(
        "--per-second", type=float, default=default.peak_per_second, help="vehicles in the busiest hour, all lanes"
    )
    parser.add_argument("--hour", type=float, default=default.start_hour, help="hour of the day at the start")
    parser.add_argument("--cast", type=_cast, default=(), help=f"vehicles that must come, of: {','.join(ROLES)}")
    parser.add_argument("--seed", type=int, default=default.seed)


def run(options: argparse.Namespace) -> int:
    """Write the clip; progress goes to stderr."""
    config = ClipConfig(
        seconds=options.seconds, width_px=options.size[0], height_px=options.size[1], fps=options.fps,
        view=options.camera, lanes_per_direction=options.lanes, light=options.light, rain=options.rain,
        peak_per_second=options.per_second, start_hour=options.hour, seed=options.seed, cover_m=options.cover,
        near_m=options.near, height_m=options.height, side_m=options.side,
        exposure_seconds=options.exposure, cast=options.cast,
    )  # fmt: skip
    truth = options.truth or options.out.with_suffix(".truth.jsonl")
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            rate = done / (time.monotonic() - started)
            print(f"\r{done}/{total} frames, {rate:.1f} frames/s", end="\n" if done == total else "", file=sys.stderr)

    command = shlex.join(["python", "-m", "scripts.render", *sys.argv[1:]])
    write_clip(
        options.out, config, truth=truth, codec=options.codec, kbps=options.kbps, command=command, progress=progress
    )
    return 0
