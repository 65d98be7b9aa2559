"""How fast do events leave the box, and how fast do they reach the disk?

Two processes on one machine, TCP on 127.0.0.1. Beside each figure stands a bare loop of the library underneath, run in
turns with it: pyzmq that sends the same two frames and takes them without a look, and lmdb that puts the same rows into
one table with commits of the same size. `live` and `durable` are whole: from an Event to an Event, durable with its
acknowledgements and a cursor file. Latencies are at a steady pace, from the commit to the typed event in the other
process.
"""

from __future__ import annotations

import gc
import multiprocessing
import select
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import lmdb
import zmq

from anpr.bus import Bus, BusOptions, Consumer, DurableSubscriber, Publisher, Subscriber
from anpr.bus.events import encode
from anpr.clock import SystemClock
from anpr.records import Event, Evidence, Hit, Sighting
from anpr.store import Store
from anpr.store.rows import encode_row
from bench import report

LOOPBACK = "tcp://127.0.0.1:*"
BOX = "bench-box"
COMMIT = 64
"""Records that share a commit: what the hub's group commit takes at most."""
PACE_PER_SECOND = 200.0
"""For latencies: a busy site many times over."""
HIT_EVERY = 20
ACK_EVERY = 64
BARE_TIMES = 4
"""A short run would finish before other programs of this machine get their turn, and a longer one would not."""
PATIENCE_SECONDS = 60.0

Thing = TypeVar("Thing")


