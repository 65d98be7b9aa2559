"""`python -m scripts.train export`: turn a checkpoint into a model folder that the engine verifies and runs."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tomli_w
import torch
from torch import nn

from anpr.ops.contract import BLOCK_PX
from anpr.records import ALPHABET
from scripts.train import detector_data, detector_net, reader_net
from scripts.train.labels import add_open_only, load_pictures
from scripts.train.loop import averaged_weights
from scripts.train.reader import REAL_CATEGORIES, UNREAD_CATEGORIES, held_out, plain_crop
from scripts.train.reader_data import UNJUDGED, UNREAD, ReaderBatches, real_samples, unreadable_samples

OPSET = 17
LOG = "training.jsonl"
READER_MARGIN = 0.02
MAPS_FREE = {0: "batch", 2: "rows", 3: "columns"}
DETECTOR_FREE = {
    "plane": {"luma": {0: "batch", 2: "height", 3: "width"}, "maps": MAPS_FREE},
    "blocks": {"luma": {0: "batch", 1: "block_rows", 2: "block_columns"}, "maps": MAPS_FREE},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("task", choices=("detector", "reader"))
    parser.add_argument("--run", type=Path, required=True, help="the run's folder, with checkpoint.pt")
    parser.add_argument("--name", required=True, help="the model's name; the folder is models/NAME")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--data", type=Path, required=True, help="for the sources' licences and the temperature")
    add_open_only(parser)
    parser.add_argument(
        "--layout", choices=("blocks", "plane"), default="blocks", help="of a detector's input; blocks for processors"
    )
    parser.add_argument("--source", action="append", default=[], help="further source with its licence, for model.toml")
    parser.add_argument("--made-by", required=True, help="the command that trained it, for model.toml")


def load_net(net: nn.Module, run: Path) -> dict[str, Any]:
    """Put the run's averaged weights into `net`; returns the checkpoint."""
    state: dict[str, Any] = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    net.load_state_dict(averaged_weights(state))
    net.eval()
    return state


