"""Model folders and nets: what is refused, and that the shipped models find and read what they should."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from anpr import assets
from anpr.errors import DeviceError, ModelError
from anpr.nets import colour
from anpr.nets.detector import Detector, canvas_size
from anpr.nets.model import ModelFolder, Output
from anpr.nets.providers import PROVIDERS, Device
from anpr.nets.reader import Judgement, Reader, ReaderOptions, judged
from anpr.nets.session import Session
from anpr.ops import contract
from anpr.records import ALPHABET, EMPTY, NO_PLATE, Frame, Plate


def tiny_model(folder: Path, *, height: int = 64, output: str = "logits", alphabet: str = "") -> Path:
    """A model folder whose net is one multiplication."""
    folder.mkdir(parents=True)
    picture = helper.make_tensor_value_info("luma", TensorProto.FLOAT, ["batch", 1, height, 128])
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 1, height, 128])
    graph = helper.make_graph([helper.make_node("Identity", ["luma"], [output])], "tiny", [picture], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.toml").write_text(
        f'name = "tiny"\ntask = "reader"\nsha256 = "{digest}"\n'
        '[input]\nname = "luma"\nheight = 64\nwidth = 128\n'
        f'[output]\nname = "logits"\nslots = 10\nalphabet = "{alphabet}"\n'
        '[training]\ncommand = "none"\ncommit = "0"\nsteps = 0\nseed = 0\nsources = []\n'
    )
    return folder


def frame(luma: np.ndarray, u: int = 128, v: int = 128) -> Frame:
    height, width = luma.shape
    half = ((height + 1) // 2, (width + 1) // 2)
    return Frame("test", 0, 0.0, 0.0, luma, np.full(half, u, np.uint8), np.full(half, v, np.uint8))


def test_a_model_folder_loads_and_runs(tmp_path: Path) -> None:
    session = Session.open(ModelFolder.load(tiny_model(tmp_path / "m"), "reader"))
    batch = np.ones((1, 1, 64, 128), np.float32)
    assert np.array_equal(session.run(batch), batch)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m") / "model.onnx"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelError, match=r"model\.onnx: is truncated .*restore"):
        ModelFolder.load(tmp_path / "m", "reader")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "m")
    (folder / "model.onnx").write_bytes(b"no model")
    facts = folder / "model.toml"
    old = facts.read_text().split('sha256 = "')[1][:64]
    facts.write_text(facts.read_text().replace(old, hashlib.sha256(b"no model").hexdigest()))
    with pytest.raises(ModelError, match="does not load"):
        Session.open(ModelFolder.load(folder, "reader"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('task = "reader"', 'task = "detector"', "is a detector, not a reader"),
        ('name = "tiny"', 'nam = "tiny"', "nam"),
        ("height = 64", 'height = "64"', "height"),
        ('name = "tiny"', 'name = "tiny', "line 1"),
        ("[training]", "[training]\nfoo = 1", "foo"),
    ],
)
def test_a_wrong_fact_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    facts = tiny_model(tmp_path / "m") / "model.toml"
    facts.write_text(facts.read_text().replace(old, new))
    with pytest.raises(ModelError, match=says):
        ModelFolder.load(tmp_path / "m", "reader")


@pytest.mark.parametrize(("height", "output"), [(32, "logits"), (64, "maps")])
def test_a_model_that_takes_or_gives_something_else_is_refused(tmp_path: Path, height: int, output: str) -> None:
    folder = ModelFolder.load(tiny_model(tmp_path / "m", height=height, output=output), "reader")
    with pytest.raises(ModelError, match=r"model\.toml says"):
        Session.open(folder)


def test_a_reader_with_another_alphabet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ABC"):
        Reader.open(ModelFolder.load(tiny_model(tmp_path / "m", alphabet="ABC"), "reader"))


def test_a_missing_model_names_those_that_are_there() -> None:
    with pytest.raises(ModelError, match=r"no model named 'nothing'.*reader"):
        ModelFolder.load("nothing", "reader")


@pytest.mark.parametrize(("device", "extra"), [("cuda", "gpu"), ("openvino", "openvino")])
def test_a_missing_provider_is_an_error_with_its_cure(tmp_path: Path, device: Device, extra: str) -> None:
    if PROVIDERS[device] in onnxruntime.get_available_providers():
        pytest.skip(f"{device} is here")
    with pytest.raises(DeviceError, match=rf"{PROVIDERS[device]}.*anpr\[{extra}\]"):
        Session.open(ModelFolder.load(tiny_model(tmp_path / "m"), "reader"), device=device)


@pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers(), reason="onnxruntime-openvino is not here"
)
def test_openvino_finds_and_reads_the_same() -> None:
    box = np.array([[100, 60], [340, 60], [340, 110], [100, 110]], np.float32)
    luma = np.full((360, 640), 90, np.uint8)
    cv2.fillConvexPoly(luma, box.astype(np.int32), 230)
    cv2.putText(luma, "30A12345", (112, 98), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 20, 4)
    grey = np.full((180, 320), 128, np.uint8)
    frame = Frame("", 0, 0.0, 0.0, luma, grey, grey)
    plate = Plate(box, score=1.0, lines=1)
    reads = {}
    devices: tuple[Device, ...] = ("cpu", "openvino")
    for device in devices:
        (reads[device],) = Reader.open(ModelFolder.load("reader"), device=device).read(frame, [plate])
        Detector.open(ModelFolder.load("detector"), device=device).detect(frame)
    assert reads["cpu"].text == reads["openvino"].text != ""


def test_an_error_of_the_runtime_is_not_swallowed(tmp_path: Path) -> None:
    session = Session.open(ModelFolder.load(tiny_model(tmp_path / "m"), "reader"))
    with pytest.raises(Exception, match=r"(?i)invalid dimensions"):
        session.run(np.zeros((1, 1, 3, 3), np.float32))


@pytest.mark.parametrize("name", ["detector", "reader"])
def test_the_shipped_models_are_small_and_say_where_they_come_from(name: str) -> None:
    folder = ModelFolder.load(name, "detector" if name == "detector" else "reader")
    assert folder.onnx_path.stat().st_size <= 6_000_000
    assert folder.facts.training.sources
    assert folder.facts.accuracy


@pytest.mark.parametrize(
    ("u", "v", "expected"),
    [(128, 128, "white"), (70, 145, "yellow"), (175, 110, "blue"), (110, 190, "red"), (135, 120, "white")],
)
def test_colours(u: int, v: int, expected: str) -> None:
    patch = np.full((8, 18), u, np.uint8), np.full((8, 18), v, np.uint8)
    assert colour.classify(*patch) == expected


def test_an_infrared_picture_has_no_colours() -> None:
    grey = frame(np.zeros((100, 200), np.uint8))
    quad = np.array([[20, 20], [100, 20], [100, 50], [20, 50]], np.float32)
    assert colour.plate_colours(grey, [quad]) == ["unknown"]


def test_an_empty_picture_has_no_plates() -> None:
    detector = Detector.open(ModelFolder.load("detector", "detector"))
    assert detector.detect(frame(np.full((1080, 1920), 90, np.uint8))) == []


def test_a_plate_without_contrast_is_unreadable() -> None:
    plate = Plate(np.array([[20, 20], [180, 20], [180, 60], [20, 60]], np.float32), 1.0, 1)
    assert judged(lattice_of("30A12345"), plate, contrast=2.0, options=ReaderOptions()).unreadable == "no contrast"


def test_where_there_is_nothing_the_reader_sees_no_plate() -> None:
    reader = Reader.open(ModelFolder.load("reader", "reader"))
    quad = np.array([[20, 20], [180, 20], [180, 60], [20, 60]], np.float32)
    (found,) = reader.read(frame(np.full((100, 200), 90, np.uint8)), [Plate(quad, 1.0, 1)])
    assert found.unreadable == NO_PLATE


def test_a_copied_model_folder_works_by_its_path(tmp_path: Path) -> None:
    shutil.copytree(assets.folder("models") / "reader", tmp_path / "copy")
    assert ModelFolder.load(tmp_path / "copy", "reader").facts.name == "reader"


def lattice_of(text: str) -> NDArray[np.float32]:
    """Log-probabilities of a read that is sure of `text`."""
    sure = np.full((10, 37), np.log(1e-6), np.float32)
    for slot in range(10):
        sure[slot, ALPHABET.index(text[slot]) if slot < len(text) else EMPTY] = 0.0
    return sure


STATES = ("readable", "blurred", "cut", "foreign")
JUDGES = Output(name="logits", judgement="judgement", states=STATES, judgement_temperature=2.0)


@pytest.mark.parametrize(
    ("logits", "readable", "otherwise"),
    [((0.0, 0.0, 0.0, 0.0), 0.25, "too blurred"), ((0.0, 0.0, 9.0, 1.0), 0.0107, "cut off")],
)
def test_a_judgement_is_a_calibrated_chance_with_its_likeliest_reason(
    logits: tuple[float, ...], readable: float, otherwise: str
) -> None:
    judgement = Judgement.of(np.array([logits], np.float32), JUDGES)
    assert judgement.readable == pytest.approx(readable, abs=1e-3)
    assert judgement.otherwise == otherwise


def test_cuts_are_judged_by_the_mean_of_their_chances() -> None:
    judgement = Judgement.of(np.array([(9.0, 0.0, 0.0, 0.0), (0.0, 0.0, 9.0, 1.0)], np.float32), JUDGES)
    assert judgement.readable == pytest.approx((0.9677 + 0.0107) / 2, abs=1e-3)
    assert judgement.otherwise == "cut off"


@pytest.mark.parametrize(
    ("states", "unreadable", "below", "cuts"),
    [
        ((0.96, 0.01, 0.01, 0.01, 0.01), "", 0.9, 1),
        ((0.6, 0.1, 0.1, 0.1, 0.1), "", 0.9, 3),
        ((0.6, 0.1, 0.1, 0.1, 0.1), "", 0.0, 1),
        ((0.3, 0.1, 0.4, 0.1, 0.1), "cut off", 0.9, 3),
        ((0.3, 0.1, 0.4, 0.1, 0.1), "cut off", 0.0, 1),
        ((0.3, 0.1, 0.1, 0.1, 0.4), NO_PLATE, 0.9, 1),
        ((0.3, 0.1, 0.1, 0.4, 0.1), "not a Vietnamese plate", 0.9, 1),
    ],
)
def test_only_a_plate_that_reads_unsurely_or_seems_cut_off_is_cut_out_again(
    states: tuple[float, ...], unreadable: str, below: float, cuts: int
) -> None:
    looked: list[bytes] = []

    class Fixed(Session):
        """Says the same of each cut."""

        def run_all(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            looked.append(batch.tobytes())
            return [lattice_of("30A12345")[np.newaxis], np.log(np.array([states], np.float32))]

    model = ModelFolder.load("reader", "reader")
    output = msgspec.structs.replace(model.facts.output, temperature=1.0, judgement_temperature=1.0)
    model = replace(model, facts=msgspec.structs.replace(model.facts, output=output))
    crop = np.zeros((1, 1, 64, 128), np.float32)
    reader = Reader(
        Fixed(model, Session.open(model).runtime), ReaderOptions(cut_again_below=below), contract.load("cpu"), crop
    )
    luma = np.random.default_rng(1).integers(0, 255, (100, 300), dtype=np.uint8)
    quad = np.array([[20, 20], [280, 20], [280, 80], [20, 80]], np.float32)
    (read,) = reader.read(frame(luma), [Plate(quad, 1.0, 1)])
    assert (read.text, read.unreadable) == ("30A12345", unreadable)
    assert read.probability == pytest.approx(states[0], abs=0.01)
    assert len(looked) == len(set(looked)) == cuts


@pytest.mark.parametrize(("readable", "told"), [(0.9, ""), (0.4, "too blurred")])
def test_no_read_is_surer_than_that_there_is_a_plate(readable: float, told: str) -> None:
    plate = Plate(np.array([[0, 0], [200, 0], [200, 40], [0, 40]], np.float32), score=1.0, lines=1)
    judgement = Judgement(readable, "too blurred")
    read = judged(lattice_of("30A12345"), plate, contrast=50.0, options=ReaderOptions(), judgement=judgement)
    assert (read.text, read.unreadable) == ("30A12345", told)
    assert read.probability == pytest.approx(readable, abs=0.01)
    assert read.alternatives[0][1] == read.probability


def test_a_judgement_without_states_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "m")
    facts = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(facts.replace("slots = 10", 'slots = 10\njudgement = "judgement"'))
    with pytest.raises(ModelError, match="judgement and states go together"):
        ModelFolder.load(folder)


@pytest.mark.parametrize(("zoom", "size"), [(1.0, (384, 640)), (2.0, (768, 1280)), (0.4, (160, 256)), (0.01, (32, 32))])
def test_a_canvas_can_be_halved_five_times(zoom: float, size: tuple[int, int]) -> None:
    assert canvas_size(384, 640, zoom) == size
