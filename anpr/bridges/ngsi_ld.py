"""NGSI-LD entities for context brokers of the FIWARE kind: `AnprFlowObserved` of the Smart Data Models.

https://github.com/smart-data-models/dataModel.Transportation/tree/master/AnprFlowObserved
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from anpr.bridges.sink import LeftOut, Refused
from anpr.bridges.webhook import Request
from anpr.bus.events import topic_part
from anpr.plates.pseudonym import is_pseudonym
from anpr.records import Event, Sighting

CONTEXT = (
    "https://raw.githubusercontent.com/smart-data-models/dataModel.Transportation/master/context.jsonld",
    "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.6.jsonld",
)
Places = Mapping[tuple[str, str], tuple[float, float]]
"""Latitude and longitude of each camera, by site and camera."""

_DIRECTIONS = {"approaching": "towards", "receding": "away"}


def upsert_request(event: Event, *, places: Places, tenant: str | None = None) -> Request | LeftOut | Refused:
    """A batch of one entity for `/ngsi-ld/v1/entityOperations/upsert`: sent again, it changes nothing.

    Only the final revision of a passage has a place there.
    """
    sighting = event.record
    if not isinstance(sighting, Sighting) or sighting.state != "final":
        return LeftOut("form")
    place = places.get((sighting.site_id, sighting.camera_id))
    if place is None:
        return Refused("refused", f"no place is given for camera {sighting.camera_id!r} of site {sighting.site_id!r}")
    entity = anpr_flow_observed(sighting, place=place, received_seconds=event.committed_seconds)
    headers = {"content-type": "application/ld+json"} | ({} if tenant is None else {"NGSILD-Tenant": tenant})
    return Request(headers, msgspec.json.encode([entity]))


def anpr_flow_observed(sighting: Sighting, *, place: tuple[float, float], received_seconds: float) -> dict[str, Any]:
    """The entity of one passage, normalised. `place` is the camera's latitude and longitude."""
    latitude, longitude = place
    camera = f"{topic_part(sighting.site_id)}:{topic_part(sighting.camera_id)}"
    entity: dict[str, Any] = {
        "id": f"urn:ngsi-ld:AnprFlowObserved:{topic_part(sighting.id)}",
        "type": "AnprFlowObserved",
        "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [longitude, latitude]}},
        "dateObserved": _property(_moment(sighting.seen_seconds)),
        "dateReceived": _property(_moment(received_seconds)),
        "observedBy": {"type": "Relationship", "object": f"urn:ngsi-ld:Device:{camera}"},
        "vehiclePlateNotRead": _property(not sighting.text),
        "observedVehicle": _property(_vehicle(sighting)),
        "@context": list(CONTEXT),
    }
    if sighting.lane:
        entity["laneId"] = _property(sighting.lane)
    if sighting.evidence:
        images = [
            {"imageType": each.kind, "contentType": "image/jpeg", "url": f"urn:anpr:evidence:{each.sha256}"}
            for each in sighting.evidence
        ]
        entity["refImages"] = _property(images)
    return entity


def _vehicle(sighting: Sighting) -> dict[str, Any]:
    vehicle: dict[str, Any] = {}
    if sighting.text and not is_pseudonym(sighting.text):
        vehicle["licensePlate"] = {"identifier": sighting.text, "confidence": sighting.probability}
        vehicle["country"] = {"code": "VN"}
    if sighting.direction in _DIRECTIONS:
        vehicle["direction"] = _DIRECTIONS[sighting.direction]
    if sighting.speed_kmh is not None:
        vehicle["speed"] = sighting.speed_kmh
    return vehicle


def _property(value: object) -> dict[str, object]:
    return {"type": "Property", "value": value}


def _moment(seconds: float) -> dict[str, str]:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"@type": "DateTime", "@value": text}
