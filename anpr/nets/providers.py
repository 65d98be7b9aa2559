"""What runs the nets, and how onnxruntime is told: one execution provider, the one asked for, with its settings.

Settings after onnxruntime's pages on its CUDA and TensorRT execution providers. A GPU's net works on the stream of the
operations around it (`user_compute_stream`), so that nothing has to wait in between; a stream of handle 0 would be
taken for none.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime

from anpr.errors import DeviceError
from anpr.nets.model import ModelFolder

Device = Literal["cpu", "openvino", "cuda", "tensorrt"]
"""What runs the nets: the processor by onnxruntime's own kernels, the same by Intel's OpenVINO, an NVIDIA GPU by
onnxruntime's kernels, or the same by TensorRT."""

PROVIDERS: dict[Device, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
CURES: dict[Device, str] = {
    "cpu": "pip install 'anpr[cpu]'",
    "openvino": "pip install 'anpr[openvino]' in place of 'anpr[cpu]', or set device = 'cpu'",
    "cuda": "pip uninstall onnxruntime, pip install 'anpr[gpu]' on a machine with an NVIDIA driver, or set"
    " device = 'cpu'",
    "tensorrt": "pip uninstall onnxruntime, pip install 'anpr[gpu]', and TensorRT 10 from pypi.nvidia.com:"
    " tensorrt-cu13-libs<11; or set device = 'cuda'",
}
TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
"""The version that onnxruntime's provider is linked with."""

Provider = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class GpuPlace:
    """Where on a GPU a net works."""

    number: int
    name: str
    stream_handle: int
    """Of the stream that is shared, never 0."""
    cache: Path
    """Where TensorRT's engines are kept."""

    def __post_init__(self) -> None:
        if not self.stream_handle:
            raise ValueError("handle 0 is the default stream: onnxruntime would use one of its own")


def is_available(device: Device) -> bool:
    """Whether the installed onnxruntime has the provider; it may still not start."""
    return PROVIDERS[device] in onnxruntime.get_available_providers()


def providers(
    device: Device,
    model: ModelFolder,
    *,
    threads: int = 1,
    place: GpuPlace | None = None,
    shapes: Sequence[tuple[int, ...]] = (),
    batch_most: int = 1,
) -> list[Provider]:
    """The providers to name to onnxruntime, the one asked for first.

    `shapes` are those of one picture that a GPU's net will be given, in batches of up to `batch_most`. Raises
    DeviceError if onnxruntime lacks the provider, ValueError if a GPU is asked for and no place on one is given.
    """
    name = PROVIDERS[device]
    if not is_available(device):
        raise DeviceError(f"onnxruntime has no {name}", place=model.label, cure=CURES[device])
    if device == "cpu":
        return [(name, {})]
    if device == "openvino":
        return [(name, {"device_type": "CPU", "num_of_threads": str(threads)})]
    if place is None:
        raise ValueError(f"{device} needs a place on a GPU")
    if device == "cuda":
        return [(name, _cuda(place, graphs=True))]
    load_tensorrt()
    # What TensorRT does not take runs on the same GPU by onnxruntime's kernels, never on the processor.
    return [(name, _tensorrt(place, model, shapes, batch_most)), (PROVIDERS["cuda"], _cuda(place, graphs=False))]


def preload() -> None:
    """Load the CUDA libraries that pip has installed, before the first net on a GPU needs them."""
    if is_available("cuda"):
        onnxruntime.preload_dlls()


def load_tensorrt() -> int:
    """Load TensorRT's libraries, from pip's `tensorrt_libs` or where the system keeps them; returns its version.

    Raises DeviceError if they are not there.
    """
    package = importlib.util.find_spec("tensorrt_libs")
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    loaded: list[ctypes.CDLL] = []
    for library in TENSORRT_LIBRARIES:
        places = [path for folder in folders if (path := Path(folder) / library).exists()]
        try:
            loaded.append(ctypes.CDLL(str(places[0]) if places else library, mode=ctypes.RTLD_GLOBAL))
        except OSError as error:
            raise DeviceError(f"TensorRT does not load: {error}", cure=CURES["tensorrt"]) from error
    return int(loaded[0].getInferLibVersion())


def engine_key(model: ModelFolder, *, gpu: str, tensorrt: int) -> str:
    """Name of the folder of a model's engines: they fit this model, runtime, TensorRT and kind of GPU alone."""
    parts = (model.facts.name, model.facts.sha256[:16], f"ort{onnxruntime.__version__}", f"trt{tensorrt}", gpu)
    return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part) for part in parts)


def _cuda(place: GpuPlace, *, graphs: bool) -> dict[str, str]:
    return {
        "device_id": str(place.number),
        "user_compute_stream": str(place.stream_handle),
        "do_copy_in_default_stream": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "prefer_nhwc": "1",
        "enable_cuda_graph": "1" if graphs else "0",
    }


def _tensorrt(
    place: GpuPlace, model: ModelFolder, shapes: Sequence[tuple[int, ...]], batch_most: int
) -> dict[str, str]:
    key = engine_key(model, gpu=place.name, tensorrt=load_tensorrt())
    folder = place.cache / key
    folder.mkdir(parents=True, exist_ok=True)
    smallest = tuple(min(sizes) for sizes in zip(*shapes, strict=True))
    largest = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    profile = {"min": (1, *smallest), "opt": (batch_most, *largest), "max": (batch_most, *largest)}
    return {
        "device_id": str(place.number),
        "user_compute_stream": str(place.stream_handle),
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        **{
            f"trt_profile_{name}_shapes": f"{model.facts.input.name}:{'x'.join(map(str, shape))}"
            for name, shape in profile.items()
        },
    }
