from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_records import GAPS, HITS, NAMES, SIGHTINGS, make_gap, make_hit, make_sighting

import anpr
from anpr.bus.events import (
    MAX_MESSAGE_BYTES,
    Heartbeat,
    Thing,
    Unknown,
    VolatileHit,
    decode,
    encode,
    schemas,
    topic_of,
    topic_part,
)
from anpr.errors import BusError
from anpr.records import Event, Record

MILLISECONDS = st.integers(0, 4_000_000_000_000).map(lambda count: round(count / 1000, 3))
EVENTS = st.builds(
    Event,
    box=NAMES,
    epoch=st.integers(0, 2**31 - 1),
    seq=st.integers(1, 2**63 - 1),
    committed_seconds=MILLISECONDS,
    record=st.one_of(SIGHTINGS, HITS, GAPS),
)
HEARTBEATS = st.builds(
    Heartbeat,
    box=NAMES,
    epoch=st.integers(0, 2**31 - 1),
    last_seq=st.integers(0, 2**63 - 1),
    sent_seconds=MILLISECONDS,
    interval_seconds=st.floats(0.1, 60),
)
VOLATILE = st.builds(
    VolatileHit,
    box=NAMES,
    epoch=st.integers(0, 2**31 - 1),
    last_seq=st.integers(0, 2**63 - 1),
    told_seconds=MILLISECONDS,
    hit=HITS,
)


def an_event(record: Record, seq: int = 1) -> Event:
    return Event(box="box-1", epoch=2, seq=seq, committed_seconds=1_767_225_601.25, record=record)


@given(st.one_of(EVENTS, HEARTBEATS, VOLATILE))
def test_decode_gives_back_what_was_encoded(thing: Thing) -> None:
    topic, payload = encode(thing)
    assert decode(payload) == thing
    assert topic == topic_of(thing).encode()


def test_a_sighting_is_a_cloud_event() -> None:
    topic, payload = encode(an_event(make_sighting(), seq=42))
    message = json.loads(payload)
    data = message.pop("data")
    assert message == {
        "specversion": "1.0",
        "type": "vn.anpr.sighting.v1",
        "id": "sighting.s-1.1",
        "source": "/box/box-1",
        "time": "2026-01-01T00:00:00.500Z",
        "subject": "gate-1",
        "dataschema": "urn:anpr:schema:vn.anpr.sighting.v1#/$defs/Sighting",
        "datacontenttype": "application/json",
        "box": "box-1",
        "epoch": 2,
        "sequence": "0000000000000000042",
        "committed": "2026-01-01T00:00:01.250Z",
    }
    assert data["text"] == "30A12345"
    assert topic == b"sighting.north.gate-1"


def test_a_hit_and_a_heartbeat_are_cloud_events() -> None:
    topic, payload = encode(an_event(make_hit()))
    message = json.loads(payload)
    assert (message["type"], message["id"], message["subject"]) == ("vn.anpr.hit.v1", "hit.h-1.1", "gate-1")
    assert topic == b"hit.ALERT.north"

    topic, payload = encode(an_event(make_gap()))
    message = json.loads(payload)
    assert (message["type"], message["id"], message["subject"]) == ("vn.anpr.coverage.v1", "coverage.g-1.0", "gate-1")
    assert message["time"] == "2026-01-01T00:00:00.500Z"
    assert topic == b"coverage.north.gate-1"
    over = make_gap(revision=1, state="final")
    assert json.loads(encode(an_event(over))[1])["time"] == "2026-01-01T00:00:01.000Z"

    beat = Heartbeat(box="box-1", epoch=2, last_seq=41, sent_seconds=0.001, interval_seconds=1.0)
    topic, payload = encode(beat)
    message = json.loads(payload)
    assert (message["type"], message["subject"]) == ("vn.anpr.heartbeat.v1", "box-1")
    assert (message["time"], message["sequence"]) == ("1970-01-01T00:00:00.001Z", "0000000000000000041")
    assert topic == b"health.box-1"


@given(NAMES, NAMES)
def test_topic_parts_hold_no_dot_and_are_told_apart(one: str, other: str) -> None:
    part = topic_part(one)
    assert part.isascii()
    assert not set(part) & set(". \n")
    assert (part == topic_part(other)) == (one == other)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)))
