"""How much room pictures take, by class: what quotas are held against."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np

from anpr.clock import Clock
from anpr.store.evidence import EvidenceFolder
from anpr.store.naming import named_in, names, pictures_of, rows_in_slices
from anpr.store.partition import Partition
from anpr.store.retention import GIB, Quota
from anpr.store.rows import is_hit
from anpr.store.store import Store

AGAIN_SECONDS = 900.0
"""How often the pictures of the present day are counted anew."""

_ROWS_AT_ONCE = 300
"""Each may have two pictures, whose lengths are asked."""


class PictureTally:
    """Of an open store: bytes of the pictures of passages without a hit, by partition, and of what was kept."""

    def __init__(self, store: Store, quota: Quota, *, clock: Clock) -> None:
        self._store = store
        self._quota = quota
        self._clock = clock
        self._passages: dict[int, int] = {}
        """By the partition's first number."""
        self._kept: int | None = None
        self._again_seconds = clock.monotonic_seconds()

    @property
    def passages_exceed(self) -> bool:
        """Whether passages' pictures take more than their quota."""
        quota = self._quota.passage_pictures_gib
        return quota is not None and sum(self._passages.values()) > quota * GIB

    @property
    def kept_exceed(self) -> bool:
        """Whether pictures of hits that have outlived their partition take more than theirs."""
        quota = self._quota.hit_pictures_gib
        return quota is not None and self._kept is not None and self._kept > quota * GIB

    def forget(self, first_seq: int) -> None:
        """A partition has other pictures now."""
        self._passages.pop(first_seq, None)

    def forget_kept(self) -> None:
        """Other records are kept now."""
        self._kept = None

    def counting(self) -> Iterator[None] | None:
        """Slices that count what is not known, if it has a quota; None if all is known."""
        kept, partitions = self._store.partitions.kept, self._store.partitions.all
        if self._quota.hit_pictures_gib is not None and self._kept is None and kept is not None:
            return self._count_kept(kept)
        if self._quota.passage_pictures_gib is None:
            return None
        present = {partition.first_seq: partition for partition in partitions}
        self._passages = {first: tally for first, tally in self._passages.items() if first in present}
        if partitions and self._clock.monotonic_seconds() >= self._again_seconds:
            self._again_seconds = self._clock.monotonic_seconds() + AGAIN_SECONDS
            self.forget(partitions[-1].first_seq)
        unknown = next((each for first, each in present.items() if first not in self._passages), None)
        return self._count(unknown) if unknown is not None else None

    def _count(self, partition: Partition) -> Iterator[None]:
        found = yield from picture_bytes(partition, self._store.evidence, of_hits=False)
        self._passages[partition.first_seq] = found

    def _count_kept(self, kept: Partition) -> Iterator[None]:
        self._kept = yield from picture_bytes(kept, self._store.evidence, of_hits=True)


def picture_bytes(partition: Partition, evidence: EvidenceFolder, *, of_hits: bool) -> Generator[None, None, int]:
    """Bytes of the pictures that are there, of hits or of passages without one, in slices. Raises StoreError.

    A picture that two partitions name counts for both.
    """
    everything = yield from named_in(partition)
    parts = []
    for _, rows in rows_in_slices(partition, most=10 * _ROWS_AT_ONCE):
        parts.append(names([picture for _, row in rows if is_hit(row) for picture in pictures_of(row)]))
        yield
    hits = np.unique(np.concatenate(parts)) if parts else everything[:0]
    wanted = hits if of_hits else np.setdiff1d(everything, hits, assume_unique=True)
    counted = np.zeros(len(wanted), np.bool_)
    total = 0
    for _, rows in rows_in_slices(partition, most=_ROWS_AT_ONCE):
        for sha256 in {picture for _, row in rows for picture in pictures_of(row)}:
            prefix = np.uint64(int(sha256[:16], 16))
            at = int(np.searchsorted(wanted, prefix))
            if at < len(wanted) and wanted[at] == prefix and not counted[at]:
                counted[at] = True
                total += evidence.bytes_of(sha256) or 0
        yield
    return total
