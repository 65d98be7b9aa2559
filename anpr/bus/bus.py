"""A box's bus as one thing: the door, the live feed and, where there are consumers, the reliable one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog

from anpr.bus.delivery import Consumer, Delivery, Standing
from anpr.bus.door import Door
from anpr.bus.keys import ServerKeys
from anpr.bus.publisher import Publisher
from anpr.bus.session import Log
from anpr.clock import Clock
from anpr.errors import BusError, StoreError
from anpr.metrics import Counters, Histogram
from anpr.records import Event, Hit

RETRY_SECONDS = 1.0
"""After the log could not be read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusOptions:
    """Where a box speaks, and with whom."""

    endpoint: str
    reliable_endpoint: str | None = None
    consumers: tuple[Consumer, ...] = ()
    keys: ServerKeys | None = None
    allow_unencrypted: bool = False
    most_connections: int = 64


class Bus:
    """Make it, use it and close it in one thread."""

    def __init__(self, options: BusOptions, *, box: str, epoch: int, log: Log, clock: Clock) -> None:
        """Bind the endpoints. Raises BusError, StoreError."""
        self._clock = clock
        self._log = structlog.get_logger()
        self._pause_until_seconds = 0.0
        self._own = Counters()
        self._door = Door(
            clock=clock,
            keys=options.keys,
            allow_unencrypted=options.allow_unencrypted,
            most_connections=options.most_connections,
        )
        try:
            last_seq = log.last_seq
            self._publisher = Publisher(
                options.endpoint, box=box, epoch=epoch, clock=clock, last_seq=last_seq, door=self._door
            )
            self._delivery = None
            if options.reliable_endpoint is not None:
                self._delivery = Delivery(
                    options.reliable_endpoint,
                    box=box,
                    epoch=epoch,
                    log=log,
                    consumers=options.consumers,
                    door=self._door,
                    clock=clock,
                )
        except BaseException:
            self._door.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """Of the live feed."""
        return self._publisher.endpoint

    @property
    def reliable_endpoint(self) -> str:
        """Of the reliable feed; empty if there is none."""
        return self._delivery.endpoint if self._delivery is not None else ""

    @property
    def counters(self) -> Counters:
        """What all of it has counted."""
        total = Counters()
        for counters in (self._own, self._door.counters, self._publisher.counters):
            total.merge(counters.counts)
        if self._delivery is not None:
            total.merge(self._delivery.counters.counts)
        return total

    @property
    def standings(self) -> Sequence[Standing]:
        """How each consumer fares."""
        return self._delivery.standings if self._delivery is not None else ()

    @property
    def hit_latencies(self) -> Mapping[str, Histogram]:
        """By consumer, seconds from a picture's arrival to the acknowledgement of the hit that it brought about."""
        return self._delivery.hit_times.latencies if self._delivery is not None else {}

    def begin_hit(self, seq: int, arrival_seconds: float) -> None:
        """The hit that is published next under this number goes back to a picture that arrived then (monotonic)."""
        if self._delivery is not None:
            self._delivery.hit_times.begin(seq, arrival_seconds)

    def publish(self, event: Event) -> None:
        """Send a committed event to whoever listens now; consumers get it in their turn. Raises BusError."""
        if self._delivery is not None:
            self._delivery.committed(event.seq)
        payload = self._publisher.publish(event)
        if self._delivery is not None:
            self._delivery.remember(event.seq, payload)

    def publish_volatile(self, hit: Hit) -> None:
        """Tell a hit that is not on disk to whoever listens now; consumers get it once it is. Raises BusError."""
        self._publisher.publish_volatile(hit)

    def turn(self) -> bool:
        """What the owner's loop calls often; True if there is more to do right away. Raises BusError."""
        self._door.turn()
        try:
            self._publisher.turn()
        finally:
            more = self._deliver()  # consumers have their turn, whatever becomes of the live feed
        return more

    def _deliver(self) -> bool:
        """True if there is more to do right away. A log that fails, or an endpoint, is tried again later."""
        if self._delivery is None or self._paused:
            return False
        try:
            return self._delivery.turn()
        except (BusError, StoreError) as error:
            self._pause_until_seconds = self._clock.monotonic_seconds() + RETRY_SECONDS
            self._own.add("deliveries_failed")
            self._log.error("delivery_failed", problem=str(error), retry_in_seconds=RETRY_SECONDS)
            return False

    def heartbeat(self) -> None:
        """Tell the newest number, now. Raises BusError."""
        self._publisher.heartbeat()

    def files(self) -> list[int]:
        """Descriptors that become readable when there is something to do in `turn`."""
        delivery = self._delivery.files() if self._delivery is not None and not self._paused else []
        return [*self._door.files(), *self._publisher.files(), *delivery]

    def close(self) -> None:
        """Say goodbye, send what is queued for at most a second, and give the endpoints free. Twice does no harm."""
        if self._delivery is not None and not self._door.context.closed:
            try:
                self._delivery.stop()
            except (BusError, StoreError) as error:
                self._log.error("delivery_failed", problem=str(error), retry_in_seconds=None)
        self._door.close()

    @property
    def _paused(self) -> bool:
        return self._clock.monotonic_seconds() < self._pause_until_seconds
