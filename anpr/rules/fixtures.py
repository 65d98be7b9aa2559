"""Fixtures: small histories beside the rules, with the hits that are expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from anpr.config.fields import AsTuple, Context, Fraction, Identifier, Table, mistake
from anpr.config.listing import Begin, End
from anpr.config.loader import parse_file, refusal, validate
from anpr.config.positions import Positions
from anpr.config.ruling import CameraPlace, Distance
from anpr.errors import DeclarationError, PlateError
from anpr.plates.forms import Kind
from anpr.plates.grammar import Reading, require
from anpr.plates.provinces import MERGER, codes, vietnam_date
from anpr.records import Colour, Direction, Hit, Severity, Sighting, State
from anpr.rules.declaration import Declaration, read_declaration
from anpr.rules.language import Many, Some, Value, VehicleClass, ZoneText


class FixtureCamera(CameraPlace):
    """A camera of the fixtures."""

    id: Identifier
    site: Identifier = "site"


class ListedHere(Table):
    """What a watch-list said of a sighting."""

    list: Identifier
    plate: str | None = None
    reason: str = "exact"
    probability: Fraction | None = None
    severity: Severity = "ALERT"
    authority: str = ""
    reference: str = ""
    entry_reason: str = ""
    until: End = None


class Expected(Table):
    """One hit that must be raised."""

    rule: Identifier
    severity: Severity
    sightings: Many[str] | None = None
    vi: str | None = None
    en: str | None = None
    dry_run: bool = False


class Seen(Table):
    """One revision of a sighting."""

    plate: str
    camera: Identifier
    at: Begin
    id: str = ""
    probability: Fraction = 0.99
    colour: Colour = "white"
    kind: Kind | None = None
    direction: Direction = "approaching"
    lane: str = ""
    vehicle_class: VehicleClass | None = None
    speed_kmh: float | None = None
    unreadable: str = "too blurred"
    state: State = "final"
    revision: int | None = None
    listed: Some[ListedHere] = ()
    expect: Some[Expected] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            self.reading()
            for listed in self.listed:
                require(listed.plate or "30A-123.45")
        except PlateError as error:
            raise mistake(error.problem, error.cure) from error
        return self

    def reading(self) -> Reading | None:
        """The plate, of the kind that is given; None if it is unreadable. Raises PlateError."""
        if not self.plate:
            return None
        found = require(self.plate)
        return next((each for each in found if each.kind == self.kind), found[0])


class Answer(Table):
    """What a register says of a plate."""

    source: Identifier = Field(alias="from")
    plate: str
    fields: dict[str, Value | date] = Field(default_factory=dict)
    missing: bool = False
    fails: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            self.plate_text()
        except PlateError as error:
            raise mistake(error.problem, error.cure) from error
        return self

    def plate_text(self) -> str:
        """The plate in the engine's form. Raises PlateError."""
        return require(self.plate)[0].text


class Case(Table):
    """One small history."""

    name: str
    sightings: Annotated[tuple[Seen, ...], AsTuple, Field(min_length=1)]
    declarations: Annotated[tuple[dict[str, Any], ...], AsTuple] = ()
    lookups: Annotated[tuple[Answer, ...], AsTuple] = ()
    zones: Annotated[tuple[ZoneText, ...], AsTuple] = ()
    no_declarations: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            self.declared()
        except DeclarationError as error:
            raise mistake("; ".join(error.problems)) from error
        return self

    def declared(self) -> list[Declaration]:
        """The declarations. Raises DeclarationError."""
        return [
            read_declaration({name: _written(value) for name, value in fields.items()}, place=f"declaration {number}")
            for number, fields in enumerate(self.declarations, start=1)
        ]


class FixtureFile(Table):
    """A file of fixtures."""

    cases: Annotated[tuple[Case, ...], AsTuple, Field(min_length=1)]
    cameras: Annotated[tuple[FixtureCamera, ...], AsTuple] = ()
    distances: Annotated[tuple[Distance, ...], AsTuple] = ()
    zones: Annotated[tuple[ZoneText, ...], AsTuple] = ()
    rules: Many[Identifier] | None = None


def read_fixtures(path: Path) -> tuple[FixtureFile, Positions]:
    """A file of fixtures. Raises ConfigError with all mistakes."""
    data, positions = parse_file(path)
    context = Context(path.parent.absolute(), None)
    content, problems = validate(FixtureFile, data, path=path, positions=positions, context=context)
    if content is None:
        raise refusal(path, problems)
    return content, positions


def sighting_of(seen: Seen, *, sighting_id: str, revision: int, site_id: str) -> Sighting:
    """The sighting that a fixture means."""
    reading = seen.reading()
    at = seen.at or 0.0
    text = reading.text if reading else ""
    code = (reading.province_code or "") if reading else ""
    entry = codes().get(code)
    province = "" if entry is None else entry.before if vietnam_date(at) < MERGER else entry.after
    return Sighting(
        id=sighting_id,
        revision=revision,
        state=seen.state,
        site_id=site_id,
        camera_id=seen.camera,
        track=0,
        text=text,
        raw=text,
        display=reading.display if reading else "",
        kind=reading.kind if reading else "",
        probability=seen.probability if reading else 0.0,
        alternatives=((text, seen.probability),) if reading else (),
        lattice=(),
        lines=1,
        colour=seen.colour,
        province_code=code,
        province=province,
        province_before=entry.before if entry else "",
        direction=seen.direction,
        first_seconds=at,
        seen_seconds=at,
        last_seconds=at,
        pts_seconds=0.0,
        frames=1,
        reads=1,
        quad=(),
        tainted=False,
        unreadable="" if reading else seen.unreadable,
        lane=seen.lane,
        vehicle_class=seen.vehicle_class or "",
        speed_kmh=seen.speed_kmh,
    )


def hits_of(seen: Seen, sighting: Sighting) -> Sequence[Hit]:
    """What the watch-lists raised about it."""
    return [
        Hit(
            id=f"{listed.list}/{sighting.id}",
            revision=sighting.revision,
            state=sighting.state,
            severity=listed.severity,
            sighting_id=sighting.id,
            site_id=sighting.site_id,
            camera_id=sighting.camera_id,
            seen_seconds=sighting.seen_seconds,
            text=sighting.text,
            raw=sighting.raw,
            listed=require(listed.plate)[0].text if listed.plate else sighting.text,
            display=sighting.display,
            probability=sighting.probability if listed.probability is None else listed.probability,
            reason=listed.reason,
            list_name=listed.list,
            list_version="",
            list_age_seconds=0.0,
            entry_reason=listed.entry_reason,
            authority=listed.authority,
            reference=listed.reference,
            entry_until_seconds=listed.until,
        )
        for listed in seen.listed
    ]


def _written(value: object) -> str:
    return ";".join(map(str, value)) if isinstance(value, list) else str(value)
