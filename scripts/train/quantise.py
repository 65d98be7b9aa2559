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
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import tomli_w
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from anpr.nets.detector import Canvas
from anpr.nets.model import Facts, ModelFolder
from anpr.ops import contract
from anpr.ops import cpu as operations
from scripts.train.labels import Picture, add_open_only, load_pictures
from scripts.train.reader import REAL_CATEGORIES
from scripts.train.reader_data import real_samples

KEPT = ("/head/head.1", "/net/head/head.1", "/attention", "/neighbours", "/classify", "/judge")
"""Nodes that stay float: the detector's last layer, whose corners need finer steps than 1/256 of their range, and the
reader's attention and what follows it, which is small."""


class Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration."""

    def __init__(self, name: str, inputs: Iterator[NDArray[Any]]) -> None:
        self.name, self.inputs = name, inputs

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        batch = next(self.inputs, None)
        return None if batch is None else {self.name: batch}


def detector_inputs(facts: Facts, pictures: list[Picture]) -> Iterator[NDArray[Any]]:
    """Letterboxed scenes."""
    operations = contract.load("cpu")
    for picture in pictures:
        canvas = Canvas.new(facts.input, (facts.input.height, facts.input.width), operations)
        canvas.draw(picture.load_grey())
        yield canvas.batch


def reader_inputs(facts: Facts, pictures: list[Picture]) -> Iterator[NDArray[Any]]:
    """Cut plates."""
    for sample in real_samples(pictures):
        crop = np.zeros((1, 1, facts.input.height, facts.input.width), np.float32)
        operations.rectify(sample.luma, sample.quad, crop[0, 0], margin=facts.input.margin)
        yield crop


def take_bytes(path: Path, facts: Facts) -> None:
    """Let a quantised model of blocks begin with its bytes as they come: their scale and zero are those of the grey
    levels, so that nothing is turned into floats and back."""
    model = onnx.load(path)
    graph = model.graph
    readers = {name: node for node in graph.node for name in node.input}
    quantised = readers[facts.input.name]
    between = []
    while quantised.op_type != "QuantizeLinear":
        between.append(quantised)
        quantised = readers[quantised.output[0]]
    turned = next(node for node in between if node.op_type == "Transpose")
    restored = readers[quantised.output[0]]
    for node in (*between, quantised):
        if node is not turned:
            graph.node.remove(node)
    constants = {"luma_scale": np.float32(facts.input.scale), "luma_zero": np.uint8(facts.input.mean)}
    graph.initializer.extend(onnx.numpy_helper.from_array(np.array(value), name) for name, value in constants.items())
    turned.input[0] = facts.input.name
    restored.input[:] = [turned.output[0], *constants]
    used = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


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
    if source.facts.input.layout == "blocks":
        take_bytes(target, source.facts)
    facts = tomllib.loads((source.path / "model.toml").read_text(encoding="utf-8"))
    facts |= {"name": arguments.name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest(), "accuracy": {}}
    if source.facts.training.log and source.path != folder:
        shutil.copyfile(source.path / source.facts.training.log, folder / source.facts.training.log)
    facts["training"]["command"] += f"; quantised to int8 ({arguments.method}, {len(chosen)} training pictures)"
    (folder / "model.toml").write_text(tomli_w.dumps(facts), encoding="utf-8")
    print(f"{folder}: {target.stat().st_size} bytes, from {source.onnx_path.stat().st_size}")
    return 0
