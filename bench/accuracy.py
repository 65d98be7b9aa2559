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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from anpr.cli.read import read_frame
from anpr.config import load_pipeline
from anpr.engine.pipeline import build_stages
from anpr.nets.model import ModelFolder
from anpr.video.images import load_image
from bench import report

GROUPS = {
    "crops_exact": ("crop/crops-vn",),
    "cars_exact": ("scene/car-phone", "scene/car-gate"),
    "motorbikes_exact": ("scene/gate-moto", "scene/moto-phone"),
}


def predict(data: Path, rows: Sequence[dict[str, str]], pipeline: str, output: Path) -> None:
    """Write one JSON line per picture, as `anpr read --json` prints it."""
    stages = build_stages(load_pipeline(pipeline))
    with output.open("w", encoding="utf-8") as file:
        for row in rows:
            answer = read_frame(stages, load_image(data / row["image"]), crops=row["kind"] == "crop")
            file.write(json.dumps({"image": row["image"], **answer}, ensure_ascii=False) + "\n")


def score(data: Path, predictions: Path, errors: Path | None) -> dict[str, dict[str, float]]:
    """What the folder's own scorer says."""
    command = [sys.executable, str(data / "score.py"), str(predictions), "--split", "dev", "--json"]
    if errors:
        command += ["--errors", str(errors)]
    result: dict[str, dict[str, float]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return result


def pooled(scores: dict[str, dict[str, float]], counts: dict[str, int], groups: Sequence[str]) -> float:
    """Exact reads of several groups together."""
    known = [(scores[group]["exact"], counts[group]) for group in groups if "exact" in scores.get(group, {})]
    return sum(exact * count for exact, count in known) / max(1, sum(count for _, count in known))


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
    parser.add_argument("--errors", type=Path, help="folder for the lists of misses")
    parser.add_argument("--write-models", action="store_true", help="put the figures into the models' model.toml")
    arguments = parser.parse_args()
    if not (arguments.data / "labels.csv").exists():
        sys.exit(f"{arguments.data}: no labels.csv; name the labelled folder with --data")
    with (arguments.data / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"]
    if arguments.quick:
        rows = rows[::12]
    counts: dict[str, int] = {}
    for row in rows:
        if row["readable"] == "yes" and row["text"]:
            group = f"{row['kind']}/{row['category']}"
            counts[group] = counts.get(group, 0) + 1
    figures: dict[str, float] = {}
    table: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("crop", "scene"):
            predictions = Path(folder) / f"{kind}.jsonl"
            predict(arguments.data, [row for row in rows if row["kind"] == kind], arguments.pipeline, predictions)
            if arguments.errors:
                arguments.errors.mkdir(parents=True, exist_ok=True)
            scores = score(arguments.data, predictions, arguments.errors and arguments.errors / f"{kind}.tsv")
            times = [json.loads(line)["ms"] for line in predictions.read_text().splitlines()]
            figures[f"{kind}_ms"] = statistics.median(times)
            for group, values in scores.items():
                found = [
                    values.get(key, "") for key in ("exact", "exact_top1", "cer", "found", "false", "accept_wrong")
                ]
                table.append([group, counts.get(group, ""), *found])
            overall = scores["all"]
            if kind == "crop":
                figures |= {"accept_wrong": overall.get("accept_wrong", 0.0), "ece": overall.get("ece", 0.0)}
                figures["foreign_as_vn"] = overall.get("foreign_as_vn", 0.0)
            else:
                figures |= {"found": overall.get("found", 0.0), "false_per_1000": overall.get("false", 0.0)}
                figures |= {"scenes_exact": overall.get("exact", 0.0), "scenes_ece": overall.get("ece", 0.0)}
            for name, groups in GROUPS.items():
                if groups[0].startswith(f"{kind}/"):
                    figures[name] = pooled(scores, counts, groups)
    report.show(
        f"dev split of {arguments.data.name}, pipeline {arguments.pipeline}",
        ["group", "readable", "exact", "exact_top1", "cer", "found", "false/1000", "accept_wrong"],
        table,
    )
    report.show("figures", ["figure", "value"], [[name, float(value)] for name, value in figures.items()])
    if arguments.write_models:
        write_models(arguments.pipeline, figures)
    report.finish("accuracy", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
