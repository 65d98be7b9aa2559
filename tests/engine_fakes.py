"""Stages without models, and clips for them: bright plates on a dark road; the grey level is the plate's text."""

from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np

from anpr.config.pipeline import Pictures, Pipeline, Preset
from anpr.engine.messages import Passage
from anpr.engine.pipeline import Stages
from anpr.engine.simulation import SimulatedDevice
from anpr.metrics import Counters
from anpr.nets.batch_reader import Found
from anpr.ops.window import Window
from anpr.records import ALPHABET, EMPTY, Frame, Plate, Read
from anpr.tracking.options import TrackOptions
from anpr.video.decode import DecodeOptions
from anpr.video.surface_frame import SurfaceFrame, brought_home

TEXTS = {200: "30A12345", 235: "51F67890"}
PIPELINE = Pipeline.of(Preset(), name="fake")
WIDTH, HEIGHT = 320, 240


class FakeDetector:
    """Finds bright rectangles."""

    def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
        count, _, stats, _ = cv2.connectedComponentsWithStats((frame.luma > 150).astype(np.uint8))
        plates = []
        for left, top, width, height, area in stats[1:count]:
            if area >= 200:
                right, bottom = left + width - 1, top + height - 1
                quad = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
                plates.append(Plate(quad=quad, score=0.9, lines=1, colour="white"))
        return plates


class FakeReader:
    """Reads the text that belongs to the grey level at the plate's centre."""

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        return [self._read(frame, plate) for plate in plates]

    def _read(self, frame: Frame, plate: Plate) -> Read:
        x, y = plate.quad.mean(axis=0).astype(int)
        level = min(TEXTS, key=lambda each: abs(each - int(frame.luma[y, x])))
        return read_of(TEXTS[level])


class FakeDevice(SimulatedDevice):
    """Finds and reads the plates as FakeDetector and FakeReader do."""

    def detect(self, pictures: Sequence[SurfaceFrame]) -> list[list[Plate]]:
        super().detect(pictures)
        return [FakeDetector().detect(brought_home(picture)) for picture in pictures]

    def read(self, found: Sequence[Found]) -> list[tuple[Plate, Read | None]]:
        results: list[tuple[Plate, Read | None]] = []
        for each in found:
            luma, chroma = each.surface.owner  # type: ignore[misc]
            frame = Frame("", 0, 0.0, 0.0, luma, chroma[:, :, 0], chroma[:, :, 1])
            results.append((each.plate, FakeReader().read(frame, [each.plate])[0] if each.wanted else None))
        return results


class CollectingHub:
    """A hub that keeps what it takes."""

    def __init__(self) -> None:
        self.full = False
        self.backlog = 0
        self.passages: list[Passage] = []
        self.settled: list[str] = []
        """Cameras whose followers died."""

    def take(self, passage: Passage) -> None:
        self.passages.append(passage)

    def settle(self, camera_ids: Collection[str]) -> None:
        self.settled += camera_ids

    def tick(self) -> float:
        return 0.05

    def finals(self, camera_id: str | None = None) -> list[str]:
        """The texts of the settled sightings of one camera, or of all."""
        sightings = [passage.sighting for passage in self.passages if passage.sighting.state == "final"]
        return [each.text for each in sightings if each.text and camera_id in (None, each.camera_id)]


def assert_balanced(counters: Counters) -> None:
    """Every picture that came in is accounted for: the conservation laws of docs/operate.md."""
    total = counters.total
    lost = total("packets_undecodable") + total("pictures_missing") + total("pictures_left_out")
    assert total("frames_received") == total("frames_decoded") + lost, counters.counts
    looked_at = total("frames_inferred") + total("frames_gated")
    assert total("frames_decoded") == looked_at + total("frames_dropped"), counters.counts


def read_of(text: str, *, sure: float = 0.999) -> Read:
    """A read that is `sure` of each character."""
    probabilities = np.full((10, EMPTY + 1), (1.0 - sure) / EMPTY, np.float32)
    for slot in range(10):
        probabilities[slot, ALPHABET.index(text[slot]) if slot < len(text) else EMPTY] = sure
    return Read(log_probs=np.log(probabilities), raw=text, text=text, probability=sure, alternatives=((text, sure),))


def fake_stages(_pipeline: Pipeline = PIPELINE, **changes: Any) -> Stages:
    """Stages for `Worker`, as `build_stages` would make them."""
    made: dict[str, Any] = {
        "detector": FakeDetector(),
        "reader": FakeReader(),
        "decode": DecodeOptions(),
        "track": TrackOptions(),
        "pictures": Pictures(),
        "pipeline": "fake@0",
        "models": ("fake@1",),
    }
    return Stages(**(made | changes))


def scene(index: int, *, period: int = 40) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Frame `index` as grey levels: every `period` frames a plate comes down, the texts by turns."""
    luma = np.full((HEIGHT, WIDTH), 40, np.uint8)
    step = index % period
    if step < 24:
        top, level = 10 + 8 * step, list(TEXTS)[index // period % 2]
        luma[top : top + 16, 100:172] = level
    return luma


def frames(count: int, *, camera_id: str = "cam", **options: Any) -> list[Frame]:
    """Decoded frames at 25 a second."""
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    return [
        Frame(camera_id, n, n / 25, 1_767_225_600 + n / 25, scene(n, **options), grey, grey, arrival_seconds=1.0 + n)
        for n in range(count)
    ]


def write_clip(
    path: Path,
    *,
    frames: int = 100,
    codec: Literal["libx264", "libx265"] = "libx264",
    pause_before: int = 0,
    pause_seconds: float = 0.0,
) -> Path:
    """A clip of `scene`s at 25 frames a second with a key frame every second, and a pause before one of them."""
    options = {"crf": "10", "preset": "ultrafast", "g": "25", "threads": "1", "x265-params": "log-level=none:pools=1"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            picture[:HEIGHT] = scene(index)
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            if index >= pause_before:
                frame.pts += round(pause_seconds * 25)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path
