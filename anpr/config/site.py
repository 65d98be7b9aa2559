"""A site file: which machine, which cameras, which lists, where to store and where to publish."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from anpr.config.fields import (
    AsTuple,
    BusEndpoint,
    CameraUrl,
    EnvironmentSecret,
    Footage,
    Fraction,
    Identifier,
    Log,
    PathValue,
    PipelineName,
    SecretFile,
    Table,
    UserName,
    mistake,
)
from anpr.config.listing import ListHead
from anpr.config.ruling import CameraPlace, Rules
from anpr.endpoints import host_and_port, stays_on_this_machine

VEHICLES_PER_DAY = 15_000.0
"""In and out of a province on one expressway."""

Traffic = Literal["approaching", "receding", "both"]
Wait = Annotated[float, Field(ge=0.05, le=86_400.0)]


def _address(address: str) -> str:
    try:
        host_and_port(address)
    except ValueError as error:
        raise mistake(str(error), "write 127.0.0.1:7780") from error
    return address


class Box(Table):
    """The machine at the site."""

    id: Identifier
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """Worker processes, which share the cameras; None means one per core."""


class Place(Table):
    """The site itself."""

    id: Identifier
    name: str = ""
    vehicles_per_day: Annotated[float, Field(gt=0.0, le=1e7)] = VEHICLES_PER_DAY
    """That pass all its cameras: with a list's budget of false hits, it sets what the list matches."""


Point = Annotated[tuple[Fraction, Fraction], AsTuple]
"""A place in the picture, as shares of its width and height."""
Lane = Annotated[tuple[Point, ...], AsTuple, Field(min_length=3)]
"""Corners of a polygon."""


class Camera(Table):
    """One camera, or a clip or folder of images standing in for one."""

    id: Identifier
    name: str = ""
    url: CameraUrl | None = None
    file: Footage | None = None
    user: UserName | None = None
    password: EnvironmentSecret | None = None
    password_file: SecretFile | None = None
    direction: Traffic = "both"
    """How the lanes it watches are driven, seen from the camera."""
    lanes: Annotated[tuple[Lane, ...], AsTuple] = ()
    """Where vehicles drive: a pipeline with a gate looks for motion only there. Empty: in the whole picture."""
    pipeline: PipelineName = "cpu"
    place: CameraPlace = CameraPlace()
    """Where it stands, for rules."""
    enabled: bool = True

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url is None) == (self.file is None):
            what = "has neither url nor file" if self.url is None else "has both url and file"
            raise mistake(f"camera {self.id!r} {what}", "give exactly one")
        if self.password is not None and self.password_file is not None:
            raise mistake(f"camera {self.id!r} has both password and password_file", "give at most one")
        if (self.password or self.password_file) and self.user is None:
            raise mistake(f"camera {self.id!r} has a password but no user", 'add user = "…"')
        if self.file is not None and self.user is not None:
            raise mistake(f"camera {self.id!r} is a file and needs no user", "remove user and password")
        return self

    def address(self) -> str:
        """What to open: the path of the footage, or the URL with its credentials. Never log it."""
        if self.url is None:
            return str(self.file)
        if self.user is None:
            return self.url
        secret = self.password or self.password_file
        user = quote(self.user.get_secret_value(), safe="")
        password = f":{quote(secret.get_secret_value(), safe='')}" if secret else ""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=f"{user}{password}@{parts.netloc}"))


class Listed(ListHead):
    """A watch-list file. What is said here of the list goes before what the file says of itself."""

    name: Identifier
    file: PathValue
    """Need not be there when the site file is read: a box may start with the last good copy of the list."""


Days = Annotated[int, Field(ge=1, le=36_500)]
Percent = Annotated[float, Field(gt=0.0, lt=100.0)]
Gibibytes = Annotated[float, Field(ge=0.001, le=1e6)]


