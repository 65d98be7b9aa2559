"""What a search asks, as a person says it and as every index is asked it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from anpr.errors import PlateError, StoreError
from anpr.ops.passages import Traits
from anpr.ops.plate_codes import BITS, IF_PLATE, NO, YES, Masks, encode, masks_of
from anpr.plates.forms import LONGEST, Kind
from anpr.plates.neighbours import count_edits, one_look_alike, one_off
from anpr.plates.normalise import normalise
from anpr.plates.packed import pack
from anpr.plates.provinces import codes_of
from anpr.plates.pseudonym import Pseudonyms, is_pseudonym
from anpr.records import ALPHABET, Colour, Direction, Hit, Severity, Sighting
from anpr.store.keys import FIRST_STAMP, LAST_STAMP, pack_seconds

MAX_LIMIT = 10_000
MOST_EDITS = 3
"""More turn any plate into most others."""
Near = Literal["exact", "alike"]

_SEPARATORS = " -._·"
_CHARACTERS = frozenset(ALPHABET)
_CHOICES: dict[str, tuple[str, ...]] = {
    "near": get_args(Near),
    "kind": ("", *get_args(Kind)),
    "colour": ("", *get_args(Colour)),
    "direction": ("", *get_args(Direction)),
    "severity": ("", *get_args(Severity)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for; an empty condition lets everything pass. Withdrawn sightings and hits are never found."""

    plate: str = ""
    """A plate or a pattern: `*` any characters, `?` one character. Case and separators do not matter."""
    near: Near = "exact"
    """`alike`: also plates with one character that the reader confuses with that of `plate`. Of whole plates only."""
    edits: int = 0
    """Also plates with so many characters another, missing or too many, at most MOST_EDITS. Of whole plates only."""
    from_seconds: float | None = None
    """Passages at or after this wall time."""
    until_seconds: float | None = None
    """Passages before this wall time."""
    camera_id: str = ""
    province: str = ""
    """Of the plate: a name, from before or since 2025-07-01, or a code such as `30`."""
    kind: str = ""
    """`car`, `motorbike`, … (`anpr.plates.forms.Kind`)."""
    colour: str = ""
    direction: str = ""
    list_name: str = ""
    """Sightings with a hit of this watch-list."""
    rule: str = ""
    """Sightings with a hit of this rule; with `list_name` or `severity`, the same hit has all of them."""
    severity: str = ""
    pseudonyms: tuple[Pseudonyms, ...] = ()
    """Also passages whose plate gave way to its pseudonym under one of these keys; of whole plates, and of those with
    one edit, only."""
    limit: int = 50
    cursor: str = ""
    """`Page.cursor` of the page before."""

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise StoreError(f"a page of {self.limit} sightings", cure=f"ask for 1 to {MAX_LIMIT}")
        if self.cursor and not re.fullmatch(r"[0-9a-f]{32}", self.cursor):
            raise StoreError(f"{self.cursor[:80]!r} is no cursor", cure="give the cursor of the page before, unchanged")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                written = ", ".join(choice for choice in choices if choice)
                raise StoreError(f"{getattr(self, name)[:80]!r} is no {name}", cure=f"one of {written}")
        if not 0 <= self.edits <= MOST_EDITS:
            raise StoreError(f"plates {self.edits} edits away", cure=f"ask for 0 to {MOST_EDITS}")
        if self.edits and self.near != "exact":
            raise StoreError("plates that look alike are one edit away", cure="ask for one of them")

    @property
    def given(self) -> dict[str, Any]:
        """The conditions that were given, but for the page's length: for the audit log."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "limit"}
        values["pseudonyms"] = " ".join(key.fingerprint for key in self.pseudonyms)
        values["edits"] = self.edits or None
        return {name: value for name, value in values.items() if value not in ("", None, "exact")}

    def edits_to(self, text: str) -> int | None:
        """How many edits a plate that was found is away from the one looked for; None if that was not asked, or it is a
        pseudonym's."""
        pattern = plate_pattern(self.plate) if self.edits else ""
        if not pattern or is_pseudonym(pattern) or is_pseudonym(text):
            return None
        return count_edits(pattern, text)


