"""Passages as `AnprFlowObserved`."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("httpx", reason="needs the extra `bridges`: httpx")

from bridge_fakes import make_event
from making_records import make_gap, make_hit, make_sighting

from anpr.bridges import LeftOut, Refused
from anpr.bridges.ngsi_ld import anpr_flow_observed, upsert_request
from anpr.bridges.webhook import Request
from anpr.records import Record

PLACES = {("north", "gate-1"): (21.25, 105.5)}


def test_a_passage_becomes_an_entity() -> None:
    request = upsert_request(
        make_event(1, make_sighting(lane="2", speed_kmh=87.5)), places=PLACES, tenant="thai-nguyen"
    )
    assert isinstance(request, Request)
    assert request.headers == {"content-type": "application/ld+json", "NGSILD-Tenant": "thai-nguyen"}
    (entity,) = json.loads(request.body)
    assert [url.rpartition("/")[2] for url in entity.pop("@context")] == [
        "context.jsonld",
        "ngsi-ld-core-context-v1.6.jsonld",
    ]
    assert entity == {
        "id": "urn:ngsi-ld:AnprFlowObserved:s-1",
        "type": "AnprFlowObserved",
        "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [105.5, 21.25]}},
        "dateObserved": {"type": "Property", "value": {"@type": "DateTime", "@value": "2026-01-01T00:00:00.500Z"}},
        "dateReceived": {"type": "Property", "value": {"@type": "DateTime", "@value": "2026-01-01T00:00:01.000Z"}},
        "observedBy": {"type": "Relationship", "object": "urn:ngsi-ld:Device:north:gate-1"},
        "vehiclePlateNotRead": {"type": "Property", "value": False},
        "observedVehicle": {
            "type": "Property",
            "value": {
                "licensePlate": {"identifier": "30A12345", "confidence": 0.97},
                "country": {"code": "VN"},
                "direction": "towards",
                "speed": 87.5,
            },
        },
        "laneId": {"type": "Property", "value": "2"},
        "refImages": {
            "type": "Property",
            "value": [
                {"imageType": "plate", "contentType": "image/jpeg", "url": f"urn:anpr:evidence:{'0' * 64}"},
            ],
        },
    }


def test_what_is_not_known_is_not_there() -> None:
    sighting = make_sighting(text="", direction="unknown", evidence=(), unreadable="too blurred")
    entity: dict[str, Any] = anpr_flow_observed(sighting, place=(21.0, 105.0), received_seconds=1.0)
    assert entity["vehiclePlateNotRead"]["value"] is True
    assert entity["observedVehicle"]["value"] == {}
    assert not {"laneId", "refImages"} & set(entity)


@pytest.mark.parametrize(
    "record", [make_sighting(state="preview"), make_sighting(state="withdrawn"), make_hit(), make_gap()]
)
def test_what_has_no_place_in_the_model_is_left_out(record: Record) -> None:
    assert upsert_request(make_event(1, record), places=PLACES) == LeftOut("form")


def test_a_pseudonym_is_no_plate() -> None:
    event = make_event(1, make_sighting(text="~7ZK4M0Q2RT9C", display="~7ZK4M0Q2RT9C", evidence=()))
    request = upsert_request(event, places=PLACES, tenant=None)
    assert isinstance(request, Request)
    (entity,) = json.loads(request.body)
    assert "~" not in request.body.decode()
    assert entity["observedVehicle"]["value"] == {"direction": "towards"}


def test_a_camera_without_a_place_is_told() -> None:
    outcome = upsert_request(make_event(1), places={})
    assert outcome == Refused("refused", "no place is given for camera 'gate-1' of site 'north'")
