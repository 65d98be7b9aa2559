"""Many sessions of one clip through a worker's device, for bench.gpu: a station is one process's part of them."""

from __future__ import annotations

import functools
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np

from anpr import log
from anpr.clock import SystemClock
from anpr.config import Pipeline
from anpr.engine.batching import Passenger
from anpr.engine.crew import Crew
from anpr.engine.follower import Follower
from anpr.engine.inbox import Seat
from anpr.engine.messages import Passage
from anpr.engine.pipeline import loop_options
from anpr.engine.surface_device import SurfaceDevice
from anpr.errors import AnprError, DeviceError
from anpr.metrics import Counters
from anpr.tracking.sighting import Origin
from anpr.video.nvdec import Nvdec
from anpr.video.source import open_surfaces
from anpr.video.surface_frame import SurfaceFrame, brought_home
from bench.processes import die_with_parent

Kind = Literal["decode", "whole", "live"]
"""Decoded and forgotten; the whole way to sightings, as fast as it goes; the same at the clip's own rate."""
FRAMES_PER_S = 25.0
OPENING_SECONDS = 60.0
"""So long all sessions may take to show their first picture."""
ANSWER_SECONDS = 300.0
"""So long a station may take for an answer; a first start compiles kernels."""
STAGES = ("gate", "detect", "read", "track", "pictures", "emit")


@dataclass(slots=True)
class Load:
    """What so many sessions gave in some seconds."""

    sessions: int = 0
    seconds: float = 0.0
    frames: int = 0
    dropped: int = 0
    """Pictures that came too fast; live sessions alone drop any."""
    cores: float = 0.0
    latency_ms: list[float] = field(default_factory=list)
    """From a picture's packet, decoding included, to the sighting that it gave rise to."""
    stage_seconds: Counter[str] = field(default_factory=Counter)

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0

    def latency(self, share: float) -> float:
        """Milliseconds within which `share` of the sightings were told; 0 of none."""
        return float(np.quantile(self.latency_ms, share)) if self.latency_ms else 0.0

    def stage_us(self, stage: str) -> float:
        """Of a picture."""
        return 1e6 * self.stage_seconds[stage] / max(1, self.frames)

    def join(self, other: Load) -> Load:
        """Both together, measured at the same time."""
        return Load(
            self.sessions + other.sessions,
            max(self.seconds, other.seconds),
            self.frames + other.frames,
            self.dropped + other.dropped,
            self.cores + other.cores,
            self.latency_ms + other.latency_ms,
            self.stage_seconds + other.stage_seconds,
        )


def pictures_of(
    clip: Path, camera_id: str, nvdec: Nvdec | None, stop: threading.Event, *, live: bool
) -> Iterator[SurfaceFrame]:
    """The clip's pictures, over and over, until `stop`; time goes on from one turn to the next.

    Live ones come at the clip's own rate: a packet is decoded when it is due, and dated by that.
    """
    offset, last, clock = 0.0, 0.0, SystemClock()
    began: float | None = None
    while not stop.is_set():
        with open_surfaces(clip, camera_id=camera_id, clock=clock, nvdec=nvdec) as source:
            pictures = iter(source)
            while not stop.is_set():
                if live and began is not None:
                    stop.wait(max(0.0, began + last + 1 / FRAMES_PER_S - time.monotonic()))
                arrival = time.monotonic()
                picture = next(pictures, None)
                if picture is None:
                    break
                began = arrival if began is None else began
                last = offset + picture.pts_seconds
                yield replace(picture, pts_seconds=last, arrival_seconds=arrival)
        offset = last + 1 / FRAMES_PER_S


