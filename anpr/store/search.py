"""Finding a partition's sightings by its indexes, newest first.

Every index ends in a stamp (time, sequence number), and its values hold what most conditions ask, so that a record is
decoded only if it is part of the answer. What leads:

    sightings with certain hits       these sightings
    plates that can be counted        plates, backwards in time
    a camera                          cameras, backwards in time
    otherwise                         times, backwards
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import lmdb
import msgspec

from anpr.ops.passages import Traits
from anpr.store.keys import STAMP_BYTES, name_key, seq_of, stamp
from anpr.store.passages import FIXED_BYTES
from anpr.store.query import Look, Question
from anpr.store.rows import decode_row, sighting_of

if TYPE_CHECKING:
    from anpr.store.partition import Partition

MOST_ENTRIES = 30_000
"""Of an index that is not the plates', at once: some 50 ms."""

_TRAITS = msgspec.msgpack.Decoder(Traits)


@dataclass(frozen=True, slots=True)
class Indexes:
    """A partition's search indexes."""

    plates: lmdb._Database
    """text 0 stamp → camera"""
    times: lmdb._Database
    """stamp → camera 0 text"""
    cameras: lmdb._Database
    """camera 0 stamp → text"""


class Walk:
    """A question to one partition at one moment, answered by its indexes. Stamps come falling, from `low` on."""

    def __init__(
        self, txn: lmdb.Transaction[bytes], shelf: Partition, question: Question, *, low: bytes, high: bytes
    ) -> None:
        self._txn = txn
        self._shelf = shelf
        self._question = question
        self._low = low
        self.high = high
        """Only stamps below it; once the walk has paused, those that it has not looked at yet."""

    def of_plates(self, texts: Collection[str]) -> Iterator[bytes]:
        """By the plates."""
        return self._of_plate(*texts) if len(texts) == 1 else iter(sorted(self._of_several(texts), reverse=True))

    def of_camera(self, camera_id: str) -> Iterator[bytes | None]:
        """By the camera. None is a pause: MOST_ENTRIES more were looked at."""
        for number, (at, text) in enumerate(self._backwards(self._shelf.indexes.cameras, name_key(camera_id)), 1):
            if self._answers(at, camera_id, text.decode()):
                yield at
            if number % MOST_ENTRIES == 0:
                self.high = at
                yield None

    def of_time(self) -> Iterator[bytes | None]:
        """By nothing but time. None is a pause: MOST_ENTRIES more were looked at."""
        for number, (at, value) in enumerate(self._backwards(self._shelf.indexes.times, b""), 1):
            camera, _, text = value.rpartition(b"\0")
            if self._answers(at, camera.decode(), text.decode()):
                yield at
            if number % MOST_ENTRIES == 0:
                self.high = at
                yield None

    def of_numbers(self, numbers: Collection[int]) -> Iterator[bytes]:
        """By the numbers of their events."""
        found: list[bytes] = []
        for seq in numbers:
            row = self._shelf.row_at(self._txn, seq)
            if row is None:
                continue
            sighting = sighting_of(decode_row(seq, row))
            at = stamp(sighting.seen_seconds, seq)
            if (
                sighting.state != "withdrawn"
                and self._low <= at < self.high
                and self._question.fits_plate(sighting.text)
                and self._question.fits_look(Look.of(sighting), sighting.text)
            ):
                found.append(at)
        yield from sorted(found, reverse=True)

    def _of_plate(self, text: str) -> Iterator[bytes]:
        for at, camera in self._backwards(self._shelf.indexes.plates, name_key(text)):
            if self._looks_right(at, camera.decode(), text):
                yield at

    def _of_several(self, texts: Collection[str]) -> Iterator[bytes]:
        """By some plates, in no order of time. Leaps from text to text: most are not there."""
        with self._txn.cursor(self._shelf.indexes.plates) as cursor:
            for prefix, text in sorted((name_key(text), text) for text in texts):
                if cursor.key() < prefix and not cursor.set_range(prefix + self._low):
                    return
                while (key := cursor.key()).startswith(prefix):
                    at = key[-STAMP_BYTES:]
                    if self._low <= at < self.high and self._looks_right(at, cursor.value().decode(), text):
                        yield at
                    if not cursor.next():
                        return

    def _answers(self, at: bytes, camera_id: str, text: str) -> bool:
        return self._question.fits_plate(text) and self._looks_right(at, camera_id, text)

    def _looks_right(self, at: bytes, camera_id: str, text: str) -> bool:
        question = self._question
        if question.camera_id not in ("", camera_id):
            return False
        return question.asks_only_camera or question.fits_look(self._look_of(at), text)

    def _look_of(self, at: bytes) -> Look:
        passage = self._txn.get(at, db=self._shelf.table("passages")) if self._shelf.has("passages") else None
        if passage is not None:
            return _look(passage[FIXED_BYTES:])
        return Look.of(self._shelf.sighting_at(self._txn, seq_of(at)))

    def _backwards(self, index: lmdb._Database, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(stamp, value) of the index's entries under `prefix`, falling."""
        with self._txn.cursor(index) as cursor:
            there = cursor.prev() if cursor.set_range(prefix + self.high) else cursor.last()
            first = prefix + self._low
            while there and (key := cursor.key()) >= first:
                yield key[-STAMP_BYTES:], cursor.value()
                there = cursor.prev()


@lru_cache(maxsize=65_536)
def _look(traits: bytes) -> Look:
    return Look.of(_TRAITS.decode(traits))