def sighting(number: int) -> Sighting:
    """A passage as a camera gives it; 4 likely characters in each place."""
    text = f"{30 + number % 60}A{number % 100_000:05}"
    return Sighting(
        id=f"{number:032x}",
        revision=0,
        state="final",
        site_id="bench",
        camera_id=f"camera-{number % 8}",
        track=number,
        text=text,
        raw=text,
        display=f"{text[:3]}-{text[3:6]}.{text[6:]}",
        kind="car",
        probability=0.9876,
        alternatives=tuple((f"{text[:-1]}{digit}", 0.01 / (digit + 1)) for digit in range(5)),
        lattice=tuple(((character, 0.98), ("8", 0.01), ("B", 0.005), ("", 0.005)) for character in text),
        lines=1,
        colour="white",
        province_code=text[:2],
        province="Hà Nội",
        province_before="Hà Nội",
        direction="receding",
        first_seconds=1_780_000_000.0 + number * 0.37,
        seen_seconds=1_780_000_000.5 + number * 0.37,
        last_seconds=1_780_000_001.0 + number * 0.37,
        pts_seconds=number * 0.37,
        frames=30,
        reads=12,
        quad=((812.5, 401.25), (934.0, 399.5), (935.25, 428.0), (813.0, 430.75)),
        tainted=False,
        evidence=tuple(
            Evidence(kind=kind, sha256=f"{number:064x}", width_px=width, height_px=width * 9 // 16)
            for kind, width in (("plate", 160), ("overview", 1280))
        ),
        pipeline="cpu@f1f2cb2ebf0c",
        models=("detector@45602572041a", "reader@d912a6f794fa"),
    )


def hit(number: int) -> Hit:
    """What a list raised about that passage."""
    seen = sighting(number)
    return Hit(
        id=f"{number:024x}",
        revision=0,
        state="final",
        severity="ALERT",
        sighting_id=seen.id,
        site_id=seen.site_id,
        camera_id=seen.camera_id,
        seen_seconds=seen.seen_seconds,
        text=seen.text,
        raw=seen.raw,
        listed=seen.text,
        display=seen.display,
        probability=seen.probability,
        reason="exact",
        list_name="stolen",
        list_version="091f9792ec182ce0",
        list_age_seconds=60.0,
        entry_reason="stolen",
        evidence=seen.evidence,
    )


def events(count: int) -> list[Event]:
    """The same for everybody."""
    return [
        Event(
            box=BOX, epoch=1, seq=seq, committed_seconds=1.0, record=hit(seq) if seq % HIT_EVERY == 0 else sighting(seq)
        )
        for seq in range(1, count + 1)
    ]


# The other process


def receive(kind: str, endpoint: str, folder: str, count: int, pipe: Connection) -> None:
    """Take `count` events in the way that `kind` names, and send back when each arrived."""
    take = {"bare": _take_bare, "live": _take_live, "durable": _take_durable}[kind]
    arrived = []
    for _ in take(endpoint, Path(folder), count, lambda: pipe.send("joined")):
        arrived.append(time.monotonic())
        if len(arrived) == count:
            break
    pipe.send(arrived)


def _take_bare(endpoint: str, _folder: Path, _count: int, joined: Callable[[], None]) -> Iterator[None]:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.rcvhwm = 0
        socket.subscribe(b"")
        socket.connect(endpoint)
        while socket.recv_multipart()[0] == b"health":
            joined()
        yield
        while True:
            socket.recv_multipart()
            yield


def _take_live(endpoint: str, _folder: Path, _count: int, joined: Callable[[], None]) -> Iterator[None]:
    with Subscriber(endpoint, clock=SystemClock(), topics=("",)) as subscriber:
        for item in subscriber.items(threading.Event()):
            if isinstance(item, Event):
                yield
            else:
                joined()


def _take_durable(endpoint: str, folder: Path, count: int, joined: Callable[[], None]) -> Iterator[None]:
    joined()
    cursor = folder / "cursor"
    with DurableSubscriber(endpoint, "bench", clock=SystemClock(), cursor=cursor, window=1024) as subscriber:
        for number, item in enumerate(subscriber.items(threading.Event()), 1):
            assert isinstance(item, Event), item
            if number % ACK_EVERY == 0 or number == count:
                subscriber.ack()
            yield


class Other:
    """The other process."""

    def __init__(self, kind: str, endpoint: str, folder: Path, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=receive, args=(kind, endpoint, str(folder), count, theirs), daemon=True, name=f"bench {kind}"
        )
        self.process.start()
        theirs.close()

    def wait_until_joined(self, turn: Callable[[], object]) -> None:
        """Let the sender turn until the other process has heard something."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.pipe.poll(0.01):
            turn()
            if time.monotonic() > until:
                raise RuntimeError("the other process does not come")
        self.pipe.recv()

    def arrivals(self, turn: Callable[[], object]) -> list[float]:
        """When each event arrived."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            while not self.pipe.poll(0.0):
                turn()
                if time.monotonic() > until:
                    raise RuntimeError("events are missing")
            answer = self.pipe.recv()
            if isinstance(answer, list):
                self.process.join()
                return answer


@contextmanager
def bare_socket() -> Iterator[tuple[str, zmq.Socket[bytes]]]:
    """A PUB socket without limits."""
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.sndhwm = 0
        socket.bind(LOOPBACK)
        yield socket.getsockopt_string(zmq.LAST_ENDPOINT), socket


def bare_rate(sent: Sequence[Event], folder: Path) -> float:
    """Events/s of pyzmq alone: frames made before, and not looked at; so many that it takes as long as ours."""
    frames = [encode(event) for event in sent] * BARE_TIMES
    with bare_socket() as (endpoint, socket):
        other = Other("bare", endpoint, folder, len(frames))
        other.wait_until_joined(lambda: socket.send_multipart((b"health", b"")))
        began = time.monotonic()
        for frame in frames:
            socket.send_multipart(frame)
        return len(frames) / (other.arrivals(_blink)[-1] - began)


def live_rate(sent: Sequence[Event], folder: Path) -> float:
    """Events/s from Publisher to Subscriber."""
    clock = SystemClock()
    with Publisher(LOOPBACK, box=BOX, epoch=1, clock=clock, heartbeat_seconds=0.01, queue_messages=0) as publisher:
        other = Other("live", publisher.endpoint, folder, len(sent))
        other.wait_until_joined(publisher.turn)
        began = time.monotonic()
        for event in sent:
            publisher.publish(event)
        return len(sent) / (other.arrivals(_blink)[-1] - began)


def live_latencies(sent: Sequence[Event], folder: Path) -> list[float]:
    """Seconds from the commit to the typed event elsewhere, at a steady pace."""
    with Publisher(LOOPBACK, box=BOX, epoch=1, clock=SystemClock()) as publisher:
        other = Other("live", publisher.endpoint, folder, len(sent))
        other.wait_until_joined(publisher.heartbeat)
        left = []
        for event in paced(sent):
            left.append(time.monotonic())
            publisher.publish(event)
            publisher.turn()
        return [there - here for here, there in zip(left, other.arrivals(_blink), strict=True)]


@contextmanager
def durable_bus(folder: Path, count: int) -> Iterator[tuple[Store, Bus]]:
    """A store with `count` events, and a bus with one consumer."""
    clock = SystemClock()
    options = BusOptions(
        endpoint=LOOPBACK, reliable_endpoint=LOOPBACK, consumers=(Consumer(name="bench", most_per_second=1e6),)
    )
    with Store.open(folder / "store", clock=clock, box=BOX) as store:
        for first in range(1, count + 1, 1000):
            numbers = range(first, min(first + 1000, count + 1))
            store.append(
                [sighting(number) for number in numbers if number % HIT_EVERY],
                [hit(number) for number in numbers if not number % HIT_EVERY],
            )
        with Bus(options, box=BOX, epoch=store.epoch, log=store.outbox, clock=clock) as bus:
            yield store, bus


def durable_rate(count: int, folder: Path) -> float:
    """Events/s of a drain, from the store to acknowledged with a cursor on disk."""
    with durable_bus(folder, count) as (_, bus):
        other = Other("durable", bus.reliable_endpoint, folder, count)
        other.wait_until_joined(bus.turn)
        arrived = other.arrivals(lambda: _turn(bus))
        return count / (arrived[-1] - arrived[0])


def durable_latencies(count: int, folder: Path) -> list[float]:
    """Seconds from the commit to the typed event at the consumer, at a steady pace."""
    with durable_bus(folder, 0) as (store, bus):
        other = Other("durable", bus.reliable_endpoint, folder, count)
        until = time.monotonic() + PATIENCE_SECONDS
        while not bus.standings[0].connected and time.monotonic() < until:
            _turn(bus)
        left = []
        for number in paced(range(count), turn=lambda: _turn(bus)):
            for event in store.append([sighting(number)]):
                left.append(time.monotonic())
                bus.publish(event)
            while bus.turn():
                pass
        return [there - here for here, there in zip(left, other.arrivals(lambda: _turn(bus)), strict=True)]


def paced(things: Sequence[Thing], *, turn: Callable[[], object] | None = None) -> Iterator[Thing]:
    """Each at its time."""
    began = time.monotonic()
    for number, thing in enumerate(things):
        while (left := began + number / PACE_PER_SECOND - time.monotonic()) > 0:
            if turn is None:
                time.sleep(left)
            else:
                turn()
        yield thing


def _turn(bus: Bus) -> None:
    if not bus.turn():
        select.select(bus.files(), [], [], 0.002)


def _blink() -> None:
    time.sleep(0.001)


def append_rate(count: int, folder: Path) -> float:
    """Sightings/s that the store makes durable, COMMIT of them at once."""
    groups = [[sighting(number) for number in range(first, first + COMMIT)] for first in range(0, count, COMMIT)]
    gc.collect()  # what was made above is not looked through while we measure
    with Store.open(folder, clock=SystemClock(), box=BOX) as store:
        began = time.perf_counter()
        for group in groups:
            store.append(group)
        return count / (time.perf_counter() - began)


def bare_append_rate(count: int, folder: Path) -> float:
    """The same rows into one table of lmdb, with commits of the same size."""
    rows = [
        encode_row(Event(box=BOX, epoch=1, seq=seq + 1, committed_seconds=1.0, record=sighting(seq)))
        for seq in range(count)
    ]
    gc.collect()
    folder.mkdir()
    with lmdb.open(str(folder), map_size=1 << 33, max_dbs=1) as environment:
        table = environment.open_db(b"events")
        began = time.perf_counter()
        for first in range(0, count, COMMIT):
            with environment.begin(write=True, db=table) as transaction:
                for number in range(first, first + COMMIT):
                    transaction.put(number.to_bytes(8, "big"), rows[number], append=True)
        return count / (time.perf_counter() - began)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of all lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk that shall be measured (default: the system's own)")
    arguments = parser.parse_args()
    rounds, count, backlog, paced_count = (1, 2000, 2000, 100) if arguments.quick else (5, 20_000, 20_000, 2000)
    sent = events(count)
    samples: dict[str, list[float]] = {}
    late: dict[str, list[float]] = {"live": [], "durable": []}

    def sample(name: str, value: float) -> float:
        samples.setdefault(name, []).append(value)
        return value

    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="anpr-bench-", dir=arguments.folder) as name:
            folder = Path(name)
            bare = sample("bare_zmq_per_s", bare_rate(sent, folder))
            sample("live_ratio", sample("live_events_per_s", live_rate(sent, folder)) / bare)
            for part in ("drain", "pace"):
                (folder / part).mkdir()
            sample("durable_events_per_s", durable_rate(backlog, folder / "drain"))
            bare = sample("bare_lmdb_per_s", bare_append_rate(count // COMMIT * COMMIT, folder / "lmdb"))
            own = sample("appends_per_s", append_rate(count // COMMIT * COMMIT, folder / "store"))
            sample("append_ratio", own / bare)
            late["live"] += live_latencies(sent[:paced_count], folder)
            late["durable"] += durable_latencies(paced_count, folder / "pace")
    figures = {name: statistics.median(values) for name, values in samples.items()}
    for name, values in late.items():
        figures |= {f"{name}_p{share}_ms": percentile(values, share / 100) * 1000 for share in (50, 99)}
    report.show(
        f"{count:,} events of {len(encode(sent[0])[1]):,} bytes, median of {rounds}",
        ["", "events/s", "of the bare library", "p50 ms", "p99 ms"],
        [
            ["pyzmq alone", figures["bare_zmq_per_s"], "", "", ""],
            [
                "live",
                figures["live_events_per_s"],
                figures["live_ratio"],
                figures["live_p50_ms"],
                figures["live_p99_ms"],
            ],
            ["durable", figures["durable_events_per_s"], "", figures["durable_p50_ms"], figures["durable_p99_ms"]],
            ["lmdb alone", figures["bare_lmdb_per_s"], "", "", ""],
            ["store", figures["appends_per_s"], figures["append_ratio"], "", ""],
        ],
    )
    report.finish("bus", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
