"""Finding a store's sightings, newest first, a page at a time.

Each partition is asked by an index or, where its columns are there, by these. An index that is not the plates' is left
after `search.MOST_ENTRIES` entries, and the columns are made: what was seen once a day is not looked for among all that
was seen. The partitions are asked by their youngest passage, until the page is full and none can hold a younger one.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from anpr.errors import StoreError
from anpr.records import Sighting
from anpr.store import column_file
from anpr.store.columns import Columns, Odd, extend
from anpr.store.gathering import Source, gather
from anpr.store.keys import checked_name, pack_seconds, seq_of, stamp, unpack_seq
from anpr.store.partition import Name, Partition
from anpr.store.partitions import View
from anpr.store.query import Look, Mark, Page, Query, Question
from anpr.store.rows import decode_row, is_hit
from anpr.store.scanning import scan
from anpr.store.search import Walk

MOST_RECENT = 10_000
"""Passages that came after a partition's columns were made and are looked through one by one: some 10 ms."""
MOST_DECODED = 300
"""Sightings with a hit that are decoded to see whether they answer; more are looked for in the columns."""


class Found(NamedTuple):
    """A sighting that answers a query."""

    stamp: bytes
    shelf: Partition
    """That has it."""


@dataclass(slots=True)
class _Held:
    """A partition's columns."""

    columns: Columns
    whole: bool
    """Whether the partition is written no more, so that nothing came or went since they were made."""
    last_seq: int
    """Newest event that is in them or in `recent`."""
    recent: list[Odd] = field(default_factory=list)
    """Passages that came since."""


Hiding = Callable[[Partition], Callable[[int], bool] | None]
"""`View.hidden`, or what answers as it does."""


class _HitSeen(NamedTuple):
    mark: Mark
    sighting_id: str
    withdrawn: bool


