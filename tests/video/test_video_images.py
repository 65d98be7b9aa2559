from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anpr.clock import ManualClock
from anpr.errors import ImageError
from anpr.video.image_size import image_size
from anpr.video.images import ImageSequence, frame_from_bgr, list_images, load_bgr, load_image


def ramp(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    image[..., 2] = 90
    return image


def save(path: Path, image: NDArray[np.uint8]) -> Path:
    done, data = cv2.imencode(path.suffix, image)
    assert done
    path.write_bytes(data.tobytes())
    return path


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """`jpeg` with an EXIF block that holds only the orientation."""
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)
    block = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("size", [(64, 48), (65, 47), (64, 47), (65, 48), (66, 50), (1, 1), (2, 1)])
def test_planes_hold_the_picture_at_any_size(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    image = ramp(*size)
    path = save(tmp_path / f"image{suffix}", image)
    assert image_size(path.read_bytes()) == ({".jpg": "jpeg"}.get(suffix, suffix[1:]), *size)
    frame = load_image(path, camera_id="cam1", wall_seconds=7.0)
    assert frame.luma.shape == (size[1], size[0])
    assert frame.wall_seconds == 7.0
    stored = load_bgr(path)
    blue, green, red = (stored[..., channel].astype(float) for channel in range(3))
    expected = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256
    assert np.abs(frame.luma - expected).max() <= 1.5


def test_chroma_matches_an_even_picture() -> None:
    frame = frame_from_bgr(np.full((6, 10, 3), (255, 0, 0), np.uint8))
    assert frame.chroma_u.shape == (3, 5)
    assert np.abs(frame.chroma_u.astype(int) - 240).max() <= 1
    assert np.abs(frame.chroma_v.astype(int) - 110).max() <= 1
    with pytest.raises(ValueError, match="bgr must be uint8"):
        frame_from_bgr(np.zeros((4, 4), np.uint8))


def test_orientation_of_the_camera_is_applied(tmp_path: Path) -> None:
    path = save(tmp_path / "upright.jpg", ramp())
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(with_orientation(path.read_bytes(), 6))
    assert image_size(turned.read_bytes()) == ("jpeg", 64, 48)
    np.testing.assert_array_equal(load_bgr(turned), np.rot90(load_bgr(path), -1))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"<html>no image</html>", "is no JPEG, PNG, WebP or BMP image"),
        (b"\xff\xd8\xff\xe0\x00", "is no JPEG, PNG, WebP or BMP image"),
        (png_of_size(30_000, 30_000), "is 30000x30000 pixels, too large"),
        (png_of_size(30_000, 10), "is 30000x10 pixels, too large"),
        (png_of_size(10, 30_000), "is 10x30000 pixels, too large"),
        (png_of_size(12_000, 12_000), "is 12000x12000 pixels, too large"),
        (png_of_size(100, 100), "is a damaged png image"),
        (b"GIF89a" + bytes(100), "is no JPEG"),
    ],
)
def test_what_is_no_image_is_one_clear_error(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"bad\.png: {problem}") as caught:
        load_image(path)
    assert caught.value.cure


def test_missing_image_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        load_image(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(tmp_path)


@pytest.mark.parametrize("cut", [1, 2, 50, 9000])
def test_a_cut_off_jpeg_is_refused(tmp_path: Path, cut: int) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    path = save(tmp_path / "whole.jpg", noise)
    assert load_image(path).luma.shape == (200, 300)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ImageError, match="cut off"):
        load_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_headers_cut_anywhere_never_crash(tmp_path: Path, suffix: str) -> None:
    data = save(tmp_path / f"image{suffix}", ramp()).read_bytes()
    for length in range(min(len(data), 700)):
        size = image_size(data[:length])
        assert size is None or size[1:] == (64, 48)


def test_folder_in_natural_order_with_a_bad_image_counted(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        save(tmp_path / f"shot{number}.jpg", ramp(64 + number, 48))
    (tmp_path / "shot3.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "link.png").symlink_to(tmp_path / "shot1.jpg")
    assert [path.name for path in list_images(tmp_path)] == [
        "link.png",
        "shot1.jpg",
        "shot2.jpg",
        "shot3.jpg",
        "shot10.jpg",
    ]
    with ImageSequence(
        tmp_path, camera_id="cam1", clock=ManualClock(), frame_rate=10.0, start_wall_seconds=50.0
    ) as source:
        frames = list(source)
    assert source.facts.frame_count == 5
    assert [frame.luma.shape[1] for frame in frames] == [65, 65, 66, 74]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.4])
    assert frames[3].wall_seconds == pytest.approx(50.4)
    assert source.counters.counts == {("images_unreadable", "the file is empty (0 bytes)"): 1}


def test_a_single_image_is_a_source_of_one(tmp_path: Path) -> None:
    path = save(tmp_path / "one.jpg", ramp())
    with ImageSequence(path, camera_id="cam1", clock=ManualClock()) as source:
        assert (source.facts.width, source.facts.height, source.facts.frame_count) == (64, 48, 1)
        assert len(list(source)) == 1
    with pytest.raises(ImageError, match="not open"):
        list(source)


def test_folder_without_images_and_with_only_bad_ones(tmp_path: Path) -> None:
    with (
        pytest.raises(ImageError, match="holds no images"),
        ImageSequence(tmp_path, camera_id="cam1", clock=ManualClock()),
    ):
        pass
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    with (
        pytest.raises(ImageError, match=r"bad\.jpg"),
        ImageSequence(tmp_path, camera_id="cam1", clock=ManualClock()) as source,
    ):
        list(source)
