"""How well are real Vietnamese plates found and read?

Runs the engine's still-picture pipeline (`anpr read`) over the dev split of a labelled folder and has that folder's own
`score.py` score what it prints; nothing is tuned here.
"""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tomli_w
from numpy.typing import NDArray

from anpr.cli.models import examine
from anpr.cli.read import read_frame
from anpr.clock import SystemClock
from anpr.config import load_pipeline
from anpr.engine.pipeline import FindsPlates, Stages, build_stages
from anpr.nets.model import ModelFolder
from anpr.records import Frame, Plate
from anpr.video.images import load_image
from anpr.video.source import open_source
from bench import report, rivals
from bench.sheet import draw_find, draw_sheet, write_sheet

Answer: TypeAlias = Callable[[dict[str, str]], dict[str, Any]]
"""A line of labels.csv -> what `anpr read --json` says of its picture."""

COLUMNS = ("exact", "exact_top1", "cer", "found", "false", "accept_wrong", "foreign_as_vn")
COUNTED = {"yes": "readable", "no": "blurred", "foreign": "foreign"}
"""Labels of plates, and the table's columns that count them."""
GATE_SIZE = ("472", "303")
"""Pictures of `car-gate` in another size come from the web: coloured, military and diplomatic plates."""
GROUPS = {
    "crops_exact": ("crop/crops-vn",),
    "cars_exact": ("scene/car-phone", "scene/car-gate"),
    "motorbikes_exact": ("scene/gate-moto", "scene/moto-phone"),
}


def measure(
    data: Path, rows: Sequence[dict[str, str]], answer: Answer, errors: Path | None = None
) -> tuple[dict[str, float], list[list[object]]]:
    """Figures by name, and the table's lines, of one way to read pictures."""
    labelled = Counter(
        (group_of(row), row["readable"]) for row in rows if row["text"] or row["readable"] in ("no", "foreign")
    )
    counts = {group: count for (group, label), count in labelled.items() if label == "yes"}
    figures: dict[str, float] = {}
    table: list[list[object]] = []
    for kind in ("crop", "scene"):
        answers = [{"image": row["image"], **answer(row)} for row in rows if row["kind"] == kind]
        if not answers:
            continue
        scores = score(data, answers, errors and errors / f"{kind}.tsv")
        if errors:
            with (errors / f"{kind}.tsv").open(encoding="utf-8", newline="") as file:
                misses = list(csv.reader(file, delimiter="\t"))
            by_image = {row["image"]: row for row in rows}
            draw_sheet(errors / f"{kind}.png", data, misses, by_image, {one["image"]: one for one in answers})
        figures[f"{kind}_ms"] = statistics.median(one["ms"] for one in answers)
        for group, values in scores.items():
            numbers = [labelled.get((group, label), "") for label in COUNTED]
            table.append([group, *numbers, *(values.get(column, "") for column in COLUMNS)])
        overall = scores["all"]
        if kind == "crop":
            figures |= {"accept_wrong": overall.get("accept_wrong", 0.0), "ece": overall.get("ece", 0.0)}
            figures["foreign_as_vn"] = overall.get("foreign_as_vn", 0.0)
            for group, values in scores.items():
                if "accept_wrong" in values and group.startswith("crop/"):
                    figures[f"accept_wrong_{group.removeprefix('crop/')}"] = values["accept_wrong"]
        else:
            figures |= special_plates(data, rows, answers)
            figures |= {"found": overall.get("found", 0.0), "false_per_1000": overall.get("false", 0.0)}
            figures |= {"scenes_exact": overall.get("exact", 0.0), "scenes_ece": overall.get("ece", 0.0)}
        for name, groups in GROUPS.items():
            if groups[0].startswith(f"{kind}/"):
                figures[name] = pooled(scores, counts, groups)
    return figures, table


def group_of(row: dict[str, str]) -> str:
    """The group of a line of labels.csv, as the scorer names it."""
    return f"{row['kind']}/{row['category']}"


