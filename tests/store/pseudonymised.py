"""Two days of passages whose plates may go, and what their store then says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from making_records import make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.plates.pseudonym import Pseudonyms
from anpr.records import Event, Hit
from anpr.store import Store
from anpr.store.checking import check

DAY = 86_400.0
KEY = Pseudonyms(bytes(range(32)))
A_DAY, DAYS = 8, 2


def no_hits(txn: Any) -> Callable[[Event], bool]:
    """Hits stay, and what they name."""
    return lambda event: isinstance(event.record, Hit)


def pseudonymise(store: Store, day: int = 0, *, choose: Any = no_hits) -> None:
    for _ in store.pseudonymise(store.partitions.all[day], choose=choose, reason="test", pseudonyms=KEY):
        pass


def fill(folder: Path, clock: ManualClock) -> None:
    """Each day some passages with pictures; the first has a hit; all but the last in one commit."""
    with Store.open(folder, clock=clock, box="box-1") as store:
        for day in range(DAYS):
            pictures = [store.evidence.put("plate", make_jpeg(f"{day} {n}")) for n in range(A_DAY)]
            seen = [
                make_sighting(
                    id=f"{day}-{n}", text=f"30A{day}{n:04d}", seen_seconds=clock.wall + n, evidence=(picture,)
                )
                for n, picture in enumerate(pictures)
            ]
            store.append(seen[:-1], [make_hit(id=f"h{day}", sighting_id=f"{day}-0", evidence=(pictures[0],))])
            store.append(seen[-1:])
            clock.advance(DAY)
        store.roll()


def first_day(folder: Path) -> Path:
    return min((folder / "days").iterdir())


def problems(folder: Path, clock: ManualClock) -> list[str]:
    return [each.partition("/days/")[2] or each for each in check(folder, clock=clock).problems]
