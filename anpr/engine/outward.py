"""How the box stands with what is outside of it: its consumers, and the time."""

from __future__ import annotations

from anpr.bus import Standing
from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.health.report import ClockHealth, ConsumerHealth
from anpr.kernel_clock import kernel_clock
from anpr.store import Store


def consumer_health(standing: Standing, store: Store, clock: Clock) -> ConsumerHealth:
    """How a consumer fares, and what waits for it in the store."""
    age_seconds: float | None = 0.0
    waiting_bytes: int | None = 0
    if standing.behind:
        try:
            oldest = store.outbox.event_at(max(standing.position + 1, store.outbox.first_seq))
            waiting_bytes = store.outbox.bytes_after(standing.position)
        except StoreError:
            oldest = age_seconds = waiting_bytes = None
        if oldest is not None:
            age_seconds = max(0.0, clock.wall_seconds() - oldest.committed_seconds)
    return ConsumerHealth(
        name=standing.name,
        connected=standing.connected,
        behind=standing.behind,
        acknowledged=standing.acknowledged,
        oldest_age_seconds=age_seconds,
        waiting_bytes=waiting_bytes,
    )


def clock_health() -> ClockHealth | None:
    """What the kernel says of the machine's clock; None if it cannot be asked."""
    said = kernel_clock()
    if said is None:
        return None
    return ClockHealth(
        synchronised=said.synchronised, offset_seconds=said.offset_seconds, error_seconds=said.error_seconds
    )
