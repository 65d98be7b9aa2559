"""The training programs: batches by seed, a loop that resumes where it stopped, an export that the engine runs."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train': pip install '.[train]'")
pytest.importorskip("onnx", reason="export needs the extra 'train'")

import onnx

from anpr.nets.detector import Detector
from anpr.nets.model import ModelFolder
from anpr.nets.reader import Reader
from anpr.records import Frame
from anpr.video.planes import planes_from_bgr
from scripts.train import detector, export, finds, plates, quantise, reader, recipe
from scripts.train.detector_data import SIDE, DetectorBatches, Scene, View, random_view, targets
from scripts.train.labels import load_pictures
from scripts.train.lettering import Lettering
from scripts.train.loop import LoopOptions, learning_rate
from scripts.train.reader_data import (
    BLURRED,
    CUT,
    FOREIGN,
    READABLE,
    UNJUDGED,
    UNREAD,
    PlateSample,
    ReaderBatches,
    blur_away,
    box_quad,
    cut_off,
    encode_text,
    load_rendered,
    unreadable_samples,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def sample(text: str = "30A12345") -> PlateSample:
    luma = np.full((60, 160), 200, np.uint8)
    cv2.putText(luma, text, (8, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 10, 2)
    return PlateSample(luma, box_quad((0, 0, 160, 60)), text, loose=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A labelled folder of 24 drawn scenes."""
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", "kind", "category", "text", "readable", "lines", "boxes", "licence"])
        for number in range(24):
            text = f"30A{10000 + 137 * number}"
            scene = np.full((120, 240), 90, np.uint8)
            scene[30:90, 40:200] = sample(text).luma
            cv2.imwrite(str(folder / f"{number}.png"), scene)
            box = json.dumps([[40, 30, 200, 90]])
            writer.writerow([f"{number}.png", "train", "scene", "car-gate", text, "yes", 1, box, "drawn for the test"])
    return folder


def test_a_text_becomes_classes_and_too_long_a_text_is_refused() -> None:
    assert encode_text("3A").tolist() == [3, 10, *[36] * 8]
    with pytest.raises(ValueError, match="11 characters"):
        encode_text("12345678901")


def test_batches_follow_from_seed_and_step_alone() -> None:
    batches = [ReaderBatches([(1.0, [sample(), sample("51F99999")])], batch=4, seed=7, steps=9) for _ in range(2)]
    assert np.array_equal(batches[0][5][0], batches[1][5][0])
    assert not np.array_equal(batches[0][5][0], batches[0][6][0])
    scene = Scene(sample().luma, sample().quad[None], exact=False, lines=1)
    views = [DetectorBatches([(1.0, [scene])], [sample()], batch=2, seed=7, steps=9)[3] for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*views, strict=True))


def test_only_what_is_surely_readable_or_not_is_judged() -> None:
    batches = ReaderBatches(
        [(0.7, [sample()]), (0.3, [replace(sample(), text="", state=FOREIGN)])], batch=400, seed=1, steps=1
    )
    _, characters, states = batches[0]
    assert set(states.tolist()) == {UNJUDGED, READABLE, BLURRED, CUT, FOREIGN}
    known = (characters != UNREAD).any(axis=1)
    assert set(states[known].tolist()) == {UNJUDGED, READABLE}
    assert (characters[known] == encode_text("30A12345")).all()


def test_a_plate_blurred_away_has_lost_its_characters() -> None:
    rng = np.random.default_rng(3)
    crop = cv2.resize(sample().luma, (128, 64))
    for two_lines in (False, True) * 10:
        left = np.abs(np.diff(blur_away(crop, rng, two_lines=two_lines).astype(np.float32))).max()
        assert left < 0.25 * np.abs(np.diff(crop.astype(np.float32))).max()


def test_a_cut_plate_has_lost_a_fifth_of_itself() -> None:
    rng = np.random.default_rng(4)
    quad = box_quad((0, 0, 100, 20)).astype(np.float64)
    assert all(np.abs(cut_off(quad, rng) - quad).max() >= 20 for _ in range(50))


def test_words_are_set_beside_plates() -> None:
    lettering, rng = Lettering.load(), np.random.default_rng(5)
    quad = box_quad((150, 150, 250, 200))
    changed = 0
    for _ in range(60):
        image = np.full((SIDE, SIDE), 128, np.uint8)
        lettering.set_words(image, quad[None], rng)
        changed += bool((image != 128).any())
        assert (image[152:198, 152:248] == 128).all()
    assert changed > 40


