"""A model folder: `model.onnx` beside `model.toml`, which says what the model takes, gives, and how good it is."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from anpr import assets
from anpr.errors import ConfigError, ModelError

Task = Literal["detector", "reader"]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The picture a model takes: grey levels."""

    name: str
    height: int
    width: int
    """With `ctc` decoding the widest: a strip is only as wide as its shape asks."""
    layout: Literal["plane", "blocks"] = "plane"
    """`plane`: float32 (batch, channels, height, width). `blocks`, a detector's on the processor: bytes (batch,
    height / BLOCK_PX, width / BLOCK_PX, BLOCK_PX ** 2), which the net normalises itself."""
    channels: Literal[1, 3] = 1
    """3: the same grey levels three times, for a net that was trained on colour."""
    mean: float = 0.0
    """Detector: subtracted from the grey level; what fills a canvas of blocks beside the picture. The reader's input is
    standardised per plate instead."""
    scale: float = 1.0
    """Detector: multiplies the grey level. With `ctc` decoding: multiplies the standardised level, then cut at ±1."""
    margin: float = 0.0
    """Reader: share of the plate's size added on every side."""

    def __post_init__(self) -> None:
        if self.layout == "blocks" and not 0 <= self.mean <= 255:
            raise ValueError("the mean of an input of blocks is a grey level, 0 to 255")


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model gives."""

    name: str
    stride: int = 0
    """Detector: canvas pixels per cell of the maps (batch, 10, height, width)."""
    slots: int = 0
    """Reader: positions of the lattice (batch, slots, alphabet + 1)."""
    alphabet: str = ""
    decoding: Literal["slots", "ctc"] = "slots"
    """Reader: `slots` are logits of a lattice; `ctc` are probabilities (batch, steps, 1 + dictionary), blank first."""
    dictionary: str = ""
    """`ctc`: the file beside `model.toml` that names the classes after the blank, one a line."""
    temperature: float = 1.0
    """Reader: logits are divided by it, fitted on plates that are neither trained on nor scored."""
    judgement: str = ""
    """Reader: the name of a second output, logits (batch, states); empty if the net does not judge."""
    states: tuple[Literal["readable", "blurred", "cut", "foreign", "none"], ...] = ()
    """Reader: what the judgement tells apart, in the order of its columns."""
    judgement_temperature: float = 1.0

    def __post_init__(self) -> None:
        if bool(self.judgement) != ("readable" in self.states):
            raise ValueError("judgement and states go together, and one of the states is 'readable'")

    @property
    def names(self) -> list[str]:
        """Of all outputs, in order."""
        return [self.name, self.judgement] if self.judgement else [self.name]


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the model comes from."""

    command: str
    commit: str
    steps: int
    seed: int
    sources: tuple[str, ...]
    """Every source of training pictures with its stated licence."""
    log: str = ""
    """File beside `model.toml` with one JSON line per evaluation of the training; empty if there is none."""


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `model.toml`."""

    name: str
    task: Task
    sha256: str
    input: Input
    output: Output
    training: Training
    accuracy: dict[str, float] = {}
    """Measured figures by name; `bench` and the README say how."""
    file: str = "model.onnx"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A verified model on disk."""

    path: Path
    facts: Facts

    @property
    def label(self) -> str:
        """Name and the start of the hash, for records."""
        return f"{self.facts.name}@{self.facts.sha256[:12]}"

    @property
    def onnx_path(self) -> Path:
        return self.path / self.facts.file

    @staticmethod
    def load(where: str | Path, task: Task | None = None) -> ModelFolder:
        """The model folder at a path, or of that name in the package's `models/`; `task` is what it must be for.

        Raises ModelError if anything is missing, unknown or not what `model.toml` says.
        """
        try:
            path = assets.find("models", str(where))
        except ConfigError as error:
            raise ModelError(error.problem, place=error.place, cure=error.cure) from None
        facts_path = path / "model.toml"
        try:
            facts = msgspec.convert(tomllib.loads(facts_path.read_text(encoding="utf-8")), Facts)
        except FileNotFoundError:
            raise ModelError("is no model folder: it has no model.toml", place=str(path), cure="name one") from None
        except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise ModelError(str(error), place=str(facts_path), cure="restore the file from its release") from None
        folder = ModelFolder(path, facts)
        folder._verify(task)
        return folder

    def _verify(self, task: Task | None) -> None:
        facts, place = self.facts, str(self.onnx_path)
        if task is not None and facts.task != task:
            raise ModelError(f"is a {facts.task}, not a {task}", place=str(self.path), cure=f"name a {task} model")
        if "/" in facts.file or not self.onnx_path.is_file():
            raise ModelError("the model file is missing", place=place, cure="restore the model folder")
        content = self.onnx_path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != facts.sha256:
            raise ModelError(
                f"is truncated or not the file that model.toml describes: sha256 {found[:12]}…, {len(content)} bytes,"
                f" expected {facts.sha256[:12]}…",
                place=place,
                cure="restore the model folder",
            )
