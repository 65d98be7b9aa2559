"""The device over surfaces: what it is built from, what it refuses, and which cameras go to which GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anpr import assets
from anpr.cli.run import assign
from anpr.config import load_pipeline, load_site
from anpr.config.pipeline import Pipeline, Preset
from anpr.engine import surface_device
from anpr.engine.device import Device
from anpr.engine.diagnosis import examine
from anpr.engine.pipeline import build_stages, is_on_gpu, net_device, resolved
from anpr.engine.simulation import SimulatedDevice
from anpr.engine.surface_device import SurfaceDevice, check_device, rehearse_device
from anpr.errors import ConfigError, DeviceError
from anpr.ops.gpus import Gpu, list_gpus
from anpr.ops.surfaces import DeviceArray, Surface

PRESETS = sorted(path.stem for path in assets.folder("pipelines").glob("gpu-*.toml"))
L4 = Gpu(number=0, name="NVIDIA L4", capability=(8, 9), memory_bytes=24 << 30)


def pipeline_of(**settings: Any) -> Pipeline:
    return Pipeline.of(Preset.model_validate(settings), name="made")


def is_a_device(device: Device) -> Device:
    """Fails in the type checker if one of the twins is no Device."""
    return device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that seems to have two, and the packages for them."""
    gpus = (L4, Gpu(number=1, name="NVIDIA L4", capability=(8, 9), memory_bytes=24 << 30))
    monkeypatch.setattr(surface_device, "list_gpus", lambda: gpus)
    monkeypatch.setattr(surface_device, "is_available", lambda _: True)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_for_gpus_works_on_one_and_names_nets_for_it(name: str, two_gpus: None) -> None:
    pipeline = load_pipeline(name)
    assert is_on_gpu(pipeline)
    assert [label.partition("@")[0] for label in check_device(pipeline)] == ["detector-fp16", "reader-fp16"]
    with pytest.raises(DeviceError, match="device = 'cpu'"):
        build_stages(pipeline)


def test_the_device_of_the_processor_takes_a_batch_of_drawn_pictures() -> None:
    device = SurfaceDevice.open(pipeline_of(gpu={"batch": 2, "plates": 2}), None)
    is_a_device(device)
    is_a_device(SimulatedDevice())
    assert 0 < rehearse_device(device) < 60
    device.close()


def test_a_second_reader_is_refused() -> None:
    with pytest.raises(ConfigError, match="second reader"):
        SurfaceDevice.open(pipeline_of(second_reader={"model": "reader"}), None)
    with pytest.raises(ConfigError, match="second reader"):
        check_device(pipeline_of(device="cuda", second_reader={"model": "reader"}))


def test_plates_that_are_to_be_cut_out_again_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"cut out once.*cut_again_below"):
        SurfaceDevice.open(pipeline_of(reader={"cut_again_below": 0.9}), None)


def test_what_is_asked_for_and_missing_is_an_error_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    if list_gpus():
        pytest.skip("a GPU is here")
    with pytest.raises(DeviceError, match=r"no CUDAExecutionProvider.*anpr\[gpu\]"):
        check_device(pipeline_of(device="cuda"))
    monkeypatch.setattr(surface_device, "is_available", lambda _: True)
    with pytest.raises(DeviceError, match=r"GPU 0 was asked for, none is there.*nvidia-smi"):
        check_device(pipeline_of(device="cuda"))
    monkeypatch.setattr(surface_device, "list_gpus", lambda: (L4,))
    with pytest.raises(DeviceError, match="GPU 3 was asked for, GPUs 0 are there"):
        check_device(pipeline_of(device="cuda", gpu={"numbers": [0, 3]}))


def test_auto_is_decided_once_and_keeps_the_files_name_and_hash() -> None:
    asked = pipeline_of(device="auto")
    found = resolved(asked)
    assert found.settings.device == net_device(asked)
    assert found.label == asked.label
    if not list_gpus():
        assert found.settings.device == "cpu"


@dataclass
class Copies:
    """Batches of a GPU that only keeps what is put there."""

    place: str = "device"
    puts: int = 0
    rooms: int = 0

    def put(self, values: NDArray[Any], into: DeviceArray | None = None) -> DeviceArray:
        self.puts += 1
        self.rooms += into is not None
        kept = values.copy()
        return into or DeviceArray(kept.ctypes.data, kept.shape, kept.dtype, kept)


def test_pictures_of_the_host_are_copied_to_the_gpu_once_and_into_old_room() -> None:
    batches = Copies()
    nothing: Any = None
    device = SurfaceDevice(2, (), None, batches, nothing, nothing, nothing)  # type: ignore[arg-type]
    chroma = np.full((24, 32, 2), 128, np.uint8)
    pictures = [Surface.on_host(np.full((48, 64), level, np.uint8), chroma) for level in range(6)]
    for picture in pictures[:4]:
        placed = device._placed(picture)
        assert device._placed(picture) is placed
        assert placed.place == "device"
        assert (placed.width_px, placed.luma_pitch_bytes, placed.chroma_pitch_bytes) == (64, 64, 64)
    assert (batches.puts, batches.rooms) == (8, 0)
    device._placed(pictures[4])
    assert (batches.puts, batches.rooms) == (10, 2)
    assert len(device._uploads) == 4
    there = device._placed(pictures[5])
    assert device._placed(there) is there


SITE = """
[box]
id = "box"
[site]
id = "site"
[store]
path = "store"
[bus]
endpoint = "tcp://127.0.0.1:7781"
"""


def test_cameras_are_spread_over_gpus_and_processes_and_the_rest_over_cores(tmp_path: Path, two_gpus: None) -> None:
    own = '[gpu]\nnumbers = [0, 1]\nworkers = 2\n[detector]\nmodel = "detector-fp16"\n'
    (tmp_path / "both.toml").write_text(f'device = "cuda"\n{own}', encoding="utf-8")
    cameras = "".join(
        f'[[cameras]]\nid = "cam-{number}"\nurl = "rtsp://10.0.0.{number}/x"\npipeline = "{name}"\n'
        for number, name in enumerate(["both.toml"] * 6 + ["cpu"] * 2, 1)
    )
    (tmp_path / "site.toml").write_text(SITE + cameras, encoding="utf-8")
    assignments = assign(load_site(tmp_path / "site.toml"), cores=2, log_level="error", log_as_json=True)
    spread = [([camera.id for camera, _ in each.cameras], each.gpu, each.open_device) for each in assignments]
    assert spread == [
        (["cam-7"], None, None),
        (["cam-8"], None, None),
        (["cam-1", "cam-5"], 0, SurfaceDevice.open),
        (["cam-2", "cam-6"], 1, SurfaceDevice.open),
        (["cam-3"], 0, SurfaceDevice.open),
        (["cam-4"], 1, SurfaceDevice.open),
    ]


def test_the_doctor_says_what_a_gpu_pipeline_lacks(tmp_path: Path) -> None:
    if list_gpus():
        pytest.skip("a GPU is here")
    camera = '[[cameras]]\nid = "cam"\nurl = "rtsp://127.0.0.1:9/x"\npipeline = "gpu-t4"\n'
    (tmp_path / "site.toml").write_text(SITE + camera, encoding="utf-8")
    findings = {each.subject: each for each in examine(load_site(tmp_path / "site.toml"))}
    assert not findings["pipeline gpu-t4"].ok
    assert "nvidia-smi" in findings["pipeline gpu-t4"].cure
