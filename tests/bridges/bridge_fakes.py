"""A box in a thread, a bridge in a process, and a feed and a sink in memory."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from making_records import make_hit, make_sighting
from waiting import GENEROUS_SECONDS, until

from anpr.bridges import Bridge, DeadLetters, Outcome
from anpr.bridges.back_off import BackOff
from anpr.bus import Bus, BusOptions, Consumer, Gap
from anpr.bus.events import event_id
from anpr.clock import SystemClock
from anpr.records import Event, Record
from anpr.store import Store

ROOT = Path(__file__).parents[2]


def make_event(seq: int, record: Record | None = None) -> Event:
    """A sighting, or another record, as the box committed it."""
    chosen = record if record is not None else make_sighting(id=f"s-{seq}")
    return Event(box="box-1", epoch=1, seq=seq, committed_seconds=1_767_225_601.0, record=chosen)


class FakeFeed:
    """Gives what it was made with, then nothing."""

    def __init__(self, items: Sequence[Event | Gap]) -> None:
        self.waiting = deque(items)
        self.acknowledged: list[int] = []
        self.told = 0
        self.problem = ""

    async def receive_async(self, timeout_seconds: float) -> Event | Gap | None:
        await asyncio.sleep(0)
        return self.take()

    def take(self) -> Event | Gap | None:
        return self.waiting.popleft() if self.waiting else None

    def ack(self, event: Event | None = None) -> None:
        assert event is not None
        self.acknowledged.append(event.seq)

    def tell(self) -> None:
        self.told += 1


class FakeSink:
    """Answers with what `answer` says of each event; an exception in it is raised."""

    def __init__(self, answer: Callable[[Event], Outcome], *, at_once: int = 4) -> None:
        self.answer = answer
        self.at_once = at_once
        self.sent: list[int] = []

    async def send(self, events: Sequence[Event]) -> list[Outcome]:
        self.sent += [event.seq for event in events]
        return [self.answer(event) for event in events]

    async def close(self) -> None:
        pass


def make_bridge(feed: FakeFeed, sink: Any, folder: Path, *, topics: tuple[str, ...] = ()) -> Bridge:
    """With waits that a test can afford."""
    return Bridge(
        feed,
        sink,
        dead_letters=DeadLetters(folder / "dead.jsonl", clock=SystemClock()),
        clock=SystemClock(),
        topics=topics,
        back_off=BackOff(first_seconds=0.001, longest_seconds=0.01),
    )


def run_until(work: Coroutine[Any, Any, None], done: Callable[[], object]) -> None:
    """Run `work`, which never ends, until `done`."""

    async def both() -> None:
        task = asyncio.ensure_future(work)
        async with asyncio.timeout(GENEROUS_SECONDS):
            while not done():
                if task.done():
                    task.result()
                await asyncio.sleep(0.002)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(both())


class Box:
    """A real store and a real bus."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/reliable"
        self.ids: list[str] = []
        """Of all committed events."""
        self.behind = 0
        """So many of them the bridge has not acknowledged."""
        self._folder = folder
        self._stop = threading.Event()
        self._wanted: deque[Sequence[Record]] = deque()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def commit(self, count: int) -> None:
        """Sightings with a hit for every fourth."""
        for number in range(len(self.ids), len(self.ids) + count):
            hits = [make_hit(id=f"h{number}", sighting_id=f"s{number}")] if number % 4 == 0 else []
            self._wanted.append([make_sighting(id=f"s{number}"), *hits])
        until(lambda: not self._wanted)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        clock = SystemClock()
        options = BusOptions(
            endpoint=f"ipc://{self._folder}/live",
            reliable_endpoint=self.endpoint,
            consumers=(Consumer(name="bridge", most_per_second=1e6),),
        )
        with (
            Store.open(self._folder / "store", clock=clock, box="box-1") as store,
            Bus(options, box="box-1", epoch=store.epoch, log=store.outbox, clock=clock) as bus,
        ):
            while not self._stop.is_set():
                for _ in range(min(len(self._wanted), 8)):
                    sighting, *hits = self._wanted[0]
                    for event in store.append([sighting], hits):  # type: ignore[list-item]
                        self.ids.append(event_id(event))
                        bus.publish(event)
                    self._wanted.popleft()
                while bus.turn():
                    pass
                self.behind = bus.standings[0].behind
                if not self._wanted:
                    select.select(bus.files(), [], [], 0.002)


@contextmanager
def running_box(folder: Path) -> Iterator[Box]:
    """A box whose consumer is called `bridge`."""
    box = Box(folder)
    try:
        yield box
    finally:
        box.close()


class BridgeProcess:
    """`anpr bridge FILE`, to be killed and started again."""

    def __init__(self, file: Path, **environment: str) -> None:
        self.file = file
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.log = file.with_suffix(".log")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self._logged = log.tell()
            return subprocess.Popen(
                [sys.executable, "-m", "anpr", "bridge", str(self.file), "--json"], env=self.environment, stderr=log
            )

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL, self.log.read_text()

    def kill_and_start(self) -> None:
        self.kill()
        self.process = self._start()

    def stop(self) -> int:
        """SIGTERM, once it has begun to listen for it; the exit code."""
        until(lambda: b"bridge_started" in self.log.read_bytes()[self._logged :], what=self.log.read_text)
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def running_bridge(file: Path, **environment: str) -> Iterator[BridgeProcess]:
    """The process is gone at the end."""
    bridge = BridgeProcess(file, **environment)
    try:
        yield bridge
    finally:
        bridge.process.kill()
        bridge.process.wait()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key. Skips without openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    certificate, key = folder / "server.pem", folder / "server.key"
    words = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


class Program:
    """A server on loopback in a process of its own, from `with` to the end of the block."""

    def __init__(self, *command: str, port: int) -> None:
        self.port = port
        self._command = command
        self.process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """With -9, and again."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._listens)
        return process

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
