"""Running an ONNX model: one session contract, one thread, no spinning, fixed shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from anpr.errors import DeviceError, ModelError
from anpr.nets.model import ModelFolder

Device = Literal["cpu", "openvino", "cuda"]
"""What runs the nets: the processor by onnxruntime's own kernels, the same by Intel's OpenVINO, or an NVIDIA GPU."""

PROVIDERS: dict[Device, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}
CURES: dict[Device, str] = {
    "cpu": "pip install 'anpr[cpu]'",
    "openvino": "pip install 'anpr[openvino]' in place of 'anpr[cpu]', or set device = 'cpu'",
    "cuda": "pip install 'anpr[gpu]' on a machine with an NVIDIA driver, or set device = 'cpu'",
}


@dataclass(frozen=True, slots=True)
class Session:
    """A model loaded into onnxruntime. `run` may be called from one thread at a time."""

    model: ModelFolder
    runtime: Any

    @staticmethod
    def open(model: ModelFolder, *, device: Device = "cpu", threads: int = 1) -> Session:
        """Load `model` on `device`, and check that its input and output are what `model.toml` says.

        Raises DeviceError if the provider is missing, ModelError if the file does not load or does not fit.
        """
        provider = PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise DeviceError(
                f"onnxruntime has no {provider}",
                place=model.label,
                cure=CURES[device],
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if device != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        settings = {"device_type": "CPU", "num_of_threads": str(threads)} if device == "openvino" else {}
        try:
            runtime = onnxruntime.InferenceSession(str(model.onnx_path), options, providers=[(provider, settings)])
        except Exception as error:  # onnxruntime's exceptions share no root of their own
            raise ModelError(f"does not load: {error}", place=str(model.onnx_path), cure="restore it") from error
        session = Session(model, runtime)
        session._verify()
        return session

    def _verify(self) -> None:
        facts, place = self.model.facts, str(self.model.onnx_path)
        inputs, outputs = self.runtime.get_inputs(), self.runtime.get_outputs()
        if [i.name for i in inputs] != [facts.input.name] or [o.name for o in outputs] != facts.output.names:
            raise ModelError(
                f"has inputs {[i.name for i in inputs]} and outputs {[o.name for o in outputs]},"
                f" model.toml says {facts.input.name} and {', '.join(facts.output.names)}",
                place=place,
                cure="restore the model folder",
            )
        shape = inputs[0].shape
        stated = (facts.input.channels, facts.input.height, facts.input.width)
        fits = len(shape) == 4 and all(
            size == wanted for size, wanted in zip(shape[1:], stated, strict=True) if isinstance(size, int)
        )
        if not fits or inputs[0].type != "tensor(float)":
            raise ModelError(
                f"takes {inputs[0].type} {shape}, model.toml says (batch, {', '.join(map(str, stated))})",
                place=place,
                cure="restore the model folder",
            )

    @property
    def takes_any_size(self) -> bool:
        """Whether height and width of the input are free."""
        return not any(isinstance(size, int) for size in self.runtime.get_inputs()[0].shape[2:])

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Input (n, channels, height, width) -> output as the model's task says."""
        facts = self.model.facts
        result: NDArray[np.float32] = self.runtime.run([facts.output.name], {facts.input.name: batch})[0]
        return result

    def run_all(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The same with every output, in the order of `Output.names`."""
        facts = self.model.facts
        results: list[NDArray[np.float32]] = self.runtime.run(facts.output.names, {facts.input.name: batch})
        return results