def special_plates(data: Path, rows: Sequence[dict[str, str]], answers: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Exact reads of the coloured, military and diplomatic plates, and how many there are."""
    special = {
        row["image"]
        for row in rows
        if row["category"] == "car-gate" and row["readable"] == "yes" and (row["width"], row["height"]) != GATE_SIZE
    }
    chosen = [answer for answer in answers if answer["image"] in special]
    if not chosen:
        return {}
    return {"specials_exact": score(data, chosen, None)["all"]["exact"], "specials": float(len(chosen))}


def score(data: Path, answers: Sequence[dict[str, Any]], errors: Path | None) -> dict[str, dict[str, float]]:
    """What the folder's own scorer says of answers in the form of `anpr read --json`."""
    with tempfile.TemporaryDirectory() as folder:
        predictions = Path(folder) / "predictions.jsonl"
        lines = (json.dumps(answer, ensure_ascii=False) for answer in answers)
        predictions.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, str(data / "score.py"), str(predictions), "--split", "dev", "--json"]
        if errors:
            errors.parent.mkdir(parents=True, exist_ok=True)
            command += ["--errors", str(errors)]
        result: dict[str, dict[str, float]] = json.loads(
            subprocess.run(command, capture_output=True, check=True).stdout
        )
    return result


def of_rapidocr(data: Path, rows: Sequence[dict[str, str]]) -> dict[str, float]:
    """RapidOCR's figures on the same pictures; of its two ways to read crops the better one. Prints its table."""
    rival = rivals.RapidOcr.open()
    figures, table = measure(data, rows, lambda row: rival.answer(data / row["image"], row["kind"]))
    halved, halved_table = measure(
        data, [row for row in rows if row["kind"] == "crop"], lambda row: rival.answer(data / row["image"], "halved")
    )
    way = "crops: lines found by its detector"
    if halved.get("crops_exact", 0.0) > figures.get("crops_exact", 0.0):
        way = "crops: recognition alone, two lines cut in half"
        table = halved_table + [line for line in table if str(line[0]).startswith("scene")]
        figures |= halved
    report.show(f"the same pictures, {rival.name} on one core ({way})", ["group", *COUNTED.values(), *COLUMNS], table)
    return {f"rapidocr_{name}": value for name, value in figures.items()}


def pooled(scores: dict[str, dict[str, float]], counts: Mapping[str, int], groups: Sequence[str]) -> float:
    """Exact reads of several groups together."""
    known = [(scores[group]["exact"], counts[group]) for group in groups if "exact" in scores.get(group, {})]
    return sum(exact * count for exact, count in known) / max(1, sum(count for _, count in known))


@dataclass(frozen=True, slots=True)
class Upright:
    """A detector whose corners are thrown away: only the upright box around each plate is left."""

    detector: FindsPlates

    def detect(self, frame: Frame) -> list[Plate]:
        """The plates of a frame, each with the corners of its box."""
        return [replace(plate, quad=box_corners(plate.to_xyxy())) for plate in self.detector.detect(frame)]


def box_corners(box: Sequence[float]) -> NDArray[np.float32]:
    """(4, 2) corners of (x_min, y_min, x_max, y_max), clockwise from the top left."""
    x_min, y_min, x_max, y_max = box
    return np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]], np.float32)


def without_corners(data: Path, rows: Sequence[dict[str, str]], answer: Answer) -> dict[str, float]:
    """What scenes are read like when plates are not rectified, only cut out."""
    figures, _ = measure(data, [row for row in rows if row["kind"] == "scene"], answer)
    return {f"{name}_upright": figures[name] for name in ("cars_exact", "motorbikes_exact", "scenes_exact")}


