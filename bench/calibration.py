"""Are reads right as often as they say?

Reads the dev split with the engine's still-picture pipeline and compares each read's probability with whether it is
right: the expected calibration error (Naeini et al. 2015, 15 bins of equal width), the share of right reads among the
sure ones, and what a threshold lets through. A read counts for its picture as the folder's `score.py` has it; a plate
refused as unreadable has the probability 0, and a picture whose plate was not found says nothing about reads. Nothing
is tuned here.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anpr.cli.read import read_frame
from anpr.config import load_pipeline
from anpr.engine.pipeline import build_stages
from anpr.ops.quads import box_iou
from anpr.plates.normalise import normalise
from anpr.video.images import load_image
from bench import report

BINS = 15
READABLE = ("yes", "no", "foreign")
"""Labels of pictures that say something about reads."""
THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
OVERLAP_LEAST = 0.1
"""IoU with the labelled box from which a found plate is the labelled one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One read, and whether it is right; `right` is False where nothing should have been read."""

    probability: float
    right: bool
    readable: str
    """`yes`; `no` of a blurred picture and `foreign` of another country's plate, which are better refused."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The reads of one range of probabilities."""

    low: float
    count: int
    mean: float
    """Of the probabilities."""
    right: float
    """Share of right reads."""


def judge(row: dict[str, str], plates: Sequence[dict[str, Any]]) -> Judged | None:
    """What a picture says about reads; None if its plate is not labelled or was not found."""
    if row["readable"] in ("no", "foreign"):
        return Judged(
            max((plate["probability"] for plate in plates if plate["text"]), default=0.0), False, row["readable"]
        )
    if row["readable"] != "yes" or not row["text"] or not plates:
        return None
    truth = normalise(row["text"])
    boxes = json.loads(row["boxes"] or "[]") if row["kind"] == "scene" else []
    if len(boxes) == 1:
        overlap, chosen = max(((box_iou(_box(plate), boxes[0]), plate) for plate in plates), key=lambda pair: pair[0])
        if overlap < OVERLAP_LEAST:
            return None
    else:
        chosen = next((plate for plate in plates if plate["text"] == truth), plates[0])
    return Judged(chosen["probability"], chosen["text"] == truth, "yes")


def bins_of(reads: Sequence[Judged]) -> list[Bin]:
    """The reads by probability; empty bins are left out."""
    numbers = [min(BINS - 1, int(read.probability * BINS)) for read in reads]
    bins = []
    for number in sorted(set(numbers)):
        part = [read for read, its in zip(reads, numbers, strict=True) if its == number]
        mean = sum(read.probability for read in part) / len(part)
        bins.append(Bin(number / BINS, len(part), mean, sum(read.right for read in part) / len(part)))
    return bins


def calibration_error(reads: Sequence[Judged]) -> float:
    """Mean distance of probability and share of right reads over the bins, by their counts; 0 of no reads."""
    return sum(bin.count * abs(bin.mean - bin.right) for bin in bins_of(reads)) / max(1, len(reads))


def right_from(reads: Sequence[Judged], threshold: float) -> float:
    """Share of right reads among those with at least this probability; 1 of none."""
    sure = [read.right for read in reads if read.probability >= threshold]
    return sum(sure) / len(sure) if sure else 1.0


def accepted_from(reads: Sequence[Judged], threshold: float) -> float:
    """Share of the reads with at least this probability; 0 of none."""
    return sum(read.probability >= threshold for read in reads) / max(1, len(reads))


def likely_range(one: Bin) -> tuple[float, float]:
    """Where the true share of right reads lies with 95 % confidence (Wilson 1927): wide where reads are few."""
    z = 1.96
    centre = (one.right + z**2 / (2 * one.count)) / (1 + z**2 / one.count)
    reach = z * (one.right * (1 - one.right) / one.count + (z / (2 * one.count)) ** 2) ** 0.5 / (1 + z**2 / one.count)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def draw(groups: dict[str, list[Judged]], path: Path) -> None:
    """A reliability diagram of each group with its 95 % ranges, the counts under it. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(groups), 5.5), layout="constrained")
    axes = figure.subplots(2, len(groups), squeeze=False, sharex=True, height_ratios=(3, 1))
    for column, (name, reads) in enumerate(groups.items()):
        bins, upper, lower = bins_of(reads), axes[0][column], axes[1][column]
        upper.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
        low, high = zip(*map(likely_range, bins), strict=True) if bins else ((), ())
        upper.vlines([one.mean for one in bins], low, high, color="lightsteelblue", linewidth=4, zorder=0)
        upper.scatter([one.mean for one in bins], [one.right for one in bins])
        upper.set_title(f"{name}: {len(reads)} reads, ECE {calibration_error(reads):.4f}")
        upper.set_ylabel("share right")
        upper.set_ylim(-0.02, 1.02)
        lower.bar([one.low for one in bins], [one.count for one in bins], width=1 / BINS, align="edge", log=True)
        lower.set_ylabel("reads")
        lower.set_xlabel("probability")
        lower.set_xlim(-0.02, 1.02)
    figure.savefig(path, dpi=100)


def _box(plate: dict[str, Any]) -> tuple[float, float, float, float]:
    """The upright box around a printed plate."""
    quad = np.asarray(plate["quad"])
    return (*quad.min(axis=0).tolist(), *quad.max(axis=0).tolist())


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with labels.csv and images/")
    parser.add_argument("--pipeline", default="stills")
    parser.add_argument("--picture", type=Path, help="write the reliability diagram to this file")
    arguments = parser.parse_args()
    if not (arguments.data / "labels.csv").exists():
        sys.exit(f"{arguments.data}: no labels.csv; name the labelled folder with --data")
    with (arguments.data / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev" and row["readable"] in READABLE]
    if arguments.quick:
        rows = rows[::12]
    stages = build_stages(load_pipeline(arguments.pipeline))
    groups: dict[str, list[Judged]] = {"crop": [], "scene": []}
    for row in rows:
        answer = read_frame(stages, load_image(arguments.data / row["image"]), crops=row["kind"] == "crop")
        if (judged := judge(row, answer["plates"])) is not None:
            groups[row["kind"]].append(judged)
    both = groups["crop"] + groups["scene"]
    readable, blurred, foreign = ([read for read in both if read.readable == label] for label in READABLE)
    kinds = {f"{kind}s": [read for read in reads if read.readable == "yes"] for kind, reads in groups.items()}
    figures = {"ece": calibration_error(readable)}
    for name, reads in kinds.items():
        figures[f"{name}_ece"] = calibration_error(reads)
        table = [[f"from {one.low:.3f}", one.count, one.mean, one.right] for one in bins_of(reads)]
        report.show(f"{name}: {len(reads)} reads", ["probability", "reads", "mean", "right"], table)
    lines: list[list[object]] = []
    for threshold in THRESHOLDS:
        shares = {
            "accepted": accepted_from(readable, threshold),
            "right": right_from(readable, threshold),
            "blurred_accepted": accepted_from(blurred, threshold),
            "foreign_accepted": accepted_from(foreign, threshold),
        }
        lines.append([f"{threshold:g}", *shares.values()])
        figures |= {f"{name}_{threshold:g}": share for name, share in shares.items()}
    report.show(
        f"{len(readable)} readable plates, {len(blurred)} blurred, {len(foreign)} of other countries",
        ["at least", "accepted", "right of these", "accepted of blurred", "accepted of foreign"],
        lines,
    )
    if arguments.picture:
        draw(kinds, arguments.picture)
    report.finish("calibration", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
