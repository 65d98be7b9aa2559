"""What one would otherwise build with Python: fast-alpr with our nets plugged in, as its users write it.

fast-alpr (https://github.com/ankandrew/fast-alpr) finds and reads plates in each frame; one's own nets enter it as
`BaseDetector` and `BaseOCR`. Frames come from OpenCV, in BGR; nets run in onnxruntime with its defaults, on all cores.
It stands outside the package and is optional: `pip install fast-alpr`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from anpr.config import Pipeline
from anpr.nets.model import ModelFolder
from anpr.ops.contract import BLOCK_PX
from anpr.plates.normalise import normalise
from anpr.records import ALPHABET
from bench.clips import Footage

NEIGHBOUR = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Rival:
    """What it made of a clip."""

    frames: int
    seconds: float
    cpu_seconds: float
    texts: frozenset[str]
    """Everything it read in any frame."""
    exact: float
    """Share of the vehicles with a readable plate whose text is among `texts`; 1 of none."""

    @property
    def frames_per_s(self) -> float:
        """Decoding included."""
        return self.frames / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time a frame."""
        return 1000 * self.cpu_seconds / self.frames


def version() -> str:
    """Of the installed package."""
    return metadata.version("fast-alpr")


def run(footage: Footage, pipeline: Pipeline) -> Rival:
    """The whole clip. Raises ImportError if fast-alpr is not installed."""
    engine = plugged(pipeline)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(-1)  # its default
    video = cv2.VideoCapture(str(footage.path))
    texts: set[str] = set()
    frames, wall, cpu = 0, time.perf_counter(), time.process_time()
    try:
        while True:
            grabbed, picture = video.read()
            if not grabbed:
                break
            frames += 1
            texts.update(result.ocr.text for result in engine.predict(picture) if result.ocr is not None)
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    finally:
        video.release()
        cv2.setNumThreads(threads)
    passed = [vehicle.text for vehicle in footage.truth.vehicles if vehicle.first_readable is not None]
    return Rival(frames, seconds, cpu_seconds, frozenset(texts), share_among(passed, texts))


def share_among(passed: Iterable[str], texts: Iterable[str]) -> float:
    """Share of the vehicles whose text is among `texts`; 1 of none."""
    known = {normalise(text) for text in texts}
    found = [normalise(text) in known for text in passed]
    return sum(found) / len(found) if found else 1.0


def plugged(pipeline: Pipeline) -> Any:
    """fast-alpr with the nets that a pipeline names. Raises ImportError if it is not installed."""
    from fast_alpr import ALPR, BaseDetector, BaseOCR, DetectionResult, OcrResult  # type: ignore[import-not-found]
    from open_image_models.detection.core.base import BoundingBox  # type: ignore[import-not-found]

    settings = pipeline.settings
    finder = PlateFinder.open(ModelFolder.load(settings.detector.model, "detector"), settings.detector.threshold)
    reading = PlateText.open(ModelFolder.load(settings.reader.model, "reader"))

    class OurDetector(BaseDetector):  # type: ignore[misc]
        def predict(self, frame: NDArray[np.uint8]) -> list[Any]:
            return [
                DetectionResult(label="plate", confidence=score, bounding_box=BoundingBox(*box))
                for score, box in finder.find(frame)
            ]

    class OurOcr(BaseOCR):  # type: ignore[misc]
        def predict(self, cropped_plate: NDArray[np.uint8]) -> Any:
            text, confidence = reading.read(cropped_plate)
            return OcrResult(text=text, confidence=confidence)

    return ALPR(detector=OurDetector(), ocr=OurOcr())


@dataclass(frozen=True, slots=True)
class PlateFinder:
    """Our detector's net behind NumPy and OpenCV."""

    session: Any
    model: ModelFolder
    threshold: float

    @staticmethod
    def open(model: ModelFolder, threshold: float) -> PlateFinder:
        """With onnxruntime's defaults."""
        return PlateFinder(onnxruntime.InferenceSession(str(model.onnx_path)), model, threshold)

    def find(self, frame: NDArray[np.uint8]) -> list[tuple[float, tuple[int, int, int, int]]]:
        """(score, (x_min, y_min, x_max, y_max) in pixels) of each plate of a BGR picture."""
        facts, output = self.model.facts.input, self.model.facts.output
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        scale = min(facts.width / grey.shape[1], facts.height / grey.shape[0])
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas = np.full((facts.height, facts.width), round(facts.mean), np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        if facts.layout == "blocks":
            rows, columns = facts.height // BLOCK_PX, facts.width // BLOCK_PX
            blocks = canvas.reshape(rows, BLOCK_PX, columns, BLOCK_PX).swapaxes(1, 2)
            luma = np.ascontiguousarray(blocks).reshape(1, rows, columns, BLOCK_PX**2)
        else:
            luma = ((canvas.astype(np.float32) - facts.mean) * facts.scale)[None, None]
        maps = self.session.run([output.name], {facts.name: luma})[0][0]
        heat = maps[0]
        rows, columns = np.nonzero((heat >= self.threshold) & (heat == cv2.dilate(heat, NEIGHBOUR)))
        boxes, scores = [], []
        for row, column in zip(rows, columns, strict=True):
            corners = maps[2:10, row, column].reshape(4, 2) + np.array([column + 0.5, row + 0.5])
            corners = (corners * output.stride - 0.5) / scale
            boxes.append((*corners.min(axis=0), *(corners.max(axis=0) - corners.min(axis=0))))
            scores.append(float(heat[row, column]))
        kept = cv2.dnn.NMSBoxes(boxes, scores, self.threshold, 0.3)
        return [(scores[i], _whole(boxes[i])) for i in np.array(kept, int).ravel()]


def _whole(box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    left, top, width, height = box
    return int(left), int(top), int(np.ceil(left + width)), int(np.ceil(top + height))


@dataclass(frozen=True, slots=True)
class PlateText:
    """Our reader's net behind NumPy and OpenCV, without the grammar."""

    session: Any
    model: ModelFolder

    @staticmethod
    def open(model: ModelFolder) -> PlateText:
        """With onnxruntime's defaults."""
        return PlateText(onnxruntime.InferenceSession(str(model.onnx_path)), model)

    def read(self, crop: NDArray[np.uint8]) -> tuple[str, list[float]]:
        """The characters of a BGR crop and their probabilities."""
        facts, output = self.model.facts.input, self.model.facts.output
        grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
        resized = cv2.resize(grey, (facts.width, facts.height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        level = (resized - resized.mean()) / max(float(resized.std()), 4.0)
        logits = self.session.run([output.name], {facts.name: level[None, None]})[0][0] / output.temperature
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        best = chances.argmax(axis=1)
        written = [(ALPHABET[c], float(chances[i, c])) for i, c in enumerate(best) if c < len(ALPHABET)]
        return "".join(letter for letter, _ in written), [chance for _, chance in written]
