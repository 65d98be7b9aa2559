"""Publisher and subscriber over real sockets. Nothing sleeps: a subscriber is known to be joined by a heartbeat."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq
from making_records import make_hit, make_sighting

from anpr.bus import Gap, Heartbeat, Publisher, Subscriber, VolatileHit
from anpr.bus.events import encode
from anpr.clock import ManualClock, SystemClock
from anpr.endpoints import stays_on_this_machine
from anpr.errors import BusError
from anpr.records import Event

LOOPBACK = "tcp://127.0.0.1:*"


def an_event(seq: int, *, box: str = "box-1", epoch: int = 1, camera: str = "gate-1") -> Event:
    record = make_sighting(id=f"s-{seq}", camera_id=camera)
    return Event(box=box, epoch=epoch, seq=seq, committed_seconds=1.0, record=record)


def a_hit(seq: int) -> Event:
    return Event(box="box-1", epoch=1, seq=seq, committed_seconds=1.0, record=make_hit())


class Wire:
    """A publisher and a subscriber that have met."""

    def __init__(
        self, opened: ExitStack, *, endpoint: str = LOOPBACK, last_seq: int = 0, topics: tuple[str, ...]
    ) -> None:
        self.clock = ManualClock()
        self.publisher = opened.enter_context(
            Publisher(endpoint, box="box-1", epoch=1, clock=self.clock, last_seq=last_seq)
        )
        self.subscriber = opened.enter_context(
            Subscriber(self.publisher.endpoint, clock=SystemClock(), topics=(*topics, "health."))
        )
        self.meet()

    def meet(self) -> None:
        """Send heartbeats until one arrives: then the subscription has reached the publisher."""
        for _ in range(500):
            self.beat()
            if isinstance(self.subscriber.receive(0.02), Heartbeat):
                break
        else:
            raise AssertionError("no heartbeat arrived within 10 s")
        while self.subscriber.receive(0.02) is not None:
            pass

    def beat(self) -> None:
        self.clock.advance(1.0)
        assert self.publisher.heartbeat_if_due()

    def next(self) -> object:
        """The next item that is not a heartbeat; a heartbeat is sent so that it need not wait if there is none."""
        return self.subscriber.receive(30.0)


@pytest.fixture
def wire(opened: ExitStack) -> Wire:
    return Wire(opened, topics=("sighting.", "hit."))


def test_events_arrive_as_they_were_sent(wire: Wire) -> None:
    sent = [an_event(1), a_hit(2), an_event(3)]
    for event in sent:
        wire.publisher.publish(event)
    assert [wire.next() for _ in sent] == sent
    assert wire.publisher.counters.total("events_published") == 3
    assert wire.publisher.counters.counts["events_published", "hit"] == 1
    assert wire.subscriber.positions == {"box-1": (1, 3)}
    assert wire.subscriber.counters.counts == {}


def test_over_a_unix_socket(opened: ExitStack, tmp_path: Path) -> None:
    wire = Wire(opened, endpoint=f"ipc://{tmp_path}/bus", topics=("hit.",))
    wire.publisher.publish(a_hit(1))
    assert wire.next() == a_hit(1)


def test_a_missed_event_is_told_before_the_next(wire: Wire) -> None:
    wire.publisher.publish(an_event(1))
    wire.publisher.publish(an_event(5))
    assert wire.next() == an_event(1)
    assert wire.next() == Gap(box="box-1", epoch=1, first_seq=2, last_seq=4, reason="missed")
    assert wire.next() == an_event(5)
    assert wire.subscriber.counters.counts == {("events_missed", "missed"): 3}


def test_a_heartbeat_tells_what_was_missed_at_the_tail(wire: Wire) -> None:
    wire.publisher.publish(an_event(1))
    wire.publisher.last_seq = 4  # as if 2 to 4 had been dropped on the way
    wire.beat()
    assert wire.next() == an_event(1)
    assert wire.next() == Gap(box="box-1", epoch=1, first_seq=2, last_seq=4, reason="missed")
    assert isinstance(wire.next(), Heartbeat)
    wire.beat()
    assert isinstance(wire.next(), Heartbeat)


def test_a_hit_that_is_not_on_disk_has_no_number_and_tells_what_was_missed(opened: ExitStack) -> None:
    wire = Wire(opened, topics=("hit.", "volatile.ALERT."))
    wire.publisher.publish_volatile(make_hit(severity="CHECK"))
    wire.publisher.publish(a_hit(1))
    wire.publisher.publish_volatile(make_hit())
    wire.publisher.publish(a_hit(2))
    assert wire.next() == a_hit(1)
    told = wire.next()
    assert isinstance(told, VolatileHit)
    assert (told.hit, told.last_seq, told.told_seconds) == (make_hit(), 1, round(wire.clock.wall_seconds(), 3))
    assert wire.next() == a_hit(2)
    wire.publisher.last_seq = 4
    wire.publisher.publish_volatile(make_hit())
    assert wire.next() == Gap(box="box-1", epoch=1, first_seq=3, last_seq=4, reason="missed")
    assert isinstance(wire.next(), VolatileHit)
    assert wire.subscriber.positions == {"box-1": (1, 4)}
    assert wire.publisher.counters.counts["hits_told_volatile", "ALERT"] == 2


def test_a_late_joiner_sees_no_gap_before_its_time(opened: ExitStack) -> None:
    wire = Wire(opened, last_seq=1000, topics=("sighting.",))
    wire.publisher.publish(an_event(1001))
    assert wire.next() == an_event(1001)


def test_numbers_go_on_across_a_restart_of_the_box(opened: ExitStack, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/bus"
    with ExitStack() as first_life:
        wire = Wire(first_life, endpoint=endpoint, topics=("sighting.",))
        wire.publisher.publish(an_event(1))
        assert wire.next() == an_event(1)
        subscriber = wire.subscriber
        wire.publisher.close()
        # 2 was committed but never published
        publisher = first_life.enter_context(
            Publisher(endpoint, box="box-1", epoch=2, clock=SystemClock(), last_seq=2, heartbeat_seconds=0.01)
        )
        for _ in range(1000):
            publisher.heartbeat_if_due()
            item = subscriber.receive(0.02)
            if item is not None:
                break
        assert item == Gap(box="box-1", epoch=2, first_seq=2, last_seq=2, reason="missed")
        publisher.publish(an_event(3, epoch=2))
        found = []
        while not isinstance(item, Event):
            item = subscriber.receive(30.0)
            found.append(item)
        assert item == an_event(3, epoch=2)
        assert not any(isinstance(other, Gap) for other in found)


def test_numbers_that_went_back_are_told(wire: Wire) -> None:
    wire.publisher.publish(an_event(10))
    wire.publisher.publish(an_event(3, epoch=2))
    assert wire.next() == Gap(box="box-1", epoch=1, first_seq=1, last_seq=9, reason="missed")
    assert wire.next() == an_event(10)
    assert wire.next() == Gap(box="box-1", epoch=2, first_seq=1, last_seq=2, reason="renumbered")
    assert wire.next() == an_event(3, epoch=2)


def test_a_restored_box_whose_numbers_have_overtaken_ours_is_told(wire: Wire) -> None:
    wire.publisher.publish(an_event(1, epoch=7))
    wire.publisher.publish(an_event(5, epoch=4))
    assert wire.next() == an_event(1, epoch=7)
    assert wire.next() == Gap(box="box-1", epoch=4, first_seq=1, last_seq=4, reason="renumbered")
    assert wire.next() == an_event(5, epoch=4)


def test_topics_choose_but_do_not_hide_gaps(opened: ExitStack) -> None:
    wire = Wire(opened, topics=("hit.ALERT.", "sighting.north.gate-2"))
    for event in (an_event(1), a_hit(2), an_event(3, camera="gate-2"), an_event(4), a_hit(6)):
        wire.publisher.publish(event)
    assert wire.next() == a_hit(2)
    assert wire.next() == an_event(3, camera="gate-2")
    assert wire.next() == Gap(box="box-1", epoch=1, first_seq=5, last_seq=5, reason="missed")
    assert wire.next() == a_hit(6)
    assert wire.subscriber.counters.counts["messages_dropped", "other topic"] == 2


def test_what_is_not_ours_is_counted_and_does_not_disturb(opened: ExitStack) -> None:
    context = opened.enter_context(zmq.Context())
    hostile = opened.enter_context(context.socket(zmq.XPUB))
    port = hostile.bind_to_random_port("tcp://127.0.0.1")
    subscriber = opened.enter_context(Subscriber(f"tcp://127.0.0.1:{port}", clock=SystemClock()))
    assert hostile.recv() == b"\x01"  # the subscription has arrived
    topic, payload = encode(an_event(1))
    for frames in (
        [b""],
        [topic, b"\xff\x00garbage"],
        [b"hit.ALERT.north", payload],
        [topic, payload, b"more"],
        [b"sighting.\xff", payload],
        [b"weather.x", payload.replace(b"vn.anpr.sighting.v1", b"vn.anpr.weather.v1")],
        list(encode(an_event(2))),
    ):
        hostile.send_multipart(frames)
    assert subscriber.receive(30.0) == an_event(2)
    assert subscriber.counters.counts == {("messages_dropped", "not ours"): 5, ("messages_dropped", "unknown type"): 1}


def test_boxes_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch, wire: Wire) -> None:
    from anpr.bus import subscriber

    monkeypatch.setattr(subscriber, "MAX_BOXES", 3)
    for number in range(1, 6):
        wire.publisher.publish(an_event(number, box=f"box-{number}"))
    wire.publisher.publish(an_event(6))
    boxes = []
    while (item := wire.next()) != an_event(6):
        if isinstance(item, Event):
            boxes.append(item.box)
    assert boxes == ["box-1", "box-2", "box-3"]
    assert wire.subscriber.counters.counts["messages_dropped", "too many boxes"] == 2


def test_after_a_giant_message_the_subscriber_comes_again(opened: ExitStack) -> None:
    context = opened.enter_context(zmq.Context())
    hostile = opened.enter_context(context.socket(zmq.XPUB))
    port = hostile.bind_to_random_port("tcp://127.0.0.1")
    subscriber = opened.enter_context(Subscriber(f"tcp://127.0.0.1:{port}", clock=SystemClock(), silence_seconds=0.2))
    assert hostile.recv() == b"\x01"
    hostile.send_multipart([b"sighting.a.b", b"x" * (2 << 20)])
    assert hostile.recv() == b"\x00"  # it hangs up
    assert subscriber.receive(0.5) is None
    assert hostile.recv() == b"\x01"  # and comes again
    hostile.send_multipart(encode(an_event(1)))
    assert subscriber.receive(30.0) == an_event(1)
    assert subscriber.counters.counts["reconnections", "silence"] >= 1


def test_a_subscriber_that_does_not_read_does_not_hold_up_the_publisher(opened: ExitStack) -> None:
    wire = Wire(opened, topics=("sighting.",))
    with Publisher(LOOPBACK, box="box-1", epoch=1, clock=wire.clock, queue_messages=10) as publisher:
        frozen = opened.enter_context(zmq.Context())
        reader = opened.enter_context(frozen.socket(zmq.SUB))
        reader.rcvhwm = 10
        reader.subscribe(b"")
        reader.connect(publisher.endpoint)
        for _ in range(500):
            publisher.heartbeat_if_due()
            wire.clock.advance(1.0)
            if reader.poll(20):
                break
        for seq in range(1, 3001):
            publisher.publish(an_event(seq))
        assert publisher.counters.total("events_published") == 3000
        got = 0
        while reader.poll(100):
            reader.recv_multipart()
            got += 1
        assert got < 3000


def test_who_did_not_look_for_long_keeps_what_had_come(opened: ExitStack) -> None:
    clock = ManualClock()
    publisher = opened.enter_context(Publisher(LOOPBACK, box="box-1", epoch=1, clock=SystemClock()))
    subscriber = opened.enter_context(Subscriber(publisher.endpoint, clock=clock, silence_seconds=10.0))
    for _ in range(500):
        publisher.heartbeat_if_due()
        subscriber.take()
        if "box-1" in subscriber.positions:
            break
        threading.Event().wait(0.01)
    for seq in range(1, 101):
        publisher.publish(an_event(seq))
    assert subscriber._links[0].socket.poll(30_000)
    clock.advance(60.0)  # the program was busy elsewhere
    found: list[object] = []
    while subscriber._messages or subscriber._links[0].socket.poll(1000):
        item = subscriber.take()
        found += [item] if isinstance(item, Event) else []
        if len(found) == 100:
            break
    assert found == [an_event(seq) for seq in range(1, 101)]
    assert subscriber.counters.total("reconnections") == 0


def test_receive_gives_up_in_time(wire: Wire) -> None:
    clock = SystemClock()
    start_seconds = clock.monotonic_seconds()
    assert wire.subscriber.receive(0.05) is None
    assert 0.03 < clock.monotonic_seconds() - start_seconds < 2.0


def test_items_end_when_told_to(wire: Wire) -> None:
    stop = threading.Event()
    wire.publisher.publish(an_event(1))
    wire.publisher.publish(an_event(2))
    got = []
    for item in wire.subscriber.items(stop):
        got.append(item)
        if item == an_event(2):
            stop.set()
    assert got == [an_event(1), an_event(2)]
    assert list(wire.subscriber.items(stop)) == []


def test_heartbeats_come_when_due() -> None:
    clock = ManualClock()
    with Publisher(LOOPBACK, box="box-1", epoch=1, clock=clock, heartbeat_seconds=2.0) as publisher:
        assert publisher.heartbeat_if_due()
        assert not publisher.heartbeat_if_due()
        clock.advance(1.9)
        assert not publisher.heartbeat_if_due()
        clock.advance(0.1)
        assert publisher.heartbeat_if_due()


def test_events_out_of_order_are_refused() -> None:
    with Publisher(LOOPBACK, box="box-1", epoch=1, clock=ManualClock(), last_seq=5) as publisher:
        with pytest.raises(BusError, match="event 5 comes after 5"):
            publisher.publish(an_event(5))
        publisher.publish(an_event(6))
        assert publisher.last_seq == 6


@pytest.mark.parametrize("endpoint", ["tcp://*:5556", "tcp://0.0.0.0:5556", "tcp://192.0.2.1:5556", "tcp://eth0:*"])
def test_other_machines_must_be_allowed_in_words(endpoint: str) -> None:
    with pytest.raises(BusError, match=r"unencrypted.*127\.0\.0\.1"):
        Publisher(endpoint, box="box-1", epoch=1, clock=ManualClock())


def test_other_machines_can_be_allowed() -> None:
    with Publisher("tcp://*:*", box="box-1", epoch=1, clock=ManualClock(), allow_unencrypted=True) as publisher:
        assert publisher.endpoint.startswith("tcp://")


def test_loopback_by_any_name() -> None:
    for endpoint in ("tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tcp://localhost:1", "tcp://[::1]:1", "ipc:///run/anpr"):
        assert stays_on_this_machine(endpoint), endpoint
    for endpoint in ("tcp://*:1", "tcp://[::]:1", "tcp://0.0.0.0:1", "tcp://localhost.example:1", "udp://x:1"):
        assert not stays_on_this_machine(endpoint), endpoint


@pytest.mark.parametrize(
    "endpoint", ["", "nonsense", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://127.0.0.1:5", "ipc://", "tcp://:5"]
)
def test_what_is_no_endpoint_is_told(endpoint: str) -> None:
    with pytest.raises(BusError, match=r"no endpoint.*tcp://host:port"):
        Publisher(endpoint, box="box-1", epoch=1, clock=ManualClock())
    with pytest.raises(BusError, match=r"no endpoint.*tcp://host:port"):
        Subscriber(endpoint, clock=ManualClock())


def test_a_taken_endpoint_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(BusError, match=r"in use.*another anpr"):
            Publisher(f"tcp://127.0.0.1:{taken.getsockname()[1]}", box="box-1", epoch=1, clock=ManualClock())
    with pytest.raises(BusError, match="nobody to listen to"):
        Subscriber(clock=ManualClock())


def test_another_thread_may_not_publish() -> None:
    errors: list[BusError] = []

    def publish() -> None:
        try:
            publisher.publish(an_event(1))
        except BusError as error:
            errors.append(error)

    with Publisher(LOOPBACK, box="box-1", epoch=1, clock=ManualClock()) as publisher:
        thread = threading.Thread(target=publish)
        thread.start()
        thread.join()
    assert "another thread" in str(errors[0])


def test_after_closing_everything_is_told_and_the_port_is_free() -> None:
    publisher = Publisher(LOOPBACK, box="box-1", epoch=1, clock=ManualClock())
    subscriber = Subscriber(publisher.endpoint, clock=SystemClock())
    for closing in (publisher, subscriber, publisher, subscriber):
        closing.close()
    with pytest.raises(BusError, match="closed"):
        publisher.publish(an_event(1))
    with pytest.raises(BusError, match="closed"):
        subscriber.receive(0.01)
    with Publisher(publisher.endpoint, box="box-1", epoch=1, clock=ManualClock()):
        pass
