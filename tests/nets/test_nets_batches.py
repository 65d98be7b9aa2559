"""Nets with fixed buffers over batches of surfaces: the same as one picture after the other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.clock import SystemClock
from anpr.errors import DeviceError, DeviceMemoryError, ModelError
from anpr.nets import providers as providing
from anpr.nets.batch_detector import BatchDetector
from anpr.nets.batch_reader import BatchReader, Found
from anpr.nets.bound import buckets
from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.nets.providers import GpuPlace, engine_key, providers
from anpr.nets.reader import Reader, ReaderOptions
from anpr.nets.session import Session
from anpr.ops.contract import open_batches
from anpr.records import Frame
from anpr.video.source import open_source
from anpr.video.surface_frame import surface_frame_of

CLIP = Path(__file__).parents[2] / "configs/demo/expressway.mp4"


@pytest.fixture(scope="module")
def pictures() -> list[Frame]:
    """Every twentieth of the demo's first ones."""
    with open_source(CLIP, camera_id="cam", clock=SystemClock()) as source:
        return [frame for frame, _ in zip(source, range(161), strict=False) if frame.index % 20 == 0]


@pytest.mark.parametrize("zooms", [(1.0,), (1.0, 0.5)])
def test_batches_find_and_read_what_single_pictures_give(pictures: list[Frame], zooms: tuple[float, ...]) -> None:
    batches, options = open_batches("cpu"), DetectorOptions(zooms=zooms)
    common: dict[str, Any] = {"device": "cpu", "place": None}
    models = ModelFolder.load("detector"), ModelFolder.load("reader")
    detector = BatchDetector.open(models[0], options, batches, most=4, **common)
    reader = BatchReader.open(models[1], ReaderOptions(), batches, most=3, **common)
    detector.warm()
    reader.warm()
    single, single_reader = Detector.open(models[0], options), Reader.open(models[1])
    compared = 0
    for start in range(0, len(pictures), 4):
        part = pictures[start : start + 4]
        surfaces = [surface_frame_of(frame).surface for frame in part]
        for frame, surface, plates in zip(part, surfaces, detector.detect(surfaces), strict=True):
            expected = single.detect(frame)
            found = reader.read([Found(surface, plate) for plate in plates]) if plates else []
            assert [plate.colour for plate, _ in found] == [plate.colour for plate in expected]
            for (plate, read), other, said in zip(found, expected, single_reader.read(frame, expected), strict=True):
                np.testing.assert_array_equal(plate.quad, other.quad)
                assert read is not None
                np.testing.assert_array_equal(read.log_probs, said.log_probs)
                assert (read.text, read.unreadable) == (said.text, said.unreadable)
                compared += 1
    assert compared >= 5


def test_plates_that_need_no_read_get_their_colour_alone(pictures: list[Frame]) -> None:
    batches = open_batches("cpu")
    frame = next(frame for frame in pictures if Detector.open(ModelFolder.load("detector")).detect(frame))
    plates = Detector.open(ModelFolder.load("detector")).detect(frame)
    reader = BatchReader.open(ModelFolder.load("reader"), ReaderOptions(), batches, device="cpu", place=None, most=8)
    surface = surface_frame_of(frame).surface
    (none,) = {read for _, read in reader.read([Found(surface, plate, wanted=False) for plate in plates])}
    assert none is None
    mixed = reader.read([Found(surface, plates[0], wanted=False), Found(surface, plates[0])])
    assert [read is None for _, read in mixed] == [True, False]


@given(st.integers(1, 128))
def test_every_batch_has_a_size_that_is_prepared(most: int) -> None:
    sizes = buckets(most)
    assert sizes[-1] == most
    assert list(sizes) == sorted(set(sizes))
    assert all(later <= 4 * earlier for earlier, later in pairwise(sizes))


class Failing:
    """A runtime whose runs end badly."""

    def __init__(self, words: str) -> None:
        self.words = words

    def run_with_iobinding(self, *_: object) -> None:
        raise RuntimeError(self.words)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("BFCArena: Failed to allocate memory for requested buffer of size 4096", DeviceMemoryError),
        ("CUDA failure 2: out of memory", DeviceMemoryError),
        ("CUDA failure 700: an illegal memory access was encountered", DeviceError),
    ],
)
def test_a_net_that_fails_tells_whether_memory_was_short(words: str, kind: type[DeviceError]) -> None:
    batches = open_batches("cpu")
    reader = BatchReader.open(ModelFolder.load("reader"), ReaderOptions(), batches, device="cpu", place=None, most=2)
    net = replace(reader.net, session=replace(reader.net.session, runtime=Failing(words)))
    with pytest.raises(kind) as caught:
        net.run(1)
    assert type(caught.value) is kind


def place(tmp_path: Path, handle: int = 4096) -> GpuPlace:
    return GpuPlace(number=1, name="NVIDIA L4", stream_handle=handle, cache=tmp_path)


def test_stream_0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="default stream"):
        place(tmp_path, 0)


def test_what_onnxruntime_is_told_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = list(providing.PROVIDERS.values())
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: every)
    monkeypatch.setattr(providing, "load_tensorrt", lambda: 101601)
    model = ModelFolder.load("detector-fp16")
    ((name, settings),) = providers("cuda", model, place=place(tmp_path))
    assert name == "CUDAExecutionProvider"
    assert settings["device_id"] == "1"
    assert settings["user_compute_stream"] == "4096"
    assert settings["enable_cuda_graph"] == "1"
    shapes = [(1, 384, 640), (1, 192, 320)]
    chosen = providers("tensorrt", model, place=place(tmp_path), shapes=shapes, batch_most=16)
    assert [name for name, _ in chosen] == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    engine = chosen[0][1]
    assert engine["trt_profile_min_shapes"] == "luma:1x1x192x320"
    assert engine["trt_profile_opt_shapes"] == engine["trt_profile_max_shapes"] == "luma:16x1x384x640"
    folder = Path(engine["trt_engine_cache_path"])
    assert folder.parent == tmp_path
    assert folder.is_dir()
    assert chosen[1][1]["enable_cuda_graph"] == "0"
    with pytest.raises(ValueError, match="place"):
        providers("cuda", model)


def test_an_engine_fits_one_model_runtime_and_gpu() -> None:
    models = ModelFolder.load("detector-fp16"), ModelFolder.load("reader-fp16")
    keys = {
        engine_key(model, gpu=gpu, tensorrt=version)
        for model in models
        for gpu in ("NVIDIA L4", "Tesla T4")
        for version in (101600, 101601)
    }
    assert len(keys) == 8
    assert all(onnxruntime.__version__ in key and "/" not in key and " " not in key for key in keys)


@pytest.mark.parametrize(("name", "kind"), [("Fail", DeviceError), ("InvalidProtobuf", ModelError)])
def test_libraries_that_are_missing_are_no_fault_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type[Exception]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise type(name, (Exception,), {})("fallback to CPU EP has been explicitly disabled by the user")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(providing.PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    model = ModelFolder.load("detector-fp16")
    with pytest.raises(kind) as caught:
        Session.open(model, device="cuda", chosen=providers("cuda", model, place=place(tmp_path)))
    assert ("anpr[gpu]" in str(caught.value)) is (kind is DeviceError)
