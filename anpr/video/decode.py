"""From packets to pictures: one decoder, what it loses counted, what may be damaged marked.

Pictures are Frames in the host's memory, or SurfaceFrames on a GPU if one decodes: all else is the same.

libavcodec hides damage: after a lost packet H.264 goes on with wrong pictures and H.265 drops pictures, both without an
error. So suspicion is raised from the packets: a gap in their time stamps (unless their own numbers show that nothing
is missing), one the decoder refuses, one the demuxer calls corrupt, a picture that never comes out. From then on every
picture is tainted until a key frame comes out whole.

libav's own log stays off, as PyAV leaves it: it is one for the whole process, may hold a camera's password, and
says no more than the packets do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import av
from av.packet import Packet
from av.video.stream import VideoStream

from anpr.metrics import Counters
from anpr.records import Frame
from anpr.video.facts import SourceFacts
from anpr.video.numbering import BEFORE, Numbering
from anpr.video.nvdec import Nvdec, check_hardware, surface_of
from anpr.video.planes import DIRECT_FORMATS, planes_from_picture
from anpr.video.surface_frame import SurfaceFrame
from anpr.video.timeline import Timeline

GAP_FACTOR = 1.75
"""A step between packets longer than this many usual steps means that one is missing."""
STEPS = 16
"""How many steps between packets the usual one is the median of."""
REORDER_DEPTH = 16
"""Pictures that a decoder may hold back, at most (H.264 and H.265, max_dec_frame_buffering)."""

MOST_PIXELS = 8192 * 8192
"""Of a picture: no camera has more, and a stream that claims more would take all memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How to open and decode. Settings only; holds nothing live."""

    thread_count: int = 1
    """Decoder threads of one source; one is best where there are as many sources as cores."""
    thread_type: Literal["frame", "slice"] = "slice"
    """With several threads: whole frames (each thread delays by one frame) or slices (only if the stream has them)."""
    skip_loop_filter: Literal["default", "noref", "bidir", "nokey", "all"] = "default"
    """`all` saves about a third of H.264 decoding and drifts until the next key frame."""
    skip_frame: Literal["default", "nonref", "bidir", "nonintra", "nonkey"] = "default"
    """Pictures not to decode at all."""
    open_timeout_seconds: float = 5.0
    """For a camera: to connect and answer, and again to show what it sends."""
    read_timeout_seconds: float = 5.0
    """For a camera: silence that counts as stalled."""

    def __post_init__(self) -> None:
        if self.thread_count < 1:
            raise ValueError(f"thread_count must be at least 1, got {self.thread_count}")
        for name in ("open_timeout_seconds", "read_timeout_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


Picture = Frame | SurfaceFrame


class Decoder:
    """Turns the packets of one opened stream into pictures; a new one for every connection."""

    def __init__(
        self,
        stream: VideoStream,
        *,
        camera_id: str,
        options: DecodeOptions,
        counters: Counters,
        timeline: Timeline,
        wall_of: Callable[[float], float],
        facts: SourceFacts,
        on_facts: Callable[[SourceFacts], None] | None = None,
        nvdec: Nvdec | None = None,
    ) -> None:
        """`wall_of(pts_seconds)` dates a picture; `on_facts` hears of a change of size in mid-stream; `nvdec`
        is the GPU that the stream was opened with. Raises DeviceError if that does not decode this stream."""
        self._context = stream.codec_context
        self._nvdec = nvdec
        if nvdec is not None:
            check_hardware(self._context, place=camera_id)
        self._context.thread_count = options.thread_count if nvdec is None else 1
        self._context.thread_type = options.thread_type.upper()
        self._context.copy_opaque = True
        settings = {"max_pixels": str(MOST_PIXELS)}
        if options.skip_loop_filter != "default":
            settings["skip_loop_filter"] = options.skip_loop_filter
        self._context.options = {**self._context.options, **settings}
        self._context.skip_frame = options.skip_frame.upper()  # type: ignore[assignment]
        self._time_base = float(stream.time_base or 0) or 1.0
        self._camera_id = camera_id
        self._counters = counters
        self._timeline = timeline
        self._wall_of = wall_of
        self._on_facts = on_facts
        self._all_shown = options.skip_frame == "default"
        self._held_back = REORDER_DEPTH + options.thread_count
        self._serial = 0
        self._waiting = 0
        self._arrival_seconds = 0.0
        self._last_dts: int | None = None
        self._steps: deque[int] = deque(maxlen=STEPS)
        self._numbering = Numbering.of(self._context)
        self._before: deque[Packet[VideoStream]] = deque(maxlen=BEFORE)
        """The packets before, for their numbers."""
        self._suspicions: tuple[int, int] | None = (0, 0)
        self._taint_reason = "no key frame yet"
        self.facts = facts
        self.pictures = 0
        """Pictures that came out."""

    def taint(self, reason: str) -> None:
        """From the next packet on, pictures may be damaged, until a key frame comes out whole."""
        self._taint_at(self._serial + 1, reason)

    def decode(self, packet: Packet[VideoStream], *, arrival_seconds: float) -> Iterator[Picture]:
        """The pictures that `packet` brings out, in the order of display; none if the decoder refuses it."""
        self._serial += 1
        self._arrival_seconds = arrival_seconds
        self._counters.add("frames_received")
        if packet.is_keyframe:
            self._numbering.learn(packet)
        self._watch_steps(packet)
        self._before.append(packet)
        if packet.is_corrupt:
            self._counters.add("packets_corrupt", reason="demuxer")
            self._taint_at(self._serial, "corrupt packet")
        packet.opaque = (self._serial, arrival_seconds)
        try:
            pictures = self._pictures(packet)
        except av.error.FFmpegError as error:
            self._counters.add("packets_undecodable", reason=type(error).__name__)
            self._taint_at(self._serial, "undecodable packet")
            return
        if not packet.is_discard:
            self._waiting += 1
        else:
            self._counters.add("pictures_left_out")
        for picture in pictures:
            yield self._frame(picture)
        self._count_missing(self._waiting - self._held_back)

    def flush(self) -> Iterator[Picture]:
        """The pictures that the decoder still holds, at the stream's end."""
        try:
            pictures = self._pictures(None)
        except av.error.FFmpegError:
            pictures = []  # refused packets have been counted when they were given
        for picture in pictures:
            yield self._frame(picture)
        self._count_missing(self._waiting)

    def abandon(self) -> None:
        """Nobody will ask any more: count the pictures that are still owed."""
        if self._waiting > 0:
            self._counters.add("pictures_missing", self._waiting, reason="ended")
            self._waiting = 0

    def _pictures(self, packet: Packet[VideoStream] | None) -> list[av.VideoFrame]:
        """What libav makes of a packet; on a GPU when it is this decoder's turn."""
        if self._nvdec is None:
            return self._context.decode(packet)
        with self._nvdec.turn:
            return self._context.decode(packet)

    def _frame(self, picture: av.VideoFrame) -> Picture:
        serial, arrival_seconds = self._serial, self._arrival_seconds
        if isinstance(picture.opaque, tuple):
            serial, arrival_seconds = picture.opaque
        self.pictures += 1
        self._waiting -= 1
        if picture.interlaced_frame:
            self._all_shown = False  # two packets may make one picture: what is missing cannot be told
        if (picture.width, picture.height) != (self.facts.width, self.facts.height):
            self._change_size(picture)
        jumps, leaps, index = self._timeline.jumps, self._timeline.leaps, self._timeline.index
        pts_seconds = self._timeline.place(None if picture.pts is None else picture.pts * self._time_base)
        if self._timeline.jumps > jumps:
            self._counters.add("time_jumps", reason="backward")
        if self._timeline.leaps > leaps:
            self._counters.add("time_jumps", reason="forward")
        wall_seconds, tainted = self._wall_of(pts_seconds), self._is_tainted(picture, serial)
        if self._nvdec is not None:
            surface = surface_of(picture)
            return SurfaceFrame(self._camera_id, index, pts_seconds, wall_seconds, surface, tainted, arrival_seconds)
        if picture.format.name not in DIRECT_FORMATS:
            self._counters.add("frames_converted", reason=picture.format.name)
        luma, chroma_u, chroma_v = planes_from_picture(picture)
        return Frame(
            camera_id=self._camera_id,
            index=index,
            pts_seconds=pts_seconds,
            wall_seconds=wall_seconds,
            luma=luma,
            chroma_u=chroma_u,
            chroma_v=chroma_v,
            tainted=tainted,
            arrival_seconds=arrival_seconds,
        )

    def _is_tainted(self, picture: av.VideoFrame, serial: int) -> bool:
        if picture.is_corrupt:
            self._taint_at(serial, "concealed picture")
        elif picture.key_frame and self._suspicions is not None and serial >= self._suspicions[0]:
            newest = self._suspicions[1]
            self._suspicions = None if serial >= newest else (serial + 1, newest)
        if self._suspicions is None or serial < self._suspicions[0]:
            return False
        self._counters.add("frames_tainted", reason=self._taint_reason)
        return True

    def _taint_at(self, serial: int, reason: str) -> None:
        """Suspect every picture from packet `serial` on. Pictures come out late, so the oldest and the newest suspicion
        are kept: only a key frame after the newest clears both."""
        oldest, newest = self._suspicions or (serial, serial)
        self._suspicions = (min(oldest, serial), max(newest, serial))
        self._taint_reason = reason

    def _watch_steps(self, packet: Packet[VideoStream]) -> None:
        """Taint from a packet that comes later than its turn (or earlier than the one before it)."""
        stamp = packet.dts
        if stamp is None and not self._context.reorder_depth:
            stamp = packet.pts
        last, self._last_dts = self._last_dts, stamp
        if stamp is None or last is None:
            return
        step = stamp - last
        if step < 0:
            self._taint_at(self._serial, "time jump")
            return
        usual = median(self._steps) if len(self._steps) >= STEPS // 2 else step
        if step > GAP_FACTOR * usual and not self._numbering.follows(self._before, packet, step / max(usual, 1)):
            self._counters.add("stream_gaps", reason="time stamps")
            self._taint_at(self._serial, "gap")
        self._steps.append(step)

    def _count_missing(self, amount: int) -> None:
        if amount > 0:
            self._waiting -= amount
            if not self._all_shown:
                self._counters.add("pictures_left_out", amount)
            else:
                self._counters.add("pictures_missing", amount, reason="decoder")
                self._taint_at(self._serial, "missing picture")

    def _change_size(self, picture: av.VideoFrame) -> None:
        known = self.facts.width > 0
        self.facts = replace(self.facts, width=picture.width, height=picture.height)
        if known:
            self._counters.add("stream_changes", reason="size")
            if self._on_facts is not None:
                self._on_facts(self.facts)
