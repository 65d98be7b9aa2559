"""`python -m scripts.train half`: a copy of a model folder for GPUs, its weights and sums in half precision.

Takes a float model, or an int8 one, whose quantisation is undone: weights become the floats that their bytes stand for;
of activations a rounding that starts at 0 stood for a Relu and becomes one again, any other goes. The net then differs
from the int8 one only by what rounding did. Shapes that are computed from the batch are made constant: nothing is left
for the processor, as CUDA graphs demand. Input and output stay float32, so that `model.toml` holds for both.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tomllib
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tomli_w
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from anpr.nets.bound import input_shape
from anpr.nets.model import ModelFolder

TOLERANCE = 0.02
"""Of the float model's largest output, by which half precision may differ on noise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("task", choices=("detector", "reader"))
    parser.add_argument("model", help="model folder or name, float or int8")
    parser.add_argument("--name", required=True, help="the new model's name")
    parser.add_argument("--models", type=Path, default=Path("models"))


def without_quantisation(model: ModelProto) -> ModelProto:
    """The float net that an int8 one of QDQ form stands for; a float net is returned as it is."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            continue  # its DequantizeLinear stands for both
        if node.op_type != "DequantizeLinear":
            nodes.append(node)
        elif node.input[0] in constants:
            weights = _dequantised(node, constants)
            graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        elif made_by[node.input[0]].op_type != "QuantizeLinear":
            nodes += _levels(node)
        else:
            rounding = made_by[node.input[0]]
            zero = constants[rounding.input[2]]
            kind = "Relu" if int(zero.ravel()[0]) == np.iinfo(zero.dtype).min else "Identity"
            nodes.append(onnx.helper.make_node(kind, [rounding.input[0]], [node.output[0]], name=node.name))
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)
    return result


def with_constant_shapes(model: ModelProto) -> ModelProto:
    """Reshapes whose shape is joined from the leading sizes of their own input and constants get it as a constant: 0
    in it means that a size is kept."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        shape = _kept_and_constant(node, made_by, constants)
        name = f"{node.name}_shape"
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
        node.input[1] = name
    _drop_unused(graph)
    return result


def compare(one: ModelProto, other: ModelProto, example: NDArray[np.generic]) -> float:
    """The largest difference of their outputs, as a share of the first's largest."""
    answers = []
    for model in (one, other):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {session.get_inputs()[0].name: example}))
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*answers, strict=True))


def main(arguments: argparse.Namespace) -> int:
    """Write models/NAME."""
    source = ModelFolder.load(arguments.model, arguments.task)
    plain = with_constant_shapes(without_quantisation(onnx.load(source.onnx_path)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of every weight that is too small for half precision
        half = convert_float_to_float16(plain, keep_io_types=True)
    OnnxModel(half).topological_sort()
    onnx.checker.check_model(half)
    facts = source.facts
    shape = (2, *input_shape(facts, height=facts.input.height, width=facts.input.width))
    noise = np.random.default_rng(1).standard_normal(shape)
    grey = np.clip(128 + 60 * noise, 0, 255).astype(np.uint8)
    worst = compare(plain, half, grey if facts.input.layout == "blocks" else noise.astype(np.float32))
    if worst > TOLERANCE:
        raise SystemExit(f"{source.path}: half precision differs by {worst:.1%} of the largest output")
    folder = arguments.models / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "model.onnx"
    target.write_bytes(half.SerializeToString())
    copied = tomllib.loads((source.path / "model.toml").read_text(encoding="utf-8"))
    copied |= {"name": arguments.name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}
    copied["accuracy"] = {"differs_most": round(worst, 5)}  # of its own; what it reads is for bench.accuracy to say
    if facts.training.log and source.path != folder:
        shutil.copyfile(source.path / facts.training.log, folder / facts.training.log)
    copied["training"]["command"] += f"; {facts.name} in half precision"
    (folder / "model.toml").write_text(tomli_w.dumps(copied), encoding="utf-8")
    size, before = target.stat().st_size, source.onnx_path.stat().st_size
    print(f"{folder}: {size} bytes, from {before}; differs by {worst:.2%} of the largest output")
    return 0


def _dequantised(node: NodeProto, constants: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """(value - zero) * scale, along the node's axis."""
    values, scale, zero = (constants[name].astype(np.float64) for name in node.input)
    axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
    if scale.ndim == 1:
        spread = [1] * values.ndim
        spread[axis] = -1
        scale, zero = scale.reshape(spread), zero.reshape(spread)
    return np.asarray((values - zero) * scale, np.float32)


def _levels(node: NodeProto) -> list[NodeProto]:
    """The same of bytes that were never floats: a picture as it comes."""
    result, (values, scale, zero) = node.output[0], node.input
    floats = [f"{result}_{part}" for part in ("levels", "zero", "difference")]
    make, to = onnx.helper.make_node, onnx.TensorProto.FLOAT
    return [
        make("Cast", [values], [floats[0]], name=floats[0], to=to),
        make("Cast", [zero], [floats[1]], name=floats[1], to=to),
        make("Sub", floats[:2], [floats[2]], name=floats[2]),
        make("Mul", [floats[2], scale], [result], name=result),
    ]


def _kept_and_constant(
    node: NodeProto, made_by: dict[str, NodeProto], constants: dict[str, NDArray[np.generic]]
) -> list[int]:
    """The constant shape of a Reshape: 0 for each size that is kept."""
    joined = made_by[node.input[1]]
    if joined.op_type != "Concat":
        raise SystemExit(f"{node.name}: its shape is made by {joined.op_type}, which is not understood")
    shape: list[int] = []
    for name in joined.input:
        if name in constants:
            shape += constants[name].astype(int).ravel().tolist()
            continue
        part = made_by[name]
        if part.op_type == "Unsqueeze" and part.input[0] in made_by:
            part = made_by[part.input[0]]
        if part.op_type not in ("Slice", "Gather", "Shape"):
            raise SystemExit(f"{node.name}: {part.op_type} in its shape is not understood")
        first, last = 0, 1
        if part.op_type == "Slice":
            first, last = (int(constants[each].ravel()[0]) for each in part.input[1:3])
        elif part.op_type == "Gather":
            first = int(constants[part.input[1]].ravel()[0])
            last = first + 1
        if first != len(shape):
            raise SystemExit(f"{node.name}: a size changes its place")
        shape += [0] * (last - first)
    return shape


def _drop_unused(graph: GraphProto) -> None:
    """Take out nodes and constants whose outputs nobody takes."""
    needed = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [each for each in graph.initializer if each.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)
