"""Draws the README's picture: a frame of the demo clip with what the engine finds and reads in it.

python -m scripts.picture docs/images/demo.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr import assets
from anpr.clock import SystemClock
from anpr.config import load_pipeline
from anpr.engine.pipeline import build_stages
from anpr.plates.grammar import readings
from anpr.records import Frame, Plate, Read
from anpr.video.source import open_source

WIDTH_PX = 1280
GREEN, BLACK = (60, 220, 60), (0, 0, 0)


def to_bgr(frame: Frame) -> NDArray[np.uint8]:
    """(height, width, 3) of a frame's planes."""
    height, width = frame.luma.shape
    chroma = [cv2.resize(plane, (width, height)) for plane in (frame.chroma_v, frame.chroma_u)]
    return np.asarray(cv2.cvtColor(np.dstack([frame.luma, *chroma]), cv2.COLOR_YCrCb2BGR), dtype=np.uint8)


def draw(image: NDArray[np.uint8], plate: Plate, read: Read) -> None:
    """The plate's corners and its text with its probability."""
    cv2.polylines(image, [np.round(plate.quad).astype(np.int32)], True, GREEN, 2, cv2.LINE_AA)
    shown = readings(read.text, colour=plate.colour, lines=plate.lines)[0].display
    label = f"{shown}  {read.probability:.0%}  {plate.colour}"
    (width, height), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 2)
    x = int(np.clip(plate.quad[:, 0].mean() - width / 2, 4, image.shape[1] - width - 8))
    y = int(plate.quad[:, 1].min()) - 14
    cv2.rectangle(image, (x - 6, y - height - 8), (x + width + 6, y + 8), BLACK, -1)
    cv2.putText(image, label, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.9, GREEN, 2, cv2.LINE_AA)


def main() -> int:
    """Take the frame with the most surely read plates, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    clip = assets.folder("configs") / "demo/expressway.mp4"
    stages = build_stages(load_pipeline("cpu"))
    best: tuple[float, Frame, list[tuple[Plate, Read]]] | None = None
    with open_source(clip, camera_id="demo", clock=SystemClock(), options=stages.decode) as source:
        for frame in source:
            if frame.index % 5:
                continue
            plates = stages.detector.detect(frame)
            reads = stages.reader.read(frame, plates)
            sure = [(p, r) for p, r in zip(plates, reads, strict=True) if not r.unreadable and r.probability > 0.9]
            weight = sum(float(np.ptp(plate.quad[:, 0])) for plate, _ in sure) * len(sure)
            if best is None or weight > best[0]:
                best = weight, frame, sure
    assert best is not None
    image = to_bgr(best[1])
    for plate, read in best[2]:
        draw(image, plate, read)
    size = (WIDTH_PX, round(image.shape[0] * WIDTH_PX / image.shape[1]))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(arguments.output), small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
