"""Whether a store is whole: its file, its events, its indexes, its chain of evidence, its pictures, its audit log."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import lmdb.verify

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.metrics import Counters
from anpr.records import CoverageGap, Event
from anpr.store.backup import DATA, check_manifest
from anpr.store.chain import FIRST_HEAD, link_head, seal_message
from anpr.store.faults import told_as_store_errors
from anpr.store.lock import is_being_written
from anpr.store.signing import fingerprint, is_signed
from anpr.store.store import Store

MOST_PROBLEMS = 100
"""Told in words; all are counted."""

_AT_ONCE = 5000
"""Events read in one transaction, so that a running box's file does not grow meanwhile."""


@dataclass(slots=True)
class Finding:
    """What was looked at, and what is wrong."""

    counters: Counters = field(default_factory=Counters)
    """`events_checked`, `links_checked`, `pictures_checked`; and `problems`, `pictures_missing`."""
    problems: list[str] = field(default_factory=list)
    """Up to MOST_PROBLEMS, each with its place."""
    fingerprints: dict[str, int] = field(default_factory=dict)
    """The keys that signed, and how many commits each."""
    file_checked: bool = False
    """Whether the file's pages were looked at: not while a box writes."""

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
    with Store.open(path, clock=clock, read_only=True) as store:
        _check_events(store, finding, pictures=pictures)
        _check_chain(store, finding)
        for problem in store.audit.verify().problems:
            finding.add(problem, reason="audit")
    for problem in check_manifest(path):
        finding.add(problem, reason="backup")
    _check_file(path, finding)
    return finding


def _check_file(path: Path, finding: Finding) -> None:
    with told_as_store_errors(path):
        if is_being_written(path):
            return
        before = (path / DATA).stat()
        findings = lmdb.verify.verify(str(path))  # type: ignore[no-untyped-call]
        after = (path / DATA).stat()
        if is_being_written(path) or (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
            return  # a box has begun to write: what was read meanwhile says nothing
    finding.file_checked = True
    for problem in findings:
        finding.add(f"{path / DATA}: {problem}", reason="file")


def _check_events(store: Store, finding: Finding, *, pictures: bool) -> None:
    last_seq, seq, first = store.last_seq, 0, True
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
            if not first and event.seq != seq + 1:
                finding.add(f"{store.path}: events {seq + 1} to {event.seq - 1} are missing", reason="events")
            seq, first = event.seq, False
            _check_pictures(store, event, finding, read=pictures)
        finding.counters.add("events_checked", len(events))
        for lacking in store.not_indexed(events):
            finding.add(f"{store.path}: event {lacking} is not found by searches", reason="indexes")
        if not events:
            finding.add(f"{store.path}: events {seq + 1} to {last_seq} are missing", reason="events")
            return


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


def _check_chain(store: Store, finding: Finding) -> None:
    head, number, after_seq, sealed = FIRST_HEAD, 0, 0, True
    while links := store.links(after_seq=after_seq, limit=_AT_ONCE):
        for seq, link, seal, row in links:
            number += 1
            head = link_head(head, number, seq, link.row_sha256)
            if link.number != number or link.head != head:
                finding.add(f"{store.path}: the chain is broken at event {seq}", reason="chain")
                number, head = link.number, link.head
            if hashlib.sha256(row).digest() != link.row_sha256:
                finding.add(f"{store.path}: event {seq} is not the one that was signed", reason="chain")
            if seal:
                finding.fingerprints[fingerprint(seal[:32])] = finding.fingerprints.get(fingerprint(seal[:32]), 0) + 1
                if not is_signed(seal_message(number, seq, head), seal[32:], seal[:32]):
                    finding.add(f"{store.path}: the signature at event {seq} does not hold", reason="chain")
            sealed, after_seq = bool(seal), seq
        finding.counters.add("links_checked", len(links))
    if not sealed:
        finding.add(f"{store.path}: the chain ends at event {after_seq} without a signature", reason="chain")
