"""How long what a store holds is kept, how much room it may take, and what happens when the disk fills.

The defaults are recommendations, not law (Law 91/2025/QH15, art. 3: no longer than the purpose needs): passages that no
list and no rule asked for 30 days, hits 12 months, the log of who asked 24 months.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY_SECONDS = 86_400.0
GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days, counted from the end of the day on which something was stored."""

    passages_days: int = 30
    """Of passages without a hit."""
    pseudonymise_after_days: int | None = None
    """Then pseudonyms take the place of their plates, and their pictures go; None: never."""
    passage_pictures_days: int = 30
    """Of their pictures; not longer than the passages."""
    hits_days: int = 365
    """Of hits, the passages that they are about, and their pictures, and of when cameras were not watched; not shorter
    than the passages."""
    audit_days: int = 730
    """Of the log of who asked the store, and why."""

    @property
    def plates_days(self) -> int:
        """How long passages without a hit keep their plates."""
        return min(self.passages_days, self.pseudonymise_after_days or self.passages_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermarks:
    """When a disk counts as filling, in percent of what may be used; each rises above the one before."""

    early_percent: float = 85.0
    """From here on, what is oldest is purged before its time."""
    sparing_percent: float = 92.0
    """From here on, pictures of passages without a hit are not stored; their records are."""
    reserve_percent: float = 97.0
    """From here on, the reserve is given to the store's own commits."""
    reserve_mib: int = 64
    """Really allocated, at most a twentieth of the disk; 0: there is none."""
    youngest_days: int = 1
    """What is younger is never purged before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The most that pictures may take; None: only the disk sets a limit. A legal hold goes before it."""

    passage_pictures_gib: float | None = None
    hit_pictures_gib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All of it."""

    retention: Retention = field(default_factory=Retention)
    disk: Watermarks = field(default_factory=Watermarks)
    quota: Quota = field(default_factory=Quota)
