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

import numpy as np

from anpr.config.site import VEHICLES_PER_DAY
from anpr.ops.matching_contract import SLOTS
from anpr.records import ALPHABET, EMPTY, Severity
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
        read = text or raw
        if not self.lists or not 0 < len(read) < SLOTS:
            return ()
        reads = pack(read, alternatives, lattice)
        certain = next((its for each, its in alternatives if each == read), float(reads.chances[0, 0]))
        sure = bool(text) and text == raw and certain >= self.alert_probability
        matches: list[Match] = []
        for watch_list, index in zip(self.lists, self.indexes, strict=True):
            _, rows, scores = index.search(reads)
            if len(rows) == 0:
                continue
            found: list[tuple[bool, Match]] = []
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
                entry = watch_list.entries[row]
                if not watch_list.applies(
                    entry, seen_seconds=seen_seconds, site_id=site_id, direction=direction, kind=kind
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
            matches.extend(match for itself, match in found if itself or not exact)
        return tuple(sorted(matches, key=lambda match: (_RANK[match.severity], match.probability), reverse=True))


_RANK: Mapping[Severity, int] = {"INFO": 0, "CHECK": 1, "ALERT": 2}
_COLUMNS = {**{character: column for column, character in enumerate(ALPHABET)}, "": EMPTY}
_ROW = EMPTY + 1


def pack(read: str, alternatives: Sequence[tuple[str, float]], lattice: Lattice) -> Reads:
    """One read as arrays: `read` is the reference, with its probability among `alternatives`, or else by `lattice`.

    Where the lattice has no row, `read` is certain; what it lists of other characters than ALPHABET's is left out.
    """
    values = array("f", bytes(4 * SLOTS * _ROW))
    for position in range(SLOTS):
        start = position * _ROW
        if position < len(lattice) and lattice[position]:
            for character, probability in lattice[position]:
                column = _COLUMNS.get(character)
                if column is not None:
                    values[start + column] = probability
        else:
            values[start + _COLUMNS.get(read[position] if position < len(read) else "", EMPTY)] = 1.0
    chances = dict(alternatives)
    own = chances.pop(read, None)
    if own is None:
        own = 1.0
        for position in range(max(len(read), min(SLOTS, len(lattice)))):
            column = _COLUMNS.get(read[position] if position < len(read) else "", EMPTY)
            own *= values[position * _ROW + column]
    texts = bytearray().join(
        text.encode("ascii", "replace")[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0") for text in (read, *chances)
    )
    return Reads(
        np.frombuffer(values, np.float32).reshape(1, SLOTS, _ROW),
        np.frombuffer(texts, np.uint8).reshape(1, -1, TEXT_BYTES),
        np.array([[own, *chances.values()]], np.float32),
    )