class Station:
    """A worker's device, and sessions before it, in this process. Not thread-safe."""

    def __init__(self, pipeline: Pipeline, gpu: int | None) -> None:
        """Opens the device. Raises AnprError."""
        self._crew = Crew(pipeline, gpu, SurfaceDevice.open)
        self._crew.start()
        device = self._crew.ready(threading.Event())
        assert device is not None
        self._nvdec = device.nvdec
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._seats: list[Seat] = []
        self._decoded: list[int] = []
        self._errors: list[BaseException] = []
        self._latency_ms: list[float] = []

    def begin(self, kind: Kind, clip: Path, names: Sequence[str]) -> None:
        """Start a session of each name and wait until all show pictures. Raises what ended one, or DeviceError."""
        self._stop.clear()
        self._decoded, self._errors = [0] * len(names), []
        for number, name in enumerate(names):
            take = self._take_seat(name, waits=kind == "whole") if kind != "decode" else _forget
            thread = threading.Thread(
                target=self._play, args=(number, clip, name, take), kwargs={"live": kind == "live"}, daemon=True
            )
            thread.start()
            self._threads.append(thread)
        until = time.monotonic() + OPENING_SECONDS
        while not all(self._decoded) and not self._errors and time.monotonic() < until:
            time.sleep(0.05)
        if self._errors:
            raise self._errors[0]
        if silent := self._decoded.count(0):
            raise DeviceError(f"{silent} of {len(names)} sessions show no picture", cure="fewer sessions")

    def measure(self, seconds: float) -> Load:
        """What the sessions give for so long. Raises what ended one."""
        self._latency_ms = []
        before, dropped, stages = self._done(), self._dropped(), self._stage_seconds()
        wall, cpu = time.perf_counter(), time.process_time()
        time.sleep(seconds)
        spent = time.perf_counter() - wall
        load = Load(len(self._threads), spent, self._done() - before, self._dropped() - dropped)
        load.cores = (time.process_time() - cpu) / spent
        load.latency_ms = list(self._latency_ms)
        load.stage_seconds = self._stage_seconds() - stages
        if self._errors:
            raise self._errors[0]
        return load

    def end(self) -> None:
        """No more pictures; wait until the sessions are done."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for seat in self._seats:
            self._crew.inbox.close(seat)
        for seat in self._seats:
            seat.left.wait()
        self._threads, self._seats = [], []

    def close(self) -> None:
        """Give the device back."""
        self.end()
        self._crew.stop(10.0)

    def _take_seat(self, name: str, *, waits: bool) -> Callable[[SurfaceFrame], object]:
        options, inbox = loop_options(self._crew.pipeline), self._crew.inbox
        follower: Follower[SurfaceFrame] = Follower(
            Origin(site_id="bench", camera_id=name, run_seconds=0.0),
            track=options.track,
            spare=options.spare,
            pictures=options.pictures,
            emit=self._tell,
            bring_home=brought_home,
            counters=Counters(),
        )
        seat = inbox.join(Passenger(name, follower, gate=options.gate, spare=options.spare), waits=waits)
        self._seats.append(seat)

        def put(picture: SurfaceFrame) -> None:
            if inbox.put(seat, picture) is not None:
                follower.counters.add("frames_dropped", reason="overload")

        return put

    def _tell(self, passage: Passage) -> None:
        self._latency_ms.append(1000 * (time.monotonic() - passage.arrival_seconds))

    def _play(self, number: int, clip: Path, name: str, take: Callable[[SurfaceFrame], object], *, live: bool) -> None:
        try:
            for picture in pictures_of(clip, name, self._nvdec, self._stop, live=live):
                take(picture)
                self._decoded[number] += 1
        except BaseException as error:  # noqa: BLE001  # told by who waits for the sessions
            self._errors.append(error)

    def _counted(self, *names: str) -> int:
        return sum(seat.passenger.counters.total(name) for seat in self._seats for name in names)

    def _done(self) -> int:
        return self._counted("frames_inferred", "frames_gated") if self._seats else sum(self._decoded)

    def _dropped(self) -> int:
        return self._counted("frames_dropped")

    def _stage_seconds(self) -> Counter[str]:
        return Counter(
            {stage: sum(getattr(seat.passenger.follower.seconds, stage) for seat in self._seats) for stage in STAGES}
        )


class Stations:
    """Several stations, each in its own process; or one in this."""

    def __init__(self, pipeline: Pipeline, gpu: int | None, *, apart: int) -> None:
        """Opens every device, `apart` processes or, if 0, this one. Raises AnprError."""
        self._here = None if apart else Station(pipeline, gpu)
        self._far: list[tuple[Any, Connection]] = []
        context = multiprocessing.get_context("spawn")
        for _ in range(apart):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, pipeline, gpu), daemon=True)
            process.start()
            theirs.close()
            self._far.append((process, mine))
        try:
            self._answers()
        except AnprError:
            self.close()
            raise

    def run(
        self,
        kind: Kind,
        clip: Path,
        count: int,
        *,
        seconds: float,
        settle_seconds: float,
        meanwhile: AbstractContextManager[None] = nullcontext(),  # noqa: B008  # may be entered again and again
    ) -> Load:
        """So many sessions, spread over the stations, measured together, `meanwhile` entered.

        Raises AnprError if one ends or is silent.
        """
        names = [f"session-{number}" for number in range(count)]
        try:
            self._everywhere("begin", lambda part: (kind, clip, names[part :: self._size]))
            time.sleep(settle_seconds)
            with meanwhile:
                loads = self._everywhere("measure", lambda _: (seconds,))
            return functools.reduce(Load.join, loads)
        finally:
            self._everywhere("end", lambda _: ())

    def close(self) -> None:
        """Give every device back; a process that does not answer is ended."""
        if self._here is not None:
            self._here.close()
        for _, pipe in self._far:
            with suppress(OSError):
                pipe.send(("close", ()))
        for process, _ in self._far:
            process.join(20)
            if process.is_alive():
                process.kill()
        self._here, self._far = None, []

    @property
    def _size(self) -> int:
        return max(1, len(self._far))

    def _everywhere(self, name: str, arguments: Callable[[int], tuple[Any, ...]]) -> list[Any]:
        """Call a method of every station at the same time. Raises the first error, when all have answered."""
        if self._here is not None:
            return [getattr(self._here, name)(*arguments(0))]
        for part, (_, pipe) in enumerate(self._far):
            with suppress(OSError):  # it has ended; its answer, or that there is none, says so
                pipe.send((name, arguments(part)))
        return self._answers()

    def _answers(self) -> list[Any]:
        answers = [_answer(process, pipe) for process, pipe in self._far]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


def _answer(process: Any, pipe: Connection) -> Any:
    """What a station's process says, or the error that keeps it from saying anything."""
    try:
        if pipe.poll(ANSWER_SECONDS):
            return pipe.recv()
    except (EOFError, OSError):
        process.join(5)
        return DeviceError(f"a worker has ended ({process.exitcode})", cure="look at what it wrote")
    return DeviceError(f"a worker does not answer for {ANSWER_SECONDS:.0f} s", cure="look at nvidia-smi")


def _serve(pipe: Connection, pipeline: Pipeline, gpu: int | None) -> None:
    """A station's process: answers one order after the other, with what came of it or the error."""
    die_with_parent()
    log.configure(level="warning")
    try:
        station = Station(pipeline, gpu)
    except Exception as error:  # noqa: BLE001  # told to who asks
        pipe.send(_told(error))
        return
    pipe.send(None)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(getattr(station, name)(*arguments))
        except Exception as error:  # noqa: BLE001  # as above
            pipe.send(_told(error))
        if name == "close":
            return


def _told(error: Exception) -> Exception:
    """An error as it can be sent to another process."""
    return error if isinstance(error, AnprError) else DeviceError(f"{type(error).__name__}: {error}")


def _forget(picture: SurfaceFrame) -> None:
    """Decoding alone."""
