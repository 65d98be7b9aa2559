"""ONVIF's JSON events over MQTT (`onvif-ej`), as far as a passage has a place there.

Topic and payload follow ONVIF's event service over MQTT: `<prefix>/onvif-ej/<event topic>/&<source values>`, JSON in
which `@name` is an XML attribute and `#text` an element's text. The event is
`tns1:RuleEngine/Recognition/LicensePlate`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from anpr.bridges.mqtt import Letter, properties_of
from anpr.bus.events import topic_part
from anpr.plates.pseudonym import is_pseudonym
from anpr.records import Event, Sighting

RULE = "anpr"
"""The name of our rule, a source value of every event."""

_DIPLOMAT = re.compile(r"\d(NG|QT|CV)\d")
_VEHICLE_TYPES = {"car": "Car", "van": "Car", "bus": "Bus", "truck": "Truck", "motorbike": "Motorcycle"}


def onvif_letter(event: Event, *, prefix: str) -> Letter | None:
    """The message for the final revision of a passage; None for all else: ONVIF's event is not revised or withdrawn,
    and a pseudonym is no plate."""
    sighting = event.record
    if not isinstance(sighting, Sighting) or sighting.state != "final":
        return None
    if not sighting.text or is_pseudonym(sighting.text):
        return None
    topic = f"{prefix}/onvif-ej/RuleEngine/Recognition/LicensePlate/&{topic_part(sighting.camera_id)}/{RULE}"
    return Letter(topic, msgspec.json.encode(onvif_event(sighting)), "application/json", properties_of(event))


def onvif_event(sighting: Sighting) -> dict[str, Any]:
    """The payload for one passage whose plate was read."""
    moment = datetime.fromtimestamp(sighting.seen_seconds, UTC).isoformat(timespec="milliseconds")
    likelihood = f"{sighting.probability:.4f}"
    plate = {
        "PlateNumber": {"@Likelihood": likelihood, "#text": sighting.text},
        "PlateType": {"@Likelihood": likelihood, "#text": _plate_type(sighting)},
        "CountryCode": {"@Likelihood": likelihood, "#text": "VN"},
    }
    data: dict[str, Any] = {"Likelihood": likelihood, "ObjectId": str(sighting.track), "LicensePlateInfo": plate}
    vehicle = _VEHICLE_TYPES.get(sighting.vehicle_class)
    if vehicle is not None:
        data["VehicleInfo"] = {"Type": {"#text": vehicle}}
    return {
        "UtcTime": moment.replace("+00:00", "Z"),
        "Source": {"VideoSource": sighting.camera_id, "Rule": RULE},
        "Data": data,
    }


def _plate_type(sighting: Sighting) -> str:
    if sighting.kind == "foreign" and _DIPLOMAT.search(sighting.text):
        return "Diplomat"
    return "Temporary" if sighting.kind == "temporary" else "Normal"
