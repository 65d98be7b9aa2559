"""The nets in batches over every backend's operations: what is found and read is what single pictures give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from making_benches import Bench

from anpr.clock import SystemClock
from anpr.nets.batch_detector import BatchDetector
from anpr.nets.batch_reader import BatchReader, Found
from anpr.nets.detector import Detector, DetectorOptions
from anpr.nets.model import ModelFolder
from anpr.nets.providers import Device, GpuPlace
from anpr.nets.reader import Reader, ReaderOptions
from anpr.video.source import open_source

CLIP = Path(__file__).parents[2] / "configs/demo/expressway.mp4"
CORNER_PX = 0.5
PROBABILITY = 0.05


def test_batches_of_any_backend_find_and_read_the_same_plates(bench: Bench, tmp_path: Path) -> None:
    real = bench.name == "cuda"
    device: Device = "cuda" if real else "cpu"
    place = GpuPlace(0, "GPU", bench.batches.stream_handle, tmp_path) if real else None
    models = ModelFolder.load("detector-fp16"), ModelFolder.load("reader-fp16")
    detector = BatchDetector.open(models[0], DetectorOptions(), bench.batches, device=device, place=place, most=2)
    reader = BatchReader.open(models[1], ReaderOptions(), bench.batches, device=device, place=place, most=4)
    detector.warm()
    reader.warm()
    single, single_reader = Detector.open(models[0]), Reader.open(models[1])
    with open_source(CLIP, camera_id="cam", clock=SystemClock()) as source:
        frames = [frame for frame, _ in zip(source, range(101), strict=False) if frame.index in (60, 100)]
    surfaces = [
        bench.surface(np.ascontiguousarray(each.luma), np.stack([each.chroma_u, each.chroma_v], axis=2))
        for each in frames
    ]
    compared = 0
    for frame, surface, plates in zip(frames, surfaces, detector.detect(surfaces), strict=True):
        expected = single.detect(frame)
        assert len(plates) == len(expected)
        found = reader.read([Found(surface, plate) for plate in plates])
        for (plate, read), other, said in zip(found, expected, single_reader.read(frame, expected), strict=True):
            assert np.abs(plate.quad - other.quad).max() <= CORNER_PX
            assert plate.colour == other.colour
            assert read is not None
            assert read.text == said.text
            assert abs(read.probability - said.probability) <= PROBABILITY
            compared += 1
    assert compared >= 1
