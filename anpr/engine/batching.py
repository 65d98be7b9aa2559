"""Pictures of many cameras through one device at once, each camera's in their order.

A batch goes the way of a single picture (gate, detect, read, track), stage by stage. Where a camera's gate or tracker
decides what becomes of its next picture, a batch has one picture of it; else it may have several.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import structlog

from anpr.engine.device import Device
from anpr.engine.follower import Follower
from anpr.engine.gate import GateOptions, Lane, Pace
from anpr.errors import DeviceMemoryError
from anpr.metrics import Counters
from anpr.nets.batch_reader import Found
from anpr.records import Plate, Read
from anpr.tracking.sparing import SpareOptions
from anpr.video.surface_frame import SurfaceFrame

RAISE_SECONDS = 60.0
"""After so long without a full memory larger batches are tried again."""

Mark = Literal["settle", "end"]
"""Among a camera's pictures: what is in view is final; the same, and no more will come."""
T = TypeVar("T")
R = TypeVar("R")


class Passenger:
    """One camera's part in the batches: its pace, its follower, and what became of it."""

    def __init__(
        self,
        camera_id: str,
        follower: Follower[SurfaceFrame],
        *,
        gate: GateOptions,
        spare: SpareOptions,
        lanes: Sequence[Lane] = (),
    ) -> None:
        self.camera_id = camera_id
        self.follower = follower
        self.pace = Pace(gate)
        self.lanes = lanes
        self.independent = not gate.active and not spare.active
        """No picture of it waits for what the one before shows."""
        self.error: BaseException | None = None
        """What ended its part."""
        self.settled = True
        """Nothing was looked at since the last time that all was made final."""

    @property
    def counters(self) -> Counters:
        """The loop's, shared with the follower."""
        return self.follower.counters


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A picture of a camera, or a mark among its pictures."""

    passenger: Passenger
    picture: SurfaceFrame | Mark


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A picture that is looked at, and why."""

    passenger: Passenger
    picture: SurfaceFrame
    reason: str


