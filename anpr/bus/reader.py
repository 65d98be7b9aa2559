"""Taking items one by one, with or without asyncio: what all subscribers share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import zmq
import zmq.asyncio

from anpr.bus.sockets import told_as_bus_errors
from anpr.clock import Clock

_LOOK_SECONDS = 0.1
"""How soon a stop event is noticed."""
_LONGEST_WAIT_SECONDS = 0.5
"""Connections need a look now and then."""

ItemT = TypeVar("ItemT")


class Reader(ABC, Generic[ItemT]):
    """Something that gives items. Make it, use it and close it in one thread."""

    def __init__(self, *, place: str, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._poller: zmq.Poller | None = None
        """Made when first needed; the sockets stay the same."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    @abstractmethod
    def sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """What becomes readable when there may be something to `take`."""

    @abstractmethod
    def take(self) -> ItemT | None:
        """The next item if there is one already; does not wait. Raises BusError."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections. Closing twice does no harm."""

    def receive(self, timeout_seconds: float) -> ItemT | None:
        """The next item, or None if nothing came in time. Messages that are not ours are counted and left out."""
        item = self.take()
        if item is not None:
            return item
        until_seconds = self._clock.monotonic_seconds() + timeout_seconds
        while (item := self.take()) is None:
            left_seconds = until_seconds - self._clock.monotonic_seconds()
            if left_seconds <= 0:
                break
            with told_as_bus_errors(self._place, cure="use a subscriber in the thread that made it"):
                if self._poller is None:
                    self._poller = self._registered(zmq.Poller())
                self._poller.poll(_milliseconds(left_seconds))
        return item

    def items(self, stop: threading.Event) -> Iterator[ItemT]:
        """Items as they come, until `stop` is set."""
        while not stop.is_set():
            item = self.receive(_LOOK_SECONDS)
            if item is not None:
                yield item

    async def receive_async(self, timeout_seconds: float) -> ItemT | None:
        """`receive` for asyncio: other tasks run while this one waits."""
        item = self.take()
        if item is not None:
            return item
        until_seconds = self._clock.monotonic_seconds() + timeout_seconds
        while (item := self.take()) is None:
            left_seconds = until_seconds - self._clock.monotonic_seconds()
            if left_seconds <= 0:
                break
            with told_as_bus_errors(self._place, cure="use a subscriber in the thread that made it"):
                await self._registered(zmq.asyncio.Poller()).poll(_milliseconds(left_seconds))
        return item

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        """Items as they come, for `async for`; cancel the task to end it."""
        while True:
            item = await self.receive_async(_LONGEST_WAIT_SECONDS)
            if item is not None:
                yield item

    def _registered(self, poller: PollerT) -> PollerT:
        for socket in self.sockets:
            poller.register(socket, zmq.POLLIN)
        return poller


PollerT = TypeVar("PollerT", zmq.Poller, zmq.asyncio.Poller)


def _milliseconds(seconds: float) -> int:
    return max(1, round(min(seconds, _LONGEST_WAIT_SECONDS) * 1000))
