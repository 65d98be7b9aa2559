"""Recorded clips: every picture that can be decoded, in order, with what could not be counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from anpr.clock import Clock
from anpr.errors import VideoError
from anpr.metrics import Counters
from anpr.video.decode import DecodeOptions, Decoder, Picture
from anpr.video.facts import SourceFacts
from anpr.video.nvdec import Nvdec, open_container
from anpr.video.timeline import Timeline

FORMATS = "mov,mp4,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,asf,ogg,mjpeg,h264,hevc,m4v,dhav,mxf,gxf,wtv,nut,ivf"
"""Containers that may be opened, by libav's names. Play lists and scripts that fetch other files are not among them."""

# fmt: off
SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".avi", ".flv", ".wmv",
    ".asf", ".ogv", ".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc", ".dav", ".mxf", ".nut", ".ivf",
})
# fmt: on
"""File names that are taken for clips when a folder is searched."""

LENGTH_SLACK_SECONDS = 1.0
"""By how much a clip's other tracks may outlast its pictures before pictures count as missing."""

READ_FAILURES = 64
"""Failed reads in a row after which the rest of a file is given up."""


class VideoFile:
    """A clip as a source of pictures. Opened on entering, in the thread that reads it; gives its pictures once."""

    def __init__(
        self,
        path: Path | str,
        *,
        camera_id: str,
        clock: Clock,
        options: DecodeOptions | None = None,
        counters: Counters | None = None,
        start_wall_seconds: float | None = None,
        nvdec: Nvdec | None = None,
    ) -> None:
        """`start_wall_seconds` dates the first picture. Without it the clip's own creation time does, and without that
        the time of the file's last change less its length. `nvdec` decodes on a GPU."""
        self.path = Path(path)
        self.facts = SourceFacts()
        self.counters = counters if counters is not None else Counters()
        self._camera_id = camera_id
        self._clock = clock
        self._options = options or DecodeOptions()
        self._start_wall_seconds = start_wall_seconds
        self._nvdec = nvdec
        self._container: InputContainer | None = None

    def __enter__(self) -> VideoFile:
        self._container = self._open()
        try:
            self.facts = self._facts(self._container)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when closed."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def __iter__(self) -> Iterator[Picture]:
        """The pictures. Raises VideoError if the file is not open, or if not a single picture can be decoded."""
        container = self._container
        if container is None:
            raise VideoError("the file is not open", place=str(self.path), cure="use it in a `with` block")
        stream = container.streams.video[0]
        start = self.facts.start_wall_seconds or 0.0
        decoder = Decoder(
            stream,
            camera_id=self._camera_id,
            options=self._options,
            counters=self.counters,
            timeline=Timeline(period_seconds=1.0 / (self.facts.frame_rate or 25.0)),
            wall_of=lambda pts_seconds: start + pts_seconds,
            facts=self.facts,
            on_facts=self._take_facts,
            nvdec=self._nvdec,
        )
        packets, last_seconds = 0, 0.0
        try:
            for packet in self._packets(container, stream, decoder):
                packets += 1
                for frame in decoder.decode(packet, arrival_seconds=self._clock.monotonic_seconds()):
                    last_seconds = frame.pts_seconds
                    yield frame
            for frame in decoder.flush():
                last_seconds = frame.pts_seconds
                yield frame
        finally:
            decoder.abandon()
        if not decoder.pictures:
            raise VideoError(
                "no picture can be decoded", place=str(self.path), cure="the clip is damaged: copy it again"
            )
        self._count_missing(container, packets, last_seconds)

    def _count_missing(self, container: InputContainer, packets: int, last_seconds: float) -> None:
        """Count what the container promised and did not hold: by packets if it knows their number, else by length."""
        missing = (self.facts.frame_count or 0) - packets
        if self.facts.frame_count is None and container.duration:
            short_seconds = container.duration / av.time_base - last_seconds
            missing = int(short_seconds * self.facts.frame_rate) if short_seconds > LENGTH_SLACK_SECONDS else 0
        if missing > 0:
            self.counters.add("packets_missing", missing, reason="truncated file")

    def _packets(
        self, container: InputContainer, stream: VideoStream, decoder: Decoder
    ) -> Iterator[Packet[VideoStream]]:
        failures = 0
        while failures < READ_FAILURES:
            try:
                for packet in container.demux(stream):
                    if packet.size:
                        failures = 0
                        yield packet
                return
            except av.error.FFmpegError as error:
                failures += 1
                self.counters.add("reads_failed", reason=type(error).__name__)
                decoder.taint("failed read")

    def _open(self) -> InputContainer:
        place = str(self.path)
        if not self.path.exists():
            raise VideoError("no such file", place=place, cure="check the path")
        if not self.path.is_file():
            raise VideoError("is not a file", place=place, cure="give a clip, or a folder of images")
        try:
            if self.path.stat().st_size == 0:
                raise VideoError("the file is empty (0 bytes)", place=place, cure="record or copy it again")
            return open_container(
                f"file:{self.path.absolute()}",
                place=place,
                nvdec=self._nvdec,
                options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
                metadata_errors="replace",
            )
        except PermissionError as error:
            raise VideoError("may not be read", place=place, cure="grant this user the right to read it") from error
        except (av.error.FFmpegError, UnicodeError) as error:
            problem = f"cannot be opened as a video ({getattr(error, 'strerror', None) or error})"
            cure = "it is damaged, was cut off while recording, or is no video: copy it again or convert it to mp4"
            raise VideoError(problem, place=place, cure=cure) from error

    def _facts(self, container: InputContainer) -> SourceFacts:
        if not container.streams.video:
            raise VideoError("has no video, only other tracks", place=str(self.path), cure="give a clip with pictures")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context is None:
            raise VideoError("its codec is unknown", place=str(self.path), cure="convert it to H.264")
        length_seconds = (container.duration or 0) / av.time_base
        return SourceFacts(
            width=context.width,
            height=context.height,
            frame_rate=float(stream.average_rate or stream.guessed_rate or 0),
            codec=context.name,
            frame_count=stream.frames or None,
            start_wall_seconds=self._start(container, length_seconds),
        )

    def _start(self, container: InputContainer, length_seconds: float) -> float:
        if self._start_wall_seconds is not None:
            return self._start_wall_seconds
        created = {key.lower(): value for key, value in container.metadata.items()}.get("creation_time", "")
        try:
            return datetime.fromisoformat(created).timestamp()
        except ValueError:
            return self.path.stat().st_mtime - max(length_seconds, 0.0)

    def _take_facts(self, facts: SourceFacts) -> None:
        self.facts = facts
