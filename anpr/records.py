"""The values that travel through the engine, from a decoded frame to a hit.

Coordinates are source pixels, `(x, y)`, origin at the centre of the top-left pixel. A quad is 4 corners clockwise from
the *plate's* own top-left. Times named `*_seconds` are seconds; wall times are UTC since 1970.

`Frame`, `Plate`, `Read` hold arrays and stay inside one process. `Sighting`, `Hit` and `CoverageGap` are msgspec
structs: they cross processes, go to disk and onto the bus, and never hold pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The reader's characters in the order of a lattice's columns; one more column means 'no character here'."""

EMPTY = len(ALPHABET)
"""Lattice column of 'no character here'."""
NO_PLATE = "no plate"
"""Why a find is unreadable where the reader sees no plate at all, but a badge, an advert or a grille."""
TOO_SMALL = "too small"
"""Why it is where its characters are too low to hold a shape."""

Colour = Literal["white", "yellow", "blue", "red", "unknown"]
Direction = Literal["approaching", "receding", "unknown"]
Severity = Literal["INFO", "CHECK", "ALERT"]
State = Literal["preview", "final", "withdrawn"]
GapReason = Literal[
    "not_running",
    "starting",
    "offline",
    "refused",
    "failed",
    "frozen",
    "black",
    "covered",
    "blurred",
    "damaged",
    "overload",
]
"""Why a camera is not watched: nothing runs on the box; its loop starts; no pictures; wrong password; the loop or its
process died; the picture shows nothing; most pictures are damaged; most are dropped because the box is too slow."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture of one camera, as planes."""

    camera_id: str
    index: int
    """Number of the picture since the source was opened, from 0."""
    pts_seconds: float
    """Stream time; never goes back within one source."""
    wall_seconds: float
    """When the picture was taken, as well as this machine knows it."""
    luma: NDArray[np.uint8]
    """(height, width); rows may be padded, so strides[0] >= width."""
    chroma_u: NDArray[np.uint8]
    """(ceil(height/2), ceil(width/2)), 128 = no colour."""
    chroma_v: NDArray[np.uint8]
    tainted: bool = False
    """True from a gap in the stream until the next key frame: the picture may be damaged without looking so."""
    arrival_seconds: float = 0.0
    """Monotonic time at which the picture's last packet was in hand, for latency."""

    def __post_init__(self) -> None:
        if self.luma.ndim != 2 or self.luma.dtype != np.uint8:
            raise ValueError(f"luma must be uint8 (height, width), got {self.luma.dtype} {self.luma.shape}")
        height, width = self.luma.shape
        half = ((height + 1) // 2, (width + 1) // 2)
        if self.chroma_u.shape != half or self.chroma_v.shape != half:
            raise ValueError(f"chroma must be {half}, got {self.chroma_u.shape} and {self.chroma_v.shape}")

    def __repr__(self) -> str:
        height, width = self.luma.shape
        return f"Frame({self.camera_id} #{self.index} {width}x{height} pts={self.pts_seconds:.3f}s)"


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """A plate found in one frame."""

    quad: NDArray[np.float32]
    """(4, 2) corners `(x, y)`, clockwise from the plate's top-left."""
    score: float
    """Detector's confidence, 0 to 1."""
    lines: Literal[1, 2]
    colour: Colour = "unknown"

    def __post_init__(self) -> None:
        if self.quad.shape != (4, 2):
            raise ValueError(f"quad must be (4, 2), got {self.quad.shape}")

    def to_xyxy(self) -> tuple[float, float, float, float]:
        """The upright box around the quad."""
        x_min, y_min = self.quad.min(axis=0)
        x_max, y_max = self.quad.max(axis=0)
        return float(x_min), float(y_min), float(x_max), float(y_max)


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What the recogniser says of one plate in one frame."""

    log_probs: NDArray[np.float32]
    """The lattice: (slots, 37) natural logarithms, row i = character i of the text, columns = ALPHABET then EMPTY."""
    raw: str
    """The best characters, no grammar applied."""
    text: str
    """The most probable text that is a Vietnamese plate; empty if none is."""
    probability: float
    """Of `text`, calibrated, 0 to 1; never more than `readable`."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """Plates by falling probability, `text` first."""
    unreadable: str = ""
    """Why nothing should be read here ('too small', 'too blurred', …); empty if readable."""
    readable: float = 1.0
    """Chance, 0 to 1, that a whole Vietnamese plate is there to be read, as the reader's net judges it."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One picture kept on disk, named by its content."""

    kind: Literal["plate", "overview"]
    sha256: str
    width_px: int
    height_px: int


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """One passage of one vehicle before one camera."""

    id: str
    revision: int
    """0 for a preview, then counting up; the highest revision is the truth."""
    state: State
    site_id: str
    camera_id: str
    track: int
    """Number of the track within its camera's run."""
    text: str
    """The settled plate, no separators, Đ as D; empty if unreadable."""
    raw: str
    """What the voted lattice says without grammar."""
    display: str
    """`text` as printed on the plate, `30A-123.45`."""
    kind: str
    """Plate kind by the grammar (`car`, `motorbike`, `military`, …); empty if unreadable."""
    probability: float
    alternatives: tuple[tuple[str, float], ...]
    lattice: tuple[tuple[tuple[str, float], ...], ...]
    """Per position, the likely characters with their probabilities; '' = no character."""
    lines: int
    colour: Colour
    province_code: str
    province: str
    """By the map valid when the vehicle was seen."""
    province_before: str
    """By the map before 2025-07-01."""
    direction: Direction
    first_seconds: float
    """Wall time of the first frame of the track."""
    seen_seconds: float
    """Wall time of the best picture: the time of the passage."""
    last_seconds: float
    pts_seconds: float
    """Stream time of the best picture."""
    frames: int
    """Frames in which the plate was found."""
    reads: int
    """Reads that voted."""
    quad: tuple[tuple[float, float], ...]
    """The plate's corners in the best picture."""
    tainted: bool
    """True if every read came from possibly damaged pictures."""
    unreadable: str = ""
    evidence: tuple[Evidence, ...] = ()
    pipeline: str = ""
    """Name and hash of the pipeline file."""
    models: tuple[str, ...] = ()
    """Names and hashes of the models."""
    lane: str = ""
    """Empty: not told."""
    vehicle_class: str = ""
    """`car`, `van`, `bus`, `truck`, `trailer`, `motorbike` or `other`; empty: not told."""
    speed_kmh: float | None = None
    """Of the vehicle; None: not measured."""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """What a watch-list or a rule raised about a sighting."""

    id: str
    revision: int
    state: State
    severity: Severity
    sighting_id: str
    site_id: str
    camera_id: str
    seen_seconds: float
    text: str
    """The settled read."""
    raw: str
    listed: str
    """The text on the list; empty for a rule that asked no list."""
    display: str
    probability: float
    """That the vehicle carries the listed plate; for a rule that asked no list, that it carries `text`."""
    reason: str
    """`exact`, or `8 read as B at position 3`; for a rule its title in English."""
    list_name: str
    """Empty for a rule that asked no list."""
    list_version: str
    list_age_seconds: float
    entry_reason: str
    authority: str = ""
    reference: str = ""
    evidence: tuple[Evidence, ...] = ()
    list_purpose: str = ""
    """What the list is for."""
    entry_until_seconds: float | None = None
    """When the list's entry expires; None: never, or no list was asked."""
    rule: str = ""
    """The rule that raised it; empty: a watch-list did."""
    rule_version: str = ""
    message_vi: str = ""
    """What an officer should know, in Vietnamese."""
    message_en: str = ""
    sighting_ids: tuple[str, ...] = ()
    """Other passages that a rule found evidence in, in order of time."""


class CoverageGap(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which a camera was not watched, or showed nothing."""

    id: str
    revision: int
    """0 when it is noticed, 1 when it is over."""
    state: State
    """`preview` while it lasts, `final` when it is over."""
    site_id: str
    camera_id: str
    reason: GapReason
    detail: str
    """For a person, without secrets; may be empty."""
    from_seconds: float
    """Wall time of the last good picture, or of the box's last sign of life."""
    until_seconds: float
    """Wall time of the first good picture after it; while it lasts, when this was written."""


Record = Sighting | Hit | CoverageGap


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A record as its box committed it: what the store gives out and the bus carries."""

    box: str
    epoch: int
    """How many times the box's store was opened for writing; a store restored from a backup shows by it."""
    seq: int
    """Dense per box, from 1, also across epochs: a missing number is a missed event."""
    committed_seconds: float
    """Wall time of the commit, whole milliseconds."""
    record: Record
