"""Model folders from recognisers of text lines, and the reader that uses them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from making_ocr import picture_of, write_recogniser

from anpr.errors import ModelError
from anpr.nets.model import ModelFolder
from anpr.nets.ocr import OcrReader, gap_of, part_of
from anpr.nets.reader import Reader
from anpr.plates.normalise import normalise
from anpr.records import Frame, Plate
from scripts import paddle_model
from scripts.render.plate import draw_plate
from scripts.render.spec import make_spec


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """A model folder that reads bars."""
    write_recogniser(tmp_path / "rec.onnx")
    target = tmp_path / "bars"
    paddle_model.make(target, tmp_path / "rec.onnx", source="a test", command="none")
    # Bars fill half of a strip, text a fifth: the levels need no shrinking here, and no margin.
    facts = target / "model.toml"
    facts.write_text(facts.read_text().replace("scale = 0.4", "scale = 1.0").replace("margin = 0.04", "margin = 0.0"))
    return target


def open_reader(folder: Path) -> OcrReader:
    return OcrReader.open(ModelFolder.load(folder, "reader"))


def test_the_folder_says_what_the_net_takes_and_gives(bars: Path) -> None:
    facts = ModelFolder.load(bars, "reader").facts
    assert (facts.input.name, facts.input.channels, facts.input.height, facts.input.width) == ("x", 3, 16, 320)
    assert (facts.output.name, facts.output.decoding, facts.output.slots) == ("probabilities", "ctc", 10)
    assert (bars / "dictionary.txt").read_text() == "1\nA\n"
    assert "Apache-2.0" in facts.training.sources[0]


@pytest.mark.parametrize("lines", [("11A11111",), ("11A1", "1111"), ("11A1", "11111")])
def test_plates_of_one_and_two_lines_are_read(bars: Path, lines: tuple[str, ...]) -> None:
    frame, plate = picture_of(*lines)
    (read,) = open_reader(bars).read(frame, [plate])
    assert read.raw == "".join(lines)
    assert read.text == "".join(lines)
    assert read.unreadable == ""
    assert read.probability > 0.5
    assert read.log_probs.shape == (10, 37)


def test_what_is_longer_than_a_plate_is_refused(bars: Path) -> None:
    frame, plate = picture_of("11A11111", "11111111")
    (read,) = open_reader(bars).read(frame, [plate])
    assert read.unreadable == "not a Vietnamese plate"


def test_an_empty_plate_is_unreadable(bars: Path) -> None:
    frame, plate = picture_of("11A11111")
    frame.luma[:] = 90
    (read,) = open_reader(bars).read(frame, [plate])
    assert read.unreadable == "no contrast"


def test_our_reader_refuses_such_a_folder(bars: Path) -> None:
    with pytest.raises(ModelError, match="name a reader trained for this engine"):
        Reader.open(ModelFolder.load(bars, "reader"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "is missing"), (b"\xff\n", "is not UTF-8"), (b"1\n", "has 1 characters, the net tells 2 apart")],
)
def test_a_damaged_dictionary_is_named(bars: Path, content: bytes | None, problem: str) -> None:
    (bars / "dictionary.txt").unlink()
    if content is not None:
        (bars / "dictionary.txt").write_bytes(content)
    with pytest.raises(ModelError, match=problem):
        open_reader(bars)


def test_the_gap_is_found_where_no_edges_are() -> None:
    look = np.zeros((64, 96), np.float32)
    look[4:34, ::4] = 1.0
    look[40:60, ::4] = 1.0
    assert 34 / 64 <= gap_of(look) <= 40 / 64


def test_a_part_of_a_plate_keeps_its_slant() -> None:
    quad = np.array([[0, 0], [100, 10], [100, 70], [0, 40]], np.float32)
    assert part_of(quad, 0.5, 1.0).tolist() == [[0, 20], [100, 40], [100, 70], [0, 40]]


@pytest.mark.parametrize("name", ["dictionary.txt", "inside"])
def test_a_local_folder_with_its_dictionary(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "model"
    source.mkdir()
    write_recogniser(source / "mine.onnx", dictionary="1\nA" if name == "inside" else "")
    if name != "inside":
        (source / name).write_text("1\r\nA\r\n", encoding="utf-8")
    assert run(tmp_path / "out", "--from", str(source)) == 0
    assert "out" in capsys.readouterr().out
    assert (tmp_path / "out/dictionary.txt").read_text() == "1\nA\n"


def test_a_space_that_only_the_net_knows_is_added(tmp_path: Path) -> None:
    write_recogniser(tmp_path / "rec.onnx", dictionary="A")
    paddle_model.make(tmp_path / "out", tmp_path / "rec.onnx", source="a test", command="none")
    assert (tmp_path / "out/dictionary.txt").read_text() == "A\n \n"


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ((), "no \\*.onnx file"),
        (("rec_a.onnx", "rec_b.onnx"), "has 2 recognisers"),
        (("one.onnx",), "no dictionary in the file"),
    ],
)
def test_what_cannot_be_taken_is_told(
    tmp_path: Path, files: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "model"
    source.mkdir()
    for file in files:
        write_recogniser(source / file, dictionary="")
    assert run(tmp_path / "out", "--from", str(source)) == 2
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr().err.replace("*", "\\*").find(problem) > 0


def test_a_dictionary_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    write_recogniser(tmp_path / "rec.onnx", dictionary="1\nA\nB\nC")
    with pytest.raises(ModelError, match="has 4 characters"):
        paddle_model.make(tmp_path / "out", tmp_path / "rec.onnx", source="a test", command="none")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 2
    assert "is already there" in capsys.readouterr().err


@pytest.mark.skipif(
    not any(importlib.util.find_spec(module) for module in paddle_model.PACKAGES),
    reason="RapidOCR is not installed: no real recogniser to try (pip install 'anpr[paddle]')",
)
@pytest.mark.parametrize(
    ("rows", "kind", "layout"), [(("30A-123.45",), "car", "2020"), (("29-H1", "123.45"), "motorbike", "motorbike")]
)
def test_a_real_recogniser_reads_a_rendered_plate(
    tmp_path: Path, rows: tuple[str, ...], kind: str, layout: str
) -> None:
    text = normalise("".join(rows))
    spec = make_spec(text, rows, kind, "white", layout)
    picture = draw_plate(spec, np.random.default_rng(1), px_per_mm=0.5)
    luma = np.ascontiguousarray(picture.mean(axis=2).astype(np.uint8))
    height, width = luma.shape
    grey = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    quad = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    assert run(tmp_path / "out") == 0
    frame = Frame("test", 0, 0.0, 0.0, luma, grey, grey)
    (read,) = open_reader(tmp_path / "out").read(frame, [Plate(quad, 1.0, 2 if len(rows) == 2 else 1)])
    assert read.text == text


def run(target: Path, *options: str) -> int:
    """The script's verb."""
    return paddle_model.main([str(target), *options])