@dataclass(frozen=True, slots=True)
class Page:
    """Sightings by falling time."""

    sightings: tuple[Sighting, ...]
    cursor: str
    """Where the next page begins; empty if this is the last."""


class Look(NamedTuple):
    """What a search asks of a passage beside its plate and time, and what many passages share."""

    camera_id: str
    kind: str
    colour: str
    direction: str
    province_code: str
    """`=`: the first two characters of the plate."""

    @classmethod
    def of(cls, passage: Traits | Sighting) -> Look:
        """Of a passage."""
        return cls(passage.camera_id, passage.kind, passage.colour, passage.direction, passage.province_code)


class Question:
    """A query, made ready. Raises PlateError for what is no plate, pattern or province, and StoreError."""

    def __init__(self, query: Query) -> None:
        self.low = FIRST_STAMP if query.from_seconds is None else pack_seconds(query.from_seconds)
        """Only stamps in `low <= stamp < high`."""
        self.high = LAST_STAMP if query.until_seconds is None else pack_seconds(query.until_seconds)
        if query.cursor:
            self.high = min(self.high, bytes.fromhex(query.cursor))
        self.wanted = query.limit + 1
        """Stamps that answer it: one more than the page, to know whether there is another."""
        self.pattern = plate_pattern(query.plate) if query.plate else "*"
        self.texts = _texts(self.pattern, query)
        """The plates that are looked for, if they can be counted; None: those that fit the pattern, or with `edits`
        those that are so many edits away from it."""
        self.edits = 0 if self.texts is not None else query.edits
        self.lengths = range(max(1, len(self.pattern) - self.edits), len(self.pattern) + self.edits + 1)
        """Of plates that are so many edits away."""
        self.camera_id = query.camera_id
        self.provinces = codes_of(query.province) if query.province else None
        self._same = {
            name: getattr(query, name)
            for name in ("camera_id", "kind", "colour", "direction")
            if getattr(query, name) != ""
        }
        self._marks = {name: value for name in Mark._fields if (value := getattr(query, name)) != ""}

    @property
    def asks_hits(self) -> bool:
        """Whether only sightings with certain hits are wanted."""
        return bool(self._marks)

    @property
    def asks_looks(self) -> bool:
        """Whether anything is asked of a passage beside its plate, time and hits."""
        return bool(self._same) or self.provinces is not None

    @property
    def asks_only_camera(self) -> bool:
        """Whether, of its look, nothing but the camera is asked."""
        return self.provinces is None and set(self._same) <= {"camera_id"}

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked but the time, or the time and the camera: then each entry of an index answers."""
        return self.pattern == "*" and self.asks_only_camera and not self.asks_hits

    def fits_plate(self, text: str) -> bool:
        """Whether the plate is one of those looked for."""
        if self.texts is not None:
            return text in self.texts
        if self.edits:
            is_plate = len(text) in self.lengths and _CHARACTERS.issuperset(text)
            return is_plate and count_edits(self.pattern, text) <= self.edits
        return self._fits_pattern(text)

    def fits_look(self, look: Look, text: str) -> bool:
        """Whether the rest of a passage, with this plate, is as asked."""
        if any(getattr(look, name) != value for name, value in self._same.items()):
            return False
        return self.provinces is None or _province_code(look, text) in self.provinces

    def fits(self, sighting: Sighting) -> bool:
        """Whether a sighting is as asked, but for its time and its hits."""
        return self.fits_plate(sighting.text) and (
            not self.asks_looks or self.fits_look(Look.of(sighting), sighting.text)
        )

    def fits_mark(self, mark: Mark) -> bool:
        """Whether a hit is one of those asked for."""
        return all(getattr(mark, name) == value for name, value in self._marks.items())

    def verdicts(self, fields: Mapping[str, tuple[Mapping[str, int], NDArray[np.int64]]]) -> NDArray[np.uint8]:
        """NO, YES or IF_PLATE (`anpr.ops.plate_codes`) for many looks, given field by field: the field's values,
        numbered, and the number that each look has."""
        passing = np.full(len(fields["camera_id"][1]), YES, np.uint8)
        if self.provinces is not None:
            numbers, of_looks = fields["province_code"]
            answers = [IF_PLATE if code == "=" else YES if code in self.provinces else NO for code in numbers]
            passing = np.array(answers, np.uint8)[of_looks]
        for name, value in self._same.items():
            numbers, of_looks = fields[name]
            passing[of_looks != numbers.get(value, -1)] = NO
        return passing

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Of `texts` (`anpr.ops.plate_codes`), rising; those that have one."""
        codes = (encode(text) for text in self.texts or ())
        return np.array(sorted(code for code in codes if code is not None), np.int64)

    @property
    def packed(self) -> int:
        """`pattern`, a whole plate, as `anpr.ops.matching_contract` has it."""
        return pack(self.pattern) or 0

    @cached_property
    def masks(self) -> tuple[Masks, ...]:
        """Of `pattern`, for each length of a plate that can fit it."""
        masks = (masks_of(self.pattern, length) for length in range(LONGEST + 1))
        return tuple(each for each in masks if each is not None)

    @cached_property
    def province_ranges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Codes of plates in `first <= code < end` begin with one of `provinces`."""
        begins = [encode(code) for code in self.provinces or ()]
        shifts = [BITS * (length - 2) for length in range(2, LONGEST + 1)]
        ranges = [(begin << shift, (begin + 1) << shift) for begin in begins if begin for shift in shifts]
        first, end = zip(*ranges)
        return np.array(first, np.int64), np.array(end, np.int64)

    @cached_property
    def _fits_pattern(self) -> Callable[[str], bool]:
        return matcher(self.pattern)


class Mark(NamedTuple):
    """What a search asks of a hit."""

    list_name: str
    rule: str
    severity: str

    @classmethod
    def of(cls, hit: Hit) -> Mark:
        """Of a hit."""
        return cls(hit.list_name, hit.rule, hit.severity)


def plate_pattern(plate: str) -> str:
    """A plate or pattern as the engine writes it: `30a-12?.4*` gives `30A12?4*`. A pseudonym stays. Raises
    PlateError."""
    if is_pseudonym(plate.strip().upper()):
        return plate.strip().upper()
    parts: list[str] = []
    for part in re.split(r"([*?])", plate):
        if part.strip(_SEPARATORS) == "":
            continue
        parts.append(part if part in "*?" else normalise(part))
    if not parts:
        raise PlateError("the plate to look for is empty", cure="give a plate or a pattern such as 30A*")
    return re.sub(r"\*+", "*", "".join(parts))


def matcher(pattern: str) -> Callable[[str], bool]:
    """Tells whether a plate fits a pattern of `plate_pattern`. The characters of a pseudonym say nothing: nothing fits
    it but itself, and `*`."""
    if pattern == "*":
        return lambda text: True
    expression = re.compile(pattern.replace("*", ".*").replace("?", "."), re.DOTALL)
    whole = is_whole(pattern)
    return lambda text: expression.fullmatch(text) is not None and (whole or not is_pseudonym(text))


def is_whole(pattern: str) -> bool:
    """Whether a pattern has no wildcards."""
    return not re.search(r"[*?]", pattern)


def _texts(pattern: str, query: Query) -> frozenset[str] | None:
    texts = _plates(pattern, query)
    if not query.pseudonyms:
        return texts
    if texts is None:
        raise PlateError(
            "pseudonyms are looked for by a whole plate, or by one edit of it",
            cure="give a plate without wildcards, and at most one edit",
        )
    return texts.union(key.of(text) for key in query.pseudonyms for text in texts)


def _plates(pattern: str, query: Query) -> frozenset[str] | None:
    if is_pseudonym(pattern) or (query.near == "exact" and not query.edits):
        return frozenset({pattern}) if is_whole(pattern) else None
    if not query.plate or not is_whole(pattern):
        raise PlateError(
            "plates like another are looked for by a whole plate",
            cure="give a plate without wildcards",
        )
    if query.near == "alike":
        return one_look_alike(pattern)
    if query.edits == 1:
        return one_off(pattern)
    if len(pattern) > LONGEST:
        raise PlateError(f"{pattern!r} is longer than any plate", cure=f"give at most {LONGEST} characters")
    return None


def _province_code(look: Look, text: str) -> str:
    return text[:2] if look.province_code == "=" else look.province_code
