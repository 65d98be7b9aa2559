"""Pipeline files and the stages built from them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from anpr.config import load_pipeline
from anpr.config.fields import Table
from anpr.config.pipeline import Decode, Detect, Recognise, Track
from anpr.engine.pipeline import build_stages
from anpr.errors import ModelError
from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.reader import Reader, ReaderOptions
from anpr.tracking.options import TrackOptions
from anpr.video.decode import DecodeOptions


@pytest.mark.parametrize(
    ("table", "options"),
    [(Decode, DecodeOptions), (Detect, DetectorOptions), (Recognise, ReaderOptions), (Track, TrackOptions)],
)
def test_a_pipeline_file_has_the_names_and_defaults_of_the_stages(table: type[Table], options: Any) -> None:
    ours = {name: field.default for name, field in table.model_fields.items() if name != "model"}
    assert ours == {field.name: field.default for field in dataclasses.fields(options)}


def test_the_commented_preset_states_the_defaults(tmp_path: Path) -> None:
    empty = tmp_path / "cpu.toml"
    empty.write_text("[decode]\n")
    assert load_pipeline("cpu").label == load_pipeline(empty).label


def test_settings_reach_the_stages(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "threads = 2\n[decode]\nthread_count = 3\n[detector]\nthreshold = 0.6\nzooms = [1.0, 0.5]\n"
        "[reader]\nalternatives = 9\n[track]\npreview_reads = 4\n[pictures]\njpeg_quality = 70\n"
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
    assert stages.pipeline.startswith("mine@")
    assert [label.partition("@")[0] for label in stages.models] == ["detector", "reader"]


@pytest.mark.parametrize(("line", "problem"), [('"nowhere"', "no model named"), ('"reader"', "is a reader")])
def test_a_model_that_is_none_stops_the_start(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[detector]\nmodel = {line}\n")
    with pytest.raises(ModelError, match=problem):
        build_stages(load_pipeline(path))
