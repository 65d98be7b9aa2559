"""What `/healthz` says: how a box and each of its cameras fare. Never a plate, never an address."""

from __future__ import annotations

from typing import Literal

import msgspec

from anpr.records import GapReason

Verdict = Literal["ok", "degraded", "failing"]
"""`degraded`: a camera is not watched, or much is dropped; `failing`: the store refuses, sightings cannot be kept."""


class OpenGap(msgspec.Struct, frozen=True, kw_only=True):
    """Why a camera is not watched now, and since when (wall time)."""

    reason: GapReason
    detail: str
    from_seconds: float


class CameraHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One camera. Rates are of the last half minute; counts are sums since the box started."""

    id: str
    name: str
    state: str
    """`streaming` or `running` if pictures come; else why not, in one word."""
    reason: str
    condition: str
    """What is wrong with the pictures (`frozen`, `black`, `covered`, `blurred`); empty: nothing."""
    recorded: bool
    """True if it is a clip that stands in for a camera."""
    width: int
    height: int
    codec: str
    frames_per_second: float
    inferred_per_second: float
    sightings_per_minute: float
    dropped_share: float
    """Of the pictures, 0 to 1: dropped because the box is too slow."""
    tainted_share: float
    """Of the pictures, 0 to 1: possibly damaged."""
    last_frame_age_seconds: float | None
    """None before the first picture."""
    drops: dict[str, int]
    """Pictures dropped, by reason."""
    gap: OpenGap | None
    """None while it is watched."""
    gap_seconds: dict[GapReason, float]
    """How long it was not watched, by reason, the present gap included."""

    @property
    def up(self) -> bool:
        """Whether pictures come."""
        return self.state in ("streaming", "running")


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """From a picture's arrival to the publication of the sighting it brought about, the newest thousand."""

    p50_seconds: float | None
    p95_seconds: float | None


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What the cameras cost, and how many such cameras the box could carry."""

    cores: int
    cpu_ms_per_frame: float | None
    """Decoding included; None until enough pictures were seen."""
    busy_share: float | None
    """Of all cores, 0 to 1: what the workers and the hub use now."""
    cameras: int | None


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process."""

    name: str
    cameras: tuple[str, ...]
    alive: bool
    deaths: int
    cpu_seconds: float
    memory_bytes: int


class StoreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The store."""

    last_seq: int
    map_used_share: float
    readers: int
    failing: bool
    """True while it refuses what it is given."""


class ListHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A watch-list."""

    name: str
    version: str
    entries: int
    age_seconds: float
    purpose: str = ""
    owner: str = ""
    """Who keeps it up to date."""
    left_out: int = 0
    """Bad rows of its file."""
    refused: str = ""
    """Why its newest file was refused; empty: it was taken."""


class RulesHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The rules and the memory that they ask."""

    enabled: int
    dry_run: int
    """Of them, those that only tell what they would have raised."""
    failing: dict[str, str]
    """Rules whose last evaluation ended in a fault, with the fault."""
    passages: int
    """Remembered."""
    plates: int
    """Different ones among them."""
    memory_seconds: float
    """How far back the memory reaches."""
    waiting: int
    """Passages that rules with `wait` have yet to judge."""
    refused: str = ""
    """Why the rules' newest files were refused; empty: they were taken."""
    refused_data: dict[str, str] = {}
    """Registers and declarations whose newest file was refused, with the reason."""


class ConsumerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who must get every event."""

    name: str
    connected: bool
    behind: int
    """Numbers after the last up to which it has acknowledged all."""
    acknowledged: int = 0
    """Numbers that it has acknowledged since the box started."""
    oldest_age_seconds: float | None = 0.0
    """Of the oldest event that waits for it, by the box's clock; 0: none waits; None: the store cannot say."""
    waiting_bytes: int | None = 0
    """On disk, of the days that hold events which it has not acknowledged; None: the store cannot say."""


class ClockHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel says of the machine's clock."""

    synchronised: bool
    """A time service keeps it."""
    offset_seconds: float
    """What the kernel still has to slew it by; means nothing while no time service keeps it."""
    error_seconds: float
    """How wrong it may be at most."""


class KeepingHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How full the store's disk is, and how what is stored is kept and purged."""

    disk_level: Literal["ok", "early", "sparing", "reserve"]
    """`early`: old things are purged before their time; `sparing`: pictures of passages without a hit are not stored;
    `reserve`: the reserve is given to the store's commits."""
    disk_percent: float
    """Of what may be used, as if the reserve were there."""
    disk_free_bytes: int
    scarce: Literal["bytes", "inodes"]
    reserve_held: bool
    nothing_to_purge: bool
    """The disk is filling, and nothing may be purged before its time."""
    clock_trusted: bool
    """False: nothing is purged until a time service, or a person, says that the clock is right."""
    clock_jump_seconds: float
    """How far the clock is ahead of the time that the box has lived through; behind if negative."""
    holds: int
    """Legal holds."""
    purging: str
    """What is being purged now; empty: nothing."""
    oldest_seconds: float | None
    """Until when the oldest day was written that is there; None: not known yet."""


class BoxHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A whole box."""

    box: str
    site: str
    version: str
    verdict: Verdict
    problems: tuple[str, ...]
    """One line each, for a person."""
    ready: bool
    """The store is open and every camera's loop has been started."""
    at_seconds: float
    """Wall time of this report."""
    uptime_seconds: float
    backlog: int
    """Passages that wait for the store."""
    latency: Latency
    capacity: Capacity
    clock_steps: int
    """How often the wall clock was set since the start."""
    cameras: tuple[CameraHealth, ...]
    workers: tuple[WorkerHealth, ...]
    store: StoreHealth
    lists: tuple[ListHealth, ...]
    rules: RulesHealth | None = None
    """None: the site has no rules."""
    consumers: tuple[ConsumerHealth, ...] = ()
    keeping: KeepingHealth | None = None
    """None: nobody looks after the store."""
    clock: ClockHealth | None = None
    """None: the kernel cannot be asked."""
    refused_files: dict[str, str] = {}
    """By what is read again when its files change (`rules`, `list NAME`, …): why their newest content was refused;
    empty: it was taken."""
    silent_files: tuple[str, ...] = ()
    """Lists, rules and what they ask, whose files have not answered for long: their changes are not seen."""


def encode(report: BoxHealth) -> bytes:
    """The report as JSON."""
    return msgspec.json.encode(report)


def decode(data: bytes) -> BoxHealth:
    """The report in `data`. Raises msgspec.MsgspecError if it is none."""
    return msgspec.json.decode(data, type=BoxHealth)
