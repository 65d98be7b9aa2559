"""A box and its consumers in one thread: nothing sleeps, and every turn is the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from making_records import make_hit, make_sighting
from waiting import GENEROUS_SECONDS

from anpr.bus import Bus, BusOptions, ClientKeys, Consumer, DurableSubscriber, Gap, ServerKeys
from anpr.bus.keys import new_pair
from anpr.bus.protocol import Lane
from anpr.clock import SystemClock
from anpr.errors import BusError
from anpr.records import Event

LOOPBACK = "tcp://127.0.0.1:*"
IOC = Consumer(name="ioc", most_per_second=1e6)


class FakeLog:
    """The log of a store, in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.first = 1
        self.saved: dict[str, tuple[int, int]] = {}
        self.saves = 0

    @property
    def first_seq(self) -> int:
        return self.first

    @property
    def last_seq(self) -> int:
        return self.events[-1].seq if self.events else 0

    def read(self, lane: Lane, *, after_seq: int, limit: int) -> Sequence[Event]:
        kept = self.events[max(after_seq, self.first - 1) :]
        return [event for event in kept if (event_lane(event) == lane)][:limit]

    def event_at(self, seq: int) -> Event | None:
        return self.events[seq - 1] if self.first <= seq <= self.last_seq else None

    def positions(self) -> dict[str, tuple[int, int]]:
        return dict(self.saved)

    def save_positions(self, positions: dict[str, tuple[int, int]]) -> None:
        self.saves += 1
        self.saved = dict(positions)

    def add(self, what: str, *, epoch: int = 1, mark: str = "", raw: str = "") -> list[Event]:
        """One event for each letter: `s` a sighting, `h` a hit."""
        added = []
        for letter in what:
            seq = self.last_seq + 1
            record = make_hit(id=f"h{mark}-{seq}") if letter == "h" else make_sighting(id=f"s{mark}-{seq}", raw=raw)
            added.append(Event(box="box-1", epoch=epoch, seq=seq, committed_seconds=1.0, record=record))
            self.events.append(added[-1])
        return added


def event_lane(event: Event) -> Lane:
    return "hits" if event.record.__class__.__name__ == "Hit" else "rest"


class Town:
    """One box and whoever connects to it."""

    def __init__(
        self,
        opened: ExitStack,
        log: FakeLog,
        *,
        consumers: tuple[Consumer, ...] = (IOC,),
        keys: ServerKeys | None = None,
        endpoints: tuple[str, str] = (LOOPBACK, LOOPBACK),
        epoch: int = 1,
        most_connections: int = 64,
    ) -> None:
        self.opened = opened
        self.log = log
        self.options = BusOptions(
            endpoint=endpoints[0],
            reliable_endpoint=endpoints[1],
            consumers=consumers,
            keys=keys,
            most_connections=most_connections,
        )
        self.subscribers: list[DurableSubscriber] = []
        self.bus = self._open(epoch)

    def _open(self, epoch: int) -> Bus:
        return self.opened.enter_context(Bus(self.options, box="box-1", epoch=epoch, log=self.log, clock=SystemClock()))

    def restart(self, *, log: FakeLog | None = None, epoch: int = 2) -> None:
        """End the bus as a crash would, saving nothing, and open it again at the same endpoints."""
        self.options = BusOptions(
            endpoint=self.bus.endpoint,
            reliable_endpoint=self.bus.reliable_endpoint,
            consumers=self.options.consumers,
            keys=self.options.keys,
        )
        self.bus._door.context.destroy(linger=0)
        self.log = log or self.log
        for _ in range(500):
            try:
                self.bus = self._open(epoch)
                return
            except BusError:  # libzmq gives the port free in its own thread
                SystemClock().wait(threading.Event(), 0.01)
        raise AssertionError("the endpoint is not free again")

    def subscriber(
        self,
        name: str = "ioc",
        *,
        cursor: Path | None = None,
        after_seq: int | None = None,
        keys: ClientKeys | None = None,
        window: int = 256,
    ) -> DurableSubscriber:
        made = self.opened.enter_context(
            DurableSubscriber(
                self.bus.reliable_endpoint,
                name,
                clock=SystemClock(),
                cursor=cursor,
                after_seq=after_seq,
                keys=keys,
                window=window,
            )
        )
        self.subscribers.append(made)
        return made

    def commit(self, what: str, *, epoch: int = 1, mark: str = "", raw: str = "") -> list[Event]:
        """Have the box commit and publish events."""
        added = self.log.add(what, epoch=epoch, mark=mark, raw=raw)
        for event in added:
            self.bus.publish(event)
        return added

    def turn(self) -> None:
        self.bus.turn()

    def until(self, condition: Callable[[], object], *, seconds: float = GENEROUS_SECONDS) -> None:
        """Let the box turn until `condition` holds."""
        clock = SystemClock()
        end = clock.monotonic_seconds() + seconds
        while not condition():
            assert clock.monotonic_seconds() < end, "it did not happen in time"
            self.turn()

    def take(self, subscriber: DurableSubscriber, count: int) -> list[Event | Gap]:
        """The next `count` items."""
        found: list[Event | Gap] = []

        def look() -> bool:
            item = subscriber.receive(0.001)
            if item is not None:
                found.append(item)
            return len(found) >= count

        self.until(look)
        return found

    def nothing(self, subscriber: DurableSubscriber, *, turns: int = 30) -> None:
        """Nothing more comes for some turns of the box."""
        for _ in range(turns):
            self.turn()
            assert subscriber.receive(0.001) is None


class KeyRing:
    """The keys of a box `box`, of a consumer `ioc`, and of a `stranger`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients = folder / "clients"
        self.clients.mkdir()
        for name in ("box", "ioc", "stranger"):
            new_pair(folder, name)
        self.allow("ioc")
        self.server = ServerKeys(folder / "box.key_secret", self.clients)

    def allow(self, name: str) -> None:
        (self.clients / f"{name}.key").write_bytes((self.folder / f"{name}.key").read_bytes())

    def client(self, name: str, *boxes: str) -> ClientKeys:
        own = self.folder / f"{name}.key_secret"
        return ClientKeys.load(own, *(self.folder / f"{box}.key" for box in boxes or ("box",)))


def seqs(items: Sequence[object]) -> list[int]:
    """The numbers of what is all events."""
    assert all(isinstance(item, Event) for item in items)
    return [item.seq for item in items if isinstance(item, Event)]
