from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write_clip

from anpr.clock import ManualClock
from anpr.errors import ImageError, StreamError, VideoError
from anpr.video.files import VideoFile
from anpr.video.images import ImageSequence
from anpr.video.rtsp import RtspSource
from anpr.video.source import Source, list_footage, open_source


def source_of(location: str | Path) -> Source:
    return open_source(location, camera_id="cam1", clock=ManualClock())


def test_the_location_tells_the_source(tmp_path: Path) -> None:
    assert isinstance(source_of("rtsp://10.0.0.7/x"), RtspSource)
    assert isinstance(source_of("RTSPS://10.0.0.7/x"), RtspSource)
    assert isinstance(source_of(tmp_path), ImageSequence)
    assert isinstance(source_of("gate.JPG"), ImageSequence)
    assert isinstance(source_of("gate.mp4"), VideoFile)
    assert isinstance(source_of(Path("gate")), VideoFile)


@pytest.mark.parametrize("location", ["http://u:Kan4ri@10.0.0.7/x.mp4", "file:///etc/passwd", "concat://a"])
def test_other_schemes_are_refused(location: str) -> None:
    with pytest.raises(VideoError, match="cannot read") as caught:
        source_of(location)
    assert "Kan4ri" not in str(caught.value)
    with pytest.raises(StreamError):
        source_of("rtsp://")


def test_one_loop_reads_clips_and_images(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=5)
    cv2.imwrite(str(tmp_path / "image.png"), np.zeros((20, 30, 3), np.uint8))
    counts = []
    for name in ("clip.mp4", "image.png", "."):
        with source_of(tmp_path / name) as source:
            counts.append(sum(frame.camera_id == "cam1" for frame in source))
    assert counts == [5, 1, 1]


def test_footage_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no clips and no images"):
        list_footage(tmp_path)
    for name in ("cam10.mp4", "cam2.MKV", "notes.txt"):
        (tmp_path / name).touch()
    assert list_footage(tmp_path) == [str(tmp_path / "cam2.MKV"), str(tmp_path / "cam10.mp4")]
    (tmp_path / "shot.jpg").touch()
    assert list_footage(tmp_path)[-1] == str(tmp_path)
    assert list_footage("nowhere.mp4") == ["nowhere.mp4"]
    with pytest.raises(ImageError):
        source_of("nowhere.jpg").__enter__()


def test_nothing_is_printed_about_a_damaged_clip(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", frames=30)
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    data[2000::500] ^= 0xFF
    path.write_bytes(data.tobytes())
    program = f"""
from anpr.clock import SystemClock
from anpr.video.source import open_source
with open_source({str(path)!r}, camera_id="c", clock=SystemClock()) as source:
    assert any(frame.tainted for frame in source)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
