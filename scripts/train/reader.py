"""`python -m scripts.train reader`: train the reader."""

from __future__ import annotations

import argparse
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anpr.records import ALPHABET, EMPTY
from scripts.train.artefacts import HeldOutRead, reader_artefacts
from scripts.train.labels import Picture, add_open_only, load_pictures
from scripts.train.loop import add_loop_arguments, loop_options, train
from scripts.train.reader_data import (
    NONE,
    READABLE,
    UNJUDGED,
    UNREAD,
    PlateSample,
    ReaderBatches,
    load_rendered,
    real_samples,
    standardise,
    unreadable_samples,
)
from scripts.train.reader_net import CLASSES, HEIGHT, WIDTH, ReaderNet

UNREAD_CATEGORIES = ("crops-foreign", "crops-foreign-blur", "openalpr", "dashcam-ro", "crops-blurred")
"""Not `crops-vn-blur`: most of its plates can be read well, and refusing them would lose plates of real cameras."""
JUDGEMENT_WEIGHT = 0.1
RARE = 100
"""Formats with fewer training plates are rare."""
REAL_CATEGORIES = ("crops-vn", "gate-moto", "car-gate", "moto-phone", "square384", "car-phone")


def held_out(picture: Picture) -> bool:
    """One training plate in sixteen is never trained on: the log's figures and all choices come from these."""
    return zlib.crc32((picture.text or picture.path.name).encode()) % 16 == 0


def loss(net: nn.Module, tensors: Sequence[Tensor]) -> Tensor:
    """Cross entropy, mean over the known positions, and of the judgement."""
    luma, characters, states = tensors
    logits, judgement = net(luma.contiguous(memory_format=torch.channels_last))
    reading = nn.functional.cross_entropy(
        logits.float().reshape(-1, CLASSES), characters.reshape(-1), ignore_index=UNREAD
    )
    return reading + JUDGEMENT_WEIGHT * nn.functional.cross_entropy(judgement.float(), states, ignore_index=UNJUDGED)


def read_samples(net: nn.Module, samples: Sequence[PlateSample], inputs: np.ndarray, device: str) -> list[HeldOutRead]:
    """The best characters of every input (n, 1, HEIGHT, WIDTH), no grammar, beside its sample's text."""
    parts = (torch.from_numpy(inputs[i : i + 128]).to(device) for i in range(0, len(inputs), 128))
    chances = np.concatenate([net(part)[0].float().softmax(2).cpu().numpy() for part in parts])
    texts = ["".join(ALPHABET[index] for index in row if index != EMPTY) for row in chances.argmax(2)]
    sure = chances.max(2).prod(1).tolist()
    rows = zip(samples, inputs[:, 0], texts, sure, strict=True)
    return [HeldOutRead(crop, sample.text, text, probability) for sample, crop, text, probability in rows]


def judge(net: nn.Module, inputs: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    """(n, len(STATES)) chance of every state, of inputs (n, 1, HEIGHT, WIDTH)."""
    parts = (torch.from_numpy(inputs[i : i + 128]).to(device) for i in range(0, len(inputs), 128))
    return np.concatenate([net(part)[1].float().softmax(1).cpu().numpy() for part in parts])


def rare_formats(samples: Sequence[PlateSample]) -> list[PlateSample]:
    """The plates whose pattern of letters and digits is seldom seen: they get a share of their own."""
    patterns = [re.sub("[A-Z]", "A", re.sub("[0-9]", "9", sample.text)) for sample in samples]
    counts = Counter(patterns)
    return [sample for sample, pattern in zip(samples, patterns, strict=True) if counts[pattern] < RARE]


def plain_crop(sample: PlateSample) -> np.ndarray:
    """(HEIGHT, WIDTH) the undistorted crop, with a little margin, as the engine would cut it."""
    centre = sample.quad.mean(axis=0)
    quad = centre + (sample.quad - centre) * np.float32(1.04)
    target = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], dtype=np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    crop = cv2.warpPerspective(sample.luma, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    return standardise(crop.astype(np.float32))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_loop_arguments(parser, run=Path("work/runs/reader"), steps=8000, batch=128)
    parser.add_argument("--rendered-share", type=float, default=0.45)
    add_open_only(parser)
    parser.add_argument("--finds", type=Path, action="append", default=[], help=".npz made by `finds`")
    parser.add_argument("--quads", type=Path, help="corners found by `quads`")


def main(arguments: argparse.Namespace) -> int:
    """Train, evaluating on held-out training plates."""
    pictures = load_pictures(
        arguments.data, split="train", categories=REAL_CATEGORIES, quads=arguments.quads, open_only=arguments.open_only
    )
    known = real_samples([picture for picture in pictures if not held_out(picture)])
    checked = real_samples([picture for picture in pictures if held_out(picture)])
    crops = [sample for sample in known if sample.crop]
    scenes = [sample for sample in known if not sample.crop]
    rendered = [sample for path in arguments.rendered for sample in load_rendered(path)]
    rare = rare_formats(known)
    unread = load_pictures(arguments.data, split="train", categories=UNREAD_CATEGORIES, open_only=arguments.open_only)
    unreadable = unreadable_samples([picture for picture in unread if not held_out(picture)])
    unreadable_checked = unreadable_samples([picture for picture in unread if held_out(picture)])
    finds = [replace(sample, state=NONE) for path in arguments.finds for sample in load_rendered(path)]
    unreadable_checked += finds[::16]
    finds = [find for number, find in enumerate(finds) if number % 16]
    counts = {"crops": crops, "plates of scenes": scenes, "of rare formats": rare, "rendered": rendered}
    counts |= {
        "unreadable": unreadable,
        "no plates": finds,
        "held out": checked,
        "unreadable held out": unreadable_checked,
    }
    print(", ".join(f"{len(group)} {name}" for name, group in counts.items()))
    share = arguments.rendered_share if rendered else 0.0
    groups = [(0.44, crops), (0.34, scenes), (0.06, rare), (0.10, unreadable), (0.06, finds)]
    groups = [*((weight * (1 - share), group) for weight, group in groups), (share, rendered)]
    batches = ReaderBatches(groups, batch=arguments.batch, seed=arguments.seed, steps=arguments.steps)
    check_inputs = np.stack([plain_crop(sample) for sample in checked])[:, None]
    sharp = np.array([sample.state for sample in (*checked, *unreadable_checked)]) == READABLE
    judged_inputs = np.stack([plain_crop(sample) for sample in (*checked, *unreadable_checked)])[:, None]
    check_rendered = rendered[:400]
    rendered_inputs = np.stack([plain_crop(sample) for sample in check_rendered])[:, None] if check_rendered else None

    def evaluate(net: nn.Module, step: int) -> dict[str, float]:
        reads = read_samples(net, checked, check_inputs, arguments.device)
        reader_artefacts(arguments.run, reads)
        figures = {"held_out_exact": float(np.mean([read.right for read in reads]))}
        chance = judge(net, judged_inputs, arguments.device)[:, READABLE]
        figures["readable_refused"] = float(np.mean(chance[sharp] < 0.5))
        if unreadable_checked:
            figures["unreadable_accepted"] = float(np.mean(chance[~sharp] >= 0.5))
        if rendered_inputs is not None:
            reads = read_samples(net, check_rendered, rendered_inputs, arguments.device)
            figures["rendered_exact"] = float(np.mean([read.right for read in reads]))
        return figures

    train(
        ReaderNet(),
        batches,
        loss,
        evaluate,
        run=arguments.run,
        options=loop_options(arguments),
        start_from=arguments.start_from,
    )
    return 0
