"""What of a store is to go next: retention first, then quotas, then whatever makes room on a full disk (pure).

Plates that are to give way to pseudonyms come last: to write a day anew takes room, and what makes some goes before.

Only the oldest partition is ever purged, and never the one that is written to; pictures go before records. What is
younger than `youngest_days`, or has not reached every consumer, is not purged before its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from anpr.store.retention import DAY_SECONDS, Policy
from anpr.store.trust import Age

What = Literal["partition", "plates", "pictures", "hit pictures"]
Reason = Literal["retention", "quota", "disk"]


class Shelf(NamedTuple):
    """A partition that is not written to any more."""

    first_seq: int
    last_seq: int
    age: Age | None
    """None: not noted yet; then it is young."""
    thinned: bool
    """Whether its passages' pictures are gone already."""
    pseudonymised: bool = False
    """Whether their plates are."""

    def after(self, what: What) -> list[Shelf]:
        """What is left of it once something of it is gone."""
        if what == "partition":
            return []
        return [self._replace(pseudonymised=True) if what == "plates" else self._replace(thinned=True)]

    def is_older(self, days: float, now_seconds: float) -> bool:
        """Whether all of it is surely older than so many days."""
        if self.age is None or self.age.last_seq < self.last_seq:
            return False
        return self.age.latest_seconds + days * DAY_SECONDS <= now_seconds


class Due(NamedTuple):
    """One thing to be done."""

    what: What
    first_seq: int
    """Of the partition."""
    reason: Reason


def all_due(
    shelves: Sequence[Shelf],
    policy: Policy,
    *,
    now_seconds: float,
    acknowledged_seq: int,
    crowded: bool = False,
    too_many_pictures: bool = False,
) -> Iterator[Due]:
    """What is to go of these partitions, oldest first, in this order; what comes later only if the rest has failed.

    `acknowledged_seq`: up to here every consumer has had all. `crowded`: the disk is filling. `too_many_pictures`: of
    passages without a hit, more than their quota.
    """
    kept = policy.retention
    if shelves and shelves[0].is_older(kept.passages_days, now_seconds):
        yield Due("partition", shelves[0].first_seq, "retention")
    for shelf in shelves:
        if not shelf.thinned and shelf.is_older(kept.passage_pictures_days, now_seconds):
            yield Due("pictures", shelf.first_seq, "retention")
    grown = [shelf for shelf in shelves if shelf.is_older(policy.disk.youngest_days, now_seconds)]
    for shelf in grown if crowded or too_many_pictures else ():
        if not shelf.thinned:
            yield Due("pictures", shelf.first_seq, "disk" if crowded else "quota")
    if crowded and grown and grown[0] is shelves[0] and shelves[0].last_seq <= acknowledged_seq:
        yield Due("partition", shelves[0].first_seq, "disk")
    after_days = kept.pseudonymise_after_days
    for shelf in shelves:
        if after_days is not None and not shelf.pseudonymised and shelf.is_older(after_days, now_seconds):
            yield Due("plates", shelf.first_seq, "retention")
