"""Taking lines whose time is over away from the audit log, with a line in the signed journal of purges."""

from __future__ import annotations

from anpr.store.audit import AuditLog, Head
from anpr.store.purges import Journal, Purge


def cut_audit(audit: AuditLog, last_number: int, *, reason: str, journal: Journal) -> Purge | None:
    """Take away the lines up to a number, but never the newest; None if there is none to take. Raises StoreError."""
    told: list[Purge] = []

    def note(first: int, last: Head) -> None:
        cut = Purge(
            what="audit",
            reason=reason,
            first_seq=first,
            last_seq=last.number,
            chain_end=(last.number, last.sha256),
        )
        with journal.root.writing() as txn:
            told.append(journal.add(txn, cut))

    audit.cut(last_number, note)
    return told[0] if told else None
