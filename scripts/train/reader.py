"""`python -m scripts.train reader`: train the reader."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from anpr.records import ALPHABET, EMPTY
from scripts.train.artefacts import HeldOutRead, reader_artefacts
from scripts.train.labels import Picture, load_pictures
from scripts.train.loop import add_loop_arguments, loop_options, train
from scripts.train.reader_data import PlateSample, ReaderBatches, load_rendered, real_samples, standardise
from scripts.train.reader_net import CLASSES, HEIGHT, WIDTH, ReaderNet

REAL_CATEGORIES = ("crops-vn", "gate-moto", "car-gate", "moto-phone", "square384", "car-phone")


def held_out(picture: Picture) -> bool:
    """One training plate in sixteen is never trained on: the log's figures and all choices come from these."""
    return zlib.crc32(picture.text.encode()) % 16 == 0


def loss(net: nn.Module, tensors: Sequence[Tensor]) -> Tensor:
    """Cross entropy, mean over positions."""
    luma, target = tensors
    logits = net(luma.contiguous(memory_format=torch.channels_last))
    return nn.functional.cross_entropy(logits.float().reshape(-1, CLASSES), target.reshape(-1))


def read_samples(net: nn.Module, samples: Sequence[PlateSample], inputs: np.ndarray, device: str) -> list[HeldOutRead]:
    """The best characters of every input (n, 1, HEIGHT, WIDTH), no grammar, beside its sample's text."""
    parts = (torch.from_numpy(inputs[i : i + 128]).to(device) for i in range(0, len(inputs), 128))
    chances = np.concatenate([net(part).float().softmax(2).cpu().numpy() for part in parts])
    texts = ["".join(ALPHABET[index] for index in row if index != EMPTY) for row in chances.argmax(2)]
    sure = chances.max(2).prod(1).tolist()
    rows = zip(samples, inputs[:, 0], texts, sure, strict=True)
    return [HeldOutRead(crop, sample.text, text, probability) for sample, crop, text, probability in rows]


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
    parser.add_argument("--quads", type=Path, help="corners found by `quads`")


def main(arguments: argparse.Namespace) -> int:
    """Train, evaluating on held-out training plates."""
    pictures = load_pictures(arguments.data, split="train", categories=REAL_CATEGORIES, quads=arguments.quads)
    known = real_samples([picture for picture in pictures if not held_out(picture)])
    checked = real_samples([picture for picture in pictures if held_out(picture)])
    crops = [sample for sample in known if sample.crop]
    scenes = [sample for sample in known if not sample.crop]
    rendered = [sample for path in arguments.rendered for sample in load_rendered(path)]
    print(f"{len(crops)} crops, {len(scenes)} plates of scenes, {len(rendered)} rendered, {len(checked)} held out")
    real_share = 1 - arguments.rendered_share if rendered else 1.0
    groups = [(real_share * 0.55, crops), (real_share * 0.45, scenes), (arguments.rendered_share, rendered)]
    batches = ReaderBatches(groups, batch=arguments.batch, seed=arguments.seed, steps=arguments.steps)
    check_inputs = np.stack([plain_crop(sample) for sample in checked])[:, None]
    check_rendered = rendered[:400]
    rendered_inputs = np.stack([plain_crop(sample) for sample in check_rendered])[:, None] if check_rendered else None

    def evaluate(net: nn.Module, step: int) -> dict[str, float]:
        reads = read_samples(net, checked, check_inputs, arguments.device)
        reader_artefacts(arguments.run, reads)
        figures = {"held_out_exact": float(np.mean([read.right for read in reads]))}
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
