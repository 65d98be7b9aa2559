"""The box's hot memory: what has passed, by plate and by camera, and what was raised about it, by rule and by list.

It holds what the rules may ask for, and no more: passages as rows of one array (`anpr.ops.passage_rows`), bounded by
the time that the rules look back and by a number. Everything in it also lies in the store, from which it is filled
after a restart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from anpr.metrics import Counters
from anpr.ops import passage_rows
from anpr.ops.passage_rows import NONE
from anpr.ops.passages import (
    Traits,
    id_bytes,
    id_halves,
    millionths_of,
    province_code_of,
    speed_of,
    traits_of,
    unpack_id,
)
from anpr.plates.packed import pack, unpack
from anpr.records import Sighting
from anpr.rules.contract import Past, Where
from anpr.rules.glance import DistanceKm, Glance
from anpr.rules.marks import Marks

MOST_PASSAGES = 5_000_000
"""64 bytes each; 14 days of 20 cameras with 15,000 vehicles a day are 4.2 million."""
MOST_TRAITS = 65_536
_FIELDS = ["seen", "plate", "id_high", "id_low", "millionths", "speed_kmh", "traits"]
_UNREAD = int(passage_rows.UNREAD)
_2_64 = 1 << 64
PLACES_AT_ONCE = 32
FOUND_AT_ONCE = 4096
"""Passages of one question; if there are more, it is asked again with more room."""


def _unread(place: int) -> np.uint64:
    """The number under which a place's passages without a plate are chained."""
    return passage_rows.UNREAD + np.uint64(place)


class _Wanted:
    """Of which traits something holds."""

    __slots__ = ("asked", "by_code", "some")

    def __init__(self, *, everything: bool = False) -> None:
        self.asked = MOST_TRAITS if everything else 0
        """How many of the traits it was asked of."""
        self.by_code = np.full(MOST_TRAITS, everything)
        self.some = everything


