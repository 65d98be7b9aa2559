"""Makes rules, maps, registers and sightings for tests."""

from __future__ import annotations

from typing import Any

from anpr.records import Sighting
from anpr.rules.fixtures import Seen, sighting_of
from anpr.rules.lookups import Record
from anpr.rules.places import Place, Places
from anpr.rules.values import Form

PLACES = Places.of(
    [
        Place(camera_id="km3", road="CT.07", km=3.0, inbound="approaching", province="Hà Nội"),
        Place(camera_id="km25", road="CT.07", km=25.0, inbound="approaching", province="Thái Nguyên"),
        Place(camera_id="km60", road="CT.07", km=60.0, inbound="approaching", province="Thái Nguyên"),
        Place(camera_id="yard"),
    ],
    [("km3", "yard", 10.0)],
)

HEAD = """
[[rules]]
name = "{name}"
vi = "quy tắc"
en = "rule"
severity = "{severity}"
when = {when}
message = {{ vi = "{vi}", en = "{en}" }}
{more}
"""


class Answers:
    """Registers that answer from a table; what is not in it is unknown."""

    def __init__(self, answers: dict[tuple[str, str], Record]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, str]] = []
        self.unreadable: list[tuple[str, str]] = []

    def ask(self, name: str, plate: str) -> Record | None:
        self.asked.append((name, plate))
        return self._answers.get((name, plate))

    def at_hand(self, name: str) -> bool:
        return False

    def tell_unreadable(self, name: str, field: str, form: Form) -> None:
        self.unreadable.append((name, field))


def rule_text(
    when: str,
    more: str = "",
    *,
    name: str = "rule",
    severity: str = "CHECK",
    vi: str = "{plate}",
    en: str = "{plate}",
) -> str:
    """One rule as a file writes it."""
    return HEAD.format(name=name, severity=severity, when=when, more=more, vi=vi, en=en)


def sighting(
    plate: str = "98C-012.34", at: str = "2026-05-20T10:00:00", *, id: str = "now", revision: int = 0, **fields: Any
) -> Sighting:
    """A passage; at `km25`, read with 0.99, approaching and white unless told otherwise."""
    camera = fields.pop("camera", "km25")
    seen = Seen.model_validate({"plate": plate, "at": at, "camera": camera, **fields})
    return sighting_of(seen, sighting_id=id, revision=revision, site_id="site")
