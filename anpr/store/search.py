"""Finding sightings by plate, time and camera, newest first, a page at a time.

Every index ends in a stamp (time, sequence number), and its values hold what the other conditions need, so a record is
decoded only if it is part of the answer. Which index leads:

    a whole plate           plates, backwards in time         the page's length
    a camera                cameras, backwards in time        until the page is full
    a plate's first part    plates, all that begin so         the number of passages that begin so
    otherwise               times, backwards                  until the page is full
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import lmdb

from anpr.errors import PlateError, StoreError
from anpr.plates.normalise import normalise
from anpr.records import Sighting
from anpr.store.keys import FIRST_STAMP, LAST_STAMP, STAMP_BYTES, name_key, pack_seconds

MAX_LIMIT = 10_000
_SEPARATORS = " -._·"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for; an empty condition lets everything pass. Withdrawn sightings are never found."""

    plate: str = ""
    """A plate or a pattern: `*` any characters, `?` one character. Case and separators do not matter."""
    from_seconds: float | None = None
    """Passages at or after this wall time."""
    until_seconds: float | None = None
    """Passages before this wall time."""
    camera_id: str = ""
    limit: int = 50
    cursor: str = ""
    """`Page.cursor` of the page before."""

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise StoreError(f"a page of {self.limit} sightings", cure=f"ask for 1 to {MAX_LIMIT}")
        if self.cursor and not re.fullmatch(r"[0-9a-f]{32}", self.cursor):
            raise StoreError(f"{self.cursor[:80]!r} is no cursor", cure="give the cursor of the page before, unchanged")


@dataclass(frozen=True, slots=True)
class Page:
    """Sightings by falling time."""

    sightings: tuple[Sighting, ...]
    cursor: str
    """Where the next page begins; empty if this is the last."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """The store's search indexes."""

    plates: lmdb._Database
    """text 0 stamp → camera"""
    times: lmdb._Database
    """stamp → camera 0 text"""
    cameras: lmdb._Database
    """camera 0 stamp → text"""


def plate_pattern(plate: str) -> str:
    """A plate or pattern as the engine writes it: `30a-12?.4*` gives `30A12?4*`. Raises PlateError."""
    parts: list[str] = []
    for part in re.split(r"([*?])", plate):
        if part.strip(_SEPARATORS) == "":
            continue
        parts.append(part if part in "*?" else normalise(part))
    if not parts:
        raise PlateError("the plate to look for is empty", cure="give a plate or a pattern such as 30A*")
    return re.sub(r"\*+", "*", "".join(parts))


def find_stamps(txn: lmdb.Transaction[bytes], indexes: Indexes, query: Query) -> list[bytes]:
    """Stamps of the sightings that answer `query`, newest first, at most `limit + 1`. Raises PlateError, StoreError."""
    low = FIRST_STAMP if query.from_seconds is None else pack_seconds(query.from_seconds)
    high = LAST_STAMP if query.until_seconds is None else pack_seconds(query.until_seconds)
    if query.cursor:
        high = min(high, bytes.fromhex(query.cursor))
    pattern = plate_pattern(query.plate) if query.plate else "*"
    matches = _matcher(pattern)
    literal = re.split(r"[*?]", pattern, maxsplit=1)[0]
    camera = query.camera_id.encode()
    wanted = query.limit + 1

    if literal == pattern:
        of_plate = _backwards(txn, indexes.plates, name_key(literal), low, high)
        return _first(wanted, (at for at, value in of_plate if camera in (b"", value)))
    if camera:
        of_camera = _backwards(txn, indexes.cameras, name_key(query.camera_id), low, high)
        return _first(wanted, (at for at, text in of_camera if matches(text)))
    if literal:
        return heapq.nlargest(
            wanted, (at for at, text in _beginning_with(txn, indexes, literal) if low <= at < high and matches(text))
        )
    of_time = _backwards(txn, indexes.times, b"", low, high)
    return _first(wanted, (at for at, value in of_time if matches(value.rpartition(b"\0")[2])))


def _matcher(pattern: str) -> Callable[[bytes], re.Match[bytes] | None]:
    expression = "".join({"*": ".*", "?": "."}.get(character, character) for character in pattern)
    return re.compile(expression.encode()).fullmatch


def _first(count: int, stamps: Iterator[bytes]) -> list[bytes]:
    return list(islice(stamps, count))


def _backwards(
    txn: lmdb.Transaction[bytes], index: lmdb._Database, prefix: bytes, low: bytes, high: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """(stamp, value) of the index's entries under `prefix` with `low <= stamp < high`, falling."""
    with txn.cursor(index) as cursor:
        there = cursor.prev() if cursor.set_range(prefix + high) else cursor.last()
        first = prefix + low
        while there and (key := cursor.key()) >= first:
            yield key[-STAMP_BYTES:], cursor.value()
            there = cursor.prev()


def _beginning_with(txn: lmdb.Transaction[bytes], indexes: Indexes, literal: str) -> Iterator[tuple[bytes, bytes]]:
    """(stamp, text) of all plates that begin with `literal`, by text."""
    prefix = literal.encode()
    with txn.cursor(indexes.plates) as cursor:
        there = cursor.set_range(prefix)
        while there and (key := cursor.key()).startswith(prefix):
            yield key[-STAMP_BYTES:], key[: -STAMP_BYTES - 1]
            there = cursor.next()