def test_the_corners_of_a_view_follow_its_picture() -> None:
    luma = np.zeros((400, 600), np.uint8)
    luma[200:230, 300:400] = 255
    scene = Scene(luma, box_quad((299.5, 199.5, 399.5, 229.5))[None], exact=True, lines=1)
    for seed in range(20):
        view = random_view(scene, np.random.default_rng(seed))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillConvexPoly(mask, np.round(view.quads[0]).astype(np.int32), 255)
        bright = view.image > 160
        if bright.sum() < 60:
            continue
        overlap = (bright & (mask > 0)).sum() / (bright | (mask > 0)).sum()
        assert overlap > 0.7


def test_targets_hold_the_corners_at_the_middle_of_a_plate() -> None:
    quad = box_quad((100, 104, 164, 120))
    one = np.array([1])
    heat, answers = targets(View(np.zeros((SIDE, SIDE), np.uint8), quad[None], one, one * 2))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert heat[row, column] == 1
    corners = answers[3:11, row, column].reshape(4, 2) + np.array([column + 0.5, row + 0.5])
    assert np.abs(corners * 8 - 0.5 - quad).max() < 1e-3
    assert answers[2, row, column] == 1


def test_the_rate_warms_up_and_falls() -> None:
    options = LoopOptions(steps=1000, batch=1, warm_up=100, peak_rate=1.0)
    rates = [learning_rate(step, options) for step in range(1000)]
    assert rates[0] < 0.02
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01, rel=0.01)


def test_training_resumes_exports_and_runs_in_the_engine(data: Path, tmp_path: Path) -> None:
    rendered = tmp_path / "plates.npz"
    assert plates.main(parse(plates, [str(rendered), "--count", "12"])) == 0
    common = ["--data", str(data), "--rendered", str(rendered), "--workers", "0", "--batch", "2"]
    for module, name in ((reader, "reader"), (detector, "detector")):
        logs = []
        for run, stops in (("whole", (4,)), ("stopped", (2, 4))):
            folder = tmp_path / f"{name}-{run}"
            for stop in stops:
                options = [*common, "--run", str(folder), "--evaluate-every", "2", "--steps", "4"]
                arguments = parse(module, options)
                if stop != 4:
                    arguments.steps = stop
                module.main(arguments)
            logs.append([json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()])
        assert logs == [[2, 4], [2, 4]]
        command = [name, "--run", str(tmp_path / f"{name}-whole"), "--name", name, "--models", str(tmp_path / "models")]
        assert export.main(parse(export, [*command, "--data", str(data), "--made-by", "the test"])) == 0
    found = Detector.open(ModelFolder.load(tmp_path / "models/detector", "detector"))
    read = Reader.open(ModelFolder.load(tmp_path / "models/reader", "reader"))
    assert found.session.model.facts.training.steps == 4
    assert found.session.model.facts.input.layout == "blocks"
    assert read.session.model.facts.training.sources[-1] == "car-gate: drawn for the test"


def test_a_detector_learns_from_another_and_is_quantised_in_either_layout(data: Path, tmp_path: Path) -> None:
    common = ["--data", str(data)]
    options = ["--workers", "0", "--batch", "2", "--steps", "2", "--evaluate-every", "2"]
    assert detector.main(parse(detector, [*common, *options, "--run", str(tmp_path / "first")])) == 0
    models = ["--name", "plane", "--models", str(tmp_path), *common]
    made = ["--run", str(tmp_path / "first"), "--layout", "plane", "--made-by", "the test"]
    assert export.main(parse(export, ["detector", *made, *models])) == 0
    learner = [*options, "--run", str(tmp_path / "second"), "--teacher", str(tmp_path / "plane")]
    assert detector.main(parse(detector, [*common, *learner])) == 0
    scene = Frame("", 0, 0.0, 0.0, *planes_from_bgr(np.random.default_rng(1).integers(0, 255, (300, 500, 3), np.uint8)))
    maps = {}
    for layout in ("plane", "blocks"):
        made = ["--run", str(tmp_path / "second"), "--layout", layout, "--made-by", "the test"]
        models = ["--models", str(tmp_path), *common]
        assert export.main(parse(export, ["detector", *made, "--name", layout, *models])) == 0
        command = ["detector", str(tmp_path / layout), "--name", f"{layout}-int8", "--method", "minmax", *models]
        assert quantise.main(parse(quantise, command)) == 0
        for name in (layout, f"{layout}-int8"):
            model = Detector.open(ModelFolder.load(tmp_path / name, "detector"))
            (canvas,) = model.canvases
            canvas.draw(scene.luma)
            maps[name] = model.session.run(canvas.batch)
    assert np.abs(maps["blocks"] - maps["plane"]).max() < 0.05
    assert np.abs(maps["blocks-int8"] - maps["blocks"]).max() < 0.5
    assert np.abs(maps["plane-int8"] - maps["plane"]).max() < 0.5
    graph = onnx.load(tmp_path / "blocks-int8" / "model.onnx").graph
    assert [node.op_type for node in graph.node[:2]] == ["Transpose", "DequantizeLinear"]


