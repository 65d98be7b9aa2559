"""What a list would be taken for, before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anpr.watch.budget import Neighbour, accepted_for, expected_false_hits, fitting_per_day, thresholds_of
from anpr.watch.entries import Entry
from anpr.watch.index import Costs, Thresholds
from anpr.watch.lists import WatchList


@dataclass(frozen=True, slots=True)
class PreviewedEntry:
    """One entry and what it would be taken for."""

    entry: Entry
    accepts: tuple[Neighbour, ...]
    """Other plates that match it though they were read for certain; of a pattern none, it means all that fit."""
    false_hits_per_day: float
    fitting_per_day: float | None
    """Of a pattern: the vehicles that fit, at most; None of a plate, and where that depends on the place."""


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What a list would be taken for at a site."""

    watch_list: WatchList
    vehicles_per_day: float
    budget_per_day: float
    thresholds: Thresholds
    expected: NDArray[np.float64]
    """(entries,) false hits a day."""
    costs: Costs

    @property
    def false_hits_per_day(self) -> float:
        """Of the whole list."""
        return float(self.expected.sum())

    @property
    def over_budget(self) -> bool:
        """Whether no threshold keeps the list within the budget."""
        expected = self.thresholds.expected_per_day
        return expected is not None and expected > self.budget_per_day

    def entries(self) -> Iterator[PreviewedEntry]:
        """The entries, those with the most false hits first."""
        for row in np.argsort(-self.expected, kind="stable").tolist():
            entry = self.watch_list.entries[row]
            accepts: tuple[Neighbour, ...] = ()
            fitting = None
            if entry.is_pattern:
                fitting = fitting_per_day(entry.plate, self.vehicles_per_day)
            else:
                accepts = accepted_for(entry.plate, threshold=self.thresholds.plates, costs=self.costs)
            yield PreviewedEntry(entry, accepts, float(self.expected[row]), fitting)


def preview(
    watch_list: WatchList, *, vehicles_per_day: float, budget_per_day: float | None = None, costs: Costs | None = None
) -> Preview:
    """What `watch_list` would be taken for, within its own budget of false hits unless another is given."""
    costs = costs or Costs()
    budget = watch_list.false_hits_per_day if budget_per_day is None else budget_per_day
    thresholds = thresholds_of(
        watch_list.plates, false_hits_per_day=budget, vehicles_per_day=vehicles_per_day, costs=costs
    )
    expected = expected_false_hits(
        watch_list.plates, thresholds=thresholds, vehicles_per_day=vehicles_per_day, costs=costs
    )
    return Preview(watch_list, vehicles_per_day, budget, thresholds, expected, costs)
