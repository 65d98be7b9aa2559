"""Taking lines whose time is over away from the audit log, with a line in the signed journal of purges."""

from __future__ import annotations

from datetime import UTC, datetime

from anpr.clock import Clock
from anpr.store.audit import AuditLog, Head
from anpr.store.purges import FIRST_PREVIOUS, Purge, add
from anpr.store.root import Root
from anpr.store.signing import SigningKey


def cut_audit(
    root: Root, audit: AuditLog, last_number: int, *, reason: str, box: str, key: SigningKey, clock: Clock
) -> Purge | None:
    """Take away the lines up to a number, but never the newest; None if there is none to take. Raises StoreError."""
    told: list[Purge] = []

    def note(first: int, last: Head) -> None:
        entry = Purge(
            number=0,
            what="audit",
            at=datetime.fromtimestamp(clock.wall_seconds(), UTC).isoformat(timespec="milliseconds"),
            box=box,
            reason=reason,
            first_seq=first,
            last_seq=last.number,
            sightings=0,
            hits=0,
            gaps=0,
            kept=0,
            pictures=0,
            picture_bytes=0,
            chain_end=(last.number, last.sha256),
            previous=FIRST_PREVIOUS,
        )
        with root.writing() as txn:
            told.append(add(txn, root, entry, key))

    audit.cut(last_number, note)
    return told[0] if told else None
