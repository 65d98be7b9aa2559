"""Half precision for GPUs."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("tomli_w")

from anpr.nets.model import ModelFolder  # noqa: E402
from scripts.train import half  # noqa: E402


@pytest.mark.parametrize("task", ["detector", "reader"])
def test_the_bundled_models_become_nets_without_quantisation_or_computed_shapes(task: str, tmp_path: Path) -> None:
    arguments = argparse.Namespace(task=task, model=task, name="half", models=tmp_path)
    assert half.main(arguments) == 0
    made = ModelFolder.load(tmp_path / "half", task)  # type: ignore[arg-type]
    source = ModelFolder.load(task, task)  # type: ignore[arg-type]
    assert (made.facts.input, made.facts.output) == (source.facts.input, source.facts.output)
    assert made.facts.accuracy["differs_most"] < half.TOLERANCE
    model = onnx.load(made.onnx_path)
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear", "Shape"}


def test_a_rounding_from_zero_becomes_a_relu_again() -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    constants = {"scale": np.float32(0.5), "zero": np.uint8(0), "low": np.uint8(128)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["positive"]),
        helper.make_node("QuantizeLinear", ["positive", "scale", "low"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "scale", "low"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kinds.FLOAT, [4])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, [4])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    plain = half.without_quantisation(model)
    assert [node.op_type for node in plain.graph.node] == ["Relu", "Identity"]
    assert len(plain.graph.initializer) == 0
    example = np.array([-3.0, 0.0, 1.5, 7.0], np.float32)
    assert half.compare(plain, model, example) < 0.005  # onnxruntime makes one rounding of the two