class Batcher:
    """Takes batches through a device. Use from the device's thread.

    What a camera's own follower raises ends that camera's part alone; what the device raises is raised.
    """

    def __init__(
        self, device: Device, *, gate: GateOptions | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`gate` is that of all passengers."""
        self.limit = device.most
        """Pictures at once: halved when the device's memory is full, doubled again after a good while."""
        self._device = device
        self._options = gate or GateOptions()
        self._monotonic = monotonic
        self._halved_seconds = monotonic()
        self._aboard: set[int] = set()
        """Cameras that the device knows."""
        self._log = structlog.get_logger()

    def process(self, batch: Sequence[Item]) -> None:
        """Take a batch through all stages: several pictures of a camera only if it is `independent`. Raises DeviceError
        if the device fails; its pictures are then counted as dropped."""
        pictures = []
        for item in batch:
            if not isinstance(item.picture, str) and item.passenger.error is None:
                pictures.append(item)
            elif not isinstance(item.picture, str):
                item.passenger.counters.add("frames_dropped", reason="failed")
        if self.limit < self._device.most and self._monotonic() - self._halved_seconds > RAISE_SECONDS:
            self.limit = min(self._device.most, 2 * self.limit)
            self._halved_seconds = self._monotonic()
        for passenger in {id(item.passenger): item.passenger for item in batch}.values():
            if id(passenger) not in self._aboard:
                self._device.admit(passenger.camera_id, passenger.lanes)
                self._aboard.add(id(passenger))
        looks = self._looked_at(pictures)
        try:
            plates, reads = self._infer(looks)
        except BaseException:
            for look in looks:
                look.passenger.counters.add("frames_dropped", reason="failed")
            raise
        seen = iter(zip(looks, plates, reads, strict=True))
        following = next(seen, None)
        for item in batch:  # in order, marks in their places
            if isinstance(item.picture, str):
                self._mark(item.passenger, item.picture)
            elif following is not None and following[0].picture is item.picture:
                self._follow(*following)
                following = next(seen, None)

    def settle(self, passenger: Passenger) -> None:
        """The camera has fallen silent: make final what is in view."""
        self._mark(passenger, "settle")

    def _looked_at(self, items: Sequence[Item]) -> list[_Look]:
        """The pictures that are to be looked at; the others are counted."""
        try:
            looks, spent = self._timed(lambda: self._gate(items))
        except BaseException:
            for item in items:
                item.passenger.counters.add("frames_dropped", reason="failed")
            raise
        for item in items:
            item.passenger.follower.seconds.gate += spent / len(items)
        return looks

    def _infer(self, looks: Sequence[_Look]) -> tuple[list[list[Plate] | None], list[list[Read | None]]]:
        """What the device says of each picture; no plates but None for one that did not fit into its memory."""
        plates, spent = self._timed(lambda: self._fitted(self._detect, looks))
        for look in looks:
            look.passenger.follower.seconds.detect += spent / len(looks)
        found = [_found(look, each or []) for look, each in zip(looks, plates, strict=True)]
        said, spent = self._timed(lambda: self._fitted(self._read, found))
        for look in looks:
            look.passenger.follower.seconds.read += spent / len(looks)
        for place, pairs in enumerate(said):
            unfit = pairs is None or plates[place] is None
            plates[place] = None if unfit else [plate for plate, _ in pairs or ()]
        return plates, [[read for _, read in pairs or ()] for pairs in said]

    def _gate(self, items: Sequence[Item]) -> list[_Look]:
        """Ask every camera's pace, with the motion that it asks for."""
        measured: dict[int, bool] = {}
        asking = [
            (place, item.picture)
            for place, item in enumerate(items)
            if isinstance(item.picture, SurfaceFrame)
            and item.passenger.pace.must_measure(item.picture.pts_seconds, item.passenger.follower.attention)
        ]
        if asking:
            places, pictures = zip(*asking, strict=True)
            measured = dict(zip(places, self._device.measure(pictures, self._options), strict=True))
        verdicts: list[tuple[_Look, bool]] = []
        noted: list[str] = []
        for place, item in enumerate(items):
            assert isinstance(item.picture, SurfaceFrame)
            passenger = item.passenger
            look, reason = passenger.pace.judge(
                item.picture.pts_seconds, passenger.follower.attention, moved=measured.get(place, True)
            )
            verdicts.append((_Look(passenger, item.picture, reason), look))
            if look and place in measured:
                noted.append(passenger.camera_id)
        if noted:
            self._device.note_looks(noted)
        for passed, look in verdicts:
            if not look:
                passed.passenger.follower.pass_over(passed.reason)
        return [looked for looked, look in verdicts if look]

    def _detect(self, looks: Sequence[_Look]) -> list[list[Plate]]:
        found = self._device.detect([look.picture for look in looks])
        return [
            look.passenger.follower.sift(plates, pts_seconds=look.picture.pts_seconds)
            for look, plates in zip(looks, found, strict=True)
        ]

    def _read(self, found: Sequence[list[Found]]) -> list[list[tuple[Plate, Read | None]]]:
        """The plates of each picture with their colours, and the reads of those that are wanted."""
        together = [each for plates in found for each in plates]
        said = iter(self._device.read(together) if together else [])
        return [[next(said) for _ in plates] for plates in found]

    def _fitted(self, call: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R | None]:
        """`call` on as many of `items` at once as fit into the device's memory; None for what does not fit alone."""
        results: list[R | None] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + self.limit]
            try:
                results += call(part)
            except DeviceMemoryError as error:
                if len(part) == 1:
                    results.append(None)
                    continue
                self.limit = max(1, len(part) // 2)
                self._halved_seconds = self._monotonic()
                self._log.warning("device_memory_full", problem=error.problem, batch=self.limit)
        return results

    def _follow(self, look: _Look, plates: list[Plate] | None, reads: list[Read | None]) -> None:
        passenger = look.passenger
        if passenger.error is not None or plates is None:
            passenger.counters.add("frames_dropped", reason="device memory" if plates is None else "failed")
            return
        try:
            passenger.follower.take(look.picture, plates, reads, reason=look.reason)
        except Exception as error:  # noqa: BLE001  # this camera's part ends, the others go on
            passenger.error = error
            passenger.counters.add("frames_dropped", reason="failed")
        else:
            passenger.settled = False

    def _mark(self, passenger: Passenger, mark: Mark) -> None:
        try:
            passenger.follower.settle(self._monotonic())
        except Exception as error:  # noqa: BLE001  # as above
            passenger.error = passenger.error or error
        passenger.settled = True
        if mark == "end":
            self._aboard.discard(id(passenger))
            self._device.dismiss(passenger.camera_id)

    def _timed(self, call: Callable[[], T]) -> tuple[T, float]:
        started = time.perf_counter()
        return call(), time.perf_counter() - started


def _found(look: _Look, plates: Sequence[Plate]) -> list[Found]:
    """The plates of a picture, and which of them are to be read."""
    wanted = look.passenger.follower.wanted(plates, pts_seconds=look.picture.pts_seconds)
    return [Found(look.picture.surface, *pair) for pair in zip(plates, wanted, strict=True)]
