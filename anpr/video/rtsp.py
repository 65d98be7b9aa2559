"""A camera over RTSP/TCP: connected again for as long as it takes, every gap told.

States and what leads to them:

    connecting ── first picture ──▶ streaming ── silence ──▶ stalled ─┐
        │  └───── 401 or 403 ─────▶ refused ── a long wait ───────────┤
        └──────── any other ──────▶ offline ◀── end or error ── streaming
                                       └──────── back-off ────────────┴──▶ connecting       any ── close ──▶ closed
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from anpr.clock import Clock
from anpr.errors import StreamAuthError, StreamError
from anpr.metrics import Counters
from anpr.video.address import Address
from anpr.video.back_off import BackOff, Reconnection
from anpr.video.decode import DecodeOptions, Decoder, Picture
from anpr.video.facts import SourceFacts
from anpr.video.failures import SILENT, RestlessError, StalledError, no_answer, restless, translated
from anpr.video.names import Names
from anpr.video.nvdec import Nvdec, open_container
from anpr.video.timeline import Timeline

PROTOCOLS = "rtsp,rtsps,rtp,tcp,udp,tls"
"""What an address or an answer of a camera may make libav open: never a file."""
STEADY_SECONDS = 10.0
"""A connection that gave pictures for this long was a good one: the back-off begins anew."""
PICTURE_WAIT_SECONDS = 20.0
"""Packets without one picture for this long (no parameter sets, no key frame): connect again."""
LONGEST_STEP_SECONDS = 30.0
"""Pictures of one connection are never further apart, it would have been given up: time stamps that are have jumped."""
HIGHEST_FRAME_RATE = 240.0
WORK_SHARE = 0.05
"""Of a connecting that came to nothing within its time-out: who waits for an answer works much less. libav follows
redirections without end, thousands a second."""
RESTLESS_TRIES = 3
"""After so many of them the next waits longer: one may also come of a camera whose key frames are far apart."""


class StreamState(StrEnum):
    """Where a camera's connection stands."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    STALLED = "stalled"
    OFFLINE = "offline"
    REFUSED = "refused"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state."""

    state: StreamState
    reason: str
    """For a person, without secrets; empty if the state says all."""
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the camera was not watched."""

    from_wall_seconds: float
    to_wall_seconds: float
    reason: str


