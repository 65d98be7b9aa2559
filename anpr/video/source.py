"""The contract of everything that gives pictures, and the one door to all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar, cast

from anpr.clock import Clock
from anpr.errors import DeviceError, VideoError
from anpr.metrics import Counters
from anpr.privacy import redact
from anpr.records import Frame
from anpr.video import files, images
from anpr.video.back_off import Reconnection
from anpr.video.decode import DecodeOptions
from anpr.video.facts import SourceFacts
from anpr.video.nvdec import Nvdec
from anpr.video.rtsp import Gap, RtspSource, Transition
from anpr.video.surface_frame import SurfaceFrame, surface_frame_of

PictureT = TypeVar("PictureT", covariant=True)


class SourceOf(Protocol[PictureT]):
    """A camera's pictures in order. Opened on entering, in the thread that reads; iterated once; no hidden threads."""

    @property
    def facts(self) -> SourceFacts:
        """What is known now: of a file after entering, of a camera after its first answer; changes if the size does."""
        ...

    @property
    def counters(self) -> Counters:
        """What was lost or is suspicious, with reasons."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[PictureT]:
        """The pictures; raises MediaError if a recording cannot be read at all. A camera's go on until it is closed."""
        ...

    def close(self) -> None:
        """Release what is open; a camera's may be called from any thread and ends the iteration."""
        ...


Source = SourceOf[Frame]
"""Gives pictures in the host's memory."""
SurfaceSource = SourceOf[SurfaceFrame]
"""Gives pictures on a GPU."""


def open_source(
    location: str | Path,
    *,
    camera_id: str,
    clock: Clock,
    options: DecodeOptions | None = None,
    counters: Counters | None = None,
    start_wall_seconds: float | None = None,
    image_rate: float = 25.0,
    reconnection: Reconnection | None = None,
    stop: threading.Event | None = None,
    on_state: Callable[[Transition], None] | None = None,
    on_gap: Callable[[Gap], None] | None = None,
    on_facts: Callable[[SourceFacts], None] | None = None,
) -> Source:
    """The source that fits `location`: an RTSP address, a folder of images, an image, or else a clip.

    `start_wall_seconds` and `image_rate` (images per second) are for recordings; `reconnection`,
    `stop` and the callbacks for cameras.
    Nothing is opened yet. Raises VideoError for an address of another kind, StreamError for a malformed one.
    """
    source = _open(
        location,
        camera_id=camera_id,
        clock=clock,
        options=options,
        counters=counters,
        start_wall_seconds=start_wall_seconds,
        image_rate=image_rate,
        reconnection=reconnection,
        stop=stop,
        on_state=on_state,
        on_gap=on_gap,
        on_facts=on_facts,
    )
    return cast("Source", source)


def open_surfaces(
    location: str | Path,
    *,
    camera_id: str,
    clock: Clock,
    nvdec: Nvdec | None,
    options: DecodeOptions | None = None,
    counters: Counters | None = None,
    start_wall_seconds: float | None = None,
    reconnection: Reconnection | None = None,
    stop: threading.Event | None = None,
    on_state: Callable[[Transition], None] | None = None,
    on_gap: Callable[[Gap], None] | None = None,
    on_facts: Callable[[SourceFacts], None] | None = None,
) -> SurfaceSource:
    """The same as surfaces: of a GPU, which decodes and keeps them, or of the host if `nvdec` is None.

    Raises DeviceError for images that a GPU is to decode.
    """
    source = _open(
        location,
        camera_id=camera_id,
        clock=clock,
        options=options,
        nvdec=nvdec,
        counters=counters,
        start_wall_seconds=start_wall_seconds,
        reconnection=reconnection,
        stop=stop,
        on_state=on_state,
        on_gap=on_gap,
        on_facts=on_facts,
    )
    if nvdec is None:
        return _OnHost(cast("Source", source))
    if isinstance(source, images.ImageSequence):
        raise DeviceError(
            "images are not decoded by a GPU", place=redact(str(location)), cure="take a pipeline with device = 'cpu'"
        )
    return cast("SurfaceSource", source)


class _OnHost:
    """A source whose pictures are given as surfaces in the host's memory."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def facts(self) -> SourceFacts:
        return self._source.facts

    @property
    def counters(self) -> Counters:
        return self._source.counters

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[SurfaceFrame]:
        return map(surface_frame_of, self._source)

    def close(self) -> None:
        self._source.close()


def _open(
    location: str | Path,
    *,
    camera_id: str,
    clock: Clock,
    options: DecodeOptions | None,
    counters: Counters | None,
    start_wall_seconds: float | None,
    reconnection: Reconnection | None,
    stop: threading.Event | None,
    on_state: Callable[[Transition], None] | None,
    on_gap: Callable[[Gap], None] | None,
    on_facts: Callable[[SourceFacts], None] | None,
    nvdec: Nvdec | None = None,
    image_rate: float = 25.0,
) -> RtspSource | images.ImageSequence | files.VideoFile:
    text = str(location)
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() in ("rtsp", "rtsps"):
        return RtspSource(
            text,
            camera_id=camera_id,
            clock=clock,
            options=options,
            counters=counters,
            reconnection=reconnection,
            stop=stop,
            on_state=on_state,
            on_gap=on_gap,
            on_facts=on_facts,
            nvdec=nvdec,
        )
    if separator and scheme.isalnum():
        raise VideoError(f"cannot read {scheme}://", place=redact(text), cure="give a file, a folder or rtsp://…")
    path = Path(location)
    if path.is_dir() or path.suffix.lower() in images.SUFFIXES:
        return images.ImageSequence(
            path,
            camera_id=camera_id,
            clock=clock,
            counters=counters,
            frame_rate=image_rate,
            start_wall_seconds=start_wall_seconds,
        )
    return files.VideoFile(
        path,
        camera_id=camera_id,
        clock=clock,
        options=options,
        counters=counters,
        start_wall_seconds=start_wall_seconds,
        nvdec=nvdec,
    )


def list_footage(location: str | Path) -> list[str]:
    """What `location` stands for in a replay: the clips of a folder in natural order and, if it has images, the folder
    itself; anything else is itself.

    Raises VideoError for a folder with neither.
    """
    path = Path(location)
    if not path.is_dir():
        return [str(location)]
    clips = [
        str(clip) for clip in sorted(path.iterdir(), key=images.natural_key) if clip.suffix.lower() in files.SUFFIXES
    ]
    footage = [*clips, str(path)] if images.list_images(path) else clips
    if not footage:
        raise VideoError("the folder holds no clips and no images", place=str(path), cure="give a folder with footage")
    return footage