class HotHistory:
    """A `History` that grows by `add`. Use from one thread."""

    def __init__(
        self,
        *,
        keep_seconds: float,
        raised_seconds: float = 86_400.0,
        list_seconds: float = 86_400.0,
        most_passages: int = MOST_PASSAGES,
    ) -> None:
        """Keeps passages for `keep_seconds` before the newest, what rules raised for `raised_seconds`, what lists
        raised for `list_seconds`; and of passages no more than `most_passages`."""
        self.counters = Counters()
        self.keep_seconds = keep_seconds
        self.newest_seconds = -math.inf
        """Of all passages ever added."""
        self.raised_marks: Marks[tuple[str, str]] = Marks(raised_seconds)
        """By rule and cooldown key."""
        self.list_marks: Marks[str] = Marks(list_seconds)
        """By list."""
        self._rows, self._table, self._book = passage_rows.make_rows(most_passages)
        self._slices = passage_rows.make_slices(PLACES_AT_ONCE, keep_seconds)
        self._places: dict[str, int] = {}
        self._codes: dict[tuple[object, ...], int] = {}
        self._traits: list[Traits] = []
        self._short = np.zeros(MOST_TRAITS, np.bool_)
        """Which of them have short ids: those have another order than the others."""
        self._found = np.empty(FOUND_AT_ONCE, np.int32)
        self._where: dict[Where | None, _Wanted] = {None: _Wanted(everything=True)}
        self._columns = self._rows[_FIELDS]
        self._newest = "", "", 0, NONE
        """Id, plate, the plate's number and row of the passage that came last."""
        self._distance_km: DistanceKm | None = None
        self._ways_km: dict[str, NDArray[np.float64]] = {}
        """By camera the ways that lead there from each place, NaN where they are not known, after `_distance_km`."""

    @property
    def passages(self) -> int:
        """How many are remembered."""
        return int(self._book[passage_rows.LIVE])

    @property
    def plates(self) -> int:
        """How many different ones."""
        return int(self._book[passage_rows.PLATES])

    @property
    def oldest_seconds(self) -> float:
        """From when on the memory is whole; infinite while it is empty."""
        oldest = self._book[passage_rows.OLDEST]
        return math.inf if oldest == passage_rows.NONE else float(self._rows[oldest]["seen"])

    # Growing

    def add(self, sighting: Sighting) -> None:
        """Remember a sighting. What cannot be remembered is counted in `counters`."""
        number, (identity, short_id) = pack(sighting.text), id_bytes(sighting.id)
        if number is None or identity is None:
            self.counters.add("history_dropped", reason="plate or id")
            return
        code = self._code(traits_of(sighting, short_id=short_id))
        if code is None:
            self.counters.add("history_dropped", reason="too many cameras or kinds")
            return
        id_high, id_low = id_halves(identity)
        millionths, speed_kmh = millionths_of(sighting), speed_of(sighting)
        self.newest_seconds = max(self.newest_seconds, sighting.seen_seconds)
        row = passage_rows.append(
            self._rows,
            self._table,
            self._slices,
            self._book,
            sighting.seen_seconds,
            number,
            id_high,
            id_low,
            millionths,
            speed_kmh,
            self._places[sighting.camera_id],
            code,
            self.newest_seconds - self.keep_seconds,
        )
        if row < 0:
            row = -1 - row
            self.counters.add("history_dropped", reason="full")
        self._newest = sighting.id, sighting.text, number, row

    def remove(self, sighting: Sighting) -> None:
        """Forget a sighting, given as the revision that was added. One that is not remembered is let pass."""
        known = self._known_as(sighting)
        if known is not None:
            self._newest = "", "", 0, NONE
            passage_rows.take_out(self._rows, self._table, self._slices, self._book, *known)

    def _known_as(self, sighting: Sighting) -> tuple[np.uint64, float, np.uint64, np.uint64] | None:
        """How its row is found: by the chain in which it is, its time and its id."""
        number, (identity, _) = pack(sighting.text), id_bytes(sighting.id)
        place = self._places.get(sighting.camera_id)
        if number is None or identity is None or place is None:
            return None
        id_high, id_low = (np.uint64(half % _2_64) for half in id_halves(identity))
        return np.uint64(number) if number else _unread(place), sighting.seen_seconds, id_high, id_low

    def load(self, rows: passage_rows.Rows, traits: Sequence[Traits]) -> None:
        """Remember many at once, in order of time: (n,) ROW, whose `traits` are indexes into `traits`."""
        if not len(rows):
            return
        codes = [self._code(each) for each in traits]
        known = np.array([code is not None for code in codes])[rows["traits"]]
        if not known.all():
            self.counters.add("history_dropped", int((~known).sum()), reason="too many cameras or kinds")
            rows = rows[known]
        places = np.array([self._places.get(each.camera_id, 0) for each in traits], np.uint16)
        rows["place"] = places[rows["traits"]]
        rows["traits"] = np.array([code or 0 for code in codes], np.uint16)[rows["traits"]]
        self.newest_seconds = max(self.newest_seconds, float(rows["seen"].max()))
        self._newest = "", "", 0, NONE
        lost = passage_rows.append_many(
            self._rows, self._table, self._slices, self._book, rows, self.newest_seconds - self.keep_seconds
        )
        if lost:
            self.counters.add("history_dropped", lost, reason="full")

    def _code(self, fields: tuple[object, ...]) -> int | None:
        """The number of the traits with these fields, whose camera has a place; None if there are too many."""
        code = self._codes.get(fields)
        if code is not None:
            return code
        traits = Traits._make(fields)
        if len(self._traits) >= MOST_TRAITS:
            return None
        if traits.camera_id not in self._places:
            if len(self._places) >= passage_rows.MOST_PLACES:
                return None
            self._places[traits.camera_id] = len(self._places)
            if len(self._places) > len(self._slices):
                more = passage_rows.make_slices(len(self._slices), self.keep_seconds)
                self._slices = np.concatenate([self._slices, more])
        code = self._codes[traits] = len(self._traits)
        self._short[code] = traits.short_id
        self._traits.append(traits)
        return code

    # Asking: see anpr.rules.contract.History

    def of_plate(
        self, plate: str, from_seconds: float, until_seconds: float, where: Where | None = None
    ) -> Sequence[Past]:
        wanted = self._wanted(where)
        number = self._number_of(plate) if wanted.some else 0
        if not number:
            return []
        return self._chained(np.uint64(number), from_seconds, until_seconds, wanted, plate)

    def at_camera(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        place = self._places.get(camera_id)
        if place is None:
            return ()
        while True:
            count = passage_rows.at_place(self._rows, self._slices, place, from_seconds, until_seconds, self._found)
            if self._has_room(count):
                return self._pasts(count)

    def unread_at(self, camera_id: str, from_seconds: float, until_seconds: float) -> Sequence[Past]:
        place = self._places.get(camera_id)
        if place is None:
            return ()
        return self._chained(_unread(place), from_seconds, until_seconds, self._where[None])

    def glance(self, passage: Sighting, within_seconds: float, distance_km: DistanceKm) -> Glance | None:
        row = self._row_of(passage)
        if row == NONE or not passage.text:
            return None
        ways_km = self._ways_km.get(passage.camera_id)
        if ways_km is None or len(ways_km) < len(self._places) or distance_km != self._distance_km:
            ways_km = self._ways_to(passage.camera_id, distance_km)
        count, first_seconds, last_seconds, peak_kmh = passage_rows.glance(
            self._rows, row, passage.seen_seconds - within_seconds, ways_km, self._short
        )
        return Glance(count, first_seconds, last_seconds, peak_kmh) if count >= 0 else None

    def _row_of(self, sighting: Sighting) -> int:
        """Where a passage is remembered, or NONE."""
        identity, _, _, row = self._newest
        if identity == sighting.id:
            return row
        known = self._known_as(sighting)
        return NONE if known is None else passage_rows.row_of(self._rows, self._table, *known)

    def _ways_to(self, camera_id: str, distance_km: DistanceKm) -> NDArray[np.float64]:
        """How far it is from each place to a camera, NaN where that is not known."""
        if distance_km != self._distance_km:
            self._distance_km = distance_km
            self._ways_km.clear()
        found = (distance_km(place, camera_id) for place in self._places)
        ways_km = self._ways_km[camera_id] = np.array([math.nan if km is None else km for km in found], np.float64)
        return ways_km

    def may_share_leaders(
        self,
        passage: Sighting,
        from_seconds: float,
        until_seconds: float,
        reach_seconds: float,
        *,
        plates: int,
        cameras: int,
    ) -> bool:
        row = self._row_of(passage)
        if row == NONE:
            return True
        return passage_rows.share_leaders(
            self._rows, self._table, self._slices, row, from_seconds, reach_seconds, plates, cameras, self._short
        )

    def since(self, from_seconds: float) -> Iterator[Past]:
        """Every passage from a time on, camera by camera."""
        for camera_id in self._places:
            yield from self.at_camera(camera_id, from_seconds, self.newest_seconds)

    def raised(self, rule: str, key: str, from_seconds: float, until_seconds: float) -> Sequence[tuple[float, str]]:
        return self.raised_marks.between((rule, key), from_seconds, until_seconds)

    def list_hits(self, list_name: str, from_seconds: float, until_seconds: float) -> int:
        return self.list_marks.count(list_name, from_seconds, until_seconds)

    def _number_of(self, plate: str) -> int:
        """A plate's number; 0 if it has none. Mostly it is asked about the passage that came last."""
        _, text, number, _ = self._newest
        return number if plate == text else pack(plate) or 0

    def _wanted(self, where: Where | None) -> _Wanted:
        """Of which traits `where` holds."""
        wanted = self._where.get(where)
        if wanted is None:
            wanted = self._where[where] = _Wanted()
        while wanted.asked < len(self._traits):
            past = self._past((0.0, 0, 0, 0, 0, math.nan, wanted.asked), "")
            wanted.by_code[wanted.asked] = where is None or where(past)
            wanted.some |= bool(wanted.by_code[wanted.asked])
            wanted.asked += 1
        return wanted

    def _chained(
        self, plate: np.uint64, from_seconds: float, until_seconds: float, wanted: _Wanted, text: str = ""
    ) -> list[Past]:
        """Those of a plate's chain."""
        while True:
            count = passage_rows.of_plate(
                self._rows, self._table, plate, from_seconds, until_seconds, wanted.by_code, self._found
            )
            if self._has_room(count):
                return self._pasts(count, text)

    def _has_room(self, count: int) -> bool:
        """Whether `_found` holds so many; if not, it does now."""
        if count <= len(self._found):
            return True
        self._found = np.empty(2 * count, np.int32)
        return False

    def _pasts(self, count: int, text: str = "") -> list[Past]:
        """The first `count` rows found, oldest first; all of the plate `text`, or each of its own."""
        if not count:
            return []
        pasts = [self._past(row, text) for row in self._columns[self._found[:count]].tolist()]
        pasts.reverse()
        return pasts

    def _past(self, row: tuple[float, int, int, int, int, float, int], text: str) -> Past:
        seen_seconds, plate, id_high, id_low, millionths, speed_kmh, code = row
        traits = self._traits[code]
        text = text or ("" if plate >= _UNREAD else unpack(plate))
        return Past(
            id=unpack_id(id_high, id_low, short=traits.short_id),
            site_id=traits.site_id,
            camera_id=traits.camera_id,
            seen_seconds=seen_seconds,
            text=text,
            kind=traits.kind,
            probability=millionths / 1e6,
            colour=traits.colour,
            province_code=province_code_of(traits, text),
            direction=traits.direction,
            unreadable=traits.unreadable,
            lane=traits.lane,
            vehicle_class=traits.vehicle_class,
            speed_kmh=_told_speed(speed_kmh),
        )


def _told_speed(speed_kmh: float) -> float | None:
    """A row's speed as a sighting tells it."""
    return None if speed_kmh != speed_kmh else round(speed_kmh, 3)