def write_onnx(
    net: nn.Module,
    example: torch.Tensor,
    path: Path,
    *,
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
) -> None:
    """Export with `free` axes (of the input and each output, index to name), check it, and compare its answers with
    the net's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (example,),
            str(path),
            input_names=["luma"],
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in free.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        answers = net(example)
    found = session.run(list(outputs), {"luma": example.numpy()})
    for name, one, expected in zip(outputs, found, answers if len(outputs) > 1 else [answers], strict=True):
        worst = float(np.abs(one - expected.numpy()).max())
        if worst > 1e-3 * max(1.0, float(expected.abs().max())):
            raise ValueError(f"{path}: {name} of the exported model differs from the net's by {worst}")


def fit_temperatures(net: nn.Module, data: Path, *, open_only: bool) -> tuple[float, float]:
    """What the logits of the characters and of the judgement must be divided by so that probabilities are right.

    The first is fitted on held-out plates distorted at random; the second on the same as they are, beside held-out
    plates that nobody should read: a distortion may make a plate unreadable, so that it has no true answer.
    """
    categories = (*REAL_CATEGORIES, *UNREAD_CATEGORIES)
    pictures = load_pictures(data, split="train", categories=categories, open_only=open_only)
    checked = [picture for picture in pictures if held_out(picture)]
    readable = real_samples([picture for picture in checked if picture.category in REAL_CATEGORIES])
    others = unreadable_samples([picture for picture in checked if picture.category in UNREAD_CATEGORIES])
    batches = ReaderBatches([(1.0, readable)], batch=256, seed=99, steps=4)
    inputs, characters, _ = (np.concatenate(part) for part in zip(*(batches[n] for n in range(4)), strict=True))
    plain = np.stack([plain_crop(sample) for sample in (*readable, *others)])[:, None]
    states = torch.tensor([sample.state for sample in (*readable, *others)])
    with torch.no_grad():
        logits = torch.cat([net(torch.from_numpy(part))[0] for part in np.array_split(inputs, 8)])
        judgement = torch.cat([net(torch.from_numpy(part))[1] for part in np.array_split(plain, 8)])
    return (
        fit_temperature(logits.flatten(0, 1), torch.from_numpy(characters).flatten(), ignored=UNREAD),
        fit_temperature(judgement, states, ignored=UNJUDGED),
    )


def fit_temperature(logits: torch.Tensor, truth: torch.Tensor, *, ignored: int) -> float:
    """The divisor of logits (n, classes) that makes truth (n,) likeliest (Guo et al. 2017, temperature scaling)."""

    def cost(temperature: float) -> float:
        return float(nn.functional.cross_entropy(logits.double() / temperature, truth, ignore_index=ignored))

    return min((float(step) for step in np.geomspace(0.7, 3.0, 60)), key=cost)


def main(arguments: argparse.Namespace) -> int:
    """Write models/NAME/model.onnx and model.toml."""
    folder = arguments.models / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    facts: dict[str, Any] = {"name": arguments.name, "task": arguments.task}
    if arguments.task == "reader":
        net: nn.Module = reader_net.ReaderNet()
        state = load_net(net, arguments.run)
        height, width = reader_net.HEIGHT, reader_net.WIDTH
        outputs = ("logits", "judgement")
        free = {name: {0: "batch"} for name in ("luma", *outputs)}
        write_onnx(net, torch.randn(2, 1, height, width), path, outputs=outputs, free=free)
        temperature, judgement_temperature = fit_temperatures(net, arguments.data, open_only=arguments.open_only)
        facts["input"] = {"name": "luma", "height": height, "width": width, "margin": READER_MARGIN}
        facts["output"] = {
            "name": "logits",
            "slots": reader_net.SLOTS,
            "alphabet": ALPHABET,
            "temperature": round(temperature, 3),
            "judgement": "judgement",
            "states": reader_net.STATES,
            "judgement_temperature": round(judgement_temperature, 3),
        }
        kind = None
        categories: tuple[str, ...] = (*REAL_CATEGORIES, *UNREAD_CATEGORIES)
    else:
        inner = detector_net.DetectorNet()
        state = load_net(inner, arguments.run)
        mean, scale, blocks = detector_data.MEAN, detector_data.SCALE, arguments.layout == "blocks"
        net = detector_net.DetectorForExport(inner, blocks=blocks, mean=mean, scale=scale).eval()
        height, width = detector_net.HEIGHT, detector_net.WIDTH
        example = torch.randn(2, 1, height, width)
        if blocks:
            example = torch.randint(256, (2, height // BLOCK_PX, width // BLOCK_PX, BLOCK_PX**2), dtype=torch.uint8)
        write_onnx(net, example, path, outputs=("maps",), free=DETECTOR_FREE[arguments.layout])
        facts["input"] = {
            "name": "luma",
            "height": height,
            "width": width,
            "layout": arguments.layout,
            "mean": mean,
            "scale": scale,
        }
        facts["output"] = {"name": "maps", "stride": detector_net.STRIDE}
        kind = "scene"
        categories = (*REAL_CATEGORIES, "dashcam-ro", "openalpr", "road-noplate")
    pictures = load_pictures(
        arguments.data, split="train", kind=kind, categories=categories, open_only=arguments.open_only
    )
    sources = sorted({f"{picture.category}: {picture.licence}" for picture in pictures})
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    facts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    facts["training"] = {
        "command": arguments.made_by,
        "commit": commit,
        "steps": int(state["step"]),
        "seed": int(state["seed"]),
        "log": LOG,
        "sources": ["rendered plates of scripts/render", *sources, *arguments.source],
    }
    shutil.copyfile(arguments.run / "log.jsonl", folder / LOG)
    (folder / "model.toml").write_text(tomli_w.dumps(facts), encoding="utf-8")
    print(json.dumps({"folder": str(folder), "bytes": path.stat().st_size, "by": shlex.join(sys.argv)}))
    return 0
