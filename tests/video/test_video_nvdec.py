"""Decoding to surfaces: one body for the processor and for NVDEC, and what is told where there is no such decoder."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from clips import write_clip
from gpus import need_gpu

from anpr.clock import ManualClock
from anpr.errors import DeviceError
from anpr.metrics import Counters
from anpr.ops.gpus import list_gpus
from anpr.ops.surfaces import Surface
from anpr.records import Frame
from anpr.video import nvdec as decoding
from anpr.video.decode import DecodeOptions
from anpr.video.nvdec import PICTURE, Nvdec, check_hardware, described, surface_of
from anpr.video.source import open_source, open_surfaces
from anpr.video.surface_frame import brought_home, planes_of, surface_frame_of


@pytest.fixture(params=["processor", "nvdec"])
def nvdec(request: pytest.FixtureRequest) -> Iterator[Nvdec | None]:
    if request.param == "processor":
        yield None
    else:
        yield Nvdec.open(need_gpu().number, at_once=2)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_surfaces_are_the_frames_of_software_decoding(
    tmp_path: Path, nvdec: Nvdec | None, codec: str, b_frames: int
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", codec=codec, frames=40, width=320, height=240, b_frames=b_frames)
    counters = Counters()
    options: dict[str, Any] = {"camera_id": "cam", "clock": ManualClock()}
    with (
        open_source(clip, **options) as expected,
        open_surfaces(clip, nvdec=nvdec, counters=counters, **options) as found,
    ):
        pairs = list(zip(expected, found, strict=True))
        assert found.facts == expected.facts
    assert len(pairs) == 40
    for frame, surface_frame in pairs:
        home = brought_home(surface_frame)
        for name in ("index", "pts_seconds", "wall_seconds", "tainted", "camera_id"):
            assert getattr(home, name) == getattr(frame, name) == getattr(surface_frame, name)
        for plane in ("luma", "chroma_u", "chroma_v"):
            np.testing.assert_array_equal(getattr(home, plane), getattr(frame, plane))
        assert surface_frame.surface.place == ("host" if nvdec is None else "device")
    assert counters.counts == {("frames_received", ""): 40}


def test_a_picture_described_by_pointers_is_its_dlpack_export() -> None:
    picture = av.VideoFrame(322, 240, "nv12")
    for plane in picture.planes:
        plane.update(np.random.default_rng(plane.index if hasattr(plane, "index") else 0).bytes(plane.buffer_size))
    surface = described(picture, "nv12", on_host=True)
    for place, plane, address, pitch in (
        (0, picture.planes[0], surface.luma_address, surface.luma_pitch_bytes),
        (1, picture.planes[1], surface.chroma_address, surface.chroma_pitch_bytes),
    ):
        exported = np.from_dlpack(plane)  # type: ignore[arg-type]  # planes export themselves
        assert exported.ctypes.data == address
        assert exported.strides[0] == pitch
        assert exported.shape == ((240, 322), (120, 161, 2))[place]
        first = ctypes.string_at(address, exported.shape[1])
        assert first == exported.reshape(exported.shape[0], -1)[0].tobytes()[: exported.shape[1]]


def test_a_frame_goes_to_a_surface_and_comes_home() -> None:
    random = np.random.default_rng(3)
    padded = random.integers(0, 255, (99, 128), np.uint8)
    chroma = random.integers(0, 255, (2, 50, 51), np.uint8)
    frame = Frame("cam", 7, 1.5, 9.0, padded[:, :101], chroma[0], chroma[1], tainted=True, arrival_seconds=4.0)
    there = surface_frame_of(frame)
    home = brought_home(there)
    assert (home.index, home.pts_seconds, home.tainted, home.arrival_seconds) == (7, 1.5, True, 4.0)
    np.testing.assert_array_equal(home.luma, frame.luma)
    np.testing.assert_array_equal(home.chroma_u, frame.chroma_u)
    np.testing.assert_array_equal(home.chroma_v, frame.chroma_v)
    luma, interleaved = planes_of(there.surface)
    assert luma.flags.c_contiguous
    assert interleaved.shape == (50, 51, 2)
    assert "101x99" in repr(there)


def test_a_surface_of_a_gpu_cannot_be_read_by_the_host() -> None:
    surface = Surface(
        width_px=64,
        height_px=48,
        layout="nv12",
        luma_address=2,
        luma_pitch_bytes=64,
        chroma_address=2,
        chroma_pitch_bytes=64,
    )
    with pytest.raises(TypeError):
        planes_of(surface)


def test_a_picture_that_is_not_on_a_gpu_is_an_error() -> None:
    with pytest.raises(DeviceError, match="came as yuv420p"):
        surface_of(av.VideoFrame(64, 48, "yuv420p"))


def test_software_decoding_in_place_of_a_gpu_is_an_error() -> None:
    context = av.CodecContext.create("h264", "r")
    with pytest.raises(DeviceError, match=r"gate.*NVDEC does not decode h264.*H\.265"):
        check_hardware(context, place="gate")  # type: ignore[arg-type]


def test_what_nvdec_does_not_decode_is_an_error_before_the_first_packet(tmp_path: Path) -> None:
    refused = {
        "libx264": ("yuv422p", "yuv444p", "yuv420p10le"),
        "libx265": ("yuv422p", "yuv444p10le"),
        "mjpeg": ("yuvj420p",),
    }
    taken = {"libx264": ("yuv420p",), "libx265": ("yuv420p", "yuv420p10le")}
    for codecs, message in ((refused, "NVDEC does not decode"), (taken, None)):
        for codec, formats in codecs.items():
            for pixel_format in formats:
                clip = write_clip(tmp_path / f"{codec}.mkv", codec=codec, frames=2, pixel_format=pixel_format)
                with av.open(str(clip)) as container:
                    context = container.streams.video[0].codec_context
                    opened: Any = SimpleNamespace(is_hwaccel=True, name=context.name, profile=context.profile)
                if message is None:
                    check_hardware(opened, place="gate")
                    continue
                with pytest.raises(DeviceError, match=message):
                    check_hardware(opened, place="gate")


def test_a_container_without_anything_for_nvdec_is_an_error_of_the_device(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mov", codec="prores_ks", frames=2, pixel_format="yuv422p10le")
    with (
        pytest.raises(DeviceError, match=r"clip\.mov: NVDEC does not decode it"),
        open_surfaces(clip, camera_id="cam", clock=ManualClock(), nvdec=Nvdec(0, nullcontext(), None)),
    ):
        pass


def test_the_picture_that_proves_a_decoder_is_one() -> None:
    context = av.CodecContext.create("h264", "r")
    (picture,) = [*context.decode(av.Packet(PICTURE)), *context.decode(None)]  # type: ignore[attr-defined]
    assert (picture.width, picture.height, picture.format.name) == (256, 256, "yuv420p")
    assert set(picture.to_ndarray().ravel()) == {128}


def test_a_gpu_whose_decoder_gives_nothing_cannot_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = SimpleNamespace(is_hwaccel=True, decode=lambda packet: [])
    library = SimpleNamespace(
        CodecContext=SimpleNamespace(create=lambda *_, **__: silent), Packet=bytes, error=av.error
    )
    monkeypatch.setattr(decoding, "av", library)
    with pytest.raises(DeviceError, match="GPU 0 cannot decode video"):
        Nvdec.open(0, at_once=1)


def test_without_a_gpu_nvdec_is_an_error_with_its_cure() -> None:
    if list_gpus():
        pytest.skip("a GPU is here")
    with pytest.raises(DeviceError, match=r"GPU 0 cannot decode video.*nvidia-smi.*device = 'cpu'"):
        Nvdec.open(0, at_once=1)


def test_the_context_is_asked_to_block_before_every_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(decoding, "wait_blocking", asked.append)
    device = Nvdec(3, nullcontext(), None)
    assert [device.acceleration().is_hw_owned for _ in range(2)] == [True, True]
    assert asked == [3, 3]


def test_images_are_not_decoded_by_a_gpu(tmp_path: Path) -> None:
    device: Any = SimpleNamespace(acceleration=lambda: None)
    with pytest.raises(DeviceError, match="images"):
        open_surfaces(tmp_path, camera_id="cam", clock=ManualClock(), nvdec=device, options=DecodeOptions())
