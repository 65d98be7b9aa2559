"""Who may come in: keys, their rotation, and peers that mean harm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import zmq
from bus_fakes import IOC, LOOPBACK, FakeLog, Town
from structlog.testing import capture_logs

from anpr.bus import Bus, BusOptions, ClientKeys, Door, Publisher, ServerKeys, Subscriber, connections, keys
from anpr.bus.door import BoundSocket
from anpr.bus.keys import AllowList, fingerprint, new_pair, read_pair, read_public
from anpr.bus.protocol import Hello, encode_frame
from anpr.clock import ManualClock, SystemClock
from anpr.errors import BusError
from anpr.records import Event


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what a test opens; a context that does not end would hang here."""
    with ExitStack() as stack:
        yield stack


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


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def town(opened: ExitStack, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> Town:
    from anpr.bus import door

    monkeypatch.setattr(door, "LOOK_SECONDS", 0.02)
    return Town(opened, FakeLog(), keys=ring.server)


def seqs(items: list[object]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Event)]


# Files


def test_a_pair_is_written_once_and_its_secret_is_for_its_owner(tmp_path: Path) -> None:
    shown, hidden = new_pair(tmp_path, "ioc")
    pair = read_pair(hidden)
    assert read_public(shown) == read_public(hidden) == pair.public
    assert hidden.stat().st_mode & 0o777 == 0o600
    assert pair.secret.decode() not in repr(pair)
    assert pair.secret.decode() not in shown.read_text()
    assert len(fingerprint(pair.public)) == 16
    with pytest.raises(BusError, match="never overwritten"):
        new_pair(tmp_path, "ioc")
    hidden.unlink()
    with pytest.raises(BusError, match="never overwritten"):
        new_pair(tmp_path, "ioc")
    assert not hidden.exists()  # no secret without its public half


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 65, "a/b", ".next", "a."])
def test_wrong_names_of_keys_are_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(BusError, match="no name for a key"):
        new_pair(tmp_path, name)


def test_bad_key_files_are_told(tmp_path: Path) -> None:
    shown, hidden = new_pair(tmp_path, "ioc")
    with pytest.raises(BusError, match="no secret key"):
        read_pair(shown)
    hidden.chmod(0o644)
    with pytest.raises(BusError, match="every user"):
        read_pair(hidden)
    shown.write_text('curve\n    public-key = "short"\n')
    with pytest.raises(BusError, match="damaged"):
        read_public(shown)
    shown.write_text("nothing")
    with pytest.raises(BusError, match="no key"):
        read_public(shown)
    with pytest.raises(BusError, match="no key"):
        read_public(tmp_path / "absent.key")
    with pytest.raises(BusError, match="public key is missing"):
        ClientKeys.load(hidden)


def test_an_allow_list_is_read_again_when_it_changes(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.mkdir()
    one, _ = new_pair(clients, "ioc")
    listed = AllowList(clients)
    assert list(listed.names.values()) == ["ioc"]
    assert not listed.look()
    new_pair(clients, "ioc.next")
    (clients / "half.key").write_text("curve")
    assert listed.look()
    assert list(listed.names.values()) == ["ioc", "ioc"]
    assert [Path(path).name for path in listed.unreadable] == ["half.key"]
    one.unlink()
    assert listed.look()
    assert list(listed.names.values()) == ["ioc"]
    (clients / "half.key").unlink()
    for path in clients.iterdir():
        path.unlink()
    clients.rmdir()
    with pytest.raises(BusError, match="cannot be read"):
        listed.look()


# Encryption


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
    town.until(lambda: town.bus.counters.counts.get(("connections_cut", "key taken away")))
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
    town.until(lambda: town.bus.counters.counts.get(("connections_cut", "key taken away")))
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
    assert town.bus.counters.counts["connections_cut", "key taken away"] == 1


def test_a_key_that_gets_another_name_ends_its_connections(town: Town, ring: KeyRing) -> None:
    ioc = town.subscriber(keys=ring.client("ioc"))
    town.until(lambda: (ioc.take(), town.bus.standings[0].connected)[1])
    (ring.clients / "ioc.key").rename(ring.clients / "mqtt.key")
    with pytest.raises(BusError, match="belongs to another name"):
        town.take(ioc, 1)
    assert town.bus.counters.counts["connections_cut", "key taken away"] == 1


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
    town.until(lambda: town.bus.counters.counts.get(("connections_cut", "key taken away")))
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
        threading.Event().wait(0.1)
        for _ in range(200):
            door.turn()
            publisher.heartbeat_if_due()
            threading.Event().wait(0.001)
        assert publisher.subscribers == 0


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


# Hostile peers


def connect(endpoint: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("feed", ["live", "reliable"])
def test_500_half_open_connections_are_bounded_and_a_consumer_still_gets_in(
    opened: ExitStack, town: Town, ring: KeyRing, feed: str
) -> None:
    ioc = town.subscriber(keys=ring.client("ioc"))
    town.commit("s")
    assert seqs(town.take(ioc, 1)) == [1]
    endpoint = town.bus.endpoint if feed == "live" else town.bus.reliable_endpoint
    before = open_files()
    ours = 0
    for _ in range(500):
        opened.enter_context(connect(endpoint))
        ours += 1
        town.turn()
    town.until(lambda: town.bus.counters.counts.get(("connections_cut", "too many"), 0) >= 500 - 64)
    town.until(lambda: open_files() - before - ours <= 64 + 8)
    late = town.subscriber(keys=ring.client("ioc"))  # the newer of one name wins
    assert seqs(town.take(late, 1)) == [1]
    town.commit("s")
    assert seqs(town.take(late, 1)) == [2]


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
    town.until(lambda: town.bus.counters.counts.get(("connections_cut", "too talkative")))
    assert town.bus.counters.counts["connections_cut", "too talkative"] >= 1


def test_a_frozen_subscriber_is_counted_and_loses_only_its_own(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anpr.bus import connections, door

    monkeypatch.setattr(door, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(connections, "SLOW_BYTES", 4096)
    town = Town(opened, FakeLog())
    with socket.create_connection(("127.0.0.1", int(town.bus.endpoint.rpartition(":")[2]))) as frozen:
        frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
        frozen.sendall(greeting + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB" + b"\x00\x01\x01")
        town.until(lambda: town.bus.counters.total("heartbeats_published") >= 2)
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
    assert live.counters.total("events_missed") == 0
    assert got == list(range(got[0], got[-1] + 1))


def test_a_publisher_in_the_clear_cuts_off_who_is_too_many() -> None:
    with ExitStack() as opened, Door(clock=ManualClock(), most_connections=3) as door:
        publisher = Publisher(LOOPBACK, box="b", epoch=1, clock=ManualClock(), door=door)
        for _ in range(10):
            opened.enter_context(connect(publisher.endpoint))
        for _ in range(2000):
            door.turn()
            if door.counters.total("connections_cut") == 7:
                break
            threading.Event().wait(0.001)
        assert publisher.subscribers == 3
        assert keys.MOST_KEYS > 3
