"""What a consumer says that it should not, or that the path made of it: counted, bounded, and nobody else suffers."""

from __future__ import annotations

from contextlib import ExitStack

import zmq
from bus_fakes import Town, seqs
from structlog.testing import capture_logs

from anpr.bus import delivery
from anpr.bus.connections import MOST_IMPATIENCE, PATIENCE
from anpr.bus.events import encode
from anpr.bus.protocol import (
    MAX_REQUEST_BYTES,
    Alive,
    Hello,
    Position,
    Progress,
    Sent,
    Welcome,
    decode_reply,
    encode_frame,
)
from anpr.clock import SystemClock


class RawConsumer:
    """Speaks frame by frame."""

    def __init__(self, opened: ExitStack, town: Town) -> None:
        context = opened.enter_context(zmq.Context())
        self.town = town
        self.socket = opened.enter_context(context.socket(zmq.DEALER))
        self.socket.linger = 0
        self.socket.connect(town.bus.reliable_endpoint)

    def say(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def hear(self) -> list[bytes]:
        self.town.until(lambda: self.socket.poll(1))
        return list(self.socket.recv_multipart())

    def hear_of_event(self) -> int:
        """The number of the next event."""
        while not isinstance(reply := decode_reply(self.hear()[0]), Sent):
            pass
        return reply.seq


def test_wrong_requests_are_counted_and_disturb_nobody(opened: ExitStack, town: Town) -> None:
    raw = RawConsumer(opened, town)
    for frames in ([b"garbage"], [b"[" * 1000], [b"{}"], [b"a", b"b"], [b'{"type":"hello"}'], [b""]):
        raw.say(*frames)
    town.until(lambda: town.bus.counters.counts.get(("requests_refused", "not ours")) == 6)
    raw.say(encode_frame(Progress(session=4, taken=1)))
    assert raw.hear() == [b'{"type":"goodbye","session":4,"reason":"unknown session"}']
    town.commit("s")
    assert seqs(town.take(town.subscriber(), 1)) == [1]


def test_who_acknowledges_what_was_never_sent_is_sent_away(opened: ExitStack, town: Town) -> None:
    town.commit("ss")
    raw = RawConsumer(opened, town)
    raw.say(encode_frame(Hello(consumer="ioc", instance="x", session=1, window=1)))
    assert isinstance(decode_reply(raw.hear()[0]), Welcome)
    assert isinstance(decode_reply(raw.hear()[0]), Sent)  # one place is room enough for a sighting
    raw.say(encode_frame(Progress(session=1, taken=1, rest=999)))
    while isinstance(decode_reply((answer := raw.hear())[0]), Alive | Sent):
        pass
    assert answer == [b'{"type":"goodbye","session":1,"reason":"protocol"}']
    assert town.bus.standings[0].behind == 2


def test_a_flood_of_hellos_is_bounded_told_once_and_starves_nobody(opened: ExitStack, town: Town) -> None:
    raw = RawConsumer(opened, town)
    with capture_logs() as logs:
        for number in range(400):
            raw.say(encode_frame(Hello(consumer="ioc", instance="x", session=number, window=1)))
        town.until(lambda: town.bus.counters.counts.get(("client_dropped", "too talkative")))
        town.commit("s")
        assert seqs(town.take(town.subscriber(), 1)) == [1]
    counts = town.bus.counters.counts
    assert counts["consumers_welcomed", ""] <= PATIENCE + 2
    assert counts["requests_refused", "too many"] >= MOST_IMPATIENCE
    told = [log["event"] for log in logs]
    assert told.count("consumer_welcomed") <= delivery.MOST_TOLD
    assert told.count("consumer_left") <= delivery.MOST_TOLD
    refused = [log for log in logs if log["event"] == "consumer_refused"]
    assert [(log["reason"], log["consumer"]) for log in refused] == [("too many requests", "ioc")]


def test_progress_that_brings_nothing_is_a_flood_too(opened: ExitStack, town: Town) -> None:
    raw = RawConsumer(opened, town)
    raw.say(encode_frame(Hello(consumer="ioc", instance="x", session=1, window=1)))
    assert isinstance(decode_reply(raw.hear()[0]), Welcome)
    for _ in range(300):
        raw.say(encode_frame(Progress(session=1, taken=0)))
    town.until(lambda: town.bus.counters.counts.get(("client_dropped", "too talkative")))
    town.until(lambda: not town.bus.standings[0].connected)


def test_what_the_path_repeats_or_delays_ends_nothing(opened: ExitStack, town: Town) -> None:
    raw = RawConsumer(opened, town)
    hello = encode_frame(Hello(consumer="ioc", instance="x", session=2, window=8))
    raw.say(hello)
    assert isinstance(decode_reply(raw.hear()[0]), Welcome)
    town.commit("ss")
    assert [raw.hear_of_event(), raw.hear_of_event()] == [1, 2]
    raw.say(hello)
    raw.say(encode_frame(Hello(consumer="ioc", instance="x", session=1, window=8)))
    raw.say(encode_frame(Progress(session=2, taken=2, rest=2)))
    raw.say(encode_frame(Progress(session=2, taken=1, rest=1)))
    town.until(lambda: town.bus.standings[0].behind == 0)
    town.until(lambda: town.bus.counters.counts.get(("requests_refused", "repeated")) == 2)
    town.commit("s")
    assert raw.hear_of_event() == 3


def test_a_consumer_leaves_aside_what_came_twice(town: Town) -> None:
    town.commit("ss")
    subscriber = town.subscriber()
    assert seqs(town.take(subscriber, 2)) == [1, 2]
    talk = subscriber._talk
    again = [encode_frame(Sent(session=talk.session, lane="rest", seq=2, previous=1)), encode(town.log.events[1])[1]]
    assert talk.hear(again) == ([], False)
    welcome = Welcome(
        session=talk.session, box="box-1", epoch=1, hits=Position(0), rest=Position(0), last_seq=2, renumbered=False
    )
    assert talk.hear([encode_frame(welcome)]) == ([], False)
    assert subscriber.counters.counts["messages_dropped", "repeated"] == 1
    town.commit("s")
    assert seqs(town.take(subscriber, 1)) == [3]


def test_who_has_gone_is_noticed_at_once_and_his_last_words_count(town: Town) -> None:
    town.commit("s")
    subscriber = town.subscriber()
    town.take(subscriber, 1)
    subscriber.ack()
    subscriber._tell_progress(due=True)
    subscriber._link.socket.poll(100)
    subscriber._context.destroy(linger=200)  # it dies: no word of leaving
    clock = SystemClock()
    began = clock.monotonic_seconds()
    town.until(lambda: not town.bus.standings[0].connected)
    assert clock.monotonic_seconds() - began < delivery.ALIVE_SECONDS / 2
    assert town.bus.standings[0].behind == 0


def test_a_giant_request_ends_its_connection(opened: ExitStack, town: Town) -> None:
    raw = RawConsumer(opened, town)
    raw.say(b"x" * (MAX_REQUEST_BYTES + 1))
    town.until(lambda: town.bus.counters.total("connections_accepted") >= 2)  # it comes again and again
    town.commit("s")
    assert seqs(town.take(town.subscriber(), 1)) == [1]
