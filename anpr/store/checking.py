"""Whether a store is whole: its file, its events, its indexes, its chain of evidence, its pictures, its audit log."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.metrics import Counters
from anpr.records import CoverageGap, Event
from anpr.store.backup import DATA, check_manifest
from anpr.store.chain import NO_END, End, link_head, seal_message
from anpr.store.column_file import FILE as COLUMNS
from anpr.store.column_file import find_damage
from anpr.store.faults import told_as_store_errors
from anpr.store.naming import rows_in_slices
from anpr.store.partition import Partition
from anpr.store.purges import Purge, audit_begins, lost, newest_of_partitions, rewritings, rewritings_by_name
from anpr.store.purges import problems as purge_problems
from anpr.store.rewriting import leaves
from anpr.store.rows import decode_row
from anpr.store.signing import fingerprint, is_signed
from anpr.store.store import Store
from anpr.store.tree import NO_HASH, Tree
from anpr.store.wholeness import look_through

MOST_PROBLEMS = 100
"""Told in words; all are counted."""

_AT_ONCE = 5000
"""Events read in one transaction, so that a running box's file does not grow meanwhile."""


@dataclass(slots=True)
class Finding:
    """What was looked at, and what is wrong."""

    counters: Counters = field(default_factory=Counters)
    """`events_checked`, `links_checked`, `pseudonymised_checked`, `kept_checked`, `pictures_checked`; and `problems`,
    `pictures_missing`."""
    problems: list[str] = field(default_factory=list)
    """Up to MOST_PROBLEMS, each with its place."""
    fingerprints: dict[str, int] = field(default_factory=dict)
    """The keys that signed, and how many commits each."""
    file_checked: bool = False
    """Whether the pages of all files were looked at: not of those that a box writes."""

    def add(self, problem: str, *, reason: str) -> None:
        """Note something wrong."""
        self.counters.add("problems", reason=reason)
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


def check(path: Path, *, clock: Clock, pictures: bool = False) -> Finding:
    """Look at all of a store without changing it, also while a box writes; with `pictures`, also read every picture.

    A picture that is not there is counted, for it may have been purged; an altered one is a problem. Raises StoreError
    if the store cannot be opened.
    """
    finding = Finding()
    if (path / DATA).is_file():
        _check_files(path, finding)
    for problem in check_manifest(path):
        finding.add(problem, reason="backup")
    if ("problems", "file") in finding.counters.counts:
        return finding  # to read a damaged file may kill the process
    with Store.open(path, clock=clock, read_only=True) as store:
        rewritten = _settled(store)
        _check_events(store, finding, pictures=pictures)
        _check_chain(store, finding, _check_rewritten(store, rewritten, finding))
        _check_kept(store, finding, pictures=pictures)
        for file in (partition.path / COLUMNS for partition in store.partitions.all):
            with told_as_store_errors(file):
                damage = find_damage(file)
            if damage:
                finding.add(f"{file}: {damage}, remove it", reason="columns")
        for problem in store.audit.verify(begins=audit_begins(store.root)).problems:
            finding.add(problem, reason="audit")
    return finding


def _check_files(path: Path, finding: Finding) -> None:
    finding.file_checked = True
    for folder, damage in look_through(path):
        if damage:
            finding.add(f"{folder / DATA}: {damage}", reason="file")
        finding.file_checked &= damage is not None


def _check_events(store: Store, finding: Finding, *, pictures: bool) -> None:
    seq, _ = _purged_to(store)
    last_seq = max(store.last_seq, seq)
    first_seq = store.partitions.all[0].first_seq if store.partitions.all else last_seq + 1
    entries = lost(store.root, but_damaged=True).values()
    if first_seq != seq + 1 and store.root.old is None and not _is_lost(entries, seq, first_seq - 1):
        finding.add(
            f"{store.path}: events {seq + 1} to {first_seq - 1} are gone, and no purge says why", reason="events"
        )
    seq, first = first_seq - 1, store.root.old is not None
    while seq < last_seq:
        try:
            events = store.events(after_seq=seq, limit=min(_AT_ONCE, last_seq - seq))
        except StoreError:
            events = _before_damage(store, seq)
            if not events:
                seq += 1
                finding.add(f"{store.path}: event {seq} is damaged", reason="events")
                continue
        for event in events:
            if not first and event.seq != seq + 1 and not _is_lost(entries, seq, event.seq - 1):
                finding.add(f"{store.path}: events {seq + 1} to {event.seq - 1} are missing", reason="events")
            seq, first = event.seq, False
            _check_pictures(store, event, finding, read=pictures)
        finding.counters.add("events_checked", len(events))
        for lacking in store.not_indexed(events):
            finding.add(f"{store.path}: event {lacking} is not found by searches", reason="indexes")
        if not events:
            if not _is_lost(entries, seq, last_seq):
                finding.add(f"{store.path}: events {seq + 1} to {last_seq} are missing", reason="events")
            return


def _is_lost(entries: Collection[Purge], seq: int, last_seq: int) -> bool:
    """Whether the journal says that the events after a number are lost, up to another. Those before it may be back."""
    while seq < last_seq:
        entry = next((entry for entry in entries if entry.first_seq <= seq + 1 <= entry.last_seq), None)
        if entry is None:
            return False
        seq = entry.last_seq
    return seq == last_seq


def _before_damage(store: Store, after_seq: int) -> tuple[Event, ...]:
    """As many of the next events as can be read; none if the very next is damaged."""
    limit = _AT_ONCE
    while limit := limit // 2:
        with contextlib.suppress(StoreError):
            return store.events(after_seq=after_seq, limit=limit)
    return ()


