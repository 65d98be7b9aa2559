"""Builds what one camera's loop runs, from a pipeline file: once, when its worker starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from anpr.config.fields import Table
from anpr.config.pipeline import Pictures, Pipeline
from anpr.engine.gate import Gate, GateOptions
from anpr.engine.pictures import pictures_of
from anpr.errors import DeviceError, ModelError
from anpr.metrics import Counters
from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.nets.ocr import OcrReader
from anpr.nets.providers import Device, is_available
from anpr.nets.reader import Reader, ReaderOptions
from anpr.nets.second_opinion import OpinionOptions, SecondOpinion
from anpr.ops.gpus import list_gpus
from anpr.ops.window import Window
from anpr.records import Frame, Plate, Read
from anpr.tracking.options import TrackOptions
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import SpareOptions
from anpr.tracking.tracker import Tracker
from anpr.video.decode import DecodeOptions


class FindsPlates(Protocol):
    """What the loop asks of a detector."""

    def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
        """The plates of a frame; with `windows`, those in these parts of it."""
        ...


class ReadsPlates(Protocol):
    """What the loop asks of a reader."""

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        """One read per plate, in the same order."""
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of one camera's loop, ready to run. Use from one thread at a time."""

    detector: FindsPlates
    reader: ReadsPlates
    decode: DecodeOptions
    track: TrackOptions
    pictures: Pictures
    pipeline: str
    """Name and hash of the pipeline file, as sightings carry it."""
    models: tuple[str, ...]
    gate: GateOptions = field(default_factory=GateOptions)
    spare: SpareOptions = field(default_factory=SpareOptions)
    counters: Counters = field(default_factory=Counters)
    """What the stages count of their own; the loop takes it over after each picture."""


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """What a camera's loop is told besides its nets."""

    decode: DecodeOptions
    track: TrackOptions
    gate: GateOptions
    spare: SpareOptions
    pictures: Pictures


def loop_options(pipeline: Pipeline) -> LoopOptions:
    """From a pipeline file."""
    settings = pipeline.settings
    return LoopOptions(
        decode=DecodeOptions(**values_of(settings.decode)),
        track=TrackOptions(**values_of(settings.track)),
        gate=GateOptions(**values_of(settings.gate)),
        spare=SpareOptions(**values_of(settings.spare)),
        pictures=settings.pictures,
    )


def build_stages(pipeline: Pipeline) -> Stages:
    """Load the models that `pipeline` names, for a loop of one camera. Raises ModelError or DeviceError."""
    settings = pipeline.settings
    if is_on_gpu(pipeline):
        raise DeviceError(
            f"works in batches on {net_device(pipeline)}, which is not for single pictures",
            place=pipeline.name,
            cure="take a pipeline with device = 'cpu'",
        )
    detector = ModelFolder.load(settings.detector.model, "detector")
    models = [ModelFolder.load(settings.reader.model, "reader")]
    reader = _reader(models[0], pipeline)
    counters = Counters()
    if settings.second_reader:
        models.append(ModelFolder.load(settings.second_reader.model, "reader"))
        slots = [model.facts.output.slots for model in models]
        if slots[0] != slots[1]:
            raise ModelError(
                f"reads {slots[1]} slots, the first reader {slots[0]}",
                place=str(models[1].path),
                cure="name readers with the same number of slots",
            )
        reader = SecondOpinion(
            first=reader,
            second=_reader(models[1], pipeline),
            options=OpinionOptions(**values_of(settings.second_reader, but="model")),
            alternatives=settings.reader.alternatives,
            counters=counters,
        )
    options = loop_options(pipeline)
    return Stages(
        detector=Detector.open(
            detector,
            DetectorOptions(**values_of(settings.detector, but="model")),
            device=net_device(pipeline),
            threads=settings.threads,
        ),
        reader=reader,
        decode=options.decode,
        track=options.track,
        gate=options.gate,
        spare=options.spare,
        pictures=options.pictures,
        pipeline=pipeline.label,
        models=(detector.label, *(model.label for model in models)),
        counters=counters,
    )


def rehearse(stages: Stages) -> float:
    """Run every stage on a drawn picture, so that what is compiled or loaded at first use is ready.

    Returns the seconds of detecting and reading one picture with one plate, everything warm.
    """
    luma = np.full((720, 1280), 90, np.uint8)
    luma[300:400, 400:800] = 220
    luma[320:380, 430:770:40] = 20
    grey = np.full((360, 640), 128, np.uint8)
    plate = Plate(
        quad=np.array([[400, 300], [800, 300], [800, 400], [400, 400]], np.float32), score=1.0, lines=1, colour="white"
    )
    tracker = Tracker(Origin(site_id="", camera_id="", run_seconds=0.0), options=stages.track, sparing=stages.spare)
    gate = Gate(stages.gate)
    seconds = 0.0
    for index in range(4):
        frame = Frame("", index, index / 25, index / 25, luma, grey, grey)
        gate.decide(frame)
        started = perf_counter()
        stages.detector.detect(frame, (Window(400, 300, 800, 400),) if index < 2 else ())
        reads = stages.reader.read(frame, [plate])
        seconds = perf_counter() - started
        tracker.update(
            pts_seconds=frame.pts_seconds,
            wall_seconds=frame.wall_seconds,
            plates=[plate],
            reads=[replace(read, unreadable="") for read in reads],
            frame_index=index,
        )
        pictures_of(frame, tuple((float(x), float(y)) for x, y in plate.quad), stages.pictures)
    tracker.flush()
    stages.counters.take()
    return seconds


def _reader(model: ModelFolder, pipeline: Pipeline) -> ReadsPlates:
    """The reader that a model is for."""
    settings = pipeline.settings
    kind = OcrReader if model.facts.output.decoding == "ctc" else Reader
    options = ReaderOptions(**values_of(settings.reader, but="model"))
    return kind.open(model, options, device=net_device(pipeline), threads=settings.threads)


def net_device(pipeline: Pipeline) -> Device:
    """What runs the nets; `auto` is the best that is there: the pipeline's GPUs if they can be used, or the CPU."""
    asked = pipeline.settings.device
    if asked != "auto":
        return asked
    there = {gpu.number for gpu in list_gpus()}
    usable = there.issuperset(pipeline.settings.gpu.numbers) and find_spec("pycuda") is not None
    return "cuda" if usable and is_available("cuda") else "cpu"


def resolved(pipeline: Pipeline) -> Pipeline:
    """The same pipeline, `auto` decided: so that it is asked once, at the start, and is the same for all workers."""
    settings = pipeline.settings.model_copy(update={"device": net_device(pipeline)})
    return pipeline.model_copy(update={"settings": settings})


def is_on_gpu(pipeline: Pipeline) -> bool:
    """Whether its cameras share a GPU, which decodes and looks at their pictures."""
    return net_device(pipeline) in ("cuda", "tensorrt")


def values_of(table: Table, *, but: str = "") -> dict[str, Any]:
    """The settings of a table by name, `but` one."""
    return {name: getattr(table, name) for name in type(table).model_fields if name != but}