def told_of_recordings(paths: Sequence[Path], stages: Stages, sheet: Path | None = None) -> dict[str, float]:
    """Plates told and plates read, per 1,000 pictures, of recordings that show no legible one.

    What is told and not read may be a plate too far to be read: `sheet` shows each, for a person to say.
    """
    pictures = read = 0
    tiles: list[NDArray[np.uint8]] = []
    for path in paths:
        with open_source(path, camera_id="bench", clock=SystemClock(), options=stages.decode) as source:
            for frame in source:
                pictures += 1
                for plate in read_frame(stages, frame, crops=False)["plates"]:
                    read += bool(plate["text"])
                    tiles.append(draw_find(frame.luma, plate, f"{path.stem} {pictures}"))
    if sheet:
        write_sheet(sheet, tiles)
    pictures = max(1, pictures)
    return {"told_per_1000_filmed": 1000 * len(tiles) / pictures, "read_per_1000_filmed": 1000 * read / pictures}


def milliseconds(pipeline: str) -> dict[str, float]:
    """Of the pipeline's nets, one core: a 1080p picture, scaling included, and a plate."""
    settings = load_pipeline(pipeline).settings
    names = {"detector": settings.detector.model, "reader": settings.reader.model}
    return {f"{task}_ms": examine(ModelFolder.load(name).path, speed=True)["ms"] for task, name in names.items()}


def write_models(pipeline: str, figures: dict[str, float]) -> None:
    """Put the figures into the `model.toml` of the pipeline's models."""
    settings = load_pipeline(pipeline).settings
    kept: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
        (settings.detector.model, "detector", ("found", "false_per_1000", "cars_exact", "motorbikes_exact")),
        (settings.reader.model, "reader", ("crops_exact", "cars_exact", "motorbikes_exact", "ece")),
    )
    import tomllib

    for name, task, keys in kept:
        path = ModelFolder.load(name, task).path / "model.toml"
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        facts["accuracy"] = {key: round(figures[key], 4) for key in keys}
        path.write_text(tomli_w.dumps(facts), encoding="utf-8")


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with labels.csv and score.py")
    parser.add_argument("--pipeline", default="stills")
    parser.add_argument("--sample", type=int, help="about so many pictures, evenly spaced, instead of all")
    parser.add_argument("--against", choices=("rapidocr",), help="also read the pictures with another engine")
    parser.add_argument(
        "--empty-video", type=Path, action="append", default=[], help="recording without legible plates"
    )
    parser.add_argument("--errors", type=Path, help="folder for the lists of misses")
    parser.add_argument("--write-models", action="store_true", help="put the figures into the models' model.toml")
    arguments = parser.parse_args()
    if not (arguments.data / "labels.csv").exists():
        sys.exit(f"{arguments.data}: no labels.csv; name the labelled folder with --data")
    with (arguments.data / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"]
    if arguments.quick or arguments.sample:
        rows = rows[:: max(1, len(rows) // arguments.sample) if arguments.sample else 12]
    stages = build_stages(load_pipeline(arguments.pipeline))
    figures, table = measure(
        arguments.data,
        rows,
        lambda row: read_frame(stages, load_image(arguments.data / row["image"]), crops=row["kind"] == "crop"),
        arguments.errors,
    )
    figures |= milliseconds(arguments.pipeline)
    if arguments.empty_video:
        sheet = arguments.errors and arguments.errors / "filmed.png"
        figures |= told_of_recordings(arguments.empty_video, stages, sheet)
    upright = replace(stages, detector=Upright(stages.detector))
    figures |= without_corners(
        arguments.data, rows, lambda row: read_frame(upright, load_image(arguments.data / row["image"]), crops=False)
    )
    title = f"dev split of {arguments.data.name}, {len(rows)} pictures, pipeline {arguments.pipeline}"
    report.show(title, ["group", *COUNTED.values(), *COLUMNS], table)
    if arguments.against:
        try:
            figures |= of_rapidocr(arguments.data, rows)
        except ImportError as error:
            print(f"without RapidOCR: {error} (pip install 'anpr[paddle]')", file=sys.stderr)
    report.show("figures", ["figure", "value"], [[name, float(value)] for name, value in figures.items()])
    if arguments.write_models:
        write_models(arguments.pipeline, figures)
    report.finish("accuracy", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
