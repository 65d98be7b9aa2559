"""What of a store is to stay, by the holds of one moment: records by themselves, and sightings that such hits name.

The hits of a year are looked through for it, some at once: neither they nor the ids that they name fit into memory.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import lmdb
import msgspec

from anpr.errors import StoreError
from anpr.records import Event, Hit
from anpr.store import merge
from anpr.store.deleting import Progress, Slices
from anpr.store.faults import told_as_store_errors
from anpr.store.keys import checked_name
from anpr.store.partition import Partition
from anpr.store.partitions import Partitions, View
from anpr.store.root import Root
from anpr.store.rows import decode_row

Choose = Callable[["lmdb.Transaction[bytes]"], Callable[[Event], bool]]
"""Gives, by the holds that a transaction of the root shows, whether a record stays."""

_HITS_AT_ONCE = 1000


@dataclass(slots=True)
class Choice:
    """What is to stay."""

    keep: Callable[[Event], bool]
    """Whether a record does by itself; a sighting does also if a hit names it that does."""
    holds: bytes
    """By which it was chosen."""
    looked_to: int
    """Number of the newest event whose hits were looked at."""

    def keeps(self, event: Event | None) -> bool:
        """`keep`; a damaged record stays nowhere."""
        return event is not None and self.keep(event)

    def named(self, event: Event | None) -> tuple[str, ...]:
        """Ids of the sightings that a hit names, if it stays."""
        if event is None or not isinstance(event.record, Hit) or not self.keep(event):
            return ()
        return event.record.sighting_id, *event.record.sighting_ids


TakeNamed = Callable[[View, set[str]], None]
"""Is given ids of sightings that hits name which stay, some at once, and the store as it is then."""


class Choosing:
    """Of a store that is open for writing."""

    def __init__(self, root: Root, partitions: Partitions) -> None:
        self._root = root
        self._partitions = partitions

    def begin(self, choose: Choose) -> Choice:
        """By the holds of now."""
        with self._root.reading() as txn:
            return Choice(choose(txn), self.holds(txn), self._partitions.last_seq)

    @contextlib.contextmanager
    def view(self) -> Iterator[View]:
        """The store at this moment. Raises StoreError."""
        with told_as_store_errors(self._root.path), self._partitions.view() as view:
            yield view

    def holds(self, txn: lmdb.Transaction[bytes]) -> bytes:
        """Changes with the holds."""
        digest = hashlib.sha256()
        with txn.cursor(self._root.holds) as cursor:
            for key, value in cursor.iternext():
                digest.update(hashlib.sha256(key).digest() + hashlib.sha256(value).digest())
        return digest.digest()

    def walk_hits(self, choice: Choice, take: TakeNamed) -> Slices[None]:
        """Have taken what the hits name that stay. Raises StoreError."""
        next_key = b"\0"
        while next_key:
            with self.view() as view:
                entries = list(islice(merge.onwards(view, "hit_times", next_key), _HITS_AT_ONCE))
                events = (_event_at(entry.shelf, view.txn(entry.shelf), entry.seq) for entry in entries)
                take(view, {each for event in events for each in choice.named(event)})
            next_key = entries[-1].key + b"\0" if len(entries) == _HITS_AT_ONCE else b""
            yield Progress("looking through the hits")

    def late(self, view: View, partition: Partition, choice: Choice) -> list[tuple[Event, bytes]]:
        """The partition's sightings that are named by kept hits which came while the rest was chosen."""
        return self.sightings_of(view, partition, self.named_late(view, choice))

    def named_late(self, view: View, choice: Choice) -> set[str]:
        """Ids of the sightings that such hits name."""
        return {
            each
            for newer in self._partitions.after(choice.looked_to)
            for seq in newer.hits_after(view.txn(newer), choice.looked_to)
            for each in choice.named(_event_at(newer, view.txn(newer), seq))
        }

    def sightings_of(self, view: View, partition: Partition, ids: set[str]) -> list[tuple[Event, bytes]]:
        """Those of these sightings whose newest revision is in the partition, and not replaced by another's."""
        hidden, txn = view.hidden(partition), view.txn(partition)
        found: list[tuple[Event, bytes]] = []
        for seq in newest_of(partition, txn, ids):
            row = partition.row_at(txn, seq)
            event = decoded(seq, row) if row is not None and not (hidden and hidden(seq)) else None
            if event is not None and row is not None:
                found.append((event, row))
        return found


def newest_of(shelf: Partition, txn: lmdb.Transaction[bytes], ids: Iterable[str]) -> Iterator[int]:
    """Numbers of the newest revisions that a shelf has of these sightings."""
    for each in ids:
        with contextlib.suppress(StoreError):  # what cannot be a key was never stored
            newest = shelf.newest(txn, b"sighting\0" + checked_name(each))
            if newest is not None:
                yield newest.seq


def decoded(seq: int, row: bytes) -> Event | None:
    """None: the row is damaged; it must not stop the others from going."""
    try:
        return decode_row(seq, row)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _event_at(shelf: Partition, txn: lmdb.Transaction[bytes], seq: int) -> Event | None:
    """None: its row is damaged, or missing."""
    row = shelf.row_at(txn, seq)
    return decoded(seq, row) if row is not None else None
