"""A device over batches of surfaces: an NVIDIA GPU, or the processor in its place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from anpr import assets
from anpr.config.pipeline import Pipeline
from anpr.engine.gate import FIRST_NOISE, GateOptions, Lane, lane_cells
from anpr.engine.pipeline import net_device, values_of
from anpr.errors import ConfigError, DeviceError
from anpr.nets.batch_detector import BatchDetector
from anpr.nets.batch_reader import BatchReader, Found
from anpr.nets.bound import address_of, first
from anpr.nets.detector import DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.nets.providers import CURES, PROVIDERS, GpuPlace, is_available
from anpr.nets.reader import ReaderOptions
from anpr.ops.contract import CELL_PX, Batches, open_batches
from anpr.ops.gpus import Gpu, list_gpus
from anpr.ops.surfaces import Array, Surface
from anpr.records import Frame, Plate, Read
from anpr.video.nvdec import Nvdec
from anpr.video.surface_frame import SurfaceFrame, brought_home, planes_of


@dataclass(slots=True)
class _Scene:
    """What is kept of a camera to see what moves."""

    lanes: Sequence[Lane]
    size: tuple[int, int] = (0, 0)
    """Of its pictures, (height, width)."""
    arrays: tuple[Array, Array, Array] | None = None
    """Levels, scene and lanes, as the operations want them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Upload:
    """A picture of the host, and its copy."""

    source: Surface
    placed: Surface
    arrays: tuple[Array, Array]


@dataclass(slots=True, eq=False)
class SurfaceDevice:
    """See `anpr.engine.device.Device`."""

    most: int
    models: tuple[str, ...]
    nvdec: Nvdec | None
    _batches: Batches
    _detector: BatchDetector
    _reader: BatchReader
    _moved: Array
    _scenes: dict[str, _Scene] = field(default_factory=dict)
    _uploads: dict[int, _Upload] = field(default_factory=dict)
    """Of the newest pictures that were decoded elsewhere, the oldest first, by their surface's identity."""

    @staticmethod
    def open(pipeline: Pipeline, gpu: int | None) -> SurfaceDevice:
        """What `pipeline` asks for, on GPU number `gpu` or, if None, on the processor.

        Takes seconds, with TensorRT's first engine for a model minutes. Raises DeviceError, ModelError or ConfigError.
        """
        _check_reading(pipeline)
        settings = pipeline.settings
        detector = ModelFolder.load(settings.detector.model, "detector")
        reader = ModelFolder.load(settings.reader.model, "reader")
        # Before anything else touches the GPU: see anpr.video.nvdec.
        hardware = gpu is not None and settings.gpu.decoder == "nvdec"
        nvdec = Nvdec.open(gpu or 0, at_once=settings.gpu.decodes) if hardware else None
        batches = open_batches("cpu" if gpu is None else "cuda", device=gpu or 0)
        try:
            common: dict[str, Any] = {
                "device": net_device(pipeline) if gpu is not None else "cpu",
                "place": None if gpu is None else _place(gpu, batches),
                "threads": settings.threads,
            }
            device = SurfaceDevice(
                most=settings.gpu.batch,
                models=(detector.label, reader.label),
                nvdec=nvdec,
                _batches=batches,
                _detector=BatchDetector.open(
                    detector,
                    DetectorOptions(**values_of(settings.detector, but="model")),
                    batches,
                    most=settings.gpu.batch,
                    **common,
                ),
                _reader=BatchReader.open(
                    reader,
                    ReaderOptions(**values_of(settings.reader, but="model")),
                    batches,
                    most=settings.gpu.plates,
                    **common,
                ),
                _moved=batches.empty((settings.gpu.batch,), np.int32),
            )
            device._detector.warm()
            device._reader.warm()
            batches.synchronize()
        except BaseException:
            batches.close()
            raise
        return device

    def admit(self, camera_id: str, lanes: Sequence[Lane]) -> None:
        self._scenes[camera_id] = _Scene(lanes)

    def dismiss(self, camera_id: str) -> None:
        self._scenes.pop(camera_id, None)

    def measure(self, pictures: Sequence[SurfaceFrame], options: GateOptions) -> list[bool]:
        results: list[bool] = []
        for start in range(0, len(pictures), self.most):
            results += self._measure(pictures[start : start + self.most], options)
        return results

    def note_looks(self, camera_ids: Sequence[str]) -> None:
        known = [arrays for camera_id in camera_ids if (arrays := self._scenes[camera_id].arrays) is not None]
        self._batches.note_looks([levels for levels, _, _ in known], [scene for _, scene, _ in known])

    def detect(self, pictures: Sequence[SurfaceFrame]) -> list[list[Plate]]:
        return self._detector.detect([self._placed(picture.surface) for picture in pictures])

    def read(self, found: Sequence[Found]) -> list[tuple[Plate, Read | None]]:
        return self._reader.read([replace(each, surface=self._placed(each.surface)) for each in found])

    def bring_home(self, picture: SurfaceFrame) -> Frame:
        return brought_home(picture)

    def close(self) -> None:
        self._scenes.clear()
        self._uploads.clear()
        del self._detector, self._reader  # their sessions end in this thread, and before the stream that they work on
        with suppress(DeviceError):  # it may be the reason for closing
            self._batches.close()

    def _placed(self, surface: Surface) -> Surface:
        """The picture where the operations work; one of the host is copied there, into the memory of an older one."""
        if surface.place == self._batches.place:
            return surface
        known = self._uploads.get(id(surface))
        if known is not None and known.source is surface:
            return known.placed
        luma, chroma = planes_of(surface)
        room: tuple[Array | None, Array | None] = (None, None)
        if len(self._uploads) >= 2 * self.most:  # those of the present batch are still needed
            oldest = self._uploads.pop(next(iter(self._uploads)))
            if oldest.arrays[0].shape == luma.shape:
                room = oldest.arrays
        arrays = self._batches.put(luma, room[0]), self._batches.put(chroma, room[1])
        placed = Surface(
            width_px=surface.width_px,
            height_px=surface.height_px,
            layout=surface.layout,
            luma_address=address_of(arrays[0]),
            luma_pitch_bytes=luma.strides[0],
            chroma_address=address_of(arrays[1]),
            chroma_pitch_bytes=chroma.strides[0],
            place=self._batches.place,
            owner=arrays,
        )
        self._uploads[id(surface)] = _Upload(surface, placed, arrays)
        return placed

    def _measure(self, pictures: Sequence[SurfaceFrame], options: GateOptions) -> list[bool]:
        fresh = [self._renew(picture, options) for picture in pictures]
        arrays = [self._arrays(picture.camera_id) for picture in pictures]
        surfaces = [self._placed(picture.surface) for picture in pictures]
        new = [place for place, is_fresh in enumerate(fresh) if is_fresh]
        if new:
            self._batches.start_scenes(
                [surfaces[place] for place in new],
                [arrays[place][0] for place in new],
                [arrays[place][1] for place in new],
                noise=FIRST_NOISE,
            )
        levels, scenes, lanes = (list(column) for column in zip(*arrays, strict=True))
        self._batches.motion_of_surfaces(
            surfaces,
            levels,
            scenes,
            lanes,
            self._moved,
            noise_factor=options.noise_factor,
            noise_least=options.noise_least,
        )
        (moved,) = self._batches.fetch(first(self._moved, len(pictures)))
        return [
            is_fresh or cells >= options.moved_cells_least
            for is_fresh, cells in zip(fresh, moved.tolist(), strict=True)
        ]

    def _renew(self, picture: SurfaceFrame, options: GateOptions) -> bool:
        """Make a camera's arrays if it has none for pictures of this size; whether it had none."""
        scene = self._scenes[picture.camera_id]
        size = picture.surface.height_px, picture.surface.width_px
        if scene.arrays is not None and scene.size == size:
            return False
        cells = size[0] // CELL_PX, size[1] // CELL_PX
        lanes = lane_cells(cells, size, scene.lanes, ignore_top=options.ignore_top)
        levels, planes = self._batches.empty(cells, np.float32), self._batches.empty((3, *cells), np.float32)
        scene.arrays, scene.size = (levels, planes, self._batches.put(lanes)), size
        return True

    def _arrays(self, camera_id: str) -> tuple[Array, Array, Array]:
        arrays = self._scenes[camera_id].arrays
        assert arrays is not None
        return arrays


