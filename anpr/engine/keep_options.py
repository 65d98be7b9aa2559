"""How the store of a site is kept, from its site file."""

from __future__ import annotations

from anpr.config.site import Bus, Storage
from anpr.store.retention import Policy, Quota, Retention, Watermarks


def policy_of(storage: Storage) -> Policy:
    """What the table `[store]` says."""
    return Policy(
        retention=Retention(**storage.retention.model_dump()),
        disk=Watermarks(**storage.disk.model_dump()),
        quota=Quota(**storage.quota.model_dump()),
    )


def consumers_of(bus: Bus) -> tuple[str, ...]:
    """Who must have had what is purged before its time."""
    return tuple(consumer.name for consumer in bus.consumers)