class RtspSource:
    """A camera as a source of pictures that ends only when closed."""

    def __init__(
        self,
        location: str,
        *,
        camera_id: str,
        clock: Clock,
        options: DecodeOptions | None = None,
        counters: Counters | None = None,
        reconnection: Reconnection | None = None,
        chance: random.Random | None = None,
        stop: threading.Event | None = None,
        on_state: Callable[[Transition], None] | None = None,
        on_gap: Callable[[Gap], None] | None = None,
        on_facts: Callable[[SourceFacts], None] | None = None,
        nvdec: Nvdec | None = None,
    ) -> None:
        """`chance` shortens the waits before new tries. `stop` ends the iteration when set, within a read time-out; it
        is this source's own, `close` sets it. `nvdec` decodes on a GPU.

        Callbacks run in the thread that iterates. `on_gap` is told when pictures come again, and on close if they have
        not. `on_facts` is told of each change, the first answer included.
        """
        self.address = Address.parse(location)
        self.facts = SourceFacts()
        self.state = StreamState.CLOSED
        self.counters = counters if counters is not None else Counters()
        self._names = Names(self.address)
        self._camera_id = camera_id
        self._clock = clock
        self._options = options or DecodeOptions()
        self._back_off = BackOff(reconnection or Reconnection(), chance or random.Random())
        self._stop = stop or threading.Event()
        self._on_state = on_state
        self._on_gap = on_gap
        self._on_facts = on_facts
        self._timeline = Timeline(longest_step_seconds=LONGEST_STEP_SECONDS)
        self._nvdec = nvdec
        self._frames: Generator[Picture, None, None] | None = None
        self._last_picture_seconds: float | None = None
        self._gap: tuple[float, str] | None = None
        self._away_since_seconds: float | None = None
        self._restless = 0
        """Tries, one after the other, in which the camera answered without end."""

    def __repr__(self) -> str:
        return f"RtspSource({self._camera_id} {self.address} {self.state})"

    def __enter__(self) -> RtspSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._frames is not None:
            self._frames.close()

    def close(self) -> None:
        """End the iteration, from any thread; the connection itself is closed by the thread that iterates."""
        self._stop.set()

    def __iter__(self) -> Iterator[Picture]:
        """The pictures, over all reconnections. Never raises for what a camera does."""
        self._frames = self._run()
        return self._frames

    def _run(self) -> Generator[Picture, None, None]:
        try:
            while not self._stop.is_set():
                self._enter(StreamState.CONNECTING)
                wait_seconds = yield from self._connection()
                self._clock.wait(self._stop, wait_seconds)
        finally:
            self._end_gap()
            self._enter(StreamState.CLOSED)

    def _connection(self) -> Generator[Picture, None, float]:
        """The pictures of one connection; returns how long to wait before the next."""
        began_wall, began, restless_before = self._clock.wall_seconds(), None, self._restless
        self._restless = 0
        try:
            address = self._names.resolve()
            if self._names.remembered:
                self.counters.add("names_remembered")
            opened = connect(address, camera_id=self._camera_id, options=self._options, nvdec=self._nvdec)
            with closing(opened) as container:
                for frame in self._pictures(container):
                    if began is None:
                        began = self._clock.monotonic_seconds()
                        self._end_gap()
                        self._enter(StreamState.STREAMING)
                    self._last_picture_seconds = self._clock.monotonic_seconds()
                    began_wall = frame.wall_seconds
                    yield frame
                    if self._stop.is_set():
                        return 0.0
            state, reason = StreamState.OFFLINE, "the camera ended the stream"
        except StreamAuthError as error:
            state, reason = StreamState.REFUSED, error.problem
        except StalledError as error:
            state, reason = StreamState.STALLED, error.problem
        except StreamError as error:
            state, reason = StreamState.OFFLINE, error.problem
            if isinstance(error, RestlessError):
                self._restless = restless_before + 1
        if self._stop.is_set():
            return 0.0
        self.counters.add("connections_lost" if began is not None else "connections_failed", reason=reason)
        if self._gap is None:
            self._gap = (began_wall, reason)
        self._enter(state, reason)
        now = self._clock.monotonic_seconds()
        if began is not None:
            self._away_since_seconds = None
            if now - began >= STEADY_SECONDS:
                self._back_off.reset()
        if self._away_since_seconds is None:
            self._away_since_seconds = now
        if state is StreamState.REFUSED:
            return self._back_off.settings.refused_seconds
        wait_seconds = self._back_off.next_seconds(away_seconds=now - self._away_since_seconds)
        if self._restless >= RESTLESS_TRIES:
            wait_seconds = max(wait_seconds, self._back_off.settings.longest_after_seconds)
        return wait_seconds

    def _pictures(self, container: InputContainer) -> Iterator[Picture]:
        stream = container.streams.video[0]
        self._note_change(facts_of(container))
        self._timeline.period_seconds = 1.0 / (self.facts.frame_rate or 25.0)
        if self._last_picture_seconds is not None:
            self._timeline.resume(self._clock.monotonic_seconds() - self._last_picture_seconds)
        wall_seconds = self._clock.wall_seconds()
        decoder = Decoder(
            stream,
            camera_id=self._camera_id,
            options=self._options,
            counters=self.counters,
            timeline=self._timeline,
            wall_of=lambda _: wall_seconds,
            facts=self.facts,
            on_facts=self._take_facts,
            nvdec=self._nvdec,
        )
        without_picture = 0.0
        try:
            for packet, waited_seconds in self._packets(container, stream):
                arrival, wall_seconds = self._clock.monotonic_seconds(), self._clock.wall_seconds()
                without_picture += waited_seconds
                for frame in decoder.decode(packet, arrival_seconds=arrival):
                    without_picture = 0.0
                    yield frame
                if without_picture > PICTURE_WAIT_SECONDS:
                    raise StalledError(f"packets, but no picture for {PICTURE_WAIT_SECONDS:g} s")
        finally:
            decoder.abandon()

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[Packet[VideoStream], float]]:
        """Packets with the seconds waited for each, until the camera ends the stream or this source is closed.

        Only waiting counts as the camera's silence, not what the reader of the frames takes.
        """
        packets = container.demux(stream)
        try:
            while not self._stop.is_set():
                asked = self._clock.monotonic_seconds()
                packet = next(packets, None)
                waited = self._clock.monotonic_seconds() - asked
                if packet is None or not packet.size:
                    return
                if waited >= self._options.read_timeout_seconds:
                    break  # libav lets out the packet it held back when the time-out strikes, and would wait once more
                yield packet, waited
            else:
                return
            failure: StreamError = StalledError(SILENT)
        except av.error.FFmpegError as error:
            failure = translated(error, self.address, self._camera_id, connected=True)
        raise failure

    def _note_change(self, facts: SourceFacts) -> None:
        """A new connection may bring another picture than the one before."""
        if self.facts.codec and facts.codec != self.facts.codec:
            self.counters.add("stream_changes", reason="codec")
        if self.facts.width and (facts.width, facts.height) != (self.facts.width, self.facts.height):
            self.counters.add("stream_changes", reason="size")
        self._take_facts(facts)

    def _take_facts(self, facts: SourceFacts) -> None:
        if facts != self.facts:
            self.facts = facts
            if self._on_facts is not None:
                self._on_facts(facts)

    def _enter(self, state: StreamState, reason: str = "") -> None:
        if state is not self.state:
            self.state = state
            if self._on_state is not None:
                self._on_state(Transition(state, reason, self._clock.wall_seconds()))

    def _end_gap(self) -> None:
        if self._gap is not None:
            began, reason = self._gap
            self._gap = None
            if self._on_gap is not None:
                self._on_gap(Gap(began, self._clock.wall_seconds(), reason))


