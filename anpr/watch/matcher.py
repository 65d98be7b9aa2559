"""Which listed plates a passing vehicle may carry.

A read asks with its text, its alternatives and its lattice. What is on a list matches if its score reaches the list's
threshold (`anpr.ops.matching_contract` defines the score of a plate, `anpr.ops.cpu_match_patterns` that of a pattern);
an alternative that the reader itself gave counts with its own probability if that is larger. A plate that is the text
itself, or a pattern that it fits, matches whatever its probability. That definition is total: the index finds exactly
what a look at every entry would.

The threshold follows from the list's budget of false hits (`anpr.watch.budget`).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

import numpy as np

from anpr.config.site import VEHICLES_PER_DAY
from anpr.ops.matching_contract import SLOTS
from anpr.records import ALPHABET, EMPTY, Severity, Sighting
from anpr.watch.budget import thresholds_of
from anpr.watch.entries import Entry
from anpr.watch.index import TEXT_BYTES, Costs, Index, Reads, Thresholds
from anpr.watch.lists import WatchList
from anpr.watch.reasons import EXACT, WILDCARD, difference

Lattice = Sequence[Sequence[tuple[str, float]]]
"""Per position the likely characters with their probabilities, '' for none, as in a Sighting."""

ALERT_PROBABILITY = 0.95
"""An exact match less probable than this is a CHECK at most. So is a match by confusion, one of a pattern, one without
a settled text, or with a text that is not letter for letter what was read."""


@dataclass(frozen=True, slots=True)
class Match:
    """A listed plate that the vehicle may carry."""

    entry: Entry
    watch_list: WatchList
    probability: float
    """That the vehicle carries the listed plate, or one that fits the listed pattern."""
    reason: str
    """`exact`; `8 read as B at position 3`; `one character missing, 5 at position 8`; `wildcard`; what makes an exact
    match doubtful follows it: `exact, but listed as a motorbike, seen as a car`."""
    severity: Severity
    """The entry's or the list's; ALERT is lowered to CHECK unless the match is exact and the read is certain."""


class Question(NamedTuple):
    """What a list is asked of a sighting, as there."""

    text: str
    raw: str
    alternatives: Sequence[tuple[str, float]]
    lattice: Lattice
    seen_seconds: float
    site_id: str = ""
    direction: str = "unknown"
    kind: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Matcher:
    """An immutable index over several lists; build a new one when a list changes, in any thread, and swap them."""

    lists: tuple[WatchList, ...]
    vehicles_per_day: float = VEHICLES_PER_DAY
    """The site's traffic, from which thresholds follow."""
    thresholds: Thresholds | None = None
    """Of all lists; None: each list's budget says."""
    alert_probability: float = ALERT_PROBABILITY
    costs: Costs = field(default_factory=Costs)
    previous: InitVar[Matcher | None] = None
    """A matcher with the same settings: the indexes of lists that it shares with this one are taken over."""
    indexes: tuple[Index, ...] = field(init=False, repr=False)
    """One per list."""

    def __post_init__(self, previous: Matcher | None) -> None:
        names = [watch_list.name for watch_list in self.lists]
        if len(set(names)) < len(names):
            raise ValueError(f"watch-lists need different names, got {', '.join(names)}")
        built: dict[int, Index] = {}
        if previous is not None and self._same_settings(previous):
            built = {id(its): index for its, index in zip(previous.lists, previous.indexes, strict=True)}
        indexes = tuple(built.get(id(each)) or self._build(each) for each in self.lists)
        object.__setattr__(self, "indexes", indexes)

    @property
    def over_budget(self) -> Mapping[str, float]:
        """Of the lists that no threshold keeps within their budgets: the false hits a day to expect."""
        expected = {each.name: index.thresholds.expected_per_day for each, index in zip(self.lists, self.indexes)}
        budgets = {each.name: each.false_hits_per_day for each in self.lists}
        return {name: hits for name, hits in expected.items() if hits is not None and hits > budgets[name]}

    def _same_settings(self, other: Matcher) -> bool:
        return (self.vehicles_per_day, self.thresholds, self.costs) == (
            other.vehicles_per_day,
            other.thresholds,
            other.costs,
        )

    def _build(self, watch_list: WatchList) -> Index:
        thresholds = self.thresholds or thresholds_of(
            watch_list.plates,
            false_hits_per_day=watch_list.false_hits_per_day,
            vehicles_per_day=self.vehicles_per_day,
            costs=self.costs,
        )
        return Index.build(watch_list.plates, thresholds=thresholds, costs=self.costs)

    def match(
        self,
        *,
        text: str,
        raw: str,
        alternatives: Sequence[tuple[str, float]],
        lattice: Lattice,
        seen_seconds: float,
        site_id: str = "",
        direction: str = "unknown",
        kind: str = "",
    ) -> tuple[Match, ...]:
        """Matches by falling severity and probability; at most one per entry.

        `text` is the settled plate with `alternatives` (itself first) as in a Sighting; where nothing was settled,
        `raw` is asked for. No match is an ALERT without a settled text, for one that the grammar made of something
        else, or where the list leaves a doubt whether it means this sighting, by its place, its direction or its kind
        of plate. Entries that do not hold at the wall time `seen_seconds`, or not there, do not match. Where a list
        holds the very text, its entries that only come near it do not match.
        """
        question = Question(text, raw, alternatives, lattice, seen_seconds, site_id, direction, kind)
        return self.match_all((question,))[0]

    def match_all(self, asked: Sequence[Sighting | Question]) -> list[tuple[Match, ...]]:
        """What `match` says of each, with one look into the index for all of them."""
        found: list[tuple[Match, ...]] = [()] * len(asked)
        usable = [at for at, one in enumerate(asked) if 0 < len(one.text or one.raw) < SLOTS]
        if not usable or not self.lists:
            return found
        reads = pack([asked[at] for at in usable])
        matches: dict[int, list[Match]] = {}
        for watch_list, index in zip(self.lists, self.indexes, strict=True):
            which, rows, scores = (column.tolist() for column in index.search(reads))
            listed: dict[int, list[tuple[int, float]]] = {}
            for read, row, score in zip(which, rows, scores, strict=True):
                listed.setdefault(read, []).append((row, score))
            for read, its in listed.items():
                certain = float(reads.chances[read, 0])
                matches.setdefault(read, []).extend(self._matches(asked[usable[read]], watch_list, its, certain))
        for read, of_one in matches.items():
            of_one.sort(key=lambda match: (_RANK[match.severity], match.probability), reverse=True)
            found[usable[read]] = tuple(of_one)
        return found

    def _matches(
        self, asked: Sighting | Question, watch_list: WatchList, listed: list[tuple[int, float]], own: float
    ) -> list[Match]:
        """Of the rows of a list, with their scores, those that match. `own` is the probability of what was read."""
        read, seen_seconds = asked.text or asked.raw, asked.seen_seconds
        site_id, direction, kind = asked.site_id, asked.direction, asked.kind
        certain = next((its for each, its in asked.alternatives if each == read), own)
        reads = (read, *(each for each, _ in asked.alternatives))
        sure = bool(asked.text) and asked.text == asked.raw and certain >= self.alert_probability
        found: list[tuple[bool, Match]] = []
        for row, score in listed:
            entry = watch_list.entries[row]
            if not watch_list.applies(
                entry, seen_seconds=seen_seconds, site_id=site_id, direction=direction, kind=kind, reads=reads
            ):
                continue
            reason = difference(read, entry.plate)
            doubt = watch_list.doubt(entry, site_id=site_id, direction=direction, kind=kind)
            severity = entry.severity or watch_list.severity
            if severity == "ALERT" and not (sure and reason == EXACT and not doubt):
                severity = "CHECK"
            told = f"{reason}, but {doubt}" if doubt else reason
            probability = certain if reason == EXACT else round(score, 6)
            found.append((reason in (EXACT, WILDCARD), Match(entry, watch_list, probability, told, severity)))
        exact = any(match.entry.plate == read for _, match in found)
        return [match for itself, match in found if itself or not exact]