class Finder:
    """Answers queries to one store; keeps its partitions' columns from one query to the next. Use from one thread."""

    def __init__(self) -> None:
        self._held: WeakKeyDictionary[Partition, _Held] = WeakKeyDictionary()
        self._lacking: WeakKeyDictionary[Partition, bool] = WeakKeyDictionary()
        """Partitions that had no file of columns when they were asked."""
        self._hits: WeakKeyDictionary[Partition, dict[int, _HitSeen]] = WeakKeyDictionary()
        """Of partitions without columns."""
        self._asked: tuple[Name, ...] = ()
        """Partitions, written no more, that were asked for `_replaced`."""
        self._replaced: frozenset[int] = frozenset()
        """Events that these have replaced in older ones."""

    def page(self, view: View, query: Query) -> Page:
        """A page of the sightings that answer, newest first. Raises PlateError, StoreError."""
        question = Question(query)
        found = self.find(view, question)
        page = found[: query.limit]
        sightings = tuple(self._read(view, each, question) for each in page)
        return Page(sightings, page[-1].stamp.hex() if len(found) > query.limit else "")

    def find(self, view: View, question: Question) -> list[Found]:
        """Where the sightings that answer lie, newest first, at most `question.wanted`. Raises StoreError."""
        hiding = self._hiding(view)
        numbers = self._with_hits(view, question, hiding) if question.asks_hits else None
        spans = [(span, shelf) for shelf in view.shelves if (span := self._span(view, shelf))]
        spans.sort(key=lambda each: each[0][1], reverse=True)
        page: list[Found] = []
        low = question.low
        for (first, last), shelf in spans:
            if last < low:
                break
            if first >= question.high:
                continue
            stamps = self._stamps(view, shelf, question, low, None if numbers is None else numbers.get(shelf, set()))
            if (hidden := hiding(shelf)) is not None:
                stamps = _shown(stamps, hidden)
            try:
                page += [Found(at, shelf) for at in islice(stamps, question.wanted)]
            except IndexError as error:
                raise _damaged(shelf) from error
            page.sort(key=itemgetter(0), reverse=True)
            if len(page) >= question.wanted:
                del page[question.wanted :]
                low = max(low, page[-1].stamp)
        return page

    def make_columns(self, view: View) -> Partition | None:
        """Make the file of columns of the newest partition that is written no more and has none; None if all have.

        Takes seconds for millions of passages. Raises StoreError, OSError.
        """
        for shelf in view.shelves:
            if shelf.sealed and self._columns(view, shelf) is None:
                self._write(shelf, self._gather(view, shelf))
                self._lacking.pop(shelf)
                return shelf
        return None

    def _read(self, view: View, found: Found, question: Question) -> Sighting:
        """A sighting that was found; columns are believed no further than this."""
        shelf = found.shelf
        try:
            sighting = shelf.sighting_at(view.txn(shelf), seq_of(found.stamp))
        except StoreError as error:
            if shelf in self._held:
                raise _damaged(shelf) from error
            raise
        if shelf in self._held and not (
            pack_seconds(sighting.seen_seconds) == found.stamp[:8] and question.fits(sighting)
        ):
            raise _damaged(shelf)
        return sighting

    def _hiding(self, view: View) -> Hiding:
        """What `view.hidden` tells, without asking again the partitions that are written no more."""
        if not view.partitions:
            return view.hidden
        *older, newest = view.partitions
        names = tuple([each.name for each in older])
        if names != self._asked:
            self._replaced = frozenset().union(*(each.replaced(view.txn(each)) for each in older))
            self._asked = names
        replaced = self._replaced | newest.replaced(view.txn(newest))

        def hidden(shelf: Partition) -> Callable[[int], bool] | None:
            if not shelf.in_order:
                return view.hidden(shelf)
            return replaced.__contains__ if replaced and shelf is not newest else None

        return hidden

    def _span(self, view: View, shelf: Partition) -> tuple[bytes, bytes] | None:
        """Stamps of the oldest and the youngest passage."""
        held = self._held.get(shelf)
        return held.columns.span if held is not None and held.whole else shelf.span(view.txn(shelf))

    def _stamps(
        self, view: View, shelf: Partition, question: Question, low: bytes, numbers: Collection[int] | None
    ) -> Iterator[bytes]:
        """Stamps of a partition that answer, falling, from `low` on. With `numbers`, only of these events."""
        if numbers is not None:
            if len(numbers) <= MOST_DECODED or not shelf.in_order:
                return Walk(view.txn(shelf), shelf, question, low=low, high=question.high).of_numbers(numbers)
            made = self._columns_made(view, shelf)
            return self._scanned(view, shelf, made, question, low, question.high, numbers)
        held = None if question.is_plain else self._columns(view, shelf)
        if held is None or (question.texts is not None and not held.whole):
            return self._walked(view, shelf, question, low)
        return self._scanned(view, shelf, held, question, low, question.high, None)

    def _walked(self, view: View, shelf: Partition, question: Question, low: bytes) -> Iterator[bytes]:
        walk = Walk(view.txn(shelf), shelf, question, low=low, high=question.high)
        if question.texts is not None:
            yield from walk.of_plates(question.texts)
            return
        for at in walk.of_camera(question.camera_id) if question.camera_id else walk.of_time():
            if at is not None:
                yield at
            elif shelf.in_order:
                held = self._columns_made(view, shelf)
                yield from self._scanned(view, shelf, held, question, low, walk.high, None)
                return

    def _scanned(
        self,
        view: View,
        shelf: Partition,
        held: _Held,
        question: Question,
        low: bytes,
        high: bytes,
        numbers: Collection[int] | None,
    ) -> Iterator[bytes]:
        stamps = scan(held.columns, question, low=low, high=high, numbers=numbers, recent=held.recent)
        if held.whole:
            return stamps
        txn = view.txn(shelf)  # what is in the columns may have been replaced since
        return (at for at in stamps if txn.get(at, db=shelf.indexes.times) is not None)

    # Columns

    def _columns(self, view: View, shelf: Partition) -> _Held | None:
        """A partition's columns with all that was stored since; None if there are none yet."""
        held = self._held.get(shelf)
        if held is not None and not held.whole:
            if not shelf.sealed:
                return self._caught_up(view, shelf, held)
            held = None  # it was written to when they were made
        if held is None and shelf.sealed and shelf not in self._lacking:
            columns = column_file.read(shelf.path / column_file.FILE, state=state_of(shelf))
            if columns is None:
                self._lacking[shelf] = True
            else:
                held = self._held[shelf] = _Held(columns, whole=True, last_seq=columns.last_seq)
        return held

    def _columns_made(self, view: View, shelf: Partition) -> _Held:
        """The same, made if there are none; and kept on disk for others, if the partition is written no more."""
        self._lacking.pop(shelf, None)  # somebody else may have made them meanwhile
        held = self._columns(view, shelf)
        if held is None:
            columns = self._gather(view, shelf)
            if shelf.sealed:
                with contextlib.suppress(OSError):
                    self._write(shelf, columns)
            held = self._held[shelf] = _Held(columns, whole=shelf.sealed, last_seq=columns.last_seq)
        return held

    def _caught_up(self, view: View, shelf: Partition, held: _Held) -> _Held:
        for seq, row in shelf.rows(view.txn(shelf), after_seq=held.last_seq):
            held.last_seq = seq
            record = None if is_hit(row) else decode_row(seq, row).record
            if isinstance(record, Sighting) and record.state != "withdrawn":
                held.recent.append(Odd(stamp(record.seen_seconds, seq), record.text, Look.of(record)))
        if len(held.recent) > MOST_RECENT:
            held.columns = extend(held.columns, held.recent, last_seq=held.last_seq)
            held.recent = []
        return held

    def _gather(self, view: View, shelf: Partition) -> Columns:
        txn = view.txn(shelf)

        def find_sighting(sighting_id: str) -> int:
            found = view.find(_sighting_key(sighting_id))
            return found[1].seq if found is not None and found[0].sealed else 0  # elsewhere it may be revised

        return gather(
            Source(
                txn=txn,
                events=shelf.events,
                times=shelf.indexes.times,
                passages=shelf.table("passages") if shelf.has("passages") else None,
                hits=shelf.hits,
                first_seq=shelf.first_seq,
                last_seq=shelf.last_seq(txn),
                find_sighting=find_sighting,
            )
        )

    def _write(self, shelf: Partition, columns: Columns) -> None:
        column_file.write(columns, shelf.path / column_file.FILE, state=state_of(shelf))

    # Hits

    def _with_hits(self, view: View, question: Question, hiding: Hiding) -> dict[Partition, set[int]]:
        """Numbers of the sightings with a hit as asked, by where they lie."""
        found: dict[Partition, set[int]] = {}
        first_seqs = [each.first_seq for each in view.partitions]
        kept = next((each for each in view.shelves[-1:] if not each.in_order), None)

        def add(seq: int, hit_seq: int, hit_shelf: Partition) -> None:
            at = bisect_right(first_seqs, seq)
            shelf = view.partitions[at - 1] if at else kept
            if shelf is not None and (shelf is not kept or shelf.row_at(view.txn(shelf), seq) is not None):
                hidden = hiding(shelf)
                if hidden is None or not hidden(seq):
                    found.setdefault(shelf, set()).add(seq)
                    return
            try:  # it was revised since the columns were made, and what they name may be gone
                add_newest(hit_shelf.hit_at(view.txn(hit_shelf), hit_seq).sighting_id)
            except StoreError as error:
                raise _damaged(hit_shelf) from error

        def add_newest(sighting_id: str) -> None:
            newest = view.find(_sighting_key(sighting_id))
            if newest is not None:
                found.setdefault(newest[0], set()).add(newest[1].seq)

        for shelf in view.shelves:
            hidden = hiding(shelf)
            held = self._columns(view, shelf) if shelf.sealed else None
            if held is None:
                for seq, seen in self._hits_seen(view, shelf):
                    if not seen.withdrawn and question.fits_mark(seen.mark) and not (hidden and hidden(seq)):
                        add_newest(seen.sighting_id)
                continue
            columns = held.columns
            marks = [number for number, mark in enumerate(columns.marks) if question.fits_mark(mark)]
            for row in np.flatnonzero(np.isin(columns.hit_marks, marks)).tolist():
                hit_seq = int(columns.hit_seqs[row])
                if not (hidden and hidden(hit_seq)):
                    add(int(columns.hit_sightings[row]), hit_seq, shelf)
            for seq, mark, sighting_id in columns.lost:
                if mark in marks and not (hidden and hidden(seq)):
                    add_newest(sighting_id)
        return found

    def _hits_seen(self, view: View, shelf: Partition) -> Iterator[tuple[int, _HitSeen]]:
        """(number, what is asked of it) of a partition's hits; each is decoded once."""
        known = self._hits.setdefault(shelf, {})
        txn = view.txn(shelf)
        with txn.cursor(shelf.hits) as cursor:
            for number in cursor.iternext(keys=False):
                seq = unpack_seq(number)
                if seq not in known:
                    hit = shelf.hit_at(txn, seq)
                    known[seq] = _HitSeen(Mark.of(hit), hit.sighting_id, hit.state == "withdrawn")
                yield seq, known[seq]


def state_of(shelf: Partition) -> tuple[int, ...]:
    """Changes with whatever is written to a partition. Raises lmdb.Error."""
    info = shelf.environment.handle.info()
    with shelf.environment.begin() as txn:
        counts = [txn.stat(table)["entries"] for table in (shelf.events, shelf.indexes.times, shelf.hits)]
    return (shelf.first_seq, info["last_txnid"], info["last_pgno"], *counts)


def _sighting_key(sighting_id: str) -> bytes:
    return b"sighting\0" + checked_name(sighting_id)


def _damaged(shelf: Partition) -> StoreError:
    return StoreError(
        "the columns are damaged", place=str(shelf.path / column_file.FILE), cure="remove the file: it is made anew"
    )


def _shown(stamps: Iterator[bytes], hidden: Callable[[int], bool]) -> Iterator[bytes]:
    return (at for at in stamps if not hidden(seq_of(at)))
