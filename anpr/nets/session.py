"""Running an ONNX model: one session contract, one thread, no spinning, fixed shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from anpr.errors import DeviceError, ModelError
from anpr.nets.model import Input, ModelFolder
from anpr.nets.providers import CURES, Device, Provider, providers
from anpr.ops.contract import BLOCK_PX

_OF_THE_FILE = frozenset({"NoSuchFile", "InvalidProtobuf", "InvalidGraph"})
"""onnxruntime's exceptions that speak of a model and not of what shall run it. Where CUDA's libraries or the GPU are
missing, it merely says that something is left for the processor, which it may not have."""


@dataclass(frozen=True, slots=True)
class Session:
    """A model loaded into onnxruntime. `run` may be called from one thread at a time."""

    model: ModelFolder
    runtime: Any

    @staticmethod
    def open(
        model: ModelFolder, *, device: Device = "cpu", threads: int = 1, chosen: Sequence[Provider] | None = None
    ) -> Session:
        """Load `model` on `device`, and check that its input and output are what `model.toml` says.

        `chosen` are its providers where they need more than the defaults. Raises DeviceError if the provider is missing
        or does not start, ModelError if the file does not load or does not fit.
        """
        chosen = providers(device, model, threads=threads) if chosen is None else chosen
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if device != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        path = str(model.onnx_path)
        try:
            runtime = onnxruntime.InferenceSession(path, options, providers=list(chosen), enable_fallback=0)
        except Exception as error:  # onnxruntime's exceptions share no root of their own
            if device != "cpu" and type(error).__name__ not in _OF_THE_FILE:
                problem = f"{chosen[0][0]} does not start: {error}"
                raise DeviceError(problem, place=model.label, cure=CURES[device]) from error
            raise ModelError(f"does not load: {error}", place=path, cure="restore it") from error
        if runtime.get_providers()[0] != chosen[0][0]:  # a provider that does not start is left out without an error
            raise DeviceError(f"{chosen[0][0]} does not start", place=model.label, cure=CURES[device])
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
        kind, stated = _stated_input(facts.input)
        fits = len(shape) == 4 and all(
            size == wanted for size, wanted in zip(shape[1:], stated, strict=True) if isinstance(size, int)
        )
        if not fits or inputs[0].type != kind:
            raise ModelError(
                f"takes {inputs[0].type} {shape}, model.toml says {kind} (batch, {', '.join(map(str, stated))})",
                place=place,
                cure="restore the model folder",
            )

    @property
    def takes_any_size(self) -> bool:
        """Whether height and width of the input are free."""
        sides = slice(1, 3) if self.model.facts.input.layout == "blocks" else slice(2, 4)
        return not any(isinstance(size, int) for size in self.runtime.get_inputs()[0].shape[sides])

    def run(self, batch: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Input as `model.toml` lays it out -> output as the model's task says."""
        facts = self.model.facts
        result: NDArray[np.float32] = self.runtime.run([facts.output.name], {facts.input.name: batch})[0]
        return result

    def run_all(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The same with every output, in the order of `Output.names`."""
        facts = self.model.facts
        results: list[NDArray[np.float32]] = self.runtime.run(facts.output.names, {facts.input.name: batch})
        return results


def _stated_input(facts: Input) -> tuple[str, tuple[int, int, int]]:
    """Type and shape, without the batch, that a model must take."""
    if facts.layout == "blocks":
        return "tensor(uint8)", (facts.height // BLOCK_PX, facts.width // BLOCK_PX, BLOCK_PX**2)
    return "tensor(float)", (facts.channels, facts.height, facts.width)