def test_labels_of_the_other_split_are_never_loaded(data: Path) -> None:
    assert len(load_pictures(data, split="train")) == 24
    assert load_pictures(data, split="dev") == []


def test_a_category_that_nothing_learns_from_is_refused_with_its_line(data: Path) -> None:
    labels = data / "labels.csv"
    labels.write_text(labels.read_text().replace("2.png,train,scene,car-gate", "2.png,train,scene,my-cars", 1))
    with pytest.raises(ValueError, match=r"labels.csv:4: unknown category 'my-cars'"):
        load_pictures(data, split="train")


def test_pictures_without_an_open_licence_can_be_left_out(data: Path) -> None:
    labels = data / "labels.csv"
    labels.write_text(labels.read_text().replace("drawn for the test", "MIT (see the repository)", 5))
    assert len(load_pictures(data, split="train", open_only=True)) == 5


def test_blurred_and_foreign_crops_are_told_apart(data: Path) -> None:
    labels = data / "labels.csv"
    text = labels.read_text()
    for number, (category, readable) in enumerate(
        [("crops-blurred", "no"), ("crops-foreign", "foreign"), ("crops-foreign-blur", "no"), ("crops-vn", "yes")]
    ):
        before = f"\n{number}.png,train,scene,car-gate,30A{10000 + 137 * number},yes"
        assert before in text
        text = text.replace(before, f"\n{number}.png,train,crop,{category},,{readable}")
    labels.write_text(text)
    samples = unreadable_samples(load_pictures(data, split="train", kind="crop"))
    assert [one.state for one in samples] == [BLURRED, FOREIGN, FOREIGN]


def parse(module: object, options: list[str]) -> object:
    import argparse

    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(options)


def test_the_recipe_makes_both_models_and_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    options = ["--data", str(data), "--work", str(tmp_path / "work"), "--models", str(tmp_path / "models")]
    arguments = parse(recipe, [*options, "--scale", "0.0005", "--workers", "0"])
    assert recipe.main(arguments) == 0
    folders = [ModelFolder.load(tmp_path / "models/detector", "detector")]
    folders.append(ModelFolder.load(tmp_path / "models/reader", "reader"))
    Detector.open(folders[0])
    Reader.open(folders[1])
    for folder in folders:
        assert "quantised" in folder.facts.training.command
        assert (folder.path / folder.facts.training.log).read_text().count('"step"') == 1
    (tmp_path / "work/quads-3.done").unlink()
    before = (tmp_path / "work/reader-3/checkpoint.pt").stat().st_mtime_ns
    assert recipe.main(arguments) == 0
    assert (tmp_path / "work/reader-3/checkpoint.pt").stat().st_mtime_ns == before


def test_places_without_a_plate_are_cut_from_pictures_without_plates(data: Path, tmp_path: Path) -> None:
    labels = data / "labels.csv"
    labels.write_text(labels.read_text() + "road.png,train,scene,road-noplate,,none,,,drawn for the test\n")
    cv2.imwrite(str(data / "road.png"), np.random.default_rng(1).integers(0, 255, (200, 300), dtype=np.uint8))
    output = tmp_path / "finds.npz"
    assert finds.main(parse(finds, [str(output), "--data", str(data)])) == 0
    samples = load_rendered(output)
    assert len(samples) >= finds.AT_RANDOM - 2
    assert {sample.text for sample in samples} == {""}


def test_beside_labelled_plates_other_places_are_cut_too_and_none_that_touches_a_plate(
    data: Path, tmp_path: Path
) -> None:
    labels = data / "labels.csv"
    plate = "dash.png,train,scene,dashcam-ro,,foreign,,{},MIT\n"
    cv2.imwrite(str(data / "dash.png"), np.random.default_rng(1).integers(0, 255, (200, 300), dtype=np.uint8))
    counts = []
    for box in ("[[0, 0, 10, 10]]", "[[0, 0, 300, 200]]"):
        labels.write_text(labels.read_text() + plate.format(f'"{box}"'))
        output = tmp_path / "finds.npz"
        assert finds.main(parse(finds, [str(output), "--data", str(data), "--open-only"])) == 0
        counts.append(len(load_rendered(output)))
        labels.write_text(labels.read_text().replace(plate.format(f'"{box}"'), ""))
    assert counts[0] >= finds.AT_RANDOM - 2
    assert counts[1] == 0
