"""The parts of a site file that concern rules: where they are, the map, and what this site changes."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from anpr.config.fields import AsTuple, BusEndpoint, Existing, FilePath, Fraction, Identifier, PathValue, Table, mistake
from anpr.endpoints import stays_on_this_machine
from anpr.plates.provinces import codes
from anpr.records import Severity

LONGEST_SECONDS = 400 * 86400.0
_DURATION = re.compile(r"([0-9]{1,8})(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(value: Any) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise mistake(f"no duration: {str(value)[:40]!r}", 'like "90s", "30m", "6h" or "14d"')
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > LONGEST_SECONDS:
        raise mistake(f"{value} is too long", "at most 400d")
    return seconds


def _positive(seconds: float) -> float:
    if seconds <= 0.0:
        raise mistake("must be longer than nothing", 'like "30m"')
    return seconds


def _province(name: str) -> str:
    if name not in {each for code in codes().values() for each in (code.before, code.after) if each}:
        raise mistake(f"no province {name!r}", "write its name with its accents, like Bắc Giang")
    return name


def _register_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "{plate}" not in parts.path + parts.query:
        raise mistake("no address of a register", "like https://registry.example/vehicles/{plate}")
    if "@" in url:  # anywhere: a password may hold / ? or #
        raise mistake("an address must not carry a password", "let a proxy on this machine add it")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise mistake("plates would leave this machine unencrypted", "use https, or a proxy on 127.0.0.1")
    return url


Seconds = Annotated[float, BeforeValidator(_duration)]
"""A duration, written `90s`, `30m`, `6h` or `14d`."""
Span = Annotated[Seconds, AfterValidator(_positive)]
"""A duration that is longer than nothing."""
Province = Annotated[str, AfterValidator(_province)]
"""By the map before or after 2025-07-01."""
Kilometres = Annotated[float, Field(ge=0.0, le=5000.0)]


class CameraPlace(Table):
    """Where a camera stands."""

    road: str = ""
    km: Kilometres | None = None
    """Chainage along the road."""
    province: Province | None = None
    inbound: Literal["approaching", "receding"] | None = None
    """How vehicles that drive into the province pass it; None: not told."""
    rising: Literal["approaching", "receding"] | None = None
    """How vehicles that drive towards higher kilometres pass it; None: not told."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.km is None) != (not self.road):
            raise mistake("road and km go together", 'like road = "CT.07" and km = 12.0')
        if self.rising is not None and self.km is None:
            raise mistake("rising needs road and km", 'like road = "CT.07" and km = 12.0')
        return self


class Distance(Table):
    """The way by road between two cameras, where chainages do not tell it."""

    one: Identifier = Field(alias="from")
    other: Identifier = Field(alias="to")
    km: Kilometres

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.one == self.other:
            raise mistake(f"from and to are both {self.one!r}", "name two cameras")
        return self


class Register(Table):
    """A register that rules may ask about a plate."""

    name: Identifier
    file: PathValue | None = None
    """A CSV file with a column `plate`. Need not be there when the site file is read: a box may start with its last
    good copy."""
    url: Annotated[str, AfterValidator(_register_url)] | None = None
    """Asked over HTTP, `{plate}` in it stands for the plate; answers a JSON object, or 404 for a plate it does not
    have."""
    timeout_seconds: Annotated[float, Field(ge=0.01, le=2.0)] = 0.2
    """Of `url`; the box waits for it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise mistake(f"register {self.name!r} needs exactly one of file and url")
        return self


class RuleOverride(Table):
    """What a site changes of a rule; None leaves it as it is written."""

    enabled: bool | None = None
    dry_run: bool | None = None
    severity: Severity | None = None
    min_probability: Fraction | None = None
    cooldown: Span | None = None


class Rules(Table):
    """Which rules the box evaluates."""

    folder: Existing
    """Its `*.toml` files, without the fixtures; or one file."""
    zones: FilePath | None = None
    """A rule file whose zones take the place of those of the same name in the folder."""
    declarations: PathValue | None = None
    """A CSV file, as that of a register. None: the box has no declarations, and rules about them are silent."""
    intake: BusEndpoint | None = None
    """Where other programs push declarations; None: they cannot."""
    dry_run: bool = False
    """Every rule only tells what it would have raised."""
    lateness: Span = 30.0
    """How much later than others a passage may come and rules still find what they would have found in order."""
    overrides: dict[str, RuleOverride] = Field(default_factory=dict)
    """By the rule's name."""
    lookups: Annotated[tuple[Register, ...], AsTuple] = ()
    distances: Annotated[tuple[Distance, ...], AsTuple] = ()

    @field_validator("intake")
    @classmethod
    def _check_reach(cls, intake: str | None) -> str | None:
        if intake is not None and not stays_on_this_machine(intake):
            raise mistake(
                f"declarations would come unencrypted through {intake}", "bind to tcp://127.0.0.1:PORT or ipc:///PATH"
            )
        return intake

    @field_validator("lookups")
    @classmethod
    def _check_names(cls, lookups: tuple[Register, ...]) -> tuple[Register, ...]:
        names = [lookup.name for lookup in lookups]
        if len(set(names)) < len(names):
            raise mistake("two registers have one name", "give each its own")
        return lookups