_RANK: Mapping[Severity, int] = {"INFO": 0, "CHECK": 1, "ALERT": 2}
_COLUMNS = {**{character: column for column, character in enumerate(ALPHABET)}, "": EMPTY}
_ROW = EMPTY + 1
_NOTHING = array("f", [*(0.0,) * EMPTY, 1.0]) * SLOTS
"""The lattice of a read that is no character long."""


def pack(asked: Sequence[Sighting | Question]) -> Reads:
    """Reads as arrays: what was read is the reference, its probability that among the alternatives, or else the
    lattice's.

    Where the lattice has no row, what was read is certain; other characters than ALPHABET's are left out.
    """
    values = _NOTHING * len(asked)
    column_of = _COLUMNS.get
    read_texts: list[Sequence[str]] = []
    read_chances: list[Sequence[float]] = []
    begin = 0
    for one in asked:
        read, start, lattice = one.text or one.raw, begin, one.lattice
        for row in lattice if len(lattice) <= SLOTS else lattice[:SLOTS]:
            values[start + EMPTY] = 0.0
            for character, probability in row:
                column = column_of(character)
                if column is not None:
                    values[start + column] = probability
            if not row:
                values[start + _column_at(read, (start - begin) // _ROW)] = 1.0
            start += _ROW
        for position in range((start - begin) // _ROW, min(len(read), SLOTS)):
            values[start + EMPTY] = 0.0
            values[start + _column_at(read, position)] = 1.0
            start += _ROW
        chances = dict(one.alternatives)
        own = chances.pop(read, None)
        if own is None:
            own = 1.0
            for position in range(SLOTS):
                own *= values[begin + position * _ROW + _column_at(read, position)]
        read_texts.append((read, *chances))
        read_chances.append((own, *chances.values()))
        begin += SLOTS * _ROW
    width = max(map(len, read_texts))
    texts = "".join(
        [
            "".join([text[:TEXT_BYTES].ljust(TEXT_BYTES, "\0") for text in each]).ljust(width * TEXT_BYTES, "\0")
            for each in read_texts
        ]
    )
    return Reads(
        np.frombuffer(values, np.float32).reshape(-1, SLOTS, _ROW),
        np.frombuffer(texts.encode("ascii", "replace"), np.uint8).reshape(-1, width, TEXT_BYTES),
        np.array([(*each, *(0.0,) * (width - len(each))) for each in read_chances], np.float32),
    )


def _column_at(read: str, position: int) -> int:
    """The column of a read's character, that of 'no character here' after its end."""
    return _COLUMNS.get(read[position], EMPTY) if position < len(read) else EMPTY
