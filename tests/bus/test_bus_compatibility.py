"""What was published stays: an older consumer reads what is sent today, and today's consumer reads what was sent then.

`golden/` holds, for each version that was published, one message of each type and the schemas that its consumers know;
`reliable.json` is what box and consumer said to each other, and how either knew the other's messages.
A change that breaks one of these needs a new version of the message's type, sent beside the old one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from making_records import make_gap, make_hit, make_sighting

from anpr import __version__
from anpr.bus import events
from anpr.bus.asyncapi import asyncapi
from anpr.bus.events import (
    CoverageMessage,
    Heartbeat,
    HeartbeatMessage,
    HitMessage,
    SightingMessage,
    Thing,
    Unknown,
    VolatileHit,
    decode,
    encode,
    schemas,
)
from anpr.bus.protocol import (
    Alive,
    Farewell,
    Goodbye,
    Hello,
    Leave,
    Position,
    Progress,
    Reply,
    Request,
    Sent,
    Welcome,
    decode_reply,
    decode_request,
    encode_frame,
)
from anpr.records import Event

ROOT = Path(__file__).parents[2]
_OF_THEN = SightingMessage | HitMessage | CoverageMessage | HeartbeatMessage
VERSIONS = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def event(record: Any) -> Event:
    return Event(box="box-1", epoch=2, seq=41, committed_seconds=1_767_225_601.25, record=record)


TODAY = [
    event(make_sighting(lane="1", vehicle_class="truck", speed_kmh=81.5)),
    event(make_sighting()),
    event(make_hit(rule="clone", rule_version="1", message_vi="…", message_en="…", sighting_ids=("a", "b"))),
    event(make_hit(entry_until_seconds=1.0)),
    event(make_gap()),
    Heartbeat(box="box-1", epoch=2, last_seq=43, sent_seconds=1.0, interval_seconds=1.0),
    VolatileHit(box="box-1", epoch=2, last_seq=43, told_seconds=1.0, hit=make_hit()),
]
SINCE = {"vn.anpr.volatile-hit.v1"}
"""Types that a consumer of an earlier version leaves aside."""


def test_there_is_a_published_version() -> None:
    assert [path.name for path in VERSIONS] == ["0.1.0"]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_todays_consumer_reads_what_was_sent_then(version: Path) -> None:
    messages = sorted(version.glob("*.message.json"))
    assert len(messages) == 4
    for path in messages:
        message = read(path)
        thing = decode(json.dumps(message).encode())
        assert isinstance(thing, Event | Heartbeat)
        jsonschema.validate(message, schemas()[message["type"]])
        again = json.loads(encode(thing)[1])
        assert {key: value for key, value in again.items() if key != "data"} == {
            key: value for key, value in message.items() if key != "data"
        }
        assert message["data"].items() <= again["data"].items()


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_a_consumer_of_then_reads_what_is_sent_today(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {path.name.removesuffix(".schema.json"): read(path) for path in version.glob("*.schema.json")}
    seen = set()
    for thing in TODAY:
        message = json.loads(encode(thing)[1])
        seen.add(message["type"])
        if message["type"] in known:
            jsonschema.validate(message, known[message["type"]])
        else:
            monkeypatch.setattr(events, "_TYPES", frozenset(known))
            monkeypatch.setattr(events, "_DECODER", msgspec.json.Decoder(_OF_THEN))
            assert decode(json.dumps(message).encode()) == Unknown(message["type"], "box-1", 2, 43, message["id"])
    assert seen == set(known) | SINCE


REPLIES: list[Reply] = [
    Welcome(session=1, box="box-1", epoch=2, hits=Position(1, "hit.a.0"), rest=Position(0), last_seq=3),
    Welcome(
        session=1,
        box="box-1",
        epoch=2,
        hits=Position(1),
        rest=Position(2),
        last_seq=3,
        renumbered=True,
        expired_after=0,
    ),
    Sent(session=1, lane="hits", seq=3, previous=1),
    Alive(session=1, epoch=2, last_seq=9, hits=3, rest=2, hits_to=Position(9), rest_to=Position(9, "sighting.a.0")),
    *(Goodbye(session=1, reason=reason) for reason in get_args(Farewell)),
]
REQUESTS: list[Request] = [
    Hello(consumer="ioc", instance="x", session=1, window=1024, after_seq=5),
    Hello(consumer="ioc", instance="x", session=1, window=1, hits=Position(0), rest=Position(2, "sighting.a.0")),
    Progress(session=1, taken=0),
    Progress(session=1, taken=2, hits=1, rest=2),
    Leave(session=1),
]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_box_and_consumer_of_then_and_today_understand_each_other(version: Path) -> None:
    then = read(version / "reliable.json")
    for message in then["said"]:
        frame = json.dumps(message).encode()
        request = message["type"] in {str(kind.__struct_config__.tag) for kind in Request.__args__}
        again = json.loads(encode_frame(decode_request(frame) if request else decode_reply(frame)))
        assert message.items() <= again.items()
    said = set()
    for each in (*REPLIES, *REQUESTS):
        message = json.loads(encode_frame(each))
        said.add(message["type"])
        jsonschema.validate(message, {**then["messages"][message["type"]], "components": {"schemas": then["schemas"]}})
    assert said == set(then["messages"])


@pytest.mark.parametrize("thing", TODAY, ids=lambda thing: type(thing).__name__)
def test_todays_messages_fit_todays_schemas(thing: Thing) -> None:
    message = json.loads(encode(thing)[1])
    jsonschema.validate(message, schemas()[message["type"]])
    broken = message | {"sequence": 7}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schemas()[message["type"]])


def test_the_asyncapi_document_is_current_and_its_references_lead_somewhere() -> None:
    document = read(ROOT / "docs/asyncapi.json")
    assert document == asyncapi(__version__), "run: python -m scripts.schemas"

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for part in value.values() for each in references(part)]
        return [each for part in value for each in references(part)] if isinstance(value, list) else []

    found = references(document)
    assert len(found) > 20
    for reference in found:
        file, _, pointer = reference.partition("#")
        if file:
            assert (ROOT / "docs" / file).resolve().is_file(), reference
            continue
        place = document
        for part in pointer.split("/")[1:]:
            place = place[part]
    names = set(document["components"]["messages"])
    assert names == set(schemas()) | {
        f"reliable.{kind.__struct_config__.tag}" for kind in (*Request.__args__, *Reply.__args__)
    }