def rehearse_device(device: SurfaceDevice) -> float:
    """Take a batch of drawn pictures, each with a plate, through `device`; seconds of one picture, everything warm."""
    luma = np.full((1080, 1920), 90, np.uint8)
    luma[500:560, 800:1040] = 220
    luma[515:545, 820:1020:25] = 20
    chroma = np.full((540, 960, 2), 128, np.uint8)
    quad = np.array([[800, 500], [1040, 500], [1040, 560], [800, 560]], np.float32)
    surfaces = [Surface.on_host(luma, chroma) for _ in range(device.most)]
    pictures = [SurfaceFrame("", index, 0.0, 0.0, surface) for index, surface in enumerate(surfaces)]
    found = [Found(surface, Plate(quad=quad, score=1.0, lines=1)) for surface in surfaces]
    seconds = 0.0
    for _ in range(3):
        started = perf_counter()
        device.detect(pictures)
        device.read(found)
        seconds = perf_counter() - started
    return seconds / device.most


def gpu_numbered(number: int) -> Gpu:
    """The GPU that the driver counts so. Raises DeviceError if there is none."""
    gpus = list_gpus()
    for gpu in gpus:
        if gpu.number == number:
            return gpu
    there = f"GPUs {', '.join(str(gpu.number) for gpu in gpus)} are" if gpus else "none is"
    raise DeviceError(
        f"GPU {number} was asked for, {there} there",
        cure="check nvidia-smi, set other numbers in [gpu], or device = 'cpu'",
    )


def _place(number: int, batches: Batches) -> GpuPlace:
    return GpuPlace(number, gpu_numbered(number).name, batches.stream_handle, assets.cache_folder("engines"))


def _check_reading(pipeline: Pipeline) -> None:
    """Raises ConfigError where plates are to be read in a way that batches do not know."""
    if pipeline.settings.second_reader is not None:
        raise ConfigError(
            "a second reader works on the processor alone", place=pipeline.name, cure="take [second_reader] out"
        )
    if pipeline.settings.reader.cut_again_below:
        raise ConfigError(
            "on GPUs each plate is cut out once", place=pipeline.name, cure="leave cut_again_below out of [reader]"
        )


def check_device(pipeline: Pipeline) -> tuple[str, ...]:
    """Look, without touching a GPU, whether `pipeline` can work there: its models, its GPUs, the runtime's provider.

    Returns the models' names and hashes. Raises DeviceError, ModelError or ConfigError.
    """
    _check_reading(pipeline)
    settings = pipeline.settings
    device = net_device(pipeline)
    if not is_available(device):
        raise DeviceError(f"onnxruntime has no {PROVIDERS[device]}", place=pipeline.name, cure=CURES[device])
    for number in settings.gpu.numbers:
        gpu_numbered(number)
    detector = ModelFolder.load(settings.detector.model, "detector")
    reader = ModelFolder.load(settings.reader.model, "reader")
    return detector.label, reader.label