def _check_pictures(store: Store, event: Event, finding: Finding, *, read: bool) -> None:
    if isinstance(event.record, CoverageGap):
        return
    for picture in event.record.evidence:
        finding.counters.add("pictures_checked")
        if not store.evidence.has(picture.sha256):
            finding.counters.add("pictures_missing")
        elif read:
            try:
                store.evidence.get(picture.sha256)
            except StoreError as error:
                finding.add(str(error), reason="pictures")


def _check_rewritten(store: Store, entries: dict[int, Purge], finding: Finding) -> frozenset[int]:
    """Numbers of the events that are rightly without their plate: a signed purge stands for them as they are."""
    proved = frozenset[int]()
    by_name = rewritings_by_name(store.root) if entries else {}
    for partition in store.partitions.all:
        entry, name, tree, seqs = entries.get(partition.first_seq), str(partition.name), Tree(), set[int]()
        own = by_name.get(name)
        with partition.reading() as txn:
            for seq, leaf in leaves(partition, txn):
                tree.add(leaf)
                seqs.add(seq)
        if entry is not None and entry.partition != name and not store.partitions.is_there(entry.partition):
            problem = f"purge {entry.number} has taken its plates away, and another file is in its place"
            finding.add(f"{partition.path}: {problem}", reason="pseudonyms")
        elif (tree.size, tree.root.hex()) != (own.rewritten if own else (0, NO_HASH.hex())):
            finding.add(f"{partition.path}: events without a plate are not as the box wrote them", reason="pseudonyms")
        elif seqs:
            finding.counters.add("pseudonymised_checked", len(seqs))
            proved |= seqs
    return proved


def _settled(store: Store) -> dict[int, Purge]:
    """How the partitions came to be without plates; from now on they stay as they are open here, whatever a box
    does."""
    if store.root.kept is None:
        return {}
    entries: dict[int, Purge] | None = None
    while entries != (now := rewritings(store.root)):
        entries = now
        with told_as_store_errors(store.path):
            store.partitions.refresh()
    store.partitions.hold_still()
    return now


def _check_chain(store: Store, finding: Finding, without_plate: frozenset[int]) -> None:
    """Through all partitions; what was purged is bridged by the purge that says where it began and ended."""
    _, end = _purged_to(store)
    sealed, seq = True, 0
    entries = lost(store.root, but_damaged=True).values()
    lost_after = {entry.begin: entry.end for entry in entries}
    behind = {(entry.last_seq + 1, entry.end) for entry in entries}
    """Where what follows a lost day begins, be that back or not."""
    for partition in store.partitions.all:
        if partition.chain is None:
            continue
        for _ in lost_after:
            if partition.chain.begins != end:
                end = lost_after.get(end, end)
        if partition.chain.begins != end:
            if (partition.first_seq, partition.chain.begins) not in behind:
                finding.add(f"{partition.path}: does not follow the chain before it", reason="chain")
            end = partition.chain.begins
        after_seq = 0
        while links := store.links(after_seq=after_seq, limit=_AT_ONCE, of=partition):
            for seq, link, seal, row in links:
                number, head = end.number + 1, link_head(end.head, end.number + 1, seq, link.row_sha256)
                if link.number != number or link.head != head:
                    finding.add(f"{partition.path}: the chain is broken at event {seq}", reason="chain")
                end = End(link.number, link.head)
                if hashlib.sha256(row).digest() != link.row_sha256 and seq not in without_plate:
                    finding.add(f"{partition.path}: event {seq} is not the one that was signed", reason="chain")
                if seal:
                    _check_seal(partition, seq, end, seal, finding)
                sealed, after_seq = bool(seal), seq
            finding.counters.add("links_checked", len(links))
    if not sealed:
        finding.add(f"{store.path}: the chain ends at event {seq} without a signature", reason="chain")


def _purged_to(store: Store) -> tuple[int, End]:
    """Number of the last event that was purged, and where the chain of evidence ended there."""
    gone = newest_of_partitions(store.root, but_damaged=True)
    if gone is None:
        return 0, NO_END
    if store.partitions.all and str(store.partitions.all[0].name) == gone.partition:
        return gone.first_seq - 1, gone.begin  # it was decided, and the keeper does it
    return gone.last_seq, gone.end


def _check_seal(partition: Partition, seq: int, end: End, seal: bytes, finding: Finding) -> None:
    name = fingerprint(seal[:32])
    finding.fingerprints[name] = finding.fingerprints.get(name, 0) + 1
    if not is_signed(seal_message(end.number, seq, end.head), seal[32:], seal[:32]):
        finding.add(f"{partition.path}: the signature at event {seq} does not hold", reason="chain")


def _check_kept(store: Store, finding: Finding, *, pictures: bool) -> None:
    """The records that have outlived their partition, their proofs, and what was purged."""
    if store.root.kept is None:
        return
    kept = store.root.kept
    for txn, rows in rows_in_slices(kept, most=_AT_ONCE):
        for seq, row in rows:
            finding.counters.add("kept_checked")
            try:
                event = decode_row(seq, row)
                proof = store.root.proof(txn, seq)
                genuine = proof is None or proof.holds_for(row)
            except (msgspec.MsgspecError, ValueError):
                finding.add(f"{store.path}: kept event {seq} is damaged", reason="kept")
                continue
            if not genuine:
                finding.add(f"{store.path}: kept event {seq} is not the one that was signed", reason="kept")
            if not kept.finds(txn, event):
                finding.add(f"{store.path}: kept event {seq} is not found by searches", reason="kept")
            _check_pictures(store, event, finding, read=pictures)
    for problem in purge_problems(store.root):
        finding.add(f"{store.path}: {problem}", reason="purges")
