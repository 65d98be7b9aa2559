"""Decoding on an NVIDIA GPU through libavcodec: what to ask PyAV for, and the pictures that come out, as surfaces.

The pictures stay in device memory. By default libavcodec copies each out of the decoder's own few surfaces (its
`hwaccel_flags` without `unsafe_output`), so that a picture may be kept as long as its memory is there.

libavcodec wants a GPU's primary context to block rather than spin while it waits, and refuses one that somebody has
started otherwise ("Primary context already active with incompatible flags", hwcontext_cuda.c). So the same is asked for
before every decoder, and onnxruntime must come after `Nvdec.open` or `anpr.ops.cuda_driver`.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext

from anpr.errors import DeviceError
from anpr.ops.gpus import wait_blocking
from anpr.ops.surfaces import Layout, Surface

DEVICE_FORMAT = "cuda"
"""libav's name of a picture in the memory of an NVIDIA GPU."""
LAYOUTS: dict[str, Layout] = {"nv12": "nv12", "p010le": "p010", "p016le": "p010"}
"""What such a picture holds, by libav's name; P016 is P010 with two more bits, in the same place."""
CURE = (
    "check nvidia-smi; in a container add the driver's video capability (NVIDIA_DRIVER_CAPABILITIES=compute,video,"
    "utility); Jetson has no such decoder; or set device = 'cpu'"
)
STREAM_CURE = "set the camera to H.264 or H.265, 4:2:0, 8 bit (H.265 also 10), or take a pipeline with device = 'cpu'"
CODECS = frozenset({"h264", "hevc"})
BEYOND = frozenset(
    {"High 10", "High 10 Intra", "High 4:2:2", "High 4:2:2 Intra", "High 4:4:4", "High 4:4:4 Predictive"}
    | {"High 4:4:4 Intra", "CAVLC 4:4:4", "Rext"}
)
"""Profiles, by libav's name, that NVDEC does not decode, or not into a surface that the kernels take. Asked to, libav
would refuse packet after packet."""
PICTURE = bytes.fromhex(
    "00000001674d400dda04021a1000000300100000030320f142aa0000000168ef0f2c80000000016588840afffef692ea58e77925ecd2fc4fd5fe"
    "188de19e1a1a603d9657dbb2accc34800000cf82737d8b2247a56414074d"
)
"""A grey picture of 256 x 256, H.264 (Main, by x264): whether it decodes tells more than whether a GPU answers."""


@dataclass(frozen=True, slots=True)
class Nvdec:
    """A GPU that decodes, for the streams of one process. Holding it keeps the primary context as libav wants it."""

    gpu: int
    turn: AbstractContextManager[object]
    """Entered around every call of a decoder: more at once than the GPU has engines only wait for one another."""
    _anchor: Any
    """A decoder that decodes nothing; its device context holds the primary context."""

    @staticmethod
    def open(gpu: int, *, at_once: int) -> Nvdec:
        """GPU number `gpu`, at most `at_once` decoders of it at work. Raises DeviceError if there is no such GPU, no
        driver for it, or if it does not decode a picture: libav loads the driver's decoder as late as that."""
        try:
            anchor, first = (av.CodecContext.create("h264", "r", hwaccel=_acceleration(gpu)) for _ in range(2))
            if not anchor.is_hwaccel:
                raise DeviceError("this build of PyAV has no NVDEC", cure="pip install 'anpr[gpu]' on x86-64 Linux")
            pictures = [*first.decode(av.Packet(PICTURE)), *first.decode(None)]
        except av.error.FFmpegError as error:
            problem = f"GPU {gpu} cannot decode video ({error.strerror or type(error).__name__})"
            raise DeviceError(problem, cure=CURE) from error
        if len(pictures) != 1:
            raise DeviceError(f"GPU {gpu} cannot decode video (no picture came out)", cure=CURE)
        surface_of(pictures[0])
        return Nvdec(gpu, threading.BoundedSemaphore(at_once), anchor)

    def acceleration(self) -> HWAccel:
        """What `av.open` is to be given: this GPU and nothing else, the pictures left there."""
        return _acceleration(self.gpu)


def _acceleration(gpu: int) -> HWAccel:
    wait_blocking(gpu)
    return HWAccel(DEVICE_FORMAT, device=str(gpu), allow_software_fallback=False, is_hw_owned=True)


def check_hardware(context: VideoCodecContext, *, place: str) -> None:
    """Raises DeviceError unless a stream's decoder is NVDEC, and takes what the stream is said to hold: libav would
    else decode in software, or nothing at all, without a word."""
    if not context.is_hwaccel or context.name not in CODECS:
        raise DeviceError(f"NVDEC does not decode {context.name}", place=place, cure=STREAM_CURE)
    if context.profile in BEYOND:
        raise DeviceError(f"NVDEC does not decode {context.name} {context.profile}", place=place, cure=STREAM_CURE)


def open_container(location: str, *, place: str, nvdec: Nvdec | None, **options: Any) -> InputContainer:
    """`av.open` for reading, whose `options` it takes; what it finds is decoded by `nvdec`, if given.

    Raises FFmpegError, and DeviceError if nothing in it can be decoded by a GPU.
    """
    try:
        container: InputContainer = av.open(
            location, hwaccel=None if nvdec is None else nvdec.acceleration(), **options
        )
    except RuntimeError as error:
        if isinstance(error, av.error.FFmpegError):
            raise
        raise DeviceError("NVDEC does not decode it", place=place, cure=STREAM_CURE) from error
    return container


def surface_of(picture: av.VideoFrame) -> Surface:
    """The surface of a decoded picture, whose memory it keeps. Raises DeviceError for one that is not on a GPU."""
    inside = picture.sw_format
    if picture.format.name != DEVICE_FORMAT or inside is None or inside.name not in LAYOUTS:
        found = f"{picture.format.name} with {inside.name}" if inside is not None else picture.format.name
        raise DeviceError(f"a picture of NVDEC came as {found}", cure="set the camera to 4:2:0, 8 or 10 bit")
    return described(picture, LAYOUTS[inside.name])


def described(picture: av.VideoFrame, layout: Layout, *, on_host: bool = False) -> Surface:
    """The two planes of a picture as libav's pointers and pitches tell them, which are those of its DLPack export."""
    luma, chroma = picture.planes[:2]
    return Surface(
        width_px=picture.width,
        height_px=picture.height,
        layout=layout,
        luma_address=luma.buffer_ptr,
        luma_pitch_bytes=luma.line_size,
        chroma_address=chroma.buffer_ptr,
        chroma_pitch_bytes=chroma.line_size,
        place="host" if on_host else "device",
        owner=picture,
    )
