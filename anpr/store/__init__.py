"""What the box remembers: sightings, hits and their evidence, durable before anybody is told."""

from anpr.store.commit import GroupCommit
from anpr.store.evidence import EvidenceFolder
from anpr.store.query import Page, Query
from anpr.store.store import Store

__all__ = ["EvidenceFolder", "GroupCommit", "Page", "Query", "Store"]
