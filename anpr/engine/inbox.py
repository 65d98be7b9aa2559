"""Where the pictures of many cameras wait for the next batch.

Each camera has a little room of its own. A live camera does not wait: the oldest of too many pictures makes room and is
counted. A recording may wait. Cameras are served in the order in which they came to have something, one picture after
the other, so none can starve another; and what waits is never more than cameras times room.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from anpr.engine.batching import Item, Mark, Passenger
from anpr.video.surface_frame import SurfaceFrame

ROOM = 3
"""Pictures of a camera that may wait: 120 ms at 25 a second."""


@dataclass(slots=True, eq=False)
class Seat:
    """A camera's place."""

    passenger: Passenger
    waits: bool
    """Whether `put` waits for room."""
    queue: deque[SurfaceFrame | Mark] = field(default_factory=deque)
    queued: bool = False
    """It is among those that are served next."""
    closed: bool = False
    left: threading.Event = field(default_factory=threading.Event)
    """Everything of it has been processed."""
    size: tuple[int, int] | None = None
    put_seconds: float = 0.0
    """When its newest picture came."""


class Inbox:
    """The cameras' seats. Any thread may put; one takes."""

    def __init__(self, *, tick_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """A batch waits up to `tick_seconds` for further cameras."""
        self.error: BaseException | None = None
        """What ended the taking; whoever puts is told."""
        self._tick_seconds = tick_seconds
        self._monotonic = monotonic
        self._arrived = threading.Condition(lock := threading.RLock())
        """Who takes waits for it, and is told of every picture …"""
        self._room = threading.Condition(lock)
        """… who puts for this, and is told of every batch: hundreds of decoders must not wake one another."""
        self._seats: list[Seat] = []
        self._ready: deque[Seat] = deque()

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Of all cameras that are there."""
        with self._arrived:
            return tuple(self._seats)

    @property
    def waiting(self) -> int:
        """Pictures and marks that wait."""
        with self._arrived:
            return sum(len(seat.queue) for seat in self._seats)

    def join(self, passenger: Passenger, *, waits: bool = False) -> Seat:
        """Give a camera its seat."""
        seat = Seat(passenger, waits, put_seconds=self._monotonic())
        with self._arrived:
            self._seats.append(seat)
        return seat

    def put(self, seat: Seat, picture: SurfaceFrame) -> SurfaceFrame | None:
        """Leave `picture` for a batch; returns what nobody will take: the oldest of too many, or this of a closed seat.

        Raises what ended the taking, or this camera's part in it.
        """
        size = picture.surface.width_px, picture.surface.height_px
        with self._arrived:
            while seat.waits and not self._over(seat) and len(seat.queue) >= ROOM:
                self._room.wait()
            if (error := self.error or seat.passenger.error) is not None:
                raise error
            if seat.closed:
                return picture
            if seat.size not in (None, size):
                seat.queue.append("settle")  # places are in pixels
            seat.size, seat.put_seconds = size, self._monotonic()
            seat.queue.append(picture)
            self._call(seat)
            return _oldest_of_too_many(seat)

    def close(self, seat: Seat) -> None:
        """No more pictures of this camera; those that wait are still taken. `seat.left` is set after the last."""
        with self._arrived:
            if not seat.closed:
                seat.closed = True
                seat.queue.append("end")
                self._call(seat)
            if self.error is not None:
                seat.left.set()
            self._room.notify_all()

    def drop(self, seat: Seat) -> int:
        """Close a seat and forget its waiting pictures; returns how many they were."""
        with self._arrived:
            pictures = sum(not isinstance(each, str) for each in seat.queue)
            seat.queue.clear()
        self.close(seat)
        return pictures

    def take(self, limit: int, *, patience_seconds: float) -> list[Item]:
        """Up to `limit` pictures or marks, of as many cameras as have one; none if none comes in time."""
        with self._arrived:
            if not self._ready:
                self._arrived.wait(patience_seconds)
            until = self._monotonic() + self._tick_seconds
            while self._ready and len(self._ready) < min(limit, len(self._seats)):
                left = until - self._monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    break
            batch: list[Item] = []
            dependent: list[Seat] = []
            while self._ready and len(batch) < limit:
                seat = self._ready.popleft()
                if not seat.queue:
                    seat.queued = False
                    continue
                batch.append(Item(seat.passenger, seat.queue.popleft()))
                seat.queued = bool(seat.queue)
                if seat.queued:
                    (self._ready if seat.passenger.independent else dependent).append(seat)
            self._ready.extend(dependent)
            self._room.notify_all()
            return batch

    def taken(self, batch: list[Item]) -> None:
        """A batch has been processed: cameras whose last word was in it leave."""
        ended = {id(item.passenger) for item in batch if item.picture == "end"}
        with self._arrived:
            for seat in [seat for seat in self._seats if id(seat.passenger) in ended]:
                self._seats.remove(seat)
                seat.left.set()

    def fail(self, error: BaseException) -> None:
        """Nobody takes any more: everyone who puts or waits is told."""
        with self._arrived:
            self.error = error
            for seat in self._seats:
                seat.left.set()
            self._room.notify_all()

    def _over(self, seat: Seat) -> bool:
        return seat.closed or self.error is not None or seat.passenger.error is not None

    def _call(self, seat: Seat) -> None:
        if not seat.queued:
            seat.queued = True
            self._ready.append(seat)
        self._arrived.notify_all()


def _oldest_of_too_many(seat: Seat) -> SurfaceFrame | None:
    """Take out the oldest picture if there are more than may wait; marks stay."""
    pictures = [each for each in seat.queue if not isinstance(each, str)]
    if len(pictures) <= ROOM:
        return None
    seat.queue.remove(pictures[0])
    return pictures[0]
