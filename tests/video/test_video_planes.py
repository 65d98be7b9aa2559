from __future__ import annotations

import gc

import av
import cv2
import numpy as np
import pytest

from anpr.video.planes import planes_from_picture


def picture(width: int, height: int, pixel_format: str) -> av.VideoFrame:
    rgb = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)


@pytest.mark.parametrize("size", [(64, 48), (100, 50), (101, 67), (1, 1)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "nv12"])
def test_planes_are_the_pictures_own_memory(size: tuple[int, int], pixel_format: str) -> None:
    width, height = size
    source = picture(width, height, pixel_format)
    luma, chroma_u, chroma_v = planes_from_picture(source)
    assert luma.ctypes.data == source.planes[0].buffer_ptr
    assert luma.shape == (height, width)
    half = ((height + 1) // 2, (width + 1) // 2)
    assert chroma_u.shape == chroma_v.shape == half
    rows = np.frombuffer(bytes(source.planes[1]), np.uint8).reshape(half[0], -1)
    step = 2 if pixel_format == "nv12" else 1
    np.testing.assert_array_equal(chroma_u, rows[:, 0 : step * half[1] : step])
    if pixel_format == "nv12":
        np.testing.assert_array_equal(chroma_v, rows[:, 1 : 2 * half[1] : 2])
    else:
        assert chroma_v.ctypes.data == source.planes[2].buffer_ptr


def test_views_keep_the_memory_and_refuse_writing() -> None:
    luma, _, _ = planes_from_picture(picture(320, 240, "yuv420p"))
    before = luma.copy()
    gc.collect()
    others = [picture(320, 240, "yuv420p") for _ in range(8)]
    np.testing.assert_array_equal(luma, before)
    assert others
    with pytest.raises(ValueError, match="read-only"):
        luma[0, 0] = 1


def test_opencv_reads_the_views() -> None:
    luma, _, _ = planes_from_picture(picture(101, 67, "yuv420p"))
    np.testing.assert_array_equal(cv2.resize(luma, (50, 30)), cv2.resize(luma.copy(), (50, 30)))


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "rgb24", "gray", "yuv420p10le"])
def test_other_formats_are_converted(pixel_format: str) -> None:
    source = picture(65, 47, pixel_format)
    luma, chroma_u, _ = planes_from_picture(source)
    assert luma.shape == (47, 65)
    assert chroma_u.shape == (24, 33)
