"""A net with fixed buffers, in batches of a few fixed sizes: what a GPU runs fastest, and the same on the processor.

The buffers are those of the operations before and after the net, so nothing is copied. A GPU records each batch size
once, as a CUDA graph, and plays it back: sizes and addresses must not change after that.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from anpr.errors import DeviceError, DeviceMemoryError
from anpr.nets.model import Facts
from anpr.nets.session import Session
from anpr.ops.contract import BLOCK_PX, Batches
from anpr.ops.surfaces import Array, DeviceArray

BUCKETS = (1, 4, 8, 16, 32, 64, 128)
"""Batch sizes that are prepared; a batch in between is run as the next larger one."""
WARM_RUNS = 4
"""Two make room, a third is recorded (onnxruntime may do all three in the first), the last plays it back."""
_OUT_OF_MEMORY = ("out of memory", "failed to allocate", "cuda failure 2:", "alloc_failed", "allocation failed")
"""onnxruntime tells a full GPU by words alone."""


def buckets(most: int) -> tuple[int, ...]:
    """The batch sizes up to `most`."""
    return (*(size for size in BUCKETS if size < most), most)


def input_shape(facts: Facts, *, height: int, width: int) -> tuple[int, int, int]:
    """Of one picture."""
    if facts.input.layout == "blocks":
        return height // BLOCK_PX, width // BLOCK_PX, BLOCK_PX**2
    return facts.input.channels, height, width


def output_shapes(facts: Facts, *, height: int, width: int) -> list[tuple[int, ...]]:
    """Of one picture, in the order of `facts.output.names`."""
    output = facts.output
    if facts.task == "detector":
        return [(10, height // output.stride, width // output.stride)]
    lattice = (output.slots, len(output.alphabet) + 1)
    return [lattice, (len(output.states),)] if output.judgement else [lattice]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """One session's buffers for pictures of one size. Use from the thread that opened and warmed it: onnxruntime keeps
    CUDA graphs for the thread that recorded them."""

    session: Session
    input: Array
    """(most, …): write the batch into its first rows."""
    outputs: tuple[Array, ...]
    """(most, …) each, in the order of the model's outputs."""
    sizes: tuple[int, ...]
    _bindings: tuple[Any, ...]
    _run_options: tuple[Any, ...]

    @staticmethod
    def open(
        session: Session,
        batches: Batches,
        *,
        height: int,
        width: int,
        most: int,
        gpu: int | None = None,
        graphs_from: int | None = None,
    ) -> Bound:
        """For pictures of `height` x `width` pixels. `gpu` is where the session runs; None is the processor.
        `graphs_from` is the first number of its CUDA graphs, each of which a session may use once; None makes none."""
        facts = session.model.facts
        shape, shapes = input_shape(facts, height=height, width=width), output_shapes(facts, height=height, width=width)
        kind = np.uint8 if facts.input.layout == "blocks" else np.float32
        source = batches.empty((most, *shape), kind)
        targets = tuple(batches.empty((most, *each), np.float32) for each in shapes)
        where = ("cpu", 0) if gpu is None else ("cuda", gpu)
        sizes, bindings, options = buckets(most), [], []
        for number, size in enumerate(sizes):
            binding = session.runtime.io_binding()
            binding.bind_input(facts.input.name, *where, kind, (size, *shape), address_of(source))
            for name, each, target in zip(facts.output.names, shapes, targets, strict=True):
                binding.bind_output(name, *where, np.float32, (size, *each), address_of(target))
            bindings.append(binding)
            options.append(_run_options(gpu, None if graphs_from is None else graphs_from + number))
        return Bound(session, source, targets, sizes, tuple(bindings), tuple(options))

    def run(self, count: int) -> None:
        """Queue the net on the first `count` rows of `input`. Raises DeviceMemoryError or DeviceError if it fails."""
        place = bisect_left(self.sizes, count)
        try:
            self.session.runtime.run_with_iobinding(self._bindings[place], self._run_options[place])
        except Exception as error:  # onnxruntime's exceptions share no root of their own
            label = self.session.model.label
            if any(words in str(error).lower() for words in _OUT_OF_MEMORY):
                problem = f"no memory is left for {self.sizes[place]} pictures at once"
                raise DeviceMemoryError(problem, place=label, cure="give this GPU fewer cameras") from error
            raise DeviceError(f"the net fails: {error}", place=label, cure="anpr doctor") from error

    def warm(self) -> None:
        """Run every batch size on whatever lies in the buffers, so that each is compiled and recorded.

        Nothing else of the process may use the GPU meanwhile: CUDA refuses others' allocations during a recording.
        """
        for size in self.sizes:
            for _ in range(WARM_RUNS):
                self.run(size)


def first(array: Array, count: int) -> Array:
    """The first `count` rows, in the same memory."""
    if isinstance(array, DeviceArray):
        return array.first(count)
    rows: Array = array[:count]  # type: ignore[index]  # the host's arrays are NumPy's
    return rows


def address_of(array: Array) -> int:
    """Where its memory begins."""
    if isinstance(array, DeviceArray):
        return array.address
    host: NDArray[Any] = array  # type: ignore[assignment]
    return int(host.ctypes.data)


def _run_options(gpu: int | None, graph: int | None) -> Any:
    options = onnxruntime.RunOptions()
    if gpu is not None:
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        options.add_run_config_entry("gpu_graph_id", "-1" if graph is None else str(graph))
    return options
