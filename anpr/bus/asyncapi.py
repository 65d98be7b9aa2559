"""The AsyncAPI 3 document of the bus (https://www.asyncapi.com/docs/reference/specification/v3.0.0), from the code."""

from __future__ import annotations

from typing import Any

import msgspec

from anpr.bus.events import MESSAGES, Message
from anpr.bus.protocol import Reply, Request

_TOPICS = {
    "vn.anpr.sighting.v1": ("sighting.{site}.{camera}", "each revision of each passage"),
    "vn.anpr.hit.v1": ("hit.{severity}.{site}", "each revision of what a list or a rule raised"),
    "vn.anpr.coverage.v1": ("coverage.{site}.{camera}", "a camera is not watched, and is again"),
    "vn.anpr.volatile-hit.v1": (
        "volatile.{severity}.{site}",
        "a hit while the box's store takes nothing: not on disk, without a number, and told again when it is",
    ),
    "vn.anpr.heartbeat.v1": ("health.{box}", "once a second: the box lives, and the number of its newest event"),
}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "site": {"description": "id of the site, percent-encoded"},
    "camera": {"description": "id of the camera, percent-encoded"},
    "box": {"description": "id of the box, percent-encoded"},
    "severity": {"enum": ["INFO", "CHECK", "ALERT"], "description": "of the hit"},
}
_RELIABLE = "reliable"


def asyncapi(version: str) -> dict[str, Any]:
    """The document; `version` is that of anpr."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for message in MESSAGES:
        name = _name_of(message)
        topic, what = _TOPICS[name]
        channel = topic.partition(".")[0]
        names = [part[1:-1] for part in topic.split(".")[1:]]
        messages[name] = {
            "name": name,
            "title": (message.__doc__ or "").strip(),
            "contentType": "application/json",
            "payload": {
                "schemaFormat": "application/schema+json;version=draft-2020-12",
                "schema": {"$ref": f"../anpr/schemas/{name}.json"},
            },
        }
        channels[channel] = {
            "address": topic,
            "description": f"{what}; two frames: this address as the topic, then a CloudEvent",
            "parameters": {each: _PARAMETERS[each] for each in names},
            "servers": [{"$ref": "#/servers/live"}],
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        operations[f"send_{channel}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": what,
        }
    links, definitions = _links()
    messages |= links
    channels[_RELIABLE] = {
        "address": _RELIABLE,
        "description": "DEALER to ROUTER: requests of a consumer and the box's answers; `event` has a second frame, the"
        " CloudEvent of a sighting, a hit or a coverage gap",
        "servers": [{"$ref": "#/servers/reliable"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in links},
    }
    for action, union in (("receive", Request), ("send", Reply)):
        names = [f"reliable.{_name_of(each)}" for each in union.__args__]
        operations[f"{action}_{_RELIABLE}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{_RELIABLE}"},
            "messages": [{"$ref": f"#/channels/{_RELIABLE}/messages/{name}"} for name in names],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "anpr",
            "version": version,
            "description": "What a box tells. It sends; whoever listens or consumes is the other side.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "live": {"host": "127.0.0.1:7781", "protocol": "zmq", "description": "XPUB; may be encrypted (CURVE)"},
            "reliable": {
                "host": "127.0.0.1:7783",
                "protocol": "zmq",
                "description": "ROUTER; may be encrypted (CURVE)",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": definitions},
    }


def _links() -> tuple[dict[str, Any], dict[str, Any]]:
    """Messages of the reliable link, and the schemas that they refer to."""
    kinds = (*Request.__args__, *Reply.__args__)
    found, definitions = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    messages = {
        f"reliable.{_name_of(kind)}": {
            "name": _name_of(kind),
            "title": (kind.__doc__ or "").strip(),
            "contentType": "application/json",
            "payload": schema,
        }
        for kind, schema in zip(kinds, found, strict=True)
    }
    return messages, definitions


def _name_of(kind: type[Message] | type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)
