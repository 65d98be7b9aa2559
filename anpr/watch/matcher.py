"""Which listed plates a passing vehicle may carry.

A read asks with its text, its alternatives and its lattice. A list that holds the text itself matches exactly.
Otherwise listed plates among the alternatives, or one character away, match if they are probable enough: the other
character takes the larger of what the lattice gave it and what its shape makes it (`anpr.plates.confusions`), relative
to the character that was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log

from anpr.plates.confusions import Confusions, shipped
from anpr.records import ALPHABET, Severity
from anpr.watch.entries import Entry
from anpr.watch.lists import WatchList

Lattice = Sequence[Sequence[tuple[str, float]]]
"""Per position the likely characters with their probabilities, '' for none, as in a Sighting."""

MIN_PROBABILITY = 0.008
"""Listed plates less probable than this are no match. A certain read still matches through confusions that likely, by
the shipped costs some three plates beside its own: a list of a thousand entries gives about one such match a day on a
busy road."""

ALERT_PROBABILITY = 0.95
"""An exact match less probable than this is a CHECK at most. So is a match by confusion, without a settled text,
or with a text that is not letter for letter what was read."""


@dataclass(frozen=True, slots=True)
class Match:
    """A listed plate that the vehicle may carry."""

    entry: Entry
    watch_list: WatchList
    probability: float
    """That the vehicle carries the listed plate."""
    reason: str
    """`exact`, `8 read as B at position 3`, or `exact, but listed as a motorbike, seen as a car`."""
    severity: Severity
    """The entry's or the list's; ALERT is lowered to CHECK unless the match is exact and the read is certain."""


@dataclass(frozen=True, slots=True, eq=False)
class Matcher:
    """An immutable index over several lists; build a new one when a list changes."""

    lists: tuple[WatchList, ...]
    min_probability: float = MIN_PROBABILITY
    alert_probability: float = ALERT_PROBABILITY
    confusions: Confusions = field(default_factory=shipped)
    _listed: Mapping[str, tuple[tuple[WatchList, Entry], ...]] = field(init=False, repr=False)
    _truths: Mapping[str, tuple[tuple[str, float], ...]] = field(init=False, repr=False)
    """Per character read: those that it may be, with their probability relative to a right read."""

    def __post_init__(self) -> None:
        names = [watch_list.name for watch_list in self.lists]
        if len(set(names)) < len(names):
            raise ValueError(f"watch-lists need different names, got {', '.join(names)}")
        if not 0.0 < self.min_probability <= 1.0:
            raise ValueError(f"min_probability must be above 0 and at most 1, got {self.min_probability}")
        listed: dict[str, tuple[tuple[WatchList, Entry], ...]] = {}
        for watch_list in self.lists:
            for entry in watch_list.entries:
                listed[entry.plate] = (*listed.get(entry.plate, ()), (watch_list, entry))
        object.__setattr__(self, "_listed", listed)
        max_cost = -log(self.min_probability)
        truths = {
            read: tuple((truth, exp(-cost)) for truth, cost in self.confusions.truths(read, max_cost=max_cost))
            for read in ALPHABET
        }
        object.__setattr__(self, "_truths", truths)

    def match(
        self,
        *,
        text: str,
        raw: str,
        alternatives: Sequence[tuple[str, float]],
        lattice: Lattice,
        seen_seconds: float,
        kind: str = "",
    ) -> tuple[Match, ...]:
        """Matches by falling severity and probability; at most one per list and listed plate.

        `text` is the settled plate with `alternatives` (itself first) as in a Sighting; where nothing was settled,
        `raw` is asked for. No match is an ALERT without a settled text, for one that the grammar made of something
        else, or for an entry that means another kind of plate than `kind`, the sighting's, though both share the text.
        Entries that do not hold at the wall time `seen_seconds` do not match.
        """
        read = text or raw
        if not read or not self._listed:
            return ()
        candidates = dict(alternatives)
        certain = candidates.get(read)
        if certain is None:
            certain = candidates[read] = _product(read, lattice)
        for plate, probability in self._neighbours(read, certain, lattice):
            candidates.setdefault(plate, probability)

        exact_lists: set[str] = set()
        matches: list[Match] = []
        for watch_list, entry in self._holding(read, seen_seconds):
            exact_lists.add(watch_list.name)
            other_kind = entry.kind is not None and bool(kind) and entry.kind != kind
            sure = bool(text) and text == raw and certain >= self.alert_probability and not other_kind
            reason = f"exact, but listed as a {entry.kind}, seen as a {kind}" if other_kind else "exact"
            matches.append(Match(entry, watch_list, certain, reason, _severity(watch_list, entry, sure=sure)))
        for plate, probability in candidates.items():
            if plate == read or probability < self.min_probability:
                continue
            for watch_list, entry in self._holding(plate, seen_seconds):
                if watch_list.name not in exact_lists:
                    severity = _severity(watch_list, entry, sure=False)
                    matches.append(Match(entry, watch_list, probability, _difference(read, plate), severity))
        return tuple(sorted(matches, key=lambda match: (_RANK[match.severity], match.probability), reverse=True))

    def _holding(self, plate: str, seen_seconds: float) -> Iterator[tuple[WatchList, Entry]]:
        for watch_list, entry in self._listed.get(plate, ()):
            if entry.valid_at(seen_seconds):
                yield watch_list, entry

    def _neighbours(self, read: str, certain: float, lattice: Lattice) -> Iterator[tuple[str, float]]:
        """Listed plates one character away, with their probability."""
        for position, character in enumerate((*read, "")):
            ratios = dict(self._truths.get(character, ()))
            here = dict(lattice[position]) if position < len(lattice) else {}
            own = here.pop(character, 0.0)
            if position < len(read) - 1:
                here.pop("", None)  # Only at the end is a character missing or one too many without moving the others.
            for other, probability in here.items():
                ratios[other] = max(ratios.get(other, 0.0), probability / own if own > 0.0 else 1.0)
            head, tail = read[:position], read[position + 1 :]
            for other, ratio in ratios.items():
                plate = head + other + tail
                if plate in self._listed:
                    yield plate, certain * min(ratio, 1.0)


_RANK: Mapping[Severity, int] = {"INFO": 0, "CHECK": 1, "ALERT": 2}


def _severity(watch_list: WatchList, entry: Entry, *, sure: bool) -> Severity:
    severity = entry.severity or watch_list.severity
    return severity if sure or severity != "ALERT" else "CHECK"


def _product(read: str, lattice: Lattice) -> float:
    """Probability of a text that was not settled."""
    if len(lattice) < len(read):
        return 0.0
    result = 1.0
    for position, likely in enumerate(lattice):
        result *= dict(likely).get(read[position] if position < len(read) else "", 0.0)
    return result


def _difference(read: str, listed: str) -> str:
    """How the listed plate came to be read otherwise."""
    if len(read) == len(listed):
        return ", ".join(
            f"{true} read as {seen} at position {position}"
            for position, (seen, true) in enumerate(zip(read, listed, strict=True), start=1)
            if seen != true
        )
    return f"{listed} read as {read}"