class Retention(Table):
    """How long what is stored is kept; the names and defaults of `anpr.store.retention.Retention`."""

    passages_days: Days = 30
    """Passages without a hit."""
    pseudonymise_after_days: Days | None = None
    """Then pseudonyms take the place of their plates, and their pictures go; None: never."""
    passage_pictures_days: Days = 30
    """Their pictures."""
    hits_days: Days = 365
    """Hits, the passages that they are about, and their pictures."""
    audit_days: Days = 730
    """The log of who asked the store."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.passage_pictures_days > self.passages_days:
            raise mistake(
                f"passage_pictures_days = {self.passage_pictures_days} exceeds passages_days = {self.passages_days}",
                "pictures go with their passage at the latest",
            )
        if self.pseudonymise_after_days is not None and self.pseudonymise_after_days >= self.passages_days:
            raise mistake(
                f"pseudonymise_after_days = {self.pseudonymise_after_days} is not below"
                f" passages_days = {self.passages_days}",
                "passages that are purged by then need no pseudonyms: leave it out, or keep passages longer",
            )
        if self.hits_days < self.passages_days:
            raise mistake(
                f"hits_days = {self.hits_days} is below passages_days = {self.passages_days}",
                "a hit is kept at least as long as a passage without one",
            )
        return self


class Disk(Table):
    """What happens when the store's disk fills; the names and defaults of `anpr.store.retention.Watermarks`."""

    early_percent: Percent = 85.0
    """From here on, what is oldest is purged before its time."""
    sparing_percent: Percent = 92.0
    """From here on, pictures of passages without a hit are not stored."""
    reserve_percent: Percent = 97.0
    """From here on, the reserve is given up."""
    reserve_mib: Annotated[int, Field(ge=0, le=65_536)] = 64
    """At most a twentieth of the disk; 0: there is none."""
    youngest_days: Days = 1
    """What is younger is never purged before its time."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.early_percent < self.sparing_percent < self.reserve_percent:
            raise mistake("the percents must rise", "early_percent < sparing_percent < reserve_percent")
        return self


class Quota(Table):
    """The most that pictures may take; the names and defaults of `anpr.store.retention.Quota`."""

    passage_pictures_gib: Gibibytes | None = None
    """Of passages without a hit; None: only the disk sets a limit."""
    hit_pictures_gib: Gibibytes | None = None


class Storage(Table):
    """Where sightings, hits and pictures are kept, and for how long."""

    path: PathValue
    retention: Retention = Retention()
    disk: Disk = Disk()
    quota: Quota = Quota()


class BusConsumer(Table):
    """Somebody whom every event reaches, and who says so: an operations centre, a bridge."""

    name: Identifier
    start: Literal["oldest", "newest"] = "oldest"
    """Where one begins that was never here: with all that the box keeps, or with what comes next."""
    most_per_second: Annotated[float, Field(ge=1.0, le=1e6)] = 5000.0
    """Sightings and coverage, while it catches up; hits are not held back."""


class Bus(Table):
    """Where events are published, and who may have them."""

    endpoint: BusEndpoint
    reliable_endpoint: BusEndpoint | None = None
    """Where consumers connect; None: there are none."""
    key_file: PathValue | None = None
    """The box's `NAME.key_secret`; None: nothing is encrypted."""
    clients: PathValue | None = None
    """The folder with the public keys of those who may connect."""
    allow_unencrypted: bool = False
    """Let an endpoint be reached from other machines, over a network that is your own."""
    most_connections: Annotated[int, Field(ge=1, le=1024)] = 64
    """To each endpoint."""
    consumers: Annotated[tuple[BusConsumer, ...], AsTuple] = ()

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        for endpoint in (self.endpoint, self.reliable_endpoint):
            outside = endpoint is not None and not stays_on_this_machine(endpoint)
            if outside and self.key_file is None and not self.allow_unencrypted:
                raise mistake(
                    f"events would leave this machine unencrypted through {endpoint}",
                    "bind to tcp://127.0.0.1:PORT, or set key_file and clients, or set allow_unencrypted = true if the"
                    " network is your own",
                )
        if (self.key_file is None) != (self.clients is None):
            raise mistake("key_file and clients go together", "make keys with `anpr keys new`")
        if bool(self.consumers) != (self.reliable_endpoint is not None):
            raise mistake("reliable_endpoint and [[bus.consumers]] go together", "give both or neither")
        if self.reliable_endpoint == self.endpoint:
            raise mistake("reliable_endpoint is the same as endpoint", "give it a port of its own")
        names = [consumer.name for consumer in self.consumers]
        if len(set(names)) < len(names):
            raise mistake("a consumer's name stands twice", "give each its own name")
        return self


class Health(Table):
    """Where the box answers questions about its health, over HTTP."""

    address: Annotated[str, AfterValidator(_address)] = "127.0.0.1:7780"
    allow_unencrypted: bool = False
    """Let other machines ask, over a network that is your own."""

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        if not self.allow_unencrypted and not stays_on_this_machine(f"tcp://{self.address}"):
            raise mistake(
                f"health would be told unencrypted to other machines at {self.address}",
                "listen on 127.0.0.1:PORT, or set allow_unencrypted = true if the network is your own",
            )
        return self


class Reconnect(Table):
    """How soon a camera that is away is tried again; the names and defaults of `anpr.video.back_off.Reconnection`."""

    first_seconds: Wait = 0.5
    longest_seconds: Wait = 3.0
    """While it has not been away for long."""
    short_outage_seconds: Wait = 600.0
    longest_after_seconds: Wait = 30.0
    """When it has been away for longer than that."""
    refused_seconds: Wait = 60.0
    """After a refused password."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.first_seconds <= self.longest_seconds <= self.longest_after_seconds:
            raise mistake("the waits must rise", "first_seconds <= longest_seconds <= longest_after_seconds")
        return self


class Site(Table):
    """A whole site file."""

    box: Box
    site: Place
    store: Storage
    bus: Bus
    health: Health | None = None
    """None: nobody can ask."""
    reconnect: Reconnect = Reconnect()
    log: Log = Log()
    cameras: Annotated[tuple[Camera, ...], AsTuple, Field(min_length=1)]
    lists: Annotated[tuple[Listed, ...], AsTuple] = ()
    rules: Rules | None = None
    """None: no rules are evaluated."""

    @field_validator("cameras")
    @classmethod
    def _check_some_camera(cls, cameras: tuple[Camera, ...]) -> tuple[Camera, ...]:
        if not any(camera.enabled for camera in cameras):
            raise mistake("no camera is enabled", "take enabled = false away from one")
        return cameras

    def enabled_cameras(self) -> tuple[Camera, ...]:
        """The cameras that are to run."""
        return tuple(camera for camera in self.cameras if camera.enabled)


def repeated(raw: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Ids that stand twice in an unvalidated site file: (path, what, cure) of each later one."""
    for table, key in (("cameras", "id"), ("lists", "name")):
        seen = set()
        items = raw.get(table)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            value = item.get(key) if isinstance(item, dict) else None
            if isinstance(value, str) and value in seen:
                yield (table, index, key), f"{key} {value!r} stands twice in {table}", f"give each its own {key}"
            elif isinstance(value, str):
                seen.add(value)
