"""A pipeline file: how pixels become sightings. Two files can be compared on the same footage."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from anpr.config.fields import AsTuple, Fraction, ModelName, Table, mistake

Device = Literal["cpu", "openvino", "cuda", "tensorrt", "auto"]
"""Where pixels are processed: `cuda` and `tensorrt` decode and look on a GPU. `auto` takes the best that is there."""

Threads = Annotated[int, Field(ge=1, le=64)]
Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]


class Decode(Table):
    """How footage is opened and decoded; the names and defaults of `anpr.video.DecodeOptions`."""

    thread_count: Threads = 1
    thread_type: Literal["frame", "slice"] = "slice"
    skip_loop_filter: Literal["default", "noref", "bidir", "nokey", "all"] = "default"
    skip_frame: Literal["default", "nonref", "bidir", "nonintra", "nonkey"] = "default"
    open_timeout_seconds: Seconds = 5.0
    read_timeout_seconds: Seconds = 5.0


LooksPerSecond = Annotated[float, Field(ge=0.0, le=1000.0)]


class Gated(Table):
    """Which pictures are looked at; the names and defaults of `anpr.engine.gate.GateOptions`."""

    motion: bool = False
    moved_cells_least: Annotated[int, Field(ge=1, le=100_000)] = 24
    noise_factor: Annotated[float, Field(ge=1.0, le=100.0)] = 6.0
    noise_least: Annotated[float, Field(gt=0.0, le=100.0)] = 0.5
    ignore_top: Fraction = 0.08
    looks_per_second: LooksPerSecond = 0.0
    reading_looks_per_second: LooksPerSecond = 0.0
    following_looks_per_second: LooksPerSecond = 0.0
    relook_seconds: Seconds = 0.8
    whole_seconds: Annotated[float, Field(ge=0.0, le=60.0)] = 0.0


class OnGpu(Table):
    """How GPUs work for many cameras; of no account on the processor."""

    numbers: Annotated[tuple[Annotated[int, Field(ge=0, le=63)], ...], AsTuple, Field(min_length=1)] = (0,)
    """The GPUs that take the cameras by turns, by the driver's count."""
    workers: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes on each: one works in Python while another's kernels run."""
    batch: Annotated[int, Field(ge=1, le=128)] = 32
    """Pictures at once."""
    plates: Annotated[int, Field(ge=1, le=128)] = 64
    """Plates read at once."""
    tick_seconds: Annotated[float, Field(ge=0.0, le=1.0)] = 0.005
    """A batch that is not full waits so long for further cameras."""
    decoder: Literal["nvdec", "software"] = "nvdec"
    """What decodes: the GPU's own decoder, or the processor, which then copies each picture to the GPU; for Jetson."""
    decodes: Annotated[int, Field(ge=1, le=64)] = 8
    """Decoders of a process that work at the same time; a GPU has 1 to 7 engines."""
    answer_seconds: Seconds = 10.0
    """A GPU that is silent for longer hangs: its process is started anew."""


class Detect(Table):
    """Which net finds the plates; the names and defaults of `anpr.nets.detector.DetectorOptions`."""

    model: ModelName = "detector"
    """A folder, or the name of a bundled model."""
    threshold: Fraction = 0.35
    most: Annotated[int, Field(ge=1, le=256)] = 16
    overlap_most: Fraction = 0.3
    height_least_px: Annotated[float, Field(ge=1.0, le=1000.0)] = 8.0
    zooms: Annotated[tuple[Annotated[float, Field(ge=0.1, le=4.0)], ...], AsTuple, Field(min_length=1)] = (1.0,)


class Recognise(Table):
    """Which net reads the plates; the names and defaults of `anpr.nets.reader.ReaderOptions`."""

    model: ModelName = "reader"
    """A folder, or the name of a bundled model."""
    character_height_least_px: Annotated[float, Field(ge=1.0, le=1000.0)] = 6.0
    contrast_least: Annotated[float, Field(ge=0.0, le=128.0)] = 6.0
    validity_least: Fraction = 0.2
    readable_least: Fraction = 0.5
    cut_again_below: Fraction = 0.0
    alternatives: Annotated[int, Field(ge=1, le=100)] = 5


