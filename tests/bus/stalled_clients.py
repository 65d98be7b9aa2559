"""A live subscriber and a consumer that read nothing for longer than libzmq waits for a silent peer, while much comes.

Exit code 0 if both then go on and have missed nothing.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack

from bus_fakes import FakeLog, Town

from anpr.bus import Subscriber, delivery
from anpr.clock import SystemClock
from anpr.records import Event

EVENTS = 12_000
MORE = 40
STALL_SECONDS = 5.0
"""More than the 4 s in which libzmq gives a silent peer up."""


def main() -> None:
    delivery.ALIVE_SECONDS = 0.003  # as if it were half an hour
    clock = SystemClock()
    with ExitStack() as opened:
        town = Town(opened, FakeLog())
        live = opened.enter_context(Subscriber(town.bus.endpoint, clock=clock, topics=("",)))
        town.until(lambda: live.receive(0.01))
        for _ in range(EVENTS // 1000):
            town.commit("s" * 1000)
            town.turn()
        consumer = town.subscriber(after_seq=EVENTS, window=16)
        town.until(lambda: consumer.take() or town.bus.standings[0].connected)
        town.commit("s" * MORE)
        end = clock.monotonic_seconds() + STALL_SECONDS
        while clock.monotonic_seconds() < end:
            town.turn()
            clock.wait(threading.Event(), 0.002)
        assert town.bus.standings[0].connected
        assert town.take(consumer, MORE) == town.log.events[EVENTS:]
        found: list[Event] = []

        def all_found() -> bool:
            while (item := live.take()) is not None:
                found.extend([item] if isinstance(item, Event) else [])
            return len(found) >= EVENTS + MORE

        town.until(all_found)
        assert found == town.log.events
        assert not live.counters.total("events_missed")
        assert town.bus.counters.total("connections_accepted") == 2


if __name__ == "__main__":
    main()
