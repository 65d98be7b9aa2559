"""Pipeline files and the stages built from them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import fake_stages, frames
from making_ocr import write_recogniser

from anpr.config import load_pipeline
from anpr.config.fields import Table
from anpr.config.pipeline import Decode, Detect, Gated, ReadAgain, Recognise, Spare, Track
from anpr.engine.gate import GateOptions
from anpr.engine.pipeline import build_stages, rehearse
from anpr.engine.worker import Worker
from anpr.errors import ConfigError, ModelError
from anpr.metrics import Counters
from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.ocr import OcrReader
from anpr.nets.reader import Reader, ReaderOptions
from anpr.nets.second_opinion import OpinionOptions, SecondOpinion
from anpr.tracking.options import TrackOptions
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import SpareOptions
from anpr.video.decode import DecodeOptions
from scripts import paddle_model


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (Decode, DecodeOptions),
        (Detect, DetectorOptions),
        (Recognise, ReaderOptions),
        (ReadAgain, OpinionOptions),
        (Track, TrackOptions),
        (Gated, GateOptions),
        (Spare, SpareOptions),
    ],
)
def test_a_pipeline_file_has_the_names_and_defaults_of_the_stages(table: type[Table], options: Any) -> None:
    ours = {name: field.default for name, field in table.model_fields.items() if name != "model"}
    assert ours == {field.name: field.default for field in dataclasses.fields(options)}


def test_the_commented_preset_states_the_defaults(tmp_path: Path) -> None:
    empty = tmp_path / "cpu.toml"
    empty.write_text("[decode]\n")
    assert load_pipeline("cpu").label == load_pipeline(empty).label


def test_the_default_looks_at_every_picture_and_reads_every_plate_and_the_gated_preset_does_not() -> None:
    default, gated = (load_pipeline(name).settings for name in ("cpu", "cpu-gated"))
    assert not GateOptions(**default.gate.model_dump()).active
    assert not SpareOptions(**default.spare.model_dump()).active
    assert gated.gate.motion
    assert SpareOptions(**gated.spare.model_dump()).active
    assert gated.model_copy(update={"gate": default.gate, "spare": default.spare}) == default


@pytest.mark.parametrize("line", ["[gate]\nrelook_seconds = 1.0", "[gate]\nfollowing_looks_per_second = 0.9"])
def test_a_gate_that_would_lose_sight_of_vehicles_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(line)
    with pytest.raises(ConfigError, match="unseen for 1 s is gone"):
        load_pipeline(path)


def test_settings_reach_the_stages(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "threads = 2\n[decode]\nthread_count = 3\n[detector]\nthreshold = 0.6\nzooms = [1.0, 0.5]\n"
        "[reader]\nalternatives = 9\n[track]\npreview_reads = 4\n[pictures]\njpeg_quality = 70\n"
        "[gate]\nmotion = true\nlooks_per_second = 5.0\n[spare]\nbelief = 0.99\n"
    )
    stages = build_stages(load_pipeline(path))
    assert isinstance(stages.detector, Detector)
    assert isinstance(stages.reader, Reader)
    assert stages.detector.options.threshold == 0.6
    assert stages.detector.options.zooms == (1.0, 0.5)
    assert stages.reader.options.alternatives == 9
    assert stages.decode.thread_count == 3
    assert stages.track.preview_reads == 4
    assert stages.pictures.jpeg_quality == 70
    assert (stages.gate.motion, stages.gate.looks_per_second) == (True, 5.0)
    assert stages.spare.belief == 0.99
    assert stages.pipeline.startswith("mine@")
    assert [label.partition("@")[0] for label in stages.models] == ["detector", "reader"]


@pytest.mark.parametrize(("line", "problem"), [('"nowhere"', "no model named"), ('"reader"', "is a reader")])
def test_a_model_that_is_none_stops_the_start(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[detector]\nmodel = {line}\n")
    with pytest.raises(ModelError, match=problem):
        build_stages(load_pipeline(path))


@pytest.fixture
def recogniser(tmp_path: Path) -> Path:
    """A model folder with another kind of reader."""
    write_recogniser(tmp_path / "rec.onnx")
    return paddle_model.make(tmp_path / "general", tmp_path / "rec.onnx", source="a test", command="none").path


def test_a_second_reader_is_asked_as_the_file_says(tmp_path: Path, recogniser: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[second_reader]\nmodel = "{recogniser}"\nbelow_probability = 1.0\nsecond_weight = 0.3\n')
    stages = build_stages(load_pipeline(path))
    assert isinstance(stages.reader, SecondOpinion)
    assert isinstance(stages.reader.first, Reader)
    assert isinstance(stages.reader.second, OcrReader)
    assert stages.reader.options == OpinionOptions(below_probability=1.0, first_weight=1.0, second_weight=0.3)
    assert stages.reader.counters is stages.counters
    assert [label.partition("@")[0] for label in stages.models] == ["detector", "reader", "general"]
    rehearse(stages)
    assert stages.counters.counts == {}


def test_another_kind_of_reader_can_be_the_only_one(tmp_path: Path, recogniser: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[reader]\nmodel = "{recogniser}"\n')
    assert isinstance(build_stages(load_pipeline(path)).reader, OcrReader)


def test_readers_of_different_lattices_cannot_vote(tmp_path: Path, recogniser: Path) -> None:
    facts = recogniser / "model.toml"
    facts.write_text(facts.read_text().replace("slots = 10", "slots = 12"))
    path = tmp_path / "mine.toml"
    path.write_text(f'[second_reader]\nmodel = "{recogniser}"\n')
    with pytest.raises(ModelError, match="reads 12 slots, the first reader 10"):
        build_stages(load_pipeline(path))


def test_what_the_stages_count_is_counted_once_by_the_loop() -> None:
    counters = Counters()
    counters.add("second_opinions", 2, reason="agreed")
    worker = Worker(fake_stages(counters=counters), Origin(site_id="s", camera_id="c", run_seconds=0.0), emit=print)
    worker.run(frames(3))
    assert worker.counters.counts["second_opinions", "agreed"] == 2
