"""Peers that mean harm: half-open, garbage, giants, endless talk, frozen."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import zmq
from bus_fakes import LOOPBACK, FakeLog, KeyRing, Town

from anpr.bus import Door, Publisher, Subscriber, keys
from anpr.clock import ManualClock, SystemClock
from anpr.records import Event


def seqs(items: list[object]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Event)]


def connect(endpoint: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("feed", ["live", "reliable"])
def test_500_half_open_connections_are_bounded_and_a_consumer_still_gets_in(
    opened: ExitStack, guarded: Town, ring: KeyRing, feed: str
) -> None:
    ioc = guarded.subscriber(keys=ring.client("ioc"))
    guarded.commit("s")
    assert seqs(guarded.take(ioc, 1)) == [1]
    endpoint = guarded.bus.endpoint if feed == "live" else guarded.bus.reliable_endpoint
    before = open_files()
    ours = 0
    for _ in range(500):
        opened.enter_context(connect(endpoint))
        ours += 1
        guarded.turn()
    guarded.until(lambda: guarded.bus.counters.counts.get(("client_dropped", "too many"), 0) >= 500 - 64)
    guarded.until(lambda: open_files() - before - ours <= 64 + 8)
    late = guarded.subscriber(keys=ring.client("ioc"))  # the newer of one name wins
    assert seqs(guarded.take(late, 1)) == [1]
    guarded.commit("s")
    assert seqs(guarded.take(late, 1)) == [2]


@pytest.mark.parametrize("encrypted", [True, False])
def test_garbage_and_giants_are_counted_and_disturb_nobody(opened: ExitStack, ring: KeyRing, encrypted: bool) -> None:
    town = Town(opened, FakeLog(), keys=ring.server if encrypted else None)
    own = ring.client("ioc") if encrypted else None
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
    giant = b"\x02" + (3 << 29).to_bytes(8, "big") + b"x" * 65536
    for endpoint in (town.bus.endpoint, town.bus.reliable_endpoint):
        for bytes_sent in (b"GET / HTTP/1.1\r\n\r\n" * 10, os.urandom(4096), greeting + ready + giant):
            for _ in range(5):
                hostile = opened.enter_context(connect(endpoint))
                with suppress(OSError):  # it may have been thrown out already
                    hostile.sendall(bytes_sent)
                    hostile.shutdown(socket.SHUT_WR)
                town.turn()
    town.until(lambda: town.bus.counters.total("connections_accepted") == 30)
    town.commit("s")
    assert seqs(town.take(town.subscriber(keys=own), 1)) == [1]


def test_a_subscriber_that_talks_without_end_is_cut_off(opened: ExitStack) -> None:
    town = Town(opened, FakeLog())
    context = opened.enter_context(zmq.Context())
    talker = opened.enter_context(context.socket(zmq.SUB))
    talker.linger = 0
    talker.connect(town.bus.endpoint)
    for number in range(400):
        talker.subscribe(f"{number}.".encode())
    town.until(lambda: town.bus.counters.counts.get(("client_dropped", "too talkative")))
    assert town.bus.counters.counts["client_dropped", "too talkative"] >= 1


def test_a_frozen_subscriber_is_counted_and_loses_only_its_own(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anpr.bus import door

    monkeypatch.setattr(door, "LOOK_SECONDS", 0.05)
    town = Town(opened, FakeLog())
    with socket.create_connection(("127.0.0.1", int(town.bus.endpoint.rpartition(":")[2]))) as frozen:
        frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
        frozen.sendall(greeting + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB")
        answer = b""
        while b"READY" not in answer:
            answer += frozen.recv(1000)
        frozen.sendall(b"\x00\x01\x01")
        town.until(lambda: town.bus._publisher.subscribers == 1)
        live = opened.enter_context(Subscriber(town.bus.endpoint, clock=SystemClock()))
        town.until(lambda: live.receive(0.001) is None and live._links[0].connected)
        got: list[int] = []

        def take() -> bool:
            while (item := live.take()) is not None:
                got.extend(seqs([item]))
            return bool(got) and got[-1] == town.log.last_seq

        def slow() -> bool:
            town.commit("s" * 20, raw="8" * 100_000)
            town.until(take)
            return town.bus.counters.total("subscribers_slow") > 0

        town.until(slow, seconds=20.0)
        frozen_peer = next(iter(town.bus._publisher._bound.connections._peers.values()))
        assert frozen_peer.slow
        assert town.bus._publisher.subscribers == 2
    assert live.counters.total("events_missed") == 0
    assert got == list(range(got[0], got[-1] + 1))


def test_a_publisher_in_the_clear_cuts_off_who_is_too_many() -> None:
    with ExitStack() as opened, Door(clock=ManualClock(), most_connections=3) as door:
        publisher = Publisher(LOOPBACK, box="b", epoch=1, clock=ManualClock(), door=door)
        for _ in range(10):
            opened.enter_context(connect(publisher.endpoint))
        for _ in range(2000):
            door.turn()
            if door.counters.total("client_dropped") == 7:
                break
            threading.Event().wait(0.001)
        assert publisher.subscribers == 3
        assert keys.MOST_KEYS > 3