class ReadAgain(Table):
    """A second reader for unsure plates; the names and defaults of `anpr.nets.second_opinion.OpinionOptions`."""

    model: ModelName
    """A folder, or the name of a bundled model."""
    below_probability: Fraction = 0.9
    first_weight: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    second_weight: Annotated[float, Field(gt=0.0, le=100.0)] = 0.5


class Track(Table):
    """How the plates of one vehicle are joined and voted; the names and defaults of `anpr.tracking.TrackOptions`."""

    max_gap_seconds: Seconds = 1.0
    still_gap_seconds: Seconds = 30.0
    join_seconds: Seconds = 5.0
    jump_seconds: Seconds = 3.0
    preview_reads: Annotated[int, Field(ge=1, le=1000)] = 2
    preview_probability: Fraction = 0.95
    text_probability: Fraction = 0.2
    flicker_frames: Annotated[int, Field(ge=1, le=1000)] = 1
    plate_score: Fraction = 0.65
    plausible_probability: Fraction = 0.5
    max_tracks: Annotated[int, Field(ge=1, le=4096)] = 64


class Spare(Table):
    """Which plates are not read; the names and defaults of `anpr.tracking.sparing.SpareOptions`."""

    belief: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    reads_least: Annotated[int, Field(ge=1, le=1000)] = 3
    growth: Annotated[float, Field(ge=1.0, le=100.0)] = 1.2
    again_seconds: Annotated[float, Field(ge=0.01, le=3600.0)] = 0.5
    still_reads: Annotated[int, Field(ge=1, le=100_000)] = 24


class Pictures(Table):
    """The pictures kept of each sighting."""

    jpeg_quality: Annotated[int, Field(ge=30, le=100)] = 85
    overview_width_px: Annotated[int, Field(ge=160, le=7680)] = 1280
    """The whole scene is scaled down to this width."""
    plate_margin: Fraction = 0.25
    """Kept around the plate, as a share of its width."""


class Preset(Table):
    """A whole pipeline file; a table that is left out keeps its defaults."""

    device: Device = "cpu"
    threads: Threads = 1
    """Threads of each net; the decoder has its own."""
    decode: Decode = Decode()
    gpu: OnGpu = OnGpu()
    gate: Gated = Gated()
    detector: Detect = Detect()
    reader: Recognise = Recognise()
    second_reader: ReadAgain | None = None
    """None: every plate is read once."""
    track: Track = Track()
    spare: Spare = Spare()
    pictures: Pictures = Pictures()

    @model_validator(mode="after")
    def _check_looks(self) -> Self:
        gate, longest = self.gate, min(self.track.max_gap_seconds, self.track.jump_seconds)
        rates = (gate.looks_per_second, gate.reading_looks_per_second, gate.following_looks_per_second)
        slowest = max([gate.relook_seconds, *(1.0 / rate for rate in rates if rate > 0.0)])
        if slowest >= longest:
            raise mistake(
                f"the gate looks every {slowest:g} s only, and a vehicle unseen for {longest:g} s is gone",
                "look more often, or raise max_gap_seconds and jump_seconds of [track]",
            )
        if gate.whole_seconds and not gate.motion:
            raise mistake("whole_seconds needs to know what moves", "set motion = true, or leave whole_seconds out")
        if self.reader.cut_again_below and self.device in ("cuda", "tensorrt"):
            raise mistake(f"on {self.device} each plate is cut out once", "leave cut_again_below out of [reader]")
        if gate.whole_seconds and self.device in ("cuda", "tensorrt"):
            raise mistake(f"on {self.device} whole pictures are looked at", "leave whole_seconds out of [gate]")
        return self


class Pipeline(BaseModel):
    """A loaded pipeline with its identity."""

    model_config = ConfigDict(frozen=True)

    name: str
    settings: Preset
    sha256: str
    """Of the settings, defaults included: comments and order do not change it."""

    @classmethod
    def of(cls, settings: Preset, *, name: str) -> Self:
        """Give `settings` their name and hash."""
        canonical = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return cls(name=name, settings=settings, sha256=hashlib.sha256(canonical.encode()).hexdigest())

    @property
    def label(self) -> str:
        """`name@hash`, as sightings carry it."""
        return f"{self.name}@{self.sha256[:12]}"
