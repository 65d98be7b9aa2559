"""A recogniser of text lines that reads bars: a dark bar is a 1, a grey one an A, light is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from anpr.records import Frame, Plate

LIGHT, GREY, DARK = 230, 125, 20
BAR_PX = 8


def write_recogniser(path: Path, *, dictionary: str = "1\nA") -> None:
    """The net as PP-OCR's come: colour, any width, probabilities with the blank first, the dictionary inside."""
    kernel = np.full((1, 3, 16, BAR_PX), 1 / (3 * 16 * BAR_PX), np.float32)
    weights = {
        "kernel": kernel,
        "axes": np.array([2], np.int64),
        "slope": np.array([[20, -20, 0]], np.float32),
        "level": np.array([-8, -8, 0], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["mean"], strides=[16, BAR_PX]),
        helper.make_node("Squeeze", ["mean", "axes"], ["row"]),
        helper.make_node("Transpose", ["row"], ["steps"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["steps", "slope"], ["tilted"]),
        helper.make_node("Add", ["tilted", "level"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "bars",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, "width"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", "steps", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    if dictionary:
        helper.set_model_props(model, {"character": dictionary})
    onnx.save(model, path)


def picture_of(*lines: str) -> tuple[Frame, Plate]:
    """A picture that is one plate: every line as bars with gaps between them."""
    width = max(len(line) for line in lines) * 2 * BAR_PX
    luma = np.full((16 * len(lines), width), LIGHT, np.uint8)
    for row, line in enumerate(lines):
        for place, character in enumerate(line):
            left = (2 * place + 1) * BAR_PX
            luma[16 * row + 1 : 16 * row + 15, left : left + BAR_PX] = GREY if character == "A" else DARK
    height = luma.shape[0]
    grey = np.full((height // 2, width // 2), 128, np.uint8)
    right, bottom = width - 0.5, height - 0.5
    quad = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], np.float32)
    frame = Frame("test", 0, 0.0, 0.0, luma, grey, grey)
    return frame, Plate(quad, 1.0, 2 if len(lines) == 2 else 1)
