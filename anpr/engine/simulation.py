"""Many cameras before a simulated GPU, in simulated time: how decoders, batches and back-pressure play together.

What schedules is the engine's own (`Inbox`, `Batcher`); cameras, decoder engines and the device are made up, and cost
the seconds that they are told to. The same scenario gives the same outcome on any machine, in a moment.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from anpr.config.pipeline import Pictures
from anpr.engine.batching import Batcher, Passenger
from anpr.engine.follower import Follower
from anpr.engine.gate import GateOptions, Lane
from anpr.engine.inbox import ROOM, Inbox, Seat
from anpr.errors import DeviceError, DeviceMemoryError
from anpr.metrics import Counters
from anpr.nets.batch_reader import Found
from anpr.ops.surfaces import Surface
from anpr.records import Frame, Plate, Read
from anpr.tracking.options import TrackOptions
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import SpareOptions
from anpr.video.nvdec import Nvdec
from anpr.video.surface_frame import SurfaceFrame


@dataclass(slots=True)
class Clock:
    """Time that passes only when somebody spends it."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

    def spend(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@dataclass(slots=True)
class SimulatedDevice:
    """A `Device` that finds nothing, in the time that it is told to take."""

    most: int = 32
    batch_seconds: float = 0.001
    """Each batch takes so long …"""
    picture_seconds: float = 50e-6
    """… and so much more for each of its pictures."""
    memory_pictures: int = 1_000_000
    """Pictures at once that fit into its memory."""
    fails_at_batch: int | None = None
    """The batch at which it fails for good."""
    clock: Clock = field(default_factory=Clock)
    nvdec: Nvdec | None = None
    models: tuple[str, ...] = ("simulated@0",)
    batches: list[tuple[str, ...]] = field(default_factory=list)
    """The cameras of each batch that was detected, in order."""
    aboard: dict[str, Sequence[Lane]] = field(default_factory=dict)
    closed: bool = False

    def admit(self, camera_id: str, lanes: Sequence[Lane]) -> None:
        self.aboard[camera_id] = lanes

    def dismiss(self, camera_id: str) -> None:
        del self.aboard[camera_id]

    def measure(self, pictures: Sequence[SurfaceFrame], options: GateOptions) -> list[bool]:
        return [True] * len(pictures)

    def note_looks(self, camera_ids: Sequence[str]) -> None:
        """Nothing is kept."""

    def detect(self, pictures: Sequence[SurfaceFrame]) -> list[list[Plate]]:
        if len(pictures) > self.memory_pictures:
            raise DeviceMemoryError(f"no memory is left for {len(pictures)} pictures at once")
        if self.fails_at_batch is not None and len(self.batches) >= self.fails_at_batch:
            raise DeviceError("an illegal address was met")
        self.batches.append(tuple(picture.camera_id for picture in pictures))
        self.clock.spend(self.batch_seconds + len(pictures) * self.picture_seconds)
        return [[] for _ in pictures]

    def read(self, found: Sequence[Found]) -> list[tuple[Plate, Read | None]]:
        return [(each.plate, None) for each in found]

    def bring_home(self, picture: SurfaceFrame) -> Frame:
        grey = np.full((picture.surface.height_px // 2, picture.surface.width_px // 2), 128, np.uint8)
        return Frame(
            picture.camera_id,
            picture.index,
            picture.pts_seconds,
            0.0,
            np.repeat(np.repeat(grey, 2, 0), 2, 1),
            grey,
            grey,
        )

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is simulated."""

    cameras: int
    seconds: float = 4.0
    frame_rate: float = 25.0
    engines: int = 2
    """Of the hardware decoder …"""
    decode_seconds: float = 1 / 771
    """… and what a picture costs one of them; H.264 1080p of a Turing engine, by NVIDIA's application note."""
    fails_after: dict[int, int] = field(default_factory=dict)
    """Cameras whose decoder breaks, after so many pictures."""
    live: bool = True
    """Cameras come at their rate; otherwise each engine decodes the next picture as soon as there is room for it."""


@dataclass(slots=True)
class Outcome:
    """What became of the pictures."""

    seconds: float = 0.0
    decoded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """By camera."""
    processed: dict[str, list[int]] = field(default_factory=dict)
    """Indexes of each camera's pictures, in the order in which they were done with."""
    latency_seconds: list[float] = field(default_factory=list)
    """From decoded to done."""
    waiting_most: int = 0
    """Pictures that waited at once."""
    batch_sizes: list[int] = field(default_factory=list)

    @property
    def frames_per_s(self) -> float:
        """Done with, of all cameras."""
        return sum(map(len, self.processed.values())) / self.seconds

    def latency(self, share: float) -> float:
        """Seconds within which `share` of the pictures were done."""
        return float(np.quantile(self.latency_seconds, share)) if self.latency_seconds else 0.0


def simulate(
    scenario: Scenario,
    device: SimulatedDevice,
    *,
    tick_seconds: float = 0.005,
    on_batch: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run `scenario` before `device` to its end. Raises what the device raises."""
    clock, outcome = device.clock, Outcome()
    inbox = Inbox(tick_seconds=0.0, monotonic=clock)
    batcher = Batcher(device, monotonic=clock)
    seats = [inbox.join(_passenger(f"camera-{number}")) for number in range(scenario.cameras)]
    outcome.processed = {seat.passenger.camera_id: [] for seat in seats}
    decoders = _Decoders(scenario, seats)
    while clock() < scenario.seconds:
        _deliver(decoders, inbox, clock(), outcome)
        until = clock() + tick_seconds  # the inbox's own tick would pass in real time
        while inbox.waiting < min(batcher.limit, len(inbox.seats)):
            following = decoders.next()
            if inbox.waiting and (following is None or following[0] >= until):
                clock.seconds = until
                break
            if following is None:
                outcome.seconds = clock()
                return outcome  # no camera has anything left
            clock.seconds = max(clock(), following[0])
            _deliver(decoders, inbox, clock(), outcome)
        outcome.waiting_most = max(outcome.waiting_most, inbox.waiting)
        batch = inbox.take(batcher.limit, patience_seconds=0.0)
        if not batch:
            continue
        batcher.process(batch)
        inbox.taken(batch)
        on_batch()
        outcome.batch_sizes.append(len(batch))
        for item in batch:
            if isinstance(item.picture, SurfaceFrame):
                outcome.processed[item.picture.camera_id].append(item.picture.index)
                outcome.latency_seconds.append(clock() - item.picture.arrival_seconds)
    outcome.seconds = clock()
    return outcome


@dataclass(slots=True)
class _Decoders:
    """The engines: each picture takes the first that is free."""

    scenario: Scenario
    seats: Sequence[Seat]
    free_seconds: list[float] = field(default_factory=list)
    """When each engine is free."""
    coming: list[tuple[float, int, int]] = field(default_factory=list)
    """(when the camera has sent it, camera, index) of each camera's next picture."""

    def __post_init__(self) -> None:
        self.free_seconds = [0.0] * self.scenario.engines
        period = 1 / self.scenario.frame_rate if self.scenario.live else 0.0
        self.coming = [(period * number / len(self.seats), number, 0) for number in range(len(self.seats))]

    def next(self) -> tuple[float, tuple[float, int, int]] | None:
        """When the next picture will be decoded, and which; None if no camera has one, or room for it."""
        allowed = [each for each in self.coming if self.scenario.live or len(self.seats[each[1]].queue) < ROOM]
        if not allowed:
            return None
        soonest = min(allowed)
        return max(soonest[0], self.free_seconds[0]) + self.scenario.decode_seconds, soonest

    def decode(self, done: float, which: tuple[float, int, int]) -> None:
        """An engine has decoded it; the camera's next picture comes."""
        sent, number, index = which
        heapq.heapreplace(self.free_seconds, done)
        self.coming.remove(which)
        self.coming.append((sent + 1 / self.scenario.frame_rate if self.scenario.live else done, number, index + 1))

    def end(self, number: int) -> None:
        """A camera sends no more."""
        self.coming = [each for each in self.coming if each[1] != number]


def _deliver(decoders: _Decoders, inbox: Inbox, now: float, outcome: Outcome) -> None:
    """Put what has been decoded by now."""
    scenario = decoders.scenario
    while (following := decoders.next()) is not None and following[0] <= now:
        done, (sent, number, index) = following
        seat = decoders.seats[number]
        decoders.decode(done, (sent, number, index))
        if index >= scenario.fails_after.get(number, index + 1):
            decoders.end(number)
            inbox.close(seat)
            continue
        outcome.decoded += 1
        camera_id = seat.passenger.camera_id
        if inbox.put(seat, _picture(camera_id, index, index / scenario.frame_rate, done)) is not None:
            outcome.dropped[camera_id] = outcome.dropped.get(camera_id, 0) + 1


def _picture(camera_id: str, index: int, pts_seconds: float, arrival_seconds: float) -> SurfaceFrame:
    surface = Surface(
        width_px=1920,
        height_px=1080,
        layout="nv12",
        luma_address=2,
        luma_pitch_bytes=1920,
        chroma_address=2,
        chroma_pitch_bytes=1920,
    )
    return SurfaceFrame(camera_id, index, pts_seconds, pts_seconds, surface, False, arrival_seconds)


def _passenger(camera_id: str) -> Passenger:
    follower: Follower[SurfaceFrame] = Follower(
        Origin(site_id="simulated", camera_id=camera_id, run_seconds=0.0),
        track=TrackOptions(),
        spare=SpareOptions(),
        pictures=Pictures(),
        emit=lambda _: None,
        bring_home=SimulatedDevice().bring_home,
        counters=Counters(),
    )
    return Passenger(camera_id, follower, gate=GateOptions(), spare=SpareOptions())
