"""`anpr models [FOLDER…]`: which models are there, whether they are whole, how good and how fast they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anpr.cli import exits

if TYPE_CHECKING:
    from anpr.nets.model import ModelFolder

RUNS = 31
"""Calls that a speed is the median of, after one that is not counted."""


def models(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Model folders; without any, the bundled ones.", show_default=False)
    ] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Measure each model on one core of this machine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per model.")] = False,
) -> None:
    """List models with their measured accuracy; damaged ones with what is wrong. Exit code 1 if any is damaged."""
    from anpr import assets

    paths = folders or sorted(path for path in assets.folder("models").iterdir() if path.is_dir())
    damaged = False
    for path in paths:
        answer = examine(path, speed=speed)
        damaged = damaged or not answer["ok"]
        print(json.dumps(answer, ensure_ascii=False) if as_json else _as_text(answer), flush=True)
    if not paths:
        print(f"anpr: {assets.folder('models')} holds no model", file=sys.stderr)
    raise typer.Exit(exits.FINDINGS if damaged or not paths else exits.OK)


def examine(path: Path, *, speed: bool) -> dict[str, Any]:
    """One model folder as `anpr models --json` prints it: loaded and checked as the engine would."""
    from anpr.errors import ModelError
    from anpr.nets.model import ModelFolder

    try:
        folder = ModelFolder.load(path)
        call = _open(folder)
    except ModelError as error:
        return {"name": path.name, "path": str(path), "ok": False, "problem": str(error)}
    facts = folder.facts
    answer: dict[str, Any] = {
        "name": facts.name,
        "path": str(path),
        "ok": True,
        "task": facts.task,
        "bytes": folder.onnx_path.stat().st_size,
        "width_px": facts.input.width,
        "height_px": facts.input.height,
        "sha256": facts.sha256,
        "accuracy": facts.accuracy,
        "sources": len(facts.training.sources),
    }
    return answer | ({"ms": round(median_ms(call), 3)} if speed else {})


def median_ms(call: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    from statistics import median
    from time import perf_counter

    call()
    times = []
    for _ in range(RUNS):
        started = perf_counter()
        call()
        times.append((perf_counter() - started) * 1000)
    return median(times)


def _open(folder: ModelFolder) -> Callable[[], Sequence[object]]:
    """What the engine does with the model once per 1080p picture, or once per plate, preparing and decoding included.

    Raises ModelError as the engine would.
    """
    import numpy as np

    from anpr.nets.detector import Detector
    from anpr.nets.ocr import OcrReader
    from anpr.nets.reader import Reader
    from anpr.records import Frame, Plate

    luma = np.random.default_rng(1).integers(0, 256, (1080, 1920), dtype=np.uint8)
    grey = np.full((540, 960), 128, np.uint8)
    frame = Frame("", 0, 0.0, 0.0, luma, grey, grey)
    if folder.facts.task == "detector":
        detector = Detector.open(folder)
        return lambda: detector.detect(frame)
    reader = (OcrReader if folder.facts.output.decoding == "ctc" else Reader).open(folder)
    quad = np.array([[900, 500], [1060, 500], [1060, 536], [900, 536]], np.float32)
    return lambda: reader.read(frame, [Plate(quad, score=1.0, lines=1)])


def _as_text(answer: dict[str, Any]) -> str:
    """Two lines a model, for people."""
    if not answer["ok"]:
        return f"✖ {answer['name']}: {answer['problem']}"
    call = "1080p picture" if answer["task"] == "detector" else "plate"
    facts = [
        answer["task"],
        f"{answer['bytes'] / 1e6:.1f} MB",
        f"{answer['width_px']}x{answer['height_px']}",
        f"sha256 {answer['sha256'][:12]}",
        f"{answer['sources']} sources",
        *([f"{answer['ms']:.2f} ms per {call}"] if "ms" in answer else []),
    ]
    accuracy = ", ".join(f"{name} {value:g}" for name, value in answer["accuracy"].items()) or "not measured"
    return f"✔ {answer['name']}: {', '.join(facts)}\n  {accuracy}"