def connect(address: Address, *, camera_id: str, options: DecodeOptions, nvdec: Nvdec | None = None) -> InputContainer:
    """Connect and learn what the camera sends; the caller closes it.

    Takes up to the open time-out to connect, and as long again if the camera promises pictures and sends none.
    Raises StreamAuthError if the password is refused, DeviceError if `nvdec` cannot decode it, StreamError for anything
    else, never with the password in it.
    """
    timeouts = options.open_timeout_seconds, options.read_timeout_seconds
    began, worked = time.monotonic(), time.thread_time()
    try:
        container = open_container(
            address.url,
            place=f"{camera_id} {address}",
            nvdec=nvdec,
            options={
                "rtsp_transport": "tcp",
                "protocol_whitelist": PROTOCOLS,
                "fpsprobesize": "2",  # else it watches twenty pictures to tell their rate before it gives the first
                "allowed_media_types": "video",  # sound would count as life of a camera whose pictures have stopped
                "timeout": str(int((timeouts[0] + timeouts[1]) * 1e6)),  # of last resort, for what av's leave out
            },
            timeout=timeouts,
            metadata_errors="replace",
        )
    except av.error.FFmpegError as error:
        failure = translated(error, address, camera_id, connected=False)
        late = time.monotonic() - began >= options.open_timeout_seconds
        if late and not isinstance(failure, StreamAuthError):  # libav calls its own time-out "invalid data"
            busy = time.thread_time() - worked > WORK_SHARE * options.open_timeout_seconds
            failure = (restless if busy else no_answer)(f"{camera_id} {address}")
    else:
        return _with_video(container, f"{camera_id} {address}")
    raise failure  # here, so that libav's error with the whole address is not its context


def probe(location: str, *, camera_id: str = "camera", options: DecodeOptions | None = None) -> SourceFacts:
    """Connect once and tell what the camera sends. Raises StreamAuthError or StreamError."""
    address = Names(Address.parse(location)).resolve()
    with closing(connect(address, camera_id=camera_id, options=options or DecodeOptions())) as container:
        return facts_of(container)


def facts_of(container: InputContainer) -> SourceFacts:
    """Size, rate and codec of a connected camera."""
    stream = container.streams.video[0]
    context = stream.codec_context
    rate = float(stream.guessed_rate or stream.average_rate or 0)
    if rate > HIGHEST_FRAME_RATE:
        rate = 0.0  # the clock of its time stamps, given for want of a rate
    return SourceFacts(width=context.width, height=context.height, frame_rate=rate, codec=context.name)


def _with_video(container: InputContainer, place: str) -> InputContainer:
    if not container.streams.video or not container.streams.video[0].codec_context.width:
        container.close()
        raise StreamError("answers, but sends no picture", place=place, cure="check its video stream")
    return container
