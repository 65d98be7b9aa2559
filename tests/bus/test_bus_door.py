"""Who may come in: keys, their rotation, and peers that mean harm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import zmq
from bus_fakes import IOC, LOOPBACK, FakeLog, KeyRing, Town
from structlog.testing import capture_logs
from waiting import until

from anpr.bus import Bus, BusOptions, ClientKeys, Door, Publisher, ServerKeys, Subscriber, connections
from anpr.bus.door import BoundSocket
from anpr.bus.keys import fingerprint, new_pair, read_public
from anpr.bus.protocol import Hello, encode_frame
from anpr.clock import ManualClock, SystemClock
from anpr.errors import BusError
from anpr.records import Event


@pytest.fixture
def town(guarded: Town) -> Town:
    return guarded


def seqs(items: list[object]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Event)]


def test_events_go_encrypted_to_who_is_allowed(town: Town, ring: KeyRing) -> None:
    town.commit("sh")
    subscriber = town.subscriber(keys=ring.client("ioc"))
    assert seqs(town.take(subscriber, 2)) == [2, 1]
    live = town.opened.enter_context(
        Subscriber(town.bus.endpoint, clock=SystemClock(), topics=("",), keys=ring.client("ioc"))
    )
    town.until(lambda: live.receive(0.001))
    assert town.bus.counters.total("keys_refused") == 0


def test_an_unknown_key_is_refused_by_name(town: Town, ring: KeyRing) -> None:
    stranger = town.subscriber(keys=ring.client("stranger"))
    with capture_logs() as logs:
        town.until(lambda: (stranger.take(), stranger.problem)[1])
        town.until(lambda: (stranger.take(), town.bus.counters.total("handshakes_failed") >= 2)[1])
    assert "does not allow our key" in stranger.problem
    mark = fingerprint(read_public(ring.folder / "stranger.key"))
    assert town.bus.counters.counts["keys_refused", f"unknown: {mark}"] >= 2
    assert town.bus.counters.counts["handshakes_failed", "key not allowed"] >= 2
    told = [log for log in logs if log["event"] == "key_refused"]
    assert [log["fingerprint"] for log in told] == [mark]
    assert told[0]["address"] == "127.0.0.1"


def test_a_client_that_expects_another_box_is_refused_by_name(town: Town, ring: KeyRing) -> None:
    wrong = town.subscriber(keys=ring.client("ioc", "stranger"))
    town.until(lambda: (wrong.take(), wrong.problem)[1])
    assert "another key than we know" in wrong.problem
    town.until(
        lambda: (wrong.take(), town.bus.counters.counts.get(("handshakes_failed", "made for another server key")))[1]
    )


def test_a_client_without_a_key_is_refused_by_name(town: Town) -> None:
    plain = town.subscriber()
    town.until(lambda: (plain.take(), plain.problem)[1])
    assert "asks for a key" in plain.problem
    town.until(lambda: town.bus.counters.total("handshakes_failed"))  # who sees it first, and hangs up, is chance


def test_nobody_can_acknowledge_in_the_name_of_another(town: Town, ring: KeyRing) -> None:
    ring.allow("stranger")
    town.until(lambda: len(town.bus._door._allowed.names) == 2)  # type: ignore[union-attr]
    with pytest.raises(BusError, match="belongs to another name"):
        town.take(town.subscriber("ioc", keys=ring.client("stranger")), 1)


def test_a_key_that_is_added_is_let_in_without_a_restart(town: Town, ring: KeyRing) -> None:
    new_pair(ring.folder, "ioc.next")
    town.commit("s")
    later = town.subscriber(keys=ring.client("ioc.next"))
    town.until(lambda: (later.take(), later.problem)[1])
    ring.allow("ioc.next")
    assert seqs(town.take(later, 1)) == [1]


def test_a_key_that_is_taken_away_ends_its_connections_and_no_others(town: Town, ring: KeyRing) -> None:
    ring.allow("stranger")
    town.until(lambda: len(town.bus._door._allowed.names) == 2)  # type: ignore[union-attr]
    ioc = town.subscriber(keys=ring.client("ioc"))
    live = town.opened.enter_context(
        Subscriber(town.bus.endpoint, clock=SystemClock(), topics=("",), keys=ring.client("ioc"))
    )
    spy = town.opened.enter_context(
        Subscriber(
            town.bus.endpoint, clock=SystemClock(), topics=("",), keys=ring.client("stranger"), silence_seconds=1.0
        )
    )
    town.until(lambda: live.receive(0.001))
    town.until(lambda: spy.receive(0.001))
    town.commit("s")
    assert seqs(town.take(ioc, 1)) == [1]
    (ring.clients / "stranger.key").unlink()
    town.until(lambda: town.bus.counters.counts.get(("client_dropped", "key taken away")))
    town.commit("s")
    assert seqs(town.take(ioc, 1)) == [2]
    spied: list[object] = []
    town.until(lambda: (spied.extend(iter(spy.take, None)), spy.problem)[1])
    assert town.bus.counters.counts["keys_refused", "taken away: stranger"] >= 1
    assert 2 not in seqs(spied)
    heard: list[object] = []
    town.until(lambda: (heard.extend(iter(live.take, None)), len(seqs(heard)) == 2)[1])
    assert seqs(heard) == [1, 2]
    assert (live.counters.total("events_missed"), live.problem) == (0, "")
    assert town.bus.counters.total("consumers_welcomed") == 1  # the session of the consumer went on


def test_who_has_not_said_whose_he_is_goes_too_when_a_key_is_taken_away(
    opened: ExitStack, town: Town, ring: KeyRing
) -> None:
    context = opened.enter_context(zmq.Context())
    silent = opened.enter_context(context.socket(zmq.DEALER))
    keys = ring.client("ioc")
    silent.linger = 0
    silent.curve_publickey, silent.curve_secretkey, silent.curve_serverkey = *_pair(keys), keys.servers[0]
    silent.connect(town.bus.reliable_endpoint)
    town.until(lambda: town.bus._delivery._bound.connections.count == 1)  # type: ignore[union-attr]
    (ring.clients / "ioc.key").unlink()
    town.until(lambda: town.bus.counters.counts.get(("client_dropped", "key taken away")))
    silent.send(encode_frame(Hello(consumer="ioc", instance="x", session=1, window=1)))
    town.until(lambda: town.bus.counters.counts.get(("keys_refused", "taken away: ioc")))
    assert town.bus.counters.total("consumers_welcomed") == 0


def _pair(keys: ClientKeys) -> tuple[bytes, bytes]:
    return keys.own.public, keys.own.secret


def test_a_key_that_is_taken_away_while_the_boxs_own_cannot_be_read_ends_its_connections(
    town: Town, ring: KeyRing
) -> None:
    ioc = town.subscriber(keys=ring.client("ioc"))
    town.until(lambda: (ioc.take(), town.bus.standings[0].connected)[1])
    own = ring.folder / "box.key_secret"
    own.rename(ring.folder / "away")
    (ring.clients / "ioc.key").unlink()
    town.until(lambda: not town.bus.standings[0].connected)
    assert town.bus.counters.counts["client_dropped", "key taken away"] == 1


def test_a_key_that_gets_another_name_ends_its_connections(town: Town, ring: KeyRing) -> None:
    ioc = town.subscriber(keys=ring.client("ioc"))
    town.until(lambda: (ioc.take(), town.bus.standings[0].connected)[1])
    (ring.clients / "ioc.key").rename(ring.clients / "mqtt.key")
    with pytest.raises(BusError, match="belongs to another name"):
        town.take(ioc, 1)
    assert town.bus.counters.counts["client_dropped", "key taken away"] == 1


def test_a_link_that_leads_nowhere_keeps_no_key_alive(town: Town, ring: KeyRing) -> None:
    (ring.clients / "broken.key").symlink_to(ring.folder / "nowhere")
    town.until(lambda: town.bus._door._allowed.unreadable)  # type: ignore[union-attr]
    (ring.clients / "ioc.key").unlink()
    town.until(lambda: not town.bus._door._allowed.names)  # type: ignore[union-attr]
    assert town.bus._door._allowed.unreadable  # type: ignore[union-attr]


def test_a_client_rotates_its_key_without_a_moment_away(town: Town, ring: KeyRing) -> None:
    old = town.opened.enter_context(
        Subscriber(town.bus.endpoint, clock=SystemClock(), topics=("",), keys=ring.client("ioc"))
    )
    town.until(lambda: old.receive(0.001))
    new_pair(ring.folder, "ioc.next")
    ring.allow("ioc.next")
    town.until(lambda: len(town.bus._door._allowed.names) == 2)  # type: ignore[union-attr]
    new = town.opened.enter_context(
        Subscriber(town.bus.endpoint, clock=SystemClock(), topics=("",), keys=ring.client("ioc.next"))
    )
    town.until(lambda: new.receive(0.001))
    town.commit("s")
    told: list[object] = []
    town.until(lambda: (told.extend(iter(old.take, None)), seqs(told) == [1])[1])
    (ring.clients / "ioc.key").unlink()
    town.until(lambda: town.bus.counters.counts.get(("client_dropped", "key taken away")))
    town.commit("s")
    found: list[object] = []
    town.until(lambda: (found.extend(iter(new.take, None)), len(seqs(found)) == 2)[1])
    assert seqs(found) == [1, 2]
    town.until(lambda: (told.extend(iter(old.take, None)), old.problem)[1])
    assert seqs(told) == [1]
    assert (new.problem, new.counters.total("events_missed")) == ("", 0)


def test_an_endpoint_that_is_taken_while_the_boxs_key_changes_is_bound_as_soon_as_it_is_free(
    town: Town, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pair(ring.folder, "box.next")
    ioc = town.subscriber(keys=ring.client("ioc", "box", "box.next"))
    town.commit("s")
    assert seqs(town.take(ioc, 1)) == [1]
    connections = town.bus._delivery._bound.connections  # type: ignore[union-attr]
    (ring.folder / "box.next.key_secret").replace(ring.folder / "box.key_secret")
    port = int(town.bus.reliable_endpoint.rpartition(":")[2])
    with capture_logs() as logs, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def take_the_port() -> bool:
            with suppress(OSError):
                other.bind(("127.0.0.1", port))
                other.listen()
                return True
            return False

        monkeypatch.setattr(BoundSocket, "bind", lambda _: None)  # who is quicker should not be chance
        town.until(take_the_port)
        monkeypatch.undo()
        town.until(lambda: any(log["event"] == "endpoint_deaf" for log in logs))
        assert not connections.listening
        assert town.bus.counters.total("deliveries_failed") == 0
    town.until(lambda: connections.listening)
    town.commit("s")
    assert seqs(town.take(ioc, 1)) == [2]


def test_the_connection_of_another_is_never_cut() -> None:
    own, others = "ipc:///tmp/bus", "tcp://127.0.0.1:12345"
    first, second = socket.socketpair()  # as a worker's pipe
    with first, second:
        assert not connections._was_accepted_at(first, own)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connections._was_accepted_at(server, f"tcp://127.0.0.1:{port}")
        assert not connections._was_accepted_at(server, f"tcp://127.0.0.1:{port}0")
        assert not connections._was_accepted_at(server, others)


def test_who_spoke_and_has_gone_takes_no_place(opened: ExitStack) -> None:
    with Door(clock=ManualClock()) as door:
        publisher = Publisher(LOOPBACK, box="b", epoch=1, clock=ManualClock(), door=door)
        for _ in range(20):
            with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
                subscriber.connect(publisher.endpoint)
                subscriber.subscribe(b"")
                assert publisher._bound.socket.poll(5000)

        def turn() -> None:
            door.turn()
            publisher.heartbeat_if_due()

        threading.Event().wait(0.1)
        for _ in range(20):
            turn()
        until(lambda: publisher.subscribers == 0, meanwhile=turn)


def test_a_flood_of_connections_does_not_hang_the_box_that_stops(tmp_path: Path) -> None:
    program = tmp_path / "flooded.py"
    program.write_text(
        "import socket, threading\n"
        "from anpr.bus import Door, Publisher\n"
        "from anpr.clock import SystemClock\n"
        "door = Door(clock=SystemClock())\n"
        "live = Publisher('tcp://127.0.0.1:*', box='b', epoch=1, clock=SystemClock(), door=door)\n"
        "for _ in range(1200):\n"
        "    with socket.create_connection(('127.0.0.1', int(live.endpoint.rpartition(':')[2]))) as stranger:\n"
        "        stranger.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n' * 3)\n"
        "threading.Event().wait(0.5)\n"
        "door.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, str(program)], env=environment, timeout=60)  # a hang is a timeout
    assert ended.returncode == 0


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_the_box_changes_its_key_and_a_client_that_knows_both_goes_on(
    opened: ExitStack, ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from anpr.bus import door

    monkeypatch.setattr(door, "LOOK_SECONDS", 0.02)
    endpoints = (LOOPBACK, LOOPBACK) if kind == "tcp" else (f"ipc://{tmp_path}/live", f"ipc://{tmp_path}/reliable")
    town = Town(opened, FakeLog(), keys=ring.server, endpoints=endpoints)
    new_pair(ring.folder, "box.next")
    both = ring.client("ioc", "box", "box.next")
    ioc = town.subscriber(keys=both)
    live = opened.enter_context(Subscriber(town.bus.endpoint, clock=SystemClock(), topics=("",), keys=both))
    town.until(lambda: live.receive(0.001))
    own = ring.folder / "box.key_secret"
    first, second = own.read_bytes(), (ring.folder / "box.next.key_secret").read_bytes()
    for number, secret in enumerate((first, second, first), 1):  # there and back: the listeners are opened anew
        own.write_bytes(secret)

        def both_are_back(number: int = number) -> bool:
            ioc.receive(0.001)
            live.receive(0.001)
            listens = town.bus._publisher.subscribers == 1 and live._links[0].connected and not live.problem
            return listens and town.bus.counters.total("consumers_welcomed") >= number

        town.until(both_are_back)
        town.commit("s")
        assert seqs(town.take(ioc, 1)) == [number]
        ioc.ack()
    assert (ioc.problem, live.problem) == ("", "")


def test_a_box_without_its_key_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="no key in this file"):
        Door(clock=SystemClock(), keys=ServerKeys(tmp_path / "box.key_secret", tmp_path))
    new_pair(tmp_path, "box")
    with pytest.raises(BusError, match="cannot be read"):
        Door(clock=SystemClock(), keys=ServerKeys(tmp_path / "box.key_secret", tmp_path / "absent"))


def test_nothing_leaves_the_machine_in_the_clear(ring: KeyRing) -> None:
    options = BusOptions(endpoint=LOOPBACK, reliable_endpoint="tcp://0.0.0.0:*", consumers=(IOC,))
    with pytest.raises(BusError, match="unencrypted"):
        Bus(options, box="box-1", epoch=1, log=FakeLog(), clock=SystemClock())
    encrypted = BusOptions(
        endpoint="tcp://0.0.0.0:*", reliable_endpoint="tcp://0.0.0.0:*", consumers=(IOC,), keys=ring.server
    )
    with Bus(encrypted, box="box-1", epoch=1, log=FakeLog(), clock=SystemClock()) as bus:
        assert bus.endpoint.startswith("tcp://0.0.0.0:")
