"""`python -m scripts.train detector`: train the detector."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anpr.ops import cpu as operations
from anpr.ops.quads import box_iou
from scripts.train.artefacts import HeldOutScene, detector_artefacts
from scripts.train.detector_data import MEAN, SCALE, DetectorBatches, Scene, empty_frames, load_scenes
from scripts.train.detector_net import HEIGHT, STRIDE, WIDTH, DetectorNet
from scripts.train.frames import load_frames
from scripts.train.labels import Picture, add_open_only, load_pictures
from scripts.train.loop import add_loop_arguments, loop_options, train
from scripts.train.reader import held_out
from scripts.train.reader_data import load_rendered

VIETNAMESE = ("gate-moto", "car-gate", "moto-phone", "square384", "car-phone")
OTHERS = ("dashcam-ro", "openalpr")
FILMED = 60
"""Frames taken of every recording without plates."""


def loss(net: nn.Module, tensors: Sequence[Tensor]) -> Tensor:
    """Focal loss on centres (Law and Deng 2018), L1 on corners relative to the plate's size, cross entropy on lines.

    Where only an upright box is known, the box around the four corners is compared.
    """
    luma, heat, answers, *taught = tensors
    maps = net(luma.contiguous(memory_format=torch.channels_last)).float()
    logit = maps[:, 0]
    chance = torch.sigmoid(logit).clamp(1e-5, 1 - 1e-5)
    centre = heat == 1
    counted = heat >= 0
    missed = -((1 - chance) ** 2) * torch.log(chance) * centre
    wrong = -((1 - heat.clamp(0, 1)) ** 4) * chance**2 * torch.log(1 - chance) * (counted & ~centre)
    plates = centre.sum().clamp(min=1)
    focal = (missed.sum() + wrong.sum()) / plates
    weight, exact, two_lines, known = answers[:, 0], answers[:, 1], answers[:, 2], answers[:, 12]
    corners, truth, relative = maps[:, 2:], answers[:, 3:11], answers[:, 11]
    total = weight.sum().clamp(min=1)
    by_corner = (corners - truth).abs().mean(1) * relative
    x, y, true_x, true_y = corners[:, 0::2], corners[:, 1::2], truth[:, 0::2], truth[:, 1::2]
    by_box = (
        (
            (x.amin(1) - true_x.amin(1)).abs()
            + (y.amin(1) - true_y.amin(1)).abs()
            + (x.amax(1) - true_x.amax(1)).abs()
            + (y.amax(1) - true_y.amax(1)).abs()
        )
        / 4
        * relative
    )
    shape = (weight * ((exact == 1) * by_corner + (exact == 0) * by_box)).sum() / total
    lines = nn.functional.binary_cross_entropy_with_logits(
        maps[:, 1], two_lines, weight=weight * known, reduction="sum"
    )
    labelled = focal + 4.0 * shape + 0.2 * lines / total
    return labelled + sum((lesson(maps, one, heat >= 0) for one in taught), torch.zeros(()))


def lesson(maps: Tensor, taught: Tensor, counted: Tensor) -> Tensor:
    """How far maps (n, 10, h, w) of logits are from a teacher's of probabilities, where `counted` (n, h, w).

    Quality focal loss on its centres (Li et al. 2020), L1 on its corners relative to its plates' sizes.
    """
    sure = taught[:, 0]
    far = (torch.sigmoid(maps[:, 0]) - sure).abs()
    entropy = nn.functional.binary_cross_entropy_with_logits(maps[:, 0], sure, reduction="none")
    centres = (far**2 * entropy * counted).sum() / (sure > 0.35).sum().clamp(min=1)
    weight = sure * (sure > 0.2)
    x, y = taught[:, 2::2], taught[:, 3::2]
    size = ((x.amax(1) - x.amin(1)).clamp(min=1) * (y.amax(1) - y.amin(1)).clamp(min=0.5)).sqrt()
    corners = (maps[:, 2:] - taught[:, 2:]).abs().mean(1) / size
    lines = nn.functional.binary_cross_entropy_with_logits(maps[:, 1], taught[:, 1], weight=weight, reduction="sum")
    total = weight.sum().clamp(min=1)
    return centres + 4.0 * (weight * corners).sum() / total + 0.2 * lines / total


def look_at(net: nn.Module, scenes: Sequence[Scene], device: str, threshold: float) -> list[HeldOutScene]:
    """What the net finds in each scene, and how well it overlaps the labelled plates (upright boxes)."""
    looked = []
    canvas = np.zeros((1, 1, HEIGHT, WIDTH), np.float32)
    for scene in scenes:
        box = operations.letterbox_luma(scene.luma, canvas[0, 0], mean=MEAN, scale=SCALE)
        maps = net(torch.from_numpy(canvas).to(device)).float().cpu()
        maps[:, :2] = torch.sigmoid(maps[:, :2])
        peaks = operations.find_peaks(maps[0].numpy(), threshold=threshold, stride=STRIDE, most=16)
        found = [box.to_source(peak[2:].reshape(4, 2)) for peak in peaks]
        overlaps = [max((overlap(truth, other) for other in found), default=0.0) for truth in scene.quads]
        looked.append(HeldOutScene(scene.luma, list(scene.quads), found, overlaps))
    return looked


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """IoU of the upright boxes around two quads."""
    return box_iou((*one.min(axis=0), *one.max(axis=0)), (*other.min(axis=0), *other.max(axis=0)))


def count_false(scenes: Sequence[HeldOutScene]) -> int:
    """Found plates that hit no labelled one."""
    return sum(all(overlap(truth, quad) < 0.1 for truth in scene.truths) for scene in scenes for quad in scene.found)


def share(answers: Iterable[bool]) -> float:
    """How many of the answers are yes, 0 to 1; 0 of none."""
    given = list(answers)
    return sum(given) / max(1, len(given))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_loop_arguments(parser, run=Path("work/runs/detector"), steps=6000, batch=16)
    parser.add_argument(
        "--empty-video", type=Path, action="append", default=[], help="recording without legible plates"
    )
    parser.add_argument("--frames", type=Path, action="append", default=[], help=".npz made by `frames`")
    add_open_only(parser)
    parser.add_argument("--teacher", default="", help="model folder or name of a detector to learn from, too")
    parser.add_argument("--quads", type=Path, help="corners found by `quads`, for pictures without boxes")


def main(arguments: argparse.Namespace) -> int:
    """Train, evaluating on held-out training scenes."""

    def load(*categories: str) -> list[Picture]:
        return load_pictures(
            arguments.data,
            split="train",
            kind="scene",
            categories=categories,
            quads=arguments.quads,
            open_only=arguments.open_only,
        )

    pictures = load(*VIETNAMESE)
    own = load_scenes([picture for picture in pictures if not held_out(picture)])
    checked = load_scenes([picture for picture in pictures if held_out(picture) and picture.text])
    gate = [scene for scene in own if scene.luma.shape == (303, 472)]
    varied = [scene for scene in own if scene.luma.shape != (303, 472)]
    others = load_scenes(load(*OTHERS))
    empty = load_scenes(load("road-noplate"))
    filmed = [scene for path in arguments.empty_video for scene in empty_frames(path, FILMED)]
    road = [scene for path in arguments.frames for scene in load_frames(path)]
    plates = [sample for path in arguments.rendered for sample in load_rendered(path)]
    counts = {
        "gate": gate,
        "varied": varied,
        "foreign": others,
        "empty": empty,
        "filmed": filmed,
        "road": road,
        "plates": plates,
    }
    print(", ".join(f"{len(group)} {name}" for name, group in counts.items()))
    groups = [(0.15, gate), (0.3, varied), (0.22, others), (0.2, empty), (0.05, filmed), (0.08, road)]
    batches = DetectorBatches(
        groups, plates, batch=arguments.batch, seed=arguments.seed, steps=arguments.steps, teacher=arguments.teacher
    )
    watched_empty = (empty or filmed)[::4]

    def evaluate(net: nn.Module, step: int) -> dict[str, float]:
        looked = look_at(net, checked, arguments.device, 0.35)
        looked_empty = look_at(net, watched_empty, arguments.device, 0.35)
        detector_artefacts(arguments.run, looked, looked_empty)
        overlaps = [value for scene in looked for value in scene.overlaps]
        return {
            "found_50": share(value >= 0.5 for value in overlaps),
            "found_75": share(value >= 0.75 for value in overlaps),
            "false_a_picture": count_false(looked) / max(1, len(checked)),
            "false_a_plate_free_training_picture": count_false(looked_empty) / max(1, len(watched_empty)),
        }

    train(
        DetectorNet(),
        batches,
        loss,
        evaluate,
        run=arguments.run,
        options=loop_options(arguments),
        start_from=arguments.start_from,
    )
    return 0
