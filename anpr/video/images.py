"""Single images and folders of images.

Pixels are turned into planes of limited range (luma 16 to 235, BT.601), like video. The orientation that a camera
writes into a JPEG (EXIF) is applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.clock import Clock
from anpr.errors import ImageError
from anpr.metrics import Counters
from anpr.records import Frame
from anpr.video.facts import SourceFacts
from anpr.video.image_size import image_size
from anpr.video.planes import planes_from_bgr

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
"""File names that are taken for images when a folder is searched."""

MAX_PIXELS = 100_000_000
MAX_SIDE_PIXELS = 20_000


def list_images(folder: Path) -> list[Path]:
    """The images of `folder` (not of its sub-folders), `2.jpg` before `10.jpg`; hidden files are left out."""
    return sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")),
        key=natural_key,
    )


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key under which numbers within names count as numbers; names that differ only in form stay in order."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts], path.name


def load_bgr(path: Path | str) -> NDArray[np.uint8]:
    """The image as (height, width, 3) uint8 in OpenCV's order, upright.

    Raises ImageError if it is missing, empty, larger than MAX_PIXELS or MAX_SIDE_PIXELS, or no JPEG, PNG, WebP or BMP.
    """
    return _decode(_read(Path(path)), str(path))


def load_image(
    path: Path | str,
    *,
    camera_id: str = "",
    index: int = 0,
    pts_seconds: float = 0.0,
    wall_seconds: float | None = None,
    arrival_seconds: float = 0.0,
) -> Frame:
    """The image as a Frame, dated by the file's last change unless `wall_seconds` is given.

    Raises ImageError as `load_bgr` does.
    """
    path = Path(path)
    return frame_from_bgr(
        load_bgr(path),
        camera_id=camera_id,
        index=index,
        pts_seconds=pts_seconds,
        wall_seconds=path.stat().st_mtime if wall_seconds is None else wall_seconds,
        arrival_seconds=arrival_seconds,
    )


def frame_from_bgr(
    bgr: NDArray[np.uint8],
    *,
    camera_id: str = "",
    index: int = 0,
    pts_seconds: float = 0.0,
    wall_seconds: float = 0.0,
    arrival_seconds: float = 0.0,
) -> Frame:
    """A Frame from an image (height, width, 3) uint8 in OpenCV's order, of any size, odd ones too."""
    luma, chroma_u, chroma_v = planes_from_bgr(bgr)
    return Frame(
        camera_id=camera_id,
        index=index,
        pts_seconds=pts_seconds,
        wall_seconds=wall_seconds,
        luma=luma,
        chroma_u=chroma_u,
        chroma_v=chroma_v,
        arrival_seconds=arrival_seconds,
    )


class ImageSequence:
    """One image, or a folder of images in natural order, as a source of Frames.

    A folder's unreadable image is counted and left out; a single one is an error.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        camera_id: str,
        clock: Clock,
        counters: Counters | None = None,
        frame_rate: float = 25.0,
        start_wall_seconds: float | None = None,
    ) -> None:
        """`frame_rate` spaces a folder's images; without `start_wall_seconds` the first file's last change dates it."""
        if frame_rate <= 0:
            raise ValueError(f"frame_rate must be positive, got {frame_rate}")
        self.path = Path(path)
        self.facts = SourceFacts()
        self.counters = counters if counters is not None else Counters()
        self._camera_id = camera_id
        self._clock = clock
        self._frame_rate = frame_rate
        self._start_wall_seconds = start_wall_seconds
        self._paths: list[Path] | None = None

    def __enter__(self) -> ImageSequence:
        paths = list_images(self.path) if self.path.is_dir() else [self.path]
        if not paths:
            cure = f"give a folder with {', '.join(sorted(SUFFIXES))} files"
            raise ImageError("the folder holds no images", place=str(self.path), cure=cure)
        start = self._start_wall_seconds
        if start is None:
            start = paths[0].stat().st_mtime if paths[0].exists() else 0.0
        size = image_size(_read(paths[0])) if not self.path.is_dir() else None
        self.facts = SourceFacts(
            width=size[1] if size else 0,
            height=size[2] if size else 0,
            frame_rate=self._frame_rate,
            codec="image",
            frame_count=len(paths),
            start_wall_seconds=start,
        )
        self._paths = paths
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing stays open between images."""
        self._paths = None

    def __iter__(self) -> Iterator[Frame]:
        """The images. Raises ImageError if the source is not open, or if none of the images can be read."""
        if self._paths is None:
            raise ImageError("the images are not open", place=str(self.path), cure="use them in a `with` block")
        start = self.facts.start_wall_seconds or 0.0
        failure: ImageError | None = None
        index = 0
        for number, path in enumerate(self._paths):
            pts_seconds = number / self._frame_rate
            try:
                frame = load_image(
                    path,
                    camera_id=self._camera_id,
                    index=index,
                    pts_seconds=pts_seconds,
                    wall_seconds=start + pts_seconds,
                    arrival_seconds=self._clock.monotonic_seconds(),
                )
            except ImageError as error:
                failure = error
                self.counters.add("images_unreadable", reason=error.problem)
                continue
            index += 1
            yield frame
        if index == 0 and failure is not None:
            raise failure


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError("no such file", place=str(path), cure="check the path") from None
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})", place=str(path), cure="check its rights") from error
    if not data:
        raise ImageError("the file is empty (0 bytes)", place=str(path), cure="record or copy it again")
    return data


def _decode(data: bytes, place: str) -> NDArray[np.uint8]:
    size = image_size(data)
    if size is None:
        raise ImageError(
            "is no JPEG, PNG, WebP or BMP image, or is damaged", place=place, cure="convert or copy it again"
        )
    kind, width, height = size
    if max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_PIXELS:
        limit = f"at most {MAX_SIDE_PIXELS} pixels a side and {MAX_PIXELS // 1_000_000} megapixels"
        raise ImageError(f"is {width}x{height} pixels, too large", place=place, cure=f"scale it down: {limit}")
    if _is_cut_off(data):
        raise ImageError("the image is cut off", place=place, cure="copy it again")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded ({error.err})", place=place, cure="copy it again") from error
    if bgr is None:
        raise ImageError(f"is a damaged {kind} image", place=place, cure="copy it again")
    return np.asarray(bgr, np.uint8)


def _is_cut_off(data: bytes) -> bool:
    """True for a JPEG without its end marker (some decoders would fill up with grey); the end marker of an embedded
    preview lies in the first half."""
    return data.startswith(b"\xff\xd8") and data.find(b"\xff\xd9", len(data) // 2) < 0
