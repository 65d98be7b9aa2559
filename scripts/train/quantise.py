"""`python -m scripts.train quantise`: an int8 copy of a model folder, calibrated on training pictures.

Static, per channel, QDQ. Whether its accuracy is good enough is for `bench.accuracy` to say.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import tomli_w
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from anpr.nets.model import Facts, ModelFolder
from anpr.ops import cpu as operations
from scripts.train.labels import Picture, add_open_only, load_pictures
from scripts.train.reader import REAL_CATEGORIES
from scripts.train.reader_data import real_samples

KEPT = ("/net/head/head.1", "/attention", "/neighbours", "/classify", "/judge")
"""Nodes that stay float: the detector's last layer, whose corners need finer steps than 1/256 of their range, and the
reader's attention and what follows it, which is small."""


class Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration."""

    def __init__(self, name: str, inputs: Iterator[NDArray[np.float32]]) -> None:
        self.name, self.inputs = name, inputs

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self.inputs, None)
        return None if batch is None else {self.name: batch}


def detector_inputs(facts: Facts, pictures: list[Picture]) -> Iterator[NDArray[np.float32]]:
    """Letterboxed scenes."""
    for picture in pictures:
        canvas = np.zeros((1, 1, facts.input.height, facts.input.width), np.float32)
        operations.letterbox_luma(picture.load_grey(), canvas[0, 0], mean=facts.input.mean, scale=facts.input.scale)
        yield canvas


def reader_inputs(facts: Facts, pictures: list[Picture]) -> Iterator[NDArray[np.float32]]:
    """Cut plates."""
    for sample in real_samples(pictures):
        crop = np.zeros((1, 1, facts.input.height, facts.input.width), np.float32)
        operations.rectify(sample.luma, sample.quad, crop[0, 0], margin=facts.input.margin)
        yield crop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("task", choices=("detector", "reader"))
    parser.add_argument("model", help="model folder or name")
    parser.add_argument("--name", required=True, help="the new model's name")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and images/")
    add_open_only(parser)
    parser.add_argument("--count", type=int, default=300, help="calibration pictures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--method", choices=("minmax", "percentile", "entropy"), default="percentile")
    parser.add_argument("--keep", action="append", default=[], help="start of the names of nodes that stay float")


def main(arguments: argparse.Namespace) -> int:
    """Calibrate and write models/NAME."""
    source = ModelFolder.load(arguments.model, arguments.task)
    categories = (*REAL_CATEGORIES, "road-noplate")
    pictures = load_pictures(arguments.data, split="train", categories=categories, open_only=arguments.open_only)
    if arguments.task == "detector":
        pictures = [picture for picture in pictures if picture.kind == "scene"]
    order = np.random.default_rng(arguments.seed).permutation(len(pictures))[: arguments.count]
    chosen = [pictures[index] for index in order]
    inputs = (detector_inputs if arguments.task == "detector" else reader_inputs)(source.facts, chosen)
    folder = arguments.models / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "model.onnx"
    method = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }[arguments.method]
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ready = Path(scratch) / "ready.onnx"
        quant_pre_process(str(source.onnx_path), str(ready), skip_symbolic_shape=True)
        nodes = [node.name for node in onnx.load(ready).graph.node]
        quantize_static(
            str(ready),
            str(target),
            Pictures(source.facts.input.name, inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            calibrate_method=method,
            op_types_to_quantize=["Conv", "Relu", "Add", "Resize"],
            nodes_to_exclude=[name for name in nodes if name.startswith((*KEPT, *arguments.keep))],
            extra_options={"CalibPercentile": 99.99},
        )
    facts = tomllib.loads((source.path / "model.toml").read_text(encoding="utf-8"))
    facts |= {"name": arguments.name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest(), "accuracy": {}}
    if source.facts.training.log and source.path != folder:
        shutil.copyfile(source.path / source.facts.training.log, folder / source.facts.training.log)
    facts["training"]["command"] += f"; quantised to int8 ({arguments.method}, {len(chosen)} training pictures)"
    (folder / "model.toml").write_text(tomli_w.dumps(facts), encoding="utf-8")
    print(f"{folder}: {target.stat().st_size} bytes, from {source.onnx_path.stat().st_size}")
    return 0