def test_bytes_that_are_no_message_are_told(payload: bytes) -> None:
    with pytest.raises(BusError, match="not ours"):
        decode(payload)


@given(st.data())
def test_a_damaged_message_is_told_or_still_well_typed(data: st.DataObject) -> None:
    _, payload = encode(an_event(make_sighting()))
    at = data.draw(st.integers(0, len(payload) - 1))
    damaged = payload[:at] + data.draw(st.binary(max_size=3)) + payload[at + data.draw(st.integers(0, 3)) :]
    try:
        thing = decode(damaged)
    except BusError:
        return
    assert isinstance(thing, Event | Unknown)


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "2.0"},
        {"sequence": 42},
        {"sequence": "42"},
        {"epoch": -1},
        {"epoch": "2"},
        {"box": "x" * 300},
        {"committed": "2026-13-01T00:00:00.000Z"},
        {"committed": "yesterday"},
        {"data": {}},
        {"data": None},
    ],
)
def test_a_message_with_a_wrong_attribute_is_told(change: dict[str, object]) -> None:
    message = json.loads(encode(an_event(make_sighting()))[1]) | change
    with pytest.raises(BusError, match="not ours"):
        decode(json.dumps(message).encode())


@pytest.mark.parametrize("payload", [b"[" * 500_000, b'{"a":' * 100_000, b" " * (MAX_MESSAGE_BYTES + 1)])
def test_bombs_are_told(payload: bytes) -> None:
    with pytest.raises(BusError):
        decode(payload)


def test_a_heartbeat_that_contradicts_itself_is_told() -> None:
    beat = Heartbeat(box="box-1", epoch=2, last_seq=41, sent_seconds=0.0, interval_seconds=1.0)
    message = json.loads(encode(beat)[1])
    message["data"]["last_seq"] = 7
    with pytest.raises(BusError, match="contradicts"):
        decode(json.dumps(message).encode())


def test_later_types_and_fields_do_not_disturb() -> None:
    message = json.loads(encode(an_event(make_sighting(), seq=9))[1])
    message["data"]["colour_of_roof"] = "red"
    message["tracestate"] = "x"
    assert decode(json.dumps(message).encode()) == an_event(make_sighting(), seq=9)
    message["type"] = "vn.anpr.weather.v1"
    assert decode(json.dumps(message).encode()) == Unknown("vn.anpr.weather.v1", "box-1", 2, 9, message["id"])


@pytest.mark.parametrize(
    "change",
    [
        {"probability": float("nan")},
        {"seen_seconds": float("inf")},
        {"seen_seconds": 1e15},
        {"raw": "x" * MAX_MESSAGE_BYTES},
        {"raw": "\ud800"},
    ],
)
def test_what_no_receiver_would_take_is_not_sent(change: dict[str, object]) -> None:
    with pytest.raises(BusError):
        encode(an_event(make_sighting(**change)))


def test_the_word_null_may_be_sent() -> None:
    event = an_event(make_sighting(camera_id="null"))
    assert decode(encode(event)[1]) == event


def test_the_schema_files_are_current() -> None:
    folder = Path(anpr.__file__).parent / "schemas"
    on_disk = {path.stem: json.loads(path.read_bytes()) for path in folder.glob("*.json")}
    assert on_disk == schemas(), "run: python -m scripts.schemas"


@pytest.mark.parametrize("thing", [an_event(make_sighting()), an_event(make_hit())])
def test_messages_have_the_attributes_of_their_schema(thing: Event) -> None:
    message = json.loads(encode(thing)[1])
    schema = schemas()[message["type"]]
    definitions = schema["$defs"]
    envelope = definitions[schema["$ref"].rpartition("/")[2]]
    data = definitions[message["dataschema"].rpartition("/")[2]]
    for value, described in ((message, envelope), (message["data"], data)):
        assert set(described["required"]) <= set(value) <= set(described["properties"])
    assert message["dataschema"].partition("#")[0] == schema["$id"]
    assert msgspec.json.decode(json.dumps(message["data"]), type=type(thing.record)) == thing.record
