"""What was purged, what failed by it, and whether the clock is believed, as counts and log lines say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from anpr.errors import StoreError
from anpr.metrics import Counters
from anpr.store.faults import told_as_store_errors
from anpr.store.purges import Purge
from anpr.store.trust import TrustedClock


def tell_purge(purge: Purge, counters: Counters) -> None:
    """Count and log a purge."""
    records = purge.sightings + purge.hits + purge.gaps
    counters.add("purges", reason=purge.reason)
    if purge.what == "plates":
        counters.add("sightings_pseudonymised", records)
    else:
        counters.add("events_purged", records, reason=purge.reason)
        counters.add("events_kept", purge.kept, reason=purge.reason)
    counters.add("pictures_purged", purge.pictures, reason=purge.reason)
    structlog.get_logger().info(
        "purged",
        what=purge.what,
        reason=purge.reason,
        number=purge.number,
        partition=purge.partition,
        first_seq=purge.first_seq,
        last_seq=purge.last_seq,
        events=records,
        kept=purge.kept,
        pictures=purge.pictures,
        bytes=purge.bytes + purge.picture_bytes,
    )


def tell_undelivered(
    counters: Counters,
    positions: Mapping[str, tuple[int, int]],
    consumers: Iterable[str],
    *,
    first_seq: int,
    last_seq: int,
) -> None:
    """Count what consumers have not had of a partition that goes."""
    for name in consumers:
        lacking = last_seq - max(first_seq - 1, min(positions.get(name, (0, 0))))
        if lacking > 0:
            counters.add("events_purged_undelivered", lacking, reason=name)
            structlog.get_logger().warning("purged_undelivered", consumer=name, events=lacking, last_seq=last_seq)


def tell_trust(counters: Counters, trust: TrustedClock) -> None:
    """Log whether the clock is believed from now on; count if it is not."""
    if trust.trusted:
        structlog.get_logger().info("clock_trusted", by="time service" if trust.sure else "time lived through")
    else:
        counters.add("clock_doubts")
        structlog.get_logger().error("clock_in_doubt", problem=trust.doubt)


@contextmanager
def telling_failures(counters: Counters, path: Path) -> Iterator[list[str]]:
    """What fails in the block is counted and logged: it is tried again, and the box goes on. The list is empty until
    then, and has it afterwards, for a person."""
    failures: list[str] = []
    try:
        with told_as_store_errors(path):
            yield failures
    except StoreError as error:
        failures.append(str(error))
        counters.add("keeping_failures", reason="store")
        structlog.get_logger().error("keeping_failed", problem=str(error))
    except Exception as error:  # noqa: BLE001  # to store and to tell goes before to delete
        failures.append(f"a fault of the program: {type(error).__name__}")
        counters.add("keeping_failures", reason=type(error).__name__)
        structlog.get_logger().error("keeping_failed", problem="a fault of the program", exc_info=error)
